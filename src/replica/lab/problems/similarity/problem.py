"""The problem similarity: which measure tells that two layers are the same layer?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.claims import Scale, Trial
from replica.lab.problems.problem import Dataset, Measured, Metric, Option, Options, Problem, Split, Start
from replica.lab.problems.protocol import timed
from replica.lab.problems.similarity.data import FORMATS, STIMULI, Nets, read, sizes

FEWEST = 10
"""The fewest stimuli on which layers are compared."""
_SMOKE_STIMULI = 20
_OF_NETS = ("network", "nets", "depth", "width", "epochs")
"""Options of the nets that a trial trains; the user's own nets are as they are."""


class Similarity(Problem):
    """Tell which layer of one net corresponds to a layer of another, by how alike their activations are on the same stimuli.

    The nets are alike but for their random start and the order of their training data. A trial trains them on digits and
    shows them others; or they are the user's own. Every layer of every net is compared with every layer of every other net:
    ``similarity`` is given two float32 tensors of shape ``(stimuli, units)`` on the trial's device and gives a number, the
    greater the more alike. The layer of the other net with the greatest one is named.

    ``noise`` is added to the activations, independently in every net: its standard deviation is this many times that of
    the layer's units (root mean square), as in a measurement of responses. With ``units`` only as many of each layer, drawn
    at random, are seen. Units that are the same for all stimuli are left out before. With one seed, fewer stimuli and units
    are a part of more.

    What is measured:

    - ``named``: the share of layers that are told right, over all ordered pairs of nets; where layers are equally alike, one
      of them is drawn (in expectation). Chance is 1 / layers.
    - ``auc``: how well one threshold tells same from different: the probability that two layers that correspond are more
      alike than two that do not.
    - ``seconds``: wall-clock seconds a comparison.

    For validation (``--tune``) other nets are trained; of the user's nets stimuli are shown that the test does not show. At
    smoke scale two nets of two layers are trained a little, and 20 stimuli shown.
    """

    name = "similarity"
    question = "Which measure tells that two layers are the same layer?"
    protocol = ('similarity(X: Float[Tensor, "stimuli units"], Y: Float[Tensor, "stimuli others"]) -> float',)
    protocol_note = ", which gives a number, the greater the more alike"
    metrics = (
        Metric("named", "share of layers", "higher", "Layers named right"),
        Metric("auc", "1", "higher", "Same against different (AUC)"),
        Metric("seconds", "s a pair", "lower", "Time a comparison"),
    )
    options = (
        Option("noise", 0.5, "standard deviation of noise on activations, in units of theirs", minimum=0, maximum=100,
               label="Noise (standard deviations of the activations)"),
        Option("stimuli", 100, "stimuli on which layers are compared; all of a file that holds fewer", minimum=FEWEST,
               label="Stimuli"),
        Option("units", 0, "units of each layer that are seen, drawn at random; 0 for all", minimum=0, label="Units seen"),
        Option("network", "conv", "the nets that are trained", choices=("conv", "mlp")),
        Option("nets", 4, "nets that are trained", minimum=2, maximum=20, label="Nets"),
        Option("depth", 5, "their hidden layers", minimum=2, maximum=20, label="Layers"),
        Option("width", 16, "their channels or units a layer", minimum=2, maximum=512, label="Channels or units a layer"),
        Option("epochs", 10, "passes over the digits that they are trained on", minimum=0, maximum=1000, label="Epochs"),
    )  # fmt: skip
    default_data = "digits"
    data_names: ClassVar[Mapping[str, str]] = {
        "digits": "nets trained anew for each seed on 1,200 handwritten digits, and shown others",
    }
    data_formats = FORMATS
    files = "an .npz file of activations"
    default_sweep = ("noise", (0.0, 0.5, 1.0, 2.0))

    def named(self, name: str, seed: int | None, options: Options) -> Nets:
        """No nets yet: trials train them."""
        return Nets((), {})

    def read(self, path: Path, options: Options) -> Nets:
        """See `Problem.read`, and `data.read`."""
        return read(path)

    def size(self, content: Nets, options: Options) -> str:
        """See `Problem.size`."""
        return f"{len(content.activations)} nets of {len(content.layers)} layers on {len(content):,} stimuli"

    def identity(self, content: Nets) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        shapes = [(net, [layer.shape for layer in layers]) for net, layers in content.activations.items()]
        return (content.layers, shapes), *(layer for layers in content.activations.values() for layer in layers)

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that there are enough stimuli.

        Raises:
            ReplicaError: If there are fewer than asked for, or than 10 in a file.
        """
        available, asked = _available(dataset), int(options["stimuli"])
        if not dataset.content.activations and asked > available:
            raise ReplicaError(
                f"Option stimuli is {asked}, but {available} digits are left; give --stimuli {available} or less."
            )
        if available < FEWEST:
            raise ReplicaError(f"{dataset.name} holds {available} stimuli; wanted {FEWEST} or more.")

    def check_validation(self, dataset: Dataset, options: Options) -> None:
        """See that there are stimuli of the user's nets that the test does not show.

        Raises:
            ReplicaError: If there are fewer than 10.
        """
        available = _available(dataset)
        if dataset.content.activations and available - self._stimuli(dataset, options, "laptop") < FEWEST:
            raise ReplicaError(
                f"Tuning compares layers on other stimuli than the test, but {dataset.name} holds {available} in all; "
                f"give --stimuli {max(FEWEST, available // 2)} or less, or leave --tune out."
            )

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        told = {"stimuli": f"{self._stimuli(dataset, options, scale)} stimuli"}
        if dataset.content.activations:
            return told | dict.fromkeys(_OF_NETS, "")
        return told | dict(zip(_OF_NETS[1:], map(str, sizes(options, scale)), strict=True))

    def _stimuli(self, dataset: Dataset, options: Options, scale: Scale) -> int:
        most = _SMOKE_STIMULI if scale == "smoke" else int(options["stimuli"])
        return min(int(options["stimuli"]), most, _available(dataset))

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Compare every layer of every net with every layer of every other; see the class for the measures."""
        import torch

        layers, responses = self.responses(trial, dataset, options, split)
        given = {net: [torch.tensor(layer, device=trial.device) for layer in rows] for net, rows in responses.items()}
        method, seconds, found = start(), 0.0, []
        name = f"{type(method).__name__}.similarity"
        for one, ours in given.items():
            for other, theirs in given.items():
                if one == other:
                    continue
                table = np.empty((len(layers), len(layers)))
                for i, first in enumerate(ours):
                    for j, second in enumerate(theirs):
                        X, Y = first.clone(), second.clone()  # a method may write into what it is given
                        output, spent = timed(trial, lambda X=X, Y=Y: method.similarity(X, Y))  # type: ignore[misc]
                        table[i, j] = number(name, output, f"{layers[i]} of {one} and {layers[j]} of {other}")
                        seconds += spent
                found.append(table)
        tables = np.stack(found)
        named = shares_named(tables)
        metrics = {
            "named": float(named.diagonal(axis1=1, axis2=2).mean()),
            "auc": same_against_different(tables),
            "seconds": seconds / tables.size,
        }
        return metrics, lambda: {"layers": list(layers), "named": named.mean(axis=0).round(4).tolist()}

    def responses(
        self, trial: Trial, dataset: Dataset, options: Options, split: Split
    ) -> tuple[tuple[str, ...], dict[str, list[NDArray[np.float32]]]]:
        """The layers' names, and by net what is seen of each layer: some stimuli, some units, with noise."""
        from replica.lab.problems.similarity.nets import trained

        nets, count = dataset.content, self._stimuli(dataset, options, trial.scale)
        if nets.activations:
            order = trial.rng("stimuli").permutation(len(nets))
            shown = order[:count] if split == "test" else order[count:][:count]
        else:
            nets, shown = trained(trial, options, split), np.arange(count)
        seen = {}
        for net, layers in nets.activations.items():
            seen[net] = [
                self._seen(trial, layer[shown], options, f"{split} {net} {name}")
                for name, layer in zip(nets.layers, layers, strict=True)
            ]
        return nets.layers, seen

    def _seen(self, trial: Trial, layer: NDArray[np.float32], options: Options, stream: str) -> NDArray[np.float32]:
        if not np.isfinite(layer).all():
            raise ReplicaError(
                f"{stream.partition(' ')[2]} holds a number that is not finite; wanted finite activations."
            )
        varying = np.flatnonzero((layer != layer[0]).any(axis=0))
        if not len(varying):
            raise ReplicaError(
                f"{stream.partition(' ')[2]} is the same for all {len(layer)} stimuli that were drawn; give more --stimuli."
            )
        rng, count = trial.rng(f"{stream} units"), int(options["units"]) or len(varying)
        layer = layer[:, rng.permutation(varying)[:count] if count < len(varying) else varying]
        noise = float(options["noise"]) * math.sqrt(float(layer.var(axis=0, dtype=np.float64).mean()))
        drawn = trial.rng(f"{stream} noise").standard_normal(layer.shape, dtype=np.float32)
        return np.asarray(layer + np.float32(noise) * drawn)


