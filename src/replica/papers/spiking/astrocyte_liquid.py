"""Increasing Liquid State Machine Performance with Astrocyte-modulated Plasticity (Ivanov and Michmizos 2021).

The liquid finds a branching factor near 1 from quiet and from exploding starts, tells digits better than the same liquid
without plasticity or with a fixed one, and does not ask for its weights to be set by hand.
"""

import copy
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from replica.lab.claims import Integer, LogUniform, Paper, Reported, Trial, Uniform, above, below, within
from replica.lab.claims.drawing import draw_spread
from replica.data import digits, mnist
from replica.spiking import Astrocyte, SpatialLiquid, SpikeTimingPlasticity, local_branching_factor, rate_spikes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = tuple[dict[str, float], dict[str, list[Any]]]

paper = Paper(
    "astrocyte_liquid",
    departures=(
        "Of the paper's text the abstract and the introduction were at hand; the method, its constants and the reported "
        "figures are those of the authors' code and of the sheet of simulations that lies beside it. What in our words "
        "stands for a sentence of the paper follows the abstract.",
        "At laptop scale: the 8 × 8 digits, a liquid of 6 × 6 × 6 neurons for 10 × 10 × 10, recordings of 100 steps for 250, "
        "200 recordings to learn from for 50,000, and 500 or 1,000 snippets of 20 steps to settle for 50,000. MNIST, the "
        "authors' sizes and (of its 10,000 test images, the only ones at hand) 8,000 to learn from at full scale.",
        "The images' rates are scaled so that a neuron of the small liquid gets what one of the authors' gets: the inputs send "
        "0.022 spikes a step for each neuron of the liquid, and 3.3 of them reach a neuron at once, for which 70 % of the pairs "
        "of pixel and neuron are connected at laptop scale (15 % on MNIST). The astrocyte's coupling is the authors' 0.015 at "
        "1,000 neurons and goes as 1 / neurons, because it multiplies sums over neurons.",
        "Synaptic currents add up and take the weight at the time of the spike; in the authors' code they depend on the last "
        "spike alone and on the weight of the moment, which differs by 5 % at most at two spikes three steps apart. Inputs have "
        "no refractory time. Traces start from zero with each snippet. At the authors' size (one seed that is not judged, five "
        "images of MNIST) static liquids with weights 0.4, 0.7, 1 and 1.4 have branching factors 0.49, 1.04, 1.36 and 1.44; "
        "theirs are near 0.36, 0.86, 1.23 and 1.43.",
        "The read-out is ridge regression to the classes on spike counts, its strength chosen by five-fold cross-validation "
        "within the training recordings; the authors train a softmax layer on normalised counts.",
        "All liquids choose their start among the same four scales of the initial weights by the same cross-validation. The "
        "authors start plastic liquids from the largest weights only, and choose the static one's among 11.",
        "Numbers of recordings were cut to fit the time after a look at one seed that is not judged. The entry's ridge and its "
        "amplitude of plasticity (0.03 for the authors' 0.15) were set on such a seed of mnist-1d and latency-digits, out of "
        "seven settings; its recordings are heard whole while the liquid settles, its spikes are counted in four bins.",
    ),
)


# --- Digits as spikes, and what is read from the liquid


