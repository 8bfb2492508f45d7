"""Sparsey's coding fields: macrocolumns of winner-take-all modules that store each input in one trial.

Their letters (papers in `sparsey_codes`): a macrocolumn ("mac") is Q competitive modules (`modules`) of K units (`units`)
each; normalised sums U (bottom-up), H (lateral), D (top-down); exponents λ (`powers`).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from replica.training.mixed_precision import autocast_off, in_own_precision

from .sparsey_codes import _INACTIVE, _SPARSE, FamiliarityRamp, SparseyCode, _Source, familiarity


class SparseyLayer(nn.Module):
    r"""A layer of macrocolumns, each of Q winner-take-all modules of K units; it stores every input in one trial.

    Weights are 0 until the input and the unit they join are active together once, then 1. An input's support for a unit
    is V = U^λ_U · H^λ_H · D^λ_D, where U is the share of active inputs from which the unit has learned, and H and D the
    same for the macrocolumn's previous code and for the layer above. To store, one unit is drawn in each module with the
    chances of `FamiliarityRamp`, so that new inputs get new codes and similar inputs overlapping ones; to retrieve, the
    unit of largest support wins (ties: the first). Both take a number of operations that does not depend on how many
    inputs have been stored.

    Args:
        inputs: number of binary inputs to the layer.
        modules: winner-take-all modules of a macrocolumn (Q).
        units: units of a module (K), at least 2.
        receptive_fields: inputs that each macrocolumn sees, shape (macs, size); default one macrocolumn that sees all.
        lateral: whether each macrocolumn learns from its own previous code (H), for sequences.
        above: size of the code of the layer above, if that gives top-down input (D); 0: none.
        powers: exponents (λ_U, λ_H, λ_D).
        active_range: fewest and most active inputs in its field for which a macrocolumn takes part (π⁻, π⁺); default any
            positive number. (The paper divides u by π⁻; here U is the share of the inputs that are active, so that it
            stays in [0, 1] where their number varies.)
        saturation: share of its bottom-up weights from which on a macrocolumn learns no more and its codes are drawn
            without noise (the paper's critical period is over).
        ramp: how noise falls with familiarity.

    Shapes: inputs (batch, inputs) of 0 and 1; codes (batch, macs, modules) as winners or (batch, code_size) as 0 and 1.

    Raises:
        ValueError: if a size, a share or a receptive field is out of range.

    Source: Rinkus and Leveille 2017; Rinkus 2014, Table 1. Left out: counting of competing hypotheses, back-off between
    versions of G, and decay of weights.

    Example:
        >>> import torch
        >>> from replica.memory.sparsey_codes import intersection
        >>> draw = torch.Generator().manual_seed(0)
        >>> layer = SparseyLayer(100, modules=10, units=16)
        >>> patterns = (torch.rand(5, 100, generator=draw) < 0.1).float()
        >>> stored = layer.store(patterns, generator=draw)
        >>> found = layer.retrieve(patterns)
        >>> intersection(found.winners, stored.winners).tolist(), found.familiarity.flatten().tolist()
        ([1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0])
    """

    weights: Float[Tensor, "macs field units"]
    lateral_weights: Float[Tensor, "macs code units"] | None
    top_down_weights: Float[Tensor, "macs above units"] | None
    receptive_fields: Int[Tensor, "macs field"] | None
    learned: Int[Tensor, " macs"]

    def __init__(
        self,
        inputs: int,
        modules: int,
        units: int,
        *,
        receptive_fields: Int[Tensor, "macs field"] | None = None,
        lateral: bool = False,
        above: int = 0,
        powers: tuple[float, float, float] = (1.0, 1.0, 1.0),
        active_range: tuple[int, int] | None = None,
        saturation: float = 1.0,
        ramp: FamiliarityRamp | None = None,
    ) -> None:
        super().__init__()
        for name, size, least in (
            ("inputs", inputs, 1),
            ("modules", modules, 1),
            ("units", units, 2),
            ("above", above, 0),
        ):
            if size < least:
                raise ValueError(f"{name}: got {size}, want at least {least}")
        if not 0 < saturation <= 1:
            raise ValueError(f"saturation: got {saturation}, want a share above 0 and at most 1")
        if active_range is not None and not 1 <= active_range[0] <= active_range[1]:
            raise ValueError(f"active_range: got {active_range}, want (fewest, most) with 1 ≤ fewest ≤ most")
        if min(powers) < 0:
            raise ValueError(f"powers: got {powers}, want three numbers of at least 0")
        if receptive_fields is None:
            fields = None
            macs, size = 1, inputs
        else:
            fields = receptive_fields.long()
            if fields.dim() != 2 or 0 in fields.shape or bool((fields < 0).any() | (fields >= inputs).any()):
                raise ValueError(
                    f"receptive_fields: got shape {tuple(fields.shape)}, want (macs, size) of indices below {inputs}"
                )
            macs, size = fields.shape
        self.inputs, self.modules_per_mac, self.units, self.macs = inputs, modules, units, macs
        self.powers, self.active_range, self.saturation = powers, active_range, saturation
        self.ramp = FamiliarityRamp() if ramp is None else ramp
        each = modules * units
        self.register_buffer("receptive_fields", fields)
        self.register_buffer("weights", torch.zeros(macs, size, each))
        self.register_buffer("lateral_weights", torch.zeros(macs, each, each) if lateral else None)
        self.register_buffer("top_down_weights", torch.zeros(macs, above, each) if above else None)
        self.register_buffer("learned", torch.zeros(macs, dtype=torch.int64))

    @property
    def code_size(self) -> int:
        """Units of the layer: macs · Q · K."""
        return self.macs * self.modules_per_mac * self.units

    @property
    def saturated(self) -> Float[Tensor, " macs"]:
        """Share of each macrocolumn's bottom-up weights that have been set."""
        return self.learned / (self.weights.shape[1] * self.weights.shape[2])

    def extra_repr(self) -> str:
        """Sizes, for `print`."""
        return f"inputs={self.inputs}, macs={self.macs}, modules={self.modules_per_mac}, units={self.units}"

    # Selecting codes

    def support(
        self,
        inputs: Float[Tensor, "batch inputs"] | None,
        *,
        previous: Int[Tensor, "batch macs modules"] | None = None,
        above: Float[Tensor, "batch above"] | None = None,
    ) -> Float[Tensor, "batch macs modules units"]:
        """Support V of every unit.

        Args:
            inputs: 0 or 1 each; None where there is no bottom-up input, as when a sequence is generated.
            previous: winners of the previous code, for the lateral input.
            above: code of the layer above, 0 or 1 each.

        A source that is None, or silent for a macrocolumn, does not enter its product.

        Raises:
            ValueError: if a shape does not fit, no source is given, or the layer has no weights for one.
        """
        return self._support(self._sources(inputs, previous, above))

    def retrieve(
        self,
        inputs: Float[Tensor, "batch inputs"] | None,
        *,
        previous: Int[Tensor, "batch macs modules"] | None = None,
        above: Float[Tensor, "batch above"] | None = None,
    ) -> SparseyCode:
        """The code that the best supported units make, without noise; see `support` for the arguments."""
        sources = self._sources(inputs, previous, above)
        best = self._support(sources).max(-1)
        return SparseyCode(self._silence(best.indices, sources), best.values.mean(-1))

    def draw(
        self,
        inputs: Float[Tensor, "batch inputs"],
        *,
        previous: Int[Tensor, "batch macs modules"] | None = None,
        above: Float[Tensor, "batch above"] | None = None,
        assumed_familiarity: float | None = None,
        generator: torch.Generator | None = None,
    ) -> SparseyCode:
        """Codes drawn with the chances of the ramp, as for storing, but nothing is learned.

        Args:
            inputs: see `support`.
            previous: see `support`.
            above: see `support`.
            assumed_familiarity: G to draw with in place of the measured one; 0 gives codes that ignore the input.
            generator: where the noise comes from.
        """
        return self._draw(self._sources(inputs, previous, above), assumed_familiarity, generator)

    def forward(self, inputs: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch code"]:
        """The retrieved code as 0 and 1, so that layers can be stacked: `one_hot(retrieve(inputs).winners)`."""
        return self.one_hot(self.retrieve(inputs).winners)

    def one_hot(self, winners: Int[Tensor, "batch macs modules"]) -> Float[Tensor, "batch code"]:
        """Winners as a binary code of `code_size` entries; silent macrocolumns have none active."""
        codes = self.weights.new_zeros((*winners.shape, self.units))
        codes.scatter_(-1, winners.clamp_min(0)[..., None], (winners != _INACTIVE)[..., None].to(codes.dtype))
        return codes.flatten(1)

    # Learning

    def store(
        self,
        patterns: Float[Tensor, "count inputs"],
        *,
        previous: Int[Tensor, "count macs modules"] | None = None,
        above: Float[Tensor, "count above"] | None = None,
        chunk: int = 1,
        assumed_familiarity: float | None = None,
        generator: torch.Generator | None = None,
    ) -> SparseyCode:
        """Choose a code for each pattern, one after the other, and join it to what is active with weights of 1.

        Args:
            patterns: 0 or 1 each.
            previous: see `support`; joined to the new codes too.
            above: see `support`; joined to the new codes too.
            chunk: patterns whose codes are chosen at once. With 1, the paper's way, every pattern is coded in view of all
                before it; with more, patterns of the same chunk do not see each other, which is many times faster.
            assumed_familiarity: see `draw`.
            generator: where the noise comes from.

        Returns:
            The codes chosen, and how familiar each pattern was before it was stored.

        Raises:
            ValueError: if a shape does not fit, or patterns hold anything but 0 and 1.
        """
        self._check(patterns, "patterns")
        if not bool(((patterns == 0) | (patterns == 1)).all()):
            raise ValueError("patterns: got values beside 0 and 1, want 0 or 1 each")
        if chunk < 1:
            raise ValueError(f"chunk: got {chunk}, want at least 1")
        winners, known = [], []
        for start in range(0, len(patterns), chunk):
            part = slice(start, start + chunk)
            before = None if previous is None else previous[part]
            higher = None if above is None else above[part]
            sources = self._sources(patterns[part], before, higher)
            code = self._draw(sources, assumed_familiarity, generator)
            self._associate(sources, code.winners)
            winners.append(code.winners)
            known.append(code.familiarity)
        if not winners:
            return SparseyCode(
                self.learned.new_zeros((0, self.macs, self.modules_per_mac)), self.weights.new_zeros((0, self.macs))
            )
        return SparseyCode(torch.cat(winners), torch.cat(known))

    def associate(
        self,
        inputs: Float[Tensor, "batch inputs"],
        winners: Int[Tensor, "batch macs modules"],
        *,
        previous: Int[Tensor, "batch macs modules"] | None = None,
        above: Float[Tensor, "batch above"] | None = None,
    ) -> None:
        """Hebb's rule: set the weights from everything active to the winners to 1. Saturated macrocolumns are skipped."""
        self._associate(self._sources(inputs, previous, above), winners)

    # Reading codes back

    @in_own_precision
    def reconstruct(self, winners: Int[Tensor, "batch macs modules"]) -> Float[Tensor, "batch inputs"]:
        """How strongly a code calls for each input through the reverse weights, in [0, 1].

        The share of the winners of all macrocolumns that see the input which are joined to it. Forward and reverse weights
        are set by the same events, so they are one matrix.
        """
        codes = self.one_hot(winners).unflatten(-1, (self.macs, -1))
        sums = torch.einsum("bmc,mfc->bmf", codes, self.weights)
        if self.receptive_fields is None:
            return sums[:, 0] / codes.sum(-1).clamp_min(1)
        where = self.receptive_fields.flatten()
        voters = codes.sum(-1, keepdim=True).expand_as(sums)
        total = sums.new_zeros((len(sums), self.inputs)).index_add_(1, where, sums.flatten(1))
        asked = sums.new_zeros((len(sums), self.inputs)).index_add_(1, where, voters.flatten(1))
        return total / asked.clamp_min(1)

    # Inside

    def _check(self, inputs: Tensor, name: str) -> None:
        if inputs.dim() != 2 or inputs.shape[-1] != self.inputs:
            raise ValueError(f"{name}: got shape {tuple(inputs.shape)}, want (batch, {self.inputs})")

    def _fields(self, inputs: Tensor) -> Float[Tensor, "batch macs field"]:
        inputs = inputs.to(self.weights.dtype)
        return inputs[:, None] if self.receptive_fields is None else inputs[:, self.receptive_fields]

    def _sources(self, inputs: Tensor | None, previous: Tensor | None, above: Tensor | None) -> list[_Source]:
        """The sources that are given, the bottom-up one first."""
        found: list[tuple[Tensor, Tensor, float, bool]] = []
        if inputs is not None:
            self._check(inputs, "inputs")
            found.append((self.weights, self._fields(inputs), self.powers[0], True))
        if previous is not None:
            if self.lateral_weights is None:
                raise ValueError("previous: got a code, want none: this layer was made with lateral=False")
            if previous.dim() != 3 or previous.shape[1:] != (self.macs, self.modules_per_mac):
                raise ValueError(
                    f"previous: got shape {tuple(previous.shape)}, want (batch, {self.macs}, {self.modules_per_mac})"
                )
            codes = self.one_hot(previous).unflatten(-1, (self.macs, -1))
            found.append((self.lateral_weights, codes, self.powers[1], False))
        if above is not None:
            if self.top_down_weights is None:
                raise ValueError("above: got a code, want none: this layer was made with above=0")
            if above.dim() != 2 or above.shape[-1] != self.top_down_weights.shape[1]:
                raise ValueError(
                    f"above: got shape {tuple(above.shape)}, want (batch, {self.top_down_weights.shape[1]})"
                )
            spread = above.to(self.weights.dtype)[:, None].expand(-1, self.macs, -1)
            found.append((self.top_down_weights, spread, self.powers[2], False))
        if not found:
            raise ValueError("inputs: got None and no other source, want at least one of inputs, previous, above")
        return [
            _Source(weights, active, active.sum(-1, keepdim=True), power, bottom_up)
            for weights, active, power, bottom_up in found
        ]

    def _support(self, sources: list[_Source]) -> Float[Tensor, "batch macs modules units"]:
        support: Tensor | None = None
        for source in sources:
            share = self._share(source)
            share = share if source.power == 1 else share.pow(source.power)
            support = share if support is None else support * share
        assert support is not None
        return support.unflatten(-1, (self.modules_per_mac, self.units))

    @staticmethod
    def _share(source: _Source) -> Float[Tensor, "batch macs units"]:
        """Share of the active sources that each unit has learned from; of none 0, or 1 if they are not bottom-up."""
        weights, active, count = source.weights, source.active, source.count
        if not torch.compiler.is_compiling() and (
            len(active) == 1 or float(count.sum()) * _SPARSE < active.numel() > 0
        ):
            # Few sums are bound by reading weights: only the rows of active sources are read.
            place = active.flatten(1).nonzero(as_tuple=True)[1]  # place in (macs, field), as in the flattened weights
            ends = count.flatten().long().cumsum(0)
            starts = functional.pad(ends[:-1], (1, 0))
            sums = functional.embedding_bag(place, weights.flatten(0, 1), starts, mode="sum").view(*count.shape[:2], -1)
        else:
            with autocast_off(weights.device):  # sums are counts, and counts are to be exact
                sums = torch.matmul(active.transpose(0, 1), weights).transpose(0, 1)
        share = sums / count.clamp_min(1)
        return share if source.bottom_up else torch.where(count > 0, share, 1.0)

    def _draw(
        self, sources: list[_Source], assumed_familiarity: float | None, generator: torch.Generator | None
    ) -> SparseyCode:
        support = self._support(sources)
        measured = familiarity(support)
        used = measured if assumed_familiarity is None else torch.full_like(measured, assumed_familiarity)
        cumulative = self.ramp.relative_chances(support, used).cumsum(-1)
        chosen = torch.rand(
            cumulative.shape[:-1], generator=generator, dtype=cumulative.dtype, device=cumulative.device
        )
        winners = torch.searchsorted(cumulative, chosen[..., None] * cumulative[..., -1:], right=True)[..., 0]
        winners = winners.clamp_max(self.units - 1)
        if self.saturation < 1:
            # Noise serves to find room for new inputs; a macrocolumn that learns no more has no use for it.
            winners = torch.where((self.saturated < self.saturation)[:, None], winners, support.argmax(-1))
        return SparseyCode(self._silence(winners, sources), measured)

    def _silence(self, winners: Tensor, sources: list[_Source]) -> Int[Tensor, "batch macs modules"]:
        """Marks the macrocolumns that see too few or too many active inputs."""
        if not sources[0].bottom_up:
            return winners
        count = sources[0].count
        if self.active_range is None:
            return torch.where(count > 0, winners, _INACTIVE)
        least, most = self.active_range
        return torch.where((count >= least) & (count <= most), winners, _INACTIVE)

    def _associate(self, sources: list[_Source], winners: Tensor) -> None:
        if self.saturation < 1:
            winners = torch.where((self.saturated < self.saturation)[:, None], winners, _INACTIVE)
        for source in sources:
            added = self._set(source.weights, source.active, winners)
            if source.bottom_up:
                self.learned += added

    def _set(self, weights: Tensor, active: Tensor, winners: Tensor) -> Int[Tensor, " macs"]:
        """Sets the weights between active sources and winners, and counts those that were 0 before."""
        row, mac, source = active.nonzero(as_tuple=True)
        won = winners[row, mac]
        taking_part = won[:, 0] != _INACTIVE
        if not bool(taking_part.all()):
            mac, source, won = mac[taking_part], source[taking_part], won[taking_part]
        unit = won + torch.arange(0, weights.shape[2], self.units, device=winners.device)
        place = (mac[:, None], source[:, None], unit)
        if len(active) == 1:  # no weight is named twice
            fresh = self.modules_per_mac - weights[place].sum(-1)
            weights[place] = 1.0
            return self.learned.new_zeros(self.macs).index_add_(0, mac, fresh.long())
        before = weights.sum((1, 2))
        weights[place] = 1.0
        return (weights.sum((1, 2)) - before).long()