def _available(dataset: Dataset) -> int:
    return len(dataset.content) if dataset.content.activations else STIMULI


def number(name: str, output: Any, pair: str) -> float:
    """What a method gave for a pair of layers, if it is a finite number.

    Raises:
        ReplicaError: If not.
    """
    try:
        value = float(output)
    except (TypeError, ValueError, RuntimeError):
        raise ReplicaError(f"{name} returned {type(output).__name__} for {pair}; wanted a number.") from None
    if not math.isfinite(value):
        raise ReplicaError(f"{name} returned {value} for {pair}; wanted a finite number.")
    return value


def shares_named(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the greatest similarity of each row lies, shared equally where there are several.

    Args:
        tables: Similarities, shape ``(pairs of nets, layers, layers)``.

    Example:
        >>> shares_named(np.array([[[3.0, 3.0], [1.0, 2.0]]])).tolist()
        [[[0.5, 0.5], [0.0, 1.0]]]
    """
    best = tables == tables.max(axis=2, keepdims=True)
    shares: NDArray[np.float64] = best / best.sum(axis=2, keepdims=True)
    return shares


def same_against_different(tables: NDArray[np.float64]) -> float:
    """The area under the ROC curve: P(same > different) + P(equal) / 2 over all layers that correspond and all that do not.

    Example:
        >>> same_against_different(np.array([[[3.0, 1.0], [3.0, 2.0]]]))
        0.625
    """
    same = np.eye(tables.shape[1], dtype=bool)
    ordered = np.sort(tables[:, ~same].ravel())
    below, up_to = (np.searchsorted(ordered, tables[:, same].ravel(), side) for side in ("left", "right"))
    return float(((below + up_to) / 2).mean() / len(ordered))