@dataclass(frozen=True)
class Task:
    """Recordings and the liquid that hears them."""

    liquid: SpatialLiquid
    rates: Float[Tensor, "count inputs"]
    labels: Int[Tensor, " count"]
    steps: int
    generator: torch.Generator

    @property
    def coupling(self) -> float:
        """The astrocyte's, of one spike."""
        return 15 / self.liquid.neurons

    def spikes(self, rows: Tensor, steps: int | None = None) -> Float[Tensor, "time batch inputs"]:
        """Poisson spikes of these images."""
        return rate_spikes(self.rates[rows], steps or self.steps, generator=self.generator)

    def snippets(self, count: int, steps: int = 20) -> Float[Tensor, "count time inputs"]:
        """Short recordings of images of the first half, drawn at random, for settling."""
        rows = torch.randint(len(self.rates) // 2, (count,), generator=self.generator, device=self.rates.device)
        return self.spikes(rows, steps).transpose(0, 1)


def task(trial: Trial) -> Task:
    """Images in random order, their ink normalised, and a new liquid."""
    size = trial.pick(smoke=3, laptop=6, full=10)
    images = mnist("test") if trial.scale == "full" else digits()
    order = trial.rng("images").permutation(len(images.values))
    values = torch.from_numpy(images.values[order]).flatten(1).to(trial.device)
    liquid = SpatialLiquid(
        values.shape[1],
        (size, size, size),
        input_density=trial.pick(smoke=0.7, laptop=0.7, full=0.15),
        generator=trial.generator("liquid"),
    ).to(trial.device)
    share = values / values.sum(1, keepdim=True)
    rates = (0.022 * liquid.neurons * share).clamp(max=1)
    labels = torch.from_numpy(images.labels[order]).to(trial.device)
    return Task(liquid, rates, labels, trial.pick(smoke=40, laptop=100, full=250), trial.generator("spikes"))


def settled(
    given: Task, scales: tuple[float, ...], couplings: tuple[float, ...], snippets: Float[Tensor, "count time inputs"]
) -> Float[Tensor, "networks synapses"]:
    """Weights after the snippets from each scale with each coupling, all networks side by side; coupling 0 is fixed."""
    starts = torch.stack([given.liquid.synaptic_weights(scale) for _ in couplings for scale in scales])
    each = torch.tensor(couplings, device=starts.device).repeat_interleave(len(scales))
    return given.liquid.settle(snippets, SpikeTimingPlasticity(astrocyte=Astrocyte(each)), starts)


def heard(
    given: Task,
    events: Float[Tensor, "time batch inputs"],
    weights: Float[Tensor, " synapses"],
    coupling: float | None,
) -> Float[Tensor, "time batch neurons"]:
    """Spikes of the liquid with these weights: without plasticity (None), or with it, as the authors read a liquid."""
    if coupling is None:
        static = copy.deepcopy(given.liquid)
        static.set_weights(weights)
        return torch.cat([static(part) for part in events.split(250, 1)], 1)
    rule = SpikeTimingPlasticity(astrocyte=Astrocyte(coupling), rate_decay=0.99)
    return torch.cat([given.liquid.adapt(part, rule, weights).spikes for part in events.split(250, 1)], 1)


def branching(given: Task, spikes: Float[Tensor, "time batch neurons"]) -> float:
    """Mean over recordings of the local branching factor; 0 where nothing fired."""
    border = min(25, given.steps // 4)
    found = local_branching_factor(spikes, given.liquid.recurrent, border=border).nanmean()
    return float(found.nan_to_num(0.0))


# --- The branching factor


@paper.claim(
    "Feedback of an astrocyte to plasticity organises the liquid around a branching factor near 1, whether it starts below or "
    "above.",
    expect={
        "weak_before": below(1.0),
        "strong_before": above(1.0),
        "weak_after": within(0.3, of=1.0),
        "strong_after": within(0.3, of=1.0),
        "gain_over_fixed_plasticity": above(0.0),
    },
    reported={
        "weak_before": Reported(0.36, where="authors' sheet LSM, MNIST, weight 0.4"),
        "strong_after": Reported(1.25, where="authors' sheet NALSM1000, MNIST, coupling 0.015"),
        "gain_over_fixed_plasticity": Reported(0.18, where="authors' sheets LSM_STDP and NALSM1000, MNIST"),
    },
    why=(
        "From both sides the astrocyte takes the branching factor to about 1.2 (the authors' sheet has 1.25 on MNIST), "
        "and plasticity alone leaves it at 1.5. From weak weights it first rises to 1.29 and then falls slowly: after "
        "1,000 snippets, where the authors let 50,000 pass, it is still falling, and the interval's upper end lies on the "
        "bound."
    ),
)
def near_critical(trial: Trial) -> Result:
    """The branching factor on 20 recordings, as the authors' code measures it, before and after snippets were heard.

    `weak` and `strong`: all weights start at 0.4, the least of the authors' static liquids, or at 3, where their plastic
    liquids start. Before: the static liquid. After: the liquid with its astrocyte at work. `gain`: how much nearer to 1 it
    is, mean of both starts, than the liquid whose depression is as strong as its potentiation.
    """
    given = task(trial)
    scales = (0.4, 3.0)
    couplings = tuple(share * given.coupling for share in KINDS.values())
    per_check, checks = trial.pick(smoke=(2, 2), laptop=(200, 5), full=(10_000, 5))
    rows = torch.arange(len(given.rates))[-trial.pick(smoke=3, laptop=20, full=20) :]
    events = given.spikes(rows)
    series: dict[str, list[Any]] = {name: [] for name in ("kind", "start", "snippets", "branching")}
    found: dict[tuple[str, float], float] = {}

    def note(kind: str, scale: float, heard_so_far: int, value: float) -> None:
        found[kind, scale] = value
        for name, entry in zip(series, (kind, scale, heard_so_far, value), strict=True):
            series[name].append(entry)

    weights = torch.stack([given.liquid.synaptic_weights(scale) for _ in couplings for scale in scales])
    for scale, start in zip(scales, weights, strict=False):
        note("static", scale, 0, branching(given, heard(given, events, start, None)))
    each = torch.tensor(couplings, device=weights.device).repeat_interleave(len(scales))
    rule = SpikeTimingPlasticity(astrocyte=Astrocyte(each))
    kinds = [(kind, coupling, scale) for kind, coupling in zip(KINDS, couplings, strict=True) for scale in scales]
    for check in range(checks + 1):
        for (kind, coupling, scale), own in zip(kinds, weights, strict=True):
            note(kind, scale, check * per_check, branching(given, heard(given, events, own, coupling)))
        if check < checks:
            weights = given.liquid.settle(given.snippets(per_check), rule, weights)
    away = {kind: sum(abs(found[kind, scale] - 1) for scale in scales) / len(scales) for kind in KINDS}
    weak, strong = scales
    return {
        "weak_before": found["static", weak],
        "strong_before": found["static", strong],
        "weak_after": found["astrocyte", weak],
        "strong_after": found["astrocyte", strong],
        "gain_over_fixed_plasticity": away["fixed plasticity"] - away["astrocyte"],
    }, series


KINDS = {"astrocyte": 1.0, "fixed plasticity": 0.0}
"""Plastic liquids, and the share of the coupling that each has."""
LOOKS = {
    "astrocyte": ("tab:blue", "o", "-"),
    "fixed plasticity": ("tab:orange", "s", "--"),
    "static": ("tab:green", "^", ":"),
}


@near_critical.figure
def draw_branching(axes: "Axes", table: "pd.DataFrame") -> None:
    """The branching factor over the snippets heard."""
    axes.axhline(1, color="gray", linewidth=1)
    for kind in KINDS:
        colour, marker, line = LOOKS[kind]
        for scale, filled in ((0.4, "white"), (3.0, colour)):
            part = table[(table["kind"] == kind) & (table["start"] == scale)]
            style: dict[str, Any] = {"color": colour, "marker": marker, "markerfacecolor": filled, "linestyle": line}
            draw_spread(axes, part, "snippets", "branching", label=f"{kind}, weights from {scale:g}", **style)
    axes.set(xlabel="snippets heard (20 steps each)", ylabel="branching factor", ylim=(0, None))
    axes.legend()


# --- Accuracy

SCALES = (0.4, 0.8, 1.2, 3.0)
"""Sizes of all weights at the start: the range of the authors' static liquids, and the largest weight."""
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)


def ridge_read_out(
    features: Float[Tensor, "count features"], labels: Int[Tensor, " count"], classes: int, strength: float
) -> nn.Linear:
    """The linear layer that ridge regression of the classes on standardised features gives."""
    values = features.double()
    mean, spread = values.mean(0), values.std(0, correction=0)
    scale = torch.where(spread > 0, 1 / spread.clamp(min=1e-12), 0.0)
    scaled = (values - mean) * scale
    targets = functional.one_hot(labels, classes).double()
    offset = targets.mean(0)
    gram = scaled.T @ scaled + strength * torch.eye(scaled.shape[1], dtype=scaled.dtype, device=scaled.device)
    weight = torch.linalg.solve(gram, scaled.T @ (targets - offset)) * scale[:, None]
    layer = nn.Linear(features.shape[1], classes).to(features)
    with torch.no_grad():
        layer.weight.copy_(weight.T)
        layer.bias.copy_(offset - mean @ weight)
    return layer


def share_right(layer: nn.Linear, features: Tensor, labels: Tensor) -> float:
    """Accuracy."""
    with torch.no_grad():
        return float((layer(features).argmax(1) == labels).double().mean())


def chosen_strength(features: Tensor, labels: Tensor, folds: int = 5) -> tuple[float, float]:
    """The ridge that tells most held-out recordings right, and its accuracy on them."""
    fold = torch.arange(len(labels), device=labels.device) % folds
    best = (0.0, -1.0)
    for strength in _STRENGTHS:
        scores = []
        for index in range(folds):
            kept = fold != index
            layer = ridge_read_out(features[kept], labels[kept], 10, strength)
            scores.append(share_right(layer, features[~kept], labels[~kept]))
        if sum(scores) / folds > best[1]:
            best = (strength, sum(scores) / folds)
    return best


class Reading:
    """Three liquids of the same wiring that start from the same scales, each with a read-out of its spike counts.

    Args:
        trial: The trial.
        train: Recordings to learn from.
        test: Recordings to test.
        kinds: Which liquids.
    """

    def __init__(self, trial: Trial, train: int, test: int, kinds: tuple[str, ...]) -> None:
        self.given = given = task(trial)
        self.train = given.spikes(torch.arange(train))
        self.test = given.spikes(torch.arange(len(given.rates))[-test:])
        self.train_labels, self.test_labels = given.labels[:train], given.labels[-test:]
        count = trial.pick(smoke=3, laptop=500, full=50_000)
        self.coupling = {kind: KINDS[kind] * given.coupling for kind in kinds if kind in KINDS}
        settling = settled(given, SCALES, tuple(self.coupling.values()), given.snippets(count))
        self.weights = dict(zip(self.coupling, settling.view(len(self.coupling), len(SCALES), -1), strict=True))
        self.weights["static"] = torch.stack([given.liquid.synaptic_weights(scale) for scale in SCALES])

    def counts(self, kind: str, index: int, events: Tensor) -> Tensor:
        """Spike counts of the liquid of this kind from this scale."""
        return heard(self.given, events, self.weights[kind][index], self.coupling.get(kind)).sum(0)

    def read_out(self, kind: str, index: int) -> tuple[nn.Linear, float]:
        """What is learned from the recordings to learn from, and its accuracy under cross-validation."""
        features = self.counts(kind, index, self.train)
        strength, score = chosen_strength(features, self.train_labels)
        return ridge_read_out(features, self.train_labels, 10, strength), score

    def accuracy(self, kind: str, index: int, layer: nn.Linear) -> float:
        """On the test recordings."""
        return share_right(layer, self.counts(kind, index, self.test), self.test_labels)


def _draw_accuracy(axes: "Axes", table: "pd.DataFrame", column: str, label: str) -> None:
    for shift, kind in zip((-0.06, 0.0, 0.06), LOOKS, strict=True):
        if kind not in set(table["kind"]):
            continue
        colour, marker, line = LOOKS[kind]
        part = table[table["kind"] == kind]
        style = {"color": colour, "marker": marker, "linestyle": line}
        draw_spread(axes, part, "place", column, scale=100, shift=shift, label=kind, **style)
    axes.set_xticks(range(len(SCALES)), [f"{scale:g}" for scale in SCALES])
    axes.set(xlabel="size of all weights at the start", ylabel=label)
    axes.legend()


@paper.claim(
    "The liquid with an astrocyte tells digits better than the same liquid without plasticity, and than with plasticity alone.",
    expect={"gain_over_static": above(0.0), "gain_over_fixed_plasticity": above(0.0)},
    reported={
        "gain_over_static": Reported(0.0065, where="authors' sheets LSM and NALSM1000, MNIST: 95.96 % over 95.30 %"),
        "gain_over_fixed_plasticity": Reported(
            0.065, where="authors' sheets LSM_STDP and NALSM1000, MNIST: 95.96 % over 89.46 %"
        ),
    },
    why=(
        "Far ahead of fixed plasticity, level with the static liquid. The authors' gain over that is 0.65 of a point, "
        "less than 200 test recordings a seed can show, and the static liquid has its best of four starting weights here."
    ),
)
def better_read(trial: Trial) -> Result:
    """Test accuracy of a linear read-out of spike counts, each liquid from the start that cross-validation finds best.

    Gains are differences of test accuracy at equal wiring, recordings, read-out and choice of starts. The series has the
    cross-validated accuracy of every start.
    """
    reading = Reading(trial, *trial.pick(smoke=(20, 10), laptop=(200, 200), full=(8000, 2000)), kinds=tuple(LOOKS))
    series: dict[str, list[Any]] = {name: [] for name in ("kind", "place", "scale", "validated", "chosen")}
    tested = {}
    for kind in LOOKS:
        layers = [reading.read_out(kind, index) for index in range(len(SCALES))]
        best = max(range(len(SCALES)), key=lambda index: layers[index][1])
        tested[kind] = reading.accuracy(kind, best, layers[best][0])
        for index, (_, score) in enumerate(layers):
            for name, value in zip(series, (kind, index, SCALES[index], score, index == best), strict=True):
                series[name].append(value)
    return {
        "gain_over_static": tested["astrocyte"] - tested["static"],
        "gain_over_fixed_plasticity": tested["astrocyte"] - tested["fixed plasticity"],
    }, series


@better_read.figure
def draw_validated(axes: "Axes", table: "pd.DataFrame") -> None:
    """Cross-validated accuracy over the scale of the start."""
    _draw_accuracy(axes, table, "validated", "cross-validated accuracy (%)")


@paper.claim(
    "With an astrocyte the liquid needs no tuning by hand: accuracy depends less on the weights it starts from than without "
    "plasticity.",
    expect={"spread_saved": above(0.0)},
    reported={"spread_saved": Reported("without the need for data-specific hand-tuning", where="abstract")},
    why=(
        "Static liquids of 216 neurons read these digits at 84 to 88 % from all four starting weights, so that there is "
        "little for an astrocyte to even out."
    ),
)
def no_hand_tuning(trial: Trial) -> Result:
    """The standard deviation of test accuracy over four scales of the start: the static liquid's less the astrocyte's."""
    reading = Reading(
        trial, *trial.pick(smoke=(20, 10), laptop=(200, 300), full=(8000, 2000)), kinds=("astrocyte", "static")
    )
    series: dict[str, list[Any]] = {name: [] for name in ("kind", "place", "scale", "accuracy")}
    spread = {}
    for kind in ("astrocyte", "static"):
        found = [reading.accuracy(kind, index, reading.read_out(kind, index)[0]) for index in range(len(SCALES))]
        spread[kind] = statistics.pstdev(found)
        for index, accuracy in enumerate(found):
            for name, value in zip(series, (kind, index, SCALES[index], accuracy), strict=True):
                series[name].append(value)
    return {"spread_saved": spread["static"] - spread["astrocyte"]}, series


@no_hand_tuning.figure
def draw_tested(axes: "Axes", table: "pd.DataFrame") -> None:
    """Test accuracy over the scale of the start."""
    _draw_accuracy(axes, table, "accuracy", "test accuracy (%)")


# --- The entry


class AstrocyteLiquidReader:
    """A liquid that settles on recordings without their labels, and a linear read-out of its spikes in bins of time.

    Args:
        trial: Where the wiring and the order of recordings come from.
        size: Neurons along each axis of the liquid.
        weight: Size of all weights at the start.
        coupling: The astrocyte's, times the number of neurons.
        potentiation: Amplitude of plasticity.
        membrane_time: Steps.
        bins: Of time, whose counts are read.
        ridge: Strength of the read-out's.

    Example:
        >>> method = AstrocyteLiquidReader(Trial(0, "smoke"), size=2)
        >>> method.fit((torch.arange(8 * 5 * 3).view(8, 5, 3) % 2).float(), torch.arange(8) % 2)
        >>> method.predict(torch.ones(4, 5, 3)).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        trial: Trial,
        *,
        size: int,
        weight: float = 3.0,
        coupling: float = 15.0,
        potentiation: float = 0.03,
        membrane_time: float = 64.0,
        bins: int = 4,
        ridge: float = 1000.0,
    ) -> None:
        self.trial, self.size, self.weight, self.membrane_time = trial, size, weight, membrane_time
        self.bins, self.ridge = bins, ridge
        self.astrocyte = Astrocyte(coupling / size**3, rest=potentiation)
        self.potentiation = potentiation

    def fit(self, events: Tensor, labels: Tensor) -> None:
        """Settle the liquid on recordings until about 5,000 steps were heard, then learn the read-out."""
        count, steps, units = events.shape
        # A neuron of the authors' has 118 inputs; a third of them here, for a liquid of a fifth of the size.
        density = min(1.0, 40 / units)
        self.liquid = SpatialLiquid(
            units, (self.size,) * 3, weight=self.weight, input_density=density, membrane_time=self.membrane_time,
            generator=self.trial.generator("liquid"),
        ).to(events.device)  # fmt: skip
        order = torch.from_numpy(self.trial.rng("order").permutation(count)).to(events.device)
        listened = order[: math.ceil(self.trial.pick(smoke=200, laptop=5_000, full=1_000_000) / steps)]
        rule = SpikeTimingPlasticity(self.potentiation, astrocyte=self.astrocyte)
        self.liquid.set_weights(self.liquid.settle(events[listened], rule)[0])
        self.read_out = ridge_read_out(self._features(events), labels, int(labels.max()) + 1, self.ridge)
        # What was learned: the read-out and the synapses that there are.
        self.learned = nn.ParameterDict({"synapses": nn.Parameter(self.liquid.synaptic_weights(), requires_grad=False)})

    def _spikes(self, events: Tensor) -> Tensor:
        rule = SpikeTimingPlasticity(self.potentiation, astrocyte=self.astrocyte, rate_decay=0.99)
        parts = events.transpose(0, 1).split(250, 1)
        return torch.cat([self.liquid.adapt(part, rule).spikes for part in parts], 1)

    def _features(self, events: Tensor) -> Tensor:
        spikes = self._spikes(events)
        step = torch.arange(len(spikes), device=events.device) * self.bins // len(spikes)
        counts = spikes.new_zeros(self.bins, *spikes.shape[1:]).index_add_(0, step, spikes)
        return counts.transpose(0, 1).flatten(1)

    @torch.no_grad()
    def predict(self, events: Tensor) -> Tensor:
        """Scores of the classes."""
        scores: Tensor = self.read_out(self._features(events))
        return scores

    def operations(self, events: Tensor) -> Mapping[str, float]:
        """Additions of an inference: a spike acts through every synapse it leaves by, and changes all those of its neuron."""
        spikes = self._spikes(events)
        fan_out = self.liquid.connected.sum(0).to(events)
        fan_in = self.liquid.connected.sum(1).to(events)
        neurons = self.liquid.neurons
        inputs = ((events != 0).to(events).mean(0).sum(0) * fan_out[neurons:]).sum()
        within = (spikes.mean(1).sum(0) * fan_out[:neurons]).sum()
        back = (spikes.mean(1).sum(0) * fan_in).sum()
        read = self.read_out.weight.numel()
        return {
            "operations": float(2 * inputs + 2 * within + back) + read,
            "spikes": float(spikes.sum(2).sum(0).mean()),
        }


@paper.entry(
    "events",
    name="astrocyte-liquid",
    space={
        "size": Integer(4, 7),
        "weight": Uniform(0.4, 3.0),
        "coupling": LogUniform(1.0, 100.0),
        "potentiation": LogUniform(0.01, 0.5),
        "membrane_time": LogUniform(4.0, 128.0),
        "bins": Integer(1, 8),
        "ridge": LogUniform(1.0, 10_000.0),
    },
)
def astrocyte_liquid(
    trial: Trial,
    size: int = 6,
    weight: float = 3.0,
    coupling: float = 15.0,
    potentiation: float = 0.03,
    membrane_time: float = 64.0,
    bins: int = 4,
    ridge: float = 1000.0,
) -> AstrocyteLiquidReader:
    """A liquid of size³ neurons."""
    return AstrocyteLiquidReader(
        trial, size=size, weight=weight, coupling=coupling, potentiation=potentiation, membrane_time=membrane_time,
        bins=bins, ridge=ridge,
    )  # fmt: skip
