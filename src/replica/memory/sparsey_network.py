"""Sparsey's hierarchy: layers of macrocolumns that store and recall sequences, and a field of labels.

Rinkus and Leveille 2017, arXiv 1710.07829; Rinkus 2014 (doi 10.3389/fncom.2014.00160). Their letters: bottom-up weights U,
lateral weights H, top-down weights D; persistence δ.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .sparsey import SparseyLayer


class SequenceCodes(NamedTuple):
    """The codes of every frame, one entry a layer, lowest first.

    Attributes:
        winners: winners of each layer, each (count, time, macs, modules); −1 where a macrocolumn was silent.
        familiarity: G of each layer's macrocolumns, each (count, time, macs).
    """

    winners: tuple[Int[Tensor, "count time macs modules"], ...]
    familiarity: tuple[Float[Tensor, "count time macs"], ...]


class SparseyNetwork(nn.Module):
    r"""Layers of macrocolumns on top of each other; each sequence is stored in one pass.

    At every frame t the layers are visited from the lowest to the highest. A layer's input is the frame or the code of the
    layer below at t; a layer made with `lateral=True` also uses its own code at t − 1, one made with `above` the code of
    the layer above at t − 1. So the same frame gets different codes in different contexts, and a stored sequence can be
    continued from its beginning by lateral and top-down input alone.

    Args:
        layers: lowest first; each layer's `inputs` is the `code_size` of the one below, and its `above` is 0 or the
            `code_size` of the one above it.
        persistence: frames for which each layer holds a code before it chooses a new one (δ); default 1 for every layer.

    Shapes: sequences (count, time, inputs) of 0 and 1; a still image is a sequence of one frame.

    Raises:
        ValueError: if sizes of neighbouring layers or the number of persistences do not fit.

    Source: Rinkus 2014, Table 1 and the sections on hierarchy and persistence.

    Example:
        >>> import torch
        >>> draw = torch.Generator().manual_seed(0)
        >>> frames = (torch.rand(3, 6, 144, generator=draw) < 0.07).float()
        >>> network = SparseyNetwork([SparseyLayer(144, modules=9, units=16, lateral=True)])
        >>> stored = network.store(frames, generator=draw)
        >>> bool((network.recognise(frames).winners[0] == stored.winners[0]).all())
        True
        >>> continued = network.generate(frames[:, :1], length=6)
        >>> bool(((continued > 0.9).float() == frames).all())
        True
    """

    def __init__(self, layers: Sequence[SparseyLayer], *, persistence: Sequence[int] | None = None) -> None:
        super().__init__()
        if not layers:
            raise ValueError("layers: got none, want at least one")
        for index, (below, above) in enumerate(itertools.pairwise(layers)):
            if above.inputs != below.code_size:
                raise ValueError(f"layers: got layer {index + 1} with {above.inputs} inputs, want {below.code_size}")
        sizes = [layer.code_size for layer in layers[1:]] + [0]
        for index, (layer, size) in enumerate(zip(layers, sizes, strict=True)):
            weights = layer.top_down_weights
            if weights is not None and weights.shape[1] != size:
                raise ValueError(f"layers: got layer {index} with above={weights.shape[1]}, want 0 or {size}")
        persistence = [1] * len(layers) if persistence is None else list(persistence)
        if len(persistence) != len(layers) or min(persistence) < 1:
            raise ValueError(f"persistence: got {persistence}, want {len(layers)} numbers of at least 1")
        self.layers = nn.ModuleList(layers)
        self.persistence = persistence

    def store(
        self, sequences: Float[Tensor, "count time inputs"], *, generator: torch.Generator | None = None
    ) -> SequenceCodes:
        """Store sequences one after the other, frame by frame, each in one pass.

        A fixed number of operations a frame, however many have been stored.

        Raises:
            ValueError: if the shape does not fit or there is no sequence.
        """
        self._check(sequences, "sequences", least=1)
        runs = [self._run(sequence[None], learn=True, generator=generator) for sequence in sequences]
        return SequenceCodes(
            tuple(torch.cat(parts) for parts in zip(*(run.winners for run in runs), strict=True)),
            tuple(torch.cat(parts) for parts in zip(*(run.familiarity for run in runs), strict=True)),
        )

    def recognise(self, sequences: Float[Tensor, "count time inputs"]) -> SequenceCodes:
        """The codes that sequences bring back, all of them at once, without noise and without learning.

        Raises:
            ValueError: if the shape does not fit or there is no frame.
        """
        self._check(sequences, "sequences")
        return self._run(sequences, learn=False, generator=None)

    def generate(
        self, beginnings: Float[Tensor, "count time inputs"], length: int
    ) -> Float[Tensor, "count length inputs"]:
        """Continue sequences from their beginnings, by lateral and top-down input and the reverse weights.

        Args:
            beginnings: the first frames, at least one.
            length: frames to give in all, those of the beginnings included (they are given back as they came).

        Returns:
            How strongly each input is called for, in [0, 1].

        Raises:
            ValueError: if the shape does not fit, or the lowest layer has no lateral weights to go on with.
        """
        self._check(beginnings, "beginnings")
        first = self._layer(0)
        if first.lateral_weights is None and length > beginnings.shape[1]:
            raise ValueError("layers: got a lowest layer with lateral=False, want lateral=True to generate sequences")
        state = self._last_winners(self.recognise(beginnings))
        frames = list(beginnings[:, :length].unbind(1))
        for time in range(len(frames), length):
            before = list(state)
            higher = self._higher(0, before)
            if time % self.persistence[0] == 0:
                state[0] = first.retrieve(None, previous=before[0], above=higher).winners
            for index in range(1, len(state)):
                if time % self.persistence[index] == 0:
                    below = self._layer(index - 1).one_hot(state[index - 1])
                    state[index] = self._code(index, below, before, learn=False, generator=None)[0]
            frames.append(first.reconstruct(state[0]))
        return torch.stack(frames, dim=1)

    def forward(self, sequences: Float[Tensor, "count time inputs"]) -> Float[Tensor, "count time code"]:
        """The highest layer's code of every frame, as 0 and 1."""
        winners = self.recognise(sequences).winners[-1]
        return self._layer(len(self.layers) - 1).one_hot(winners.flatten(0, 1)).unflatten(0, winners.shape[:2])

    # Inside

    def _check(self, sequences: Tensor, name: str, least: int = 0) -> None:
        inputs = self._layer(0).inputs
        if sequences.dim() != 3 or sequences.shape[-1] != inputs or len(sequences) < least or not sequences.shape[1]:
            wanted = f"(count, time, {inputs}), a count of {least} and a time of 1 or more"
            raise ValueError(f"{name}: got shape {tuple(sequences.shape)}, want {wanted}")

    def _layer(self, index: int) -> SparseyLayer:
        layer = self.layers[index]
        assert isinstance(layer, SparseyLayer)
        return layer

    def _higher(self, index: int, before: Sequence[Tensor | None]) -> Tensor | None:
        """The code that the layer above had at the frame before, if it is used."""
        winners = before[index + 1] if index + 1 < len(before) else None
        used = self._layer(index).top_down_weights is not None
        return self._layer(index + 1).one_hot(winners) if used and winners is not None else None

    def _previous(self, index: int, before: Sequence[Tensor | None]) -> Tensor | None:
        return before[index] if self._layer(index).lateral_weights is not None else None

    def _code(
        self,
        index: int,
        inputs: Tensor,
        before: Sequence[Tensor | None],
        *,
        learn: bool,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        layer, previous, higher = self._layer(index), self._previous(index, before), self._higher(index, before)
        if learn:
            return layer.store(inputs, previous=previous, above=higher, generator=generator)
        return layer.retrieve(inputs, previous=previous, above=higher)

    def _run(self, sequences: Tensor, *, learn: bool, generator: torch.Generator | None) -> SequenceCodes:
        state: list[Tensor | None] = [None] * len(self.layers)
        known: list[Tensor | None] = [None] * len(self.layers)
        winners: list[list[Tensor]] = [[] for _ in self.layers]
        familiarity: list[list[Tensor]] = [[] for _ in self.layers]
        for time, frame in enumerate(sequences.unbind(1)):
            before, inputs = list(state), frame
            for index in range(len(self.layers)):
                layer = self._layer(index)
                held = state[index]
                if held is None or time % self.persistence[index] == 0:
                    held, known[index] = self._code(index, inputs, before, learn=learn, generator=generator)
                    state[index] = held
                elif learn:
                    layer.associate(inputs, held)
                found = known[index]
                assert found is not None
                winners[index].append(held)
                familiarity[index].append(found)
                inputs = layer.one_hot(held)
        return SequenceCodes(
            tuple(torch.stack(part, dim=1) for part in winners), tuple(torch.stack(part, dim=1) for part in familiarity)
        )

    @staticmethod
    def _last_winners(codes: SequenceCodes) -> list[Tensor]:
        return [winners[:, -1] for winners in codes.winners]


class LabelField(nn.Module):
    """A field of one unit a class, joined by Hebb's rule to the units of a code that are active with it.

    A weight is 1 once its unit and its class have been active together. A code's score for a class is the share of the
    active units that are joined to it, so the best class is the one that most modules vote for.

    Args:
        code_size: units of the code.
        classes: number of classes, at least 2.

    Raises:
        ValueError: if a size is out of range.

    Source: Rinkus and Leveille 2017, the supervised use of the model, in which a label is one more input field.

    Example:
        >>> import torch
        >>> field = LabelField(6, classes=2)
        >>> field.store(torch.eye(6), torch.tensor([0, 0, 0, 1, 1, 1]))
        >>> field(torch.tensor([[1.0, 0, 0, 1.0, 1.0, 0]])).round(decimals=2)
        tensor([[0.3300, 0.6700]])
    """

    weights: Float[Tensor, "code classes"]

    def __init__(self, code_size: int, classes: int) -> None:
        super().__init__()
        if code_size < 1:
            raise ValueError(f"code_size: got {code_size}, want at least 1")
        if classes < 2:
            raise ValueError(f"classes: got {classes}, want at least 2")
        self.register_buffer("weights", torch.zeros(code_size, classes))

    def store(self, codes: Float[Tensor, "count code"], labels: Int[Tensor, " count"]) -> None:
        """Join the active units of each code to its label.

        Raises:
            ValueError: if a shape does not fit or a label is no class.
        """
        self._check(codes)
        if labels.shape != codes.shape[:1]:
            raise ValueError(f"labels: got shape {tuple(labels.shape)}, want ({len(codes)},), one a code")
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < self.weights.shape[1]:
            raise ValueError(f"labels: got values beyond 0 to {self.weights.shape[1] - 1}, want classes in that range")
        code, unit = codes.nonzero(as_tuple=True)
        self.weights[unit, labels[code]] = 1.0

    def forward(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch classes"]:
        """The score of each class, in [0, 1]; 0 for all where the code is silent."""
        self._check(codes)
        codes = codes.to(self.weights.dtype)
        return codes @ self.weights / codes.sum(-1, keepdim=True).clamp_min(1)

    def _check(self, codes: Tensor) -> None:
        if codes.dim() != 2 or codes.shape[-1] != len(self.weights):
            raise ValueError(f"codes: got shape {tuple(codes.shape)}, want (batch, {len(self.weights)})")
