"""Resistive memory-based zero-shot liquid state machine (Lin et al. 2023).

A liquid whose weights are whatever resistive cells became, and nothing but linear layers learned behind it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from replica.data import EventSet, latency_digits, mnist_1d_events, saccade_digits, saccade_mnist
from replica.lab.claims import LogUniform, Paper, Reported, Trial, Uniform, above, below
from replica.lab.claims.drawing import draw_spread
from replica.papers.baselines.events import CountsLinear, Gru
from replica.spiking import (
    AlignedProjections,
    RecurrentLeakyIntegrateAndFire,
    ResistiveCells,
    ResistiveLiquid,
    contrastive_loss,
)
from replica.training import EventClassifier

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = tuple[dict[str, float], dict[str, list[Any]]]

UNITS = 200
READ_NOISE = 1.0
READ_TOGETHER = 100
CODE = "the authors' repository MrLinNing/MemristorLSM"

paper = Paper(
    "resistive_liquid",
    departures=(
        "The paper's full text and figures were not at hand: the liquid is that of its abstract and of the authors' "
        "published scripts, and figures cited are those of their tables. The file with their networks and losses is not "
        "published; the neuron (reset to zero, counts over the time window) is that of the same group's later code.",
        "Data: saccade events of the 1,797 digits of 8 × 8 pixels in place of N-MNIST (at full scale of 3,000 MNIST digits), "
        "and level crossings of MNIST-1D signals in place of N-TIDIGITS; the latter are drawn like digits, not spoken.",
        "Devices: no measurement of the paper's 40 nm macro was at hand. Conductances of 20 to 80 µS whose differences spread "
        "by 6.6 µS are those that the group's later code uses; a read noise of 1 µS for every cell and reading is the "
        "smallest of the noises that this code looks at (1 to 10 µS), taken for the size of the devices' own.",
        "Settings chosen on one development seed: decays of 0.9 (digits) and 0.8 (signals; the authors' are 0.9 and 0.97) among "
        "0.8, 0.9 and 0.97, drives and recurrent gains left at 1, learning rates of the read-outs and of the trained network by "
        "accuracy; steps and rate of the projections by matching of seen classes. All comparisons had a search of that kind, but "
        "for the GRU, which keeps the problem's own rate; trained encoders get as many pairs as the projections.",
        "The claim on handwriting was added after a look at that seed, as a control of the two before it: spike times of digits "
        "stand for the neural signals of writing, and saccade events of digits for the images of letters, of which the "
        "authors hold out 4 of 26.",
        "Gains: the authors search one constant for both arrays by the accuracy of each data set. Here the input's gain is set "
        "so that currents have a given size, and the recurrent one is that of the array's spectral radius.",
        "Matching: the authors keep the epoch that is best on the test recordings, of the seen and the unseen classes; here "
        "the last step counts, and what such choosing would make of it stands beside. Their loss is not published; ours is the "
        "symmetric cross-entropy, with all pairs of one class right.",
        "The trained spiking network is the liquid itself with all weights trained through time; the authors' has 200 units too.",
        "What the paper counts as training cost is not known: here multiply-accumulates of the forward and backward products "
        "of all training, at the sizes and epochs of the authors' scripts, with the liquid run once for each recording.",
    ),
)


class Setting(NamedTuple):
    """How a liquid is set for one kind of recordings."""

    drive: float = 1.0
    recurrent_gain: float = 1.0
    decay: float = 0.9


SETTINGS = {"digits": Setting(), "signals": Setting(decay=0.8), "ink": Setting()}
READ_OUT_RATE = 1e-2
COUNTS_RATE = 2e-2
TRAINED_RATE = 3e-3
GRU_RATE = 1e-2
SOFTWARE = ResistiveCells(low=0.0, high=1000.0)
"""No limits and no noise: weights are normal numbers."""
DEVICES = ResistiveCells(read_noise=READ_NOISE)


def liquid_for(
    events: Float[Tensor, "count time units"],
    setting: Setting,
    generator: torch.Generator,
    *,
    units: int = UNITS,
    cells: ResistiveCells = DEVICES,
    weights: tuple[Tensor, Tensor] | None = None,
) -> ResistiveLiquid:
    """A liquid whose input currents have the root mean square `drive`, in thresholds, on these recordings."""
    size = float(events.square().mean().sqrt()) or 1.0
    return ResistiveLiquid(
        events.shape[2],
        units,
        cells=cells,
        input_gain=setting.drive / size,
        recurrent_gain=setting.recurrent_gain,
        decay=setting.decay,
        weights=weights,
        generator=generator,
    ).to(events.device)


class LiquidReadOut:
    """A fixed liquid of resistive cells, and a linear read-out of its rates trained as the problem's networks are.

    Args:
        trial: Where conductances, noise and the read-out's training come from.
        setting: Of the liquid.
        learning_rate: Of the read-out.
        units: Neurons.
        cells: Kind of cells.
        weights: Makes the weights to be written, from the number of inputs; without it cells are formed.
    """

    def __init__(
        self,
        trial: Trial,
        setting: Setting,
        *,
        learning_rate: float = READ_OUT_RATE,
        units: int = UNITS,
        cells: ResistiveCells = DEVICES,
        weights: Callable[[int], tuple[Tensor, Tensor]] | None = None,
        number: int = 0,
    ) -> None:
        self.trial, self.setting, self.units, self.cells, self.weights = trial, setting, units, cells, weights
        self.number = number
        self.read_out = EventClassifier(
            lambda steps, classes, shape: CountsLinear(shape[0], classes),
            trial.generator("weights", "cpu"),
            learning_rate=learning_rate,
        )

    def fit(
        self,
        events: Float[Tensor, "count time units"],
        labels: Int[Tensor, " count"],
        *,
        epochs: int | None = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Take a liquid as it comes, and learn to read it."""
        self.take_liquid(events)
        self.read_out.fit(self.rates(events, "learned"), labels, epochs=epochs, after_epoch=after_epoch)
        self.head, self.classes = self.read_out.module, int(labels.max()) + 1

    def take_liquid(self, events: Float[Tensor, "count time units"]) -> None:
        """Form or write the cells, with gains for these recordings."""
        self.liquid = liquid_for(
            events,
            self.setting,
            self.trial.generator(f"cells-{self.number}", "cpu"),
            units=self.units,
            cells=self.cells,
            weights=None if self.weights is None else self.weights(events.shape[2]),
        )

    def predict(self, events: Float[Tensor, "count time units"]) -> Float[Tensor, "count classes"]:
        """Scores."""
        return self.read_out.predict(self.rates(events, "asked"))

    @torch.no_grad()
    def rates(self, events: Float[Tensor, "count time units"], name: str) -> Float[Tensor, "count 1 neurons"]:
        """The liquid's rates as recordings of one step, with read noise from the stream of this name."""
        noise = self.trial.generator(f"{name}-{self.number}", events.device)
        found = []
        for batch in events.split(READ_TOGETHER):
            # Filled up with silence, so that the noise of a recording does not depend on how many come with it.
            filled = events.new_zeros(READ_TOGETHER, *events.shape[1:])
            filled[: len(batch)] = batch
            found.append(self.liquid(filled.transpose(0, 1), generator=noise)[: len(batch)])
        return torch.cat(found)[:, None]

    def operations(self, events: Float[Tensor, "count time units"]) -> Mapping[str, float]:
        """Additions in the arrays, for each event and spike one a neuron it reaches, and the read-out's products."""
        spikes = float(self.rates(events, "asked").sum()) * events.shape[1] / len(events)
        arrived = float(events.sum()) / len(events) + spikes
        return {"operations": self.units * (arrived + self.classes), "spikes": spikes}


@paper.entry(
    "events",
    name="resistive-liquid",
    space={
        "learning_rate": LogUniform(1e-3, 1e-1),
        "drive": LogUniform(0.2, 5.0),
        "recurrent_gain": Uniform(0.0, 2.0),
        "decay": Uniform(0.6, 0.99),
    },
)
def resistive_liquid(
    trial: Trial,
    learning_rate: float = READ_OUT_RATE,
    drive: float = 1.0,
    recurrent_gain: float = 1.0,
    decay: float = 0.8,
    units: int = UNITS,
    read_noise: float = READ_NOISE,
) -> LiquidReadOut:
    """Its liquid of cells that are read with this noise (in microsiemens), and a linear read-out."""
    setting, cells = Setting(drive, recurrent_gain, decay), replace(DEVICES, read_noise=read_noise)
    return LiquidReadOut(trial, setting, learning_rate=learning_rate, units=units, cells=cells)


class TrainedRecurrent(nn.Module):
    """The liquid's own network with all of its weights trained through time, in front of the same read-out.

    Args:
        liquid: Where its weights start.
        classes: Classes.
    """

    def __init__(self, liquid: ResistiveLiquid, classes: int) -> None:
        super().__init__()
        units, inputs = liquid.input.outputs, liquid.input.inputs
        self.input = nn.Linear(inputs, units)
        self.neurons = RecurrentLeakyIntegrateAndFire(
            units, decay=float(liquid.neurons.decay), reset="zero", generator=torch.Generator().manual_seed(0)
        )
        self.input.weight.data = liquid.input.weight.clone()
        self.input.bias.data.zero_()
        self.neurons.weight.data = liquid.recurrent.weight.clone()
        self.head = CountsLinear(units, classes)

    def rates(self, events: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch units"]:
        """Spikes a step of each neuron."""
        return self.neurons(self.input(events.transpose(0, 1))).mean(dim=0)

    def forward(self, events: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch classes"]:
        """Scores."""
        return self.head(self.rates(events)[:, None])


class Recordings(NamedTuple):
    """Recordings to learn from and to be asked about."""

    train: Float[Tensor, "count time units"]
    train_labels: Int[Tensor, " count"]
    test: Float[Tensor, "held time units"]
    test_labels: Int[Tensor, " held"]


def recordings(trial: Trial, kind: str, *, train: int = 1000, test: int = 1000) -> Recordings:
    """Digits before a moving eye, signals, or digits whose pixels fire the sooner the more ink; split anew for each trial."""
    digits = saccade_mnist if trial.scale == "full" else saccade_digits
    made: dict[str, Callable[[], EventSet]] = {"digits": digits, "signals": mnist_1d_events, "ink": latency_digits}
    found = made[kind]()
    train, test = trial.pick(smoke=(60, 60), laptop=(train, test), full=(2 * train, 2 * test))
    train = min(train, 2 * len(found) // 3)
    order = trial.rng(f"split-{kind}").permutation(len(found))[: train + test]
    events = torch.tensor(found.events[order], dtype=torch.float32, device=trial.device)
    labels = torch.tensor(found.labels[order], device=trial.device)
    return Recordings(events[:train], labels[:train], events[train:], labels[train:])


def accuracy(method: Any, data: Recordings, trial: Trial) -> float:
    """Of a method after training on the problem's budget."""
    method.fit(data.train, data.train_labels, epochs=trial.pick(smoke=1, laptop=15, full=100))
    return float((method.predict(data.test).argmax(1) == data.test_labels).float().mean())


def size_of(trial: Trial) -> int:
    """Neurons at this scale."""
    return trial.pick(smoke=15, laptop=UNITS, full=UNITS)


def classified(trial: Trial, kind: str) -> dict[str, float]:
    """Accuracies of the liquid on devices, of what it is compared with, on the same recordings and budget."""
    data, setting, units = recordings(trial, kind), SETTINGS[kind], size_of(trial)
    start = liquid_for(data.train, setting, trial.generator("cells-0", "cpu"), units=units, cells=SOFTWARE)
    methods = {
        "resistive liquid": LiquidReadOut(trial, setting, units=units),
        "counts alone": EventClassifier(
            lambda steps, classes, shape: CountsLinear(shape[0], classes),
            trial.generator("weights", "cpu"),
            learning_rate=COUNTS_RATE,
        ),
        "trained spiking net": EventClassifier(
            lambda steps, classes, shape: TrainedRecurrent(start, classes),
            trial.generator("weights", "cpu"),
            learning_rate=TRAINED_RATE,
        ),
        "GRU": EventClassifier(
            lambda steps, classes, shape: Gru(shape[0], classes),
            trial.generator("weights", "cpu"),
            learning_rate=GRU_RATE,
        ),
    }
    return {name: accuracy(method, data, trial) for name, method in methods.items()}


def beside_trained(trial: Trial, kind: str) -> Result:
    """The measures of both classification claims; within five points of accuracy counts as comparable."""
    found = classified(trial, kind)
    ours = found["resistive liquid"]
    measures = {
        "gap_to_trained": found["trained spiking net"] - ours,
        "gain_over_counts": ours - found["counts alone"],
        "gap_to_gru": found["GRU"] - ours,
        "accuracy": ours,
    }
    return measures, {"method": list(found), "accuracy": list(found.values())}


MARKS = {"resistive liquid": ("tab:blue", "o"), "trained spiking net": ("tab:orange", "s"), "GRU": ("tab:green", "^")}
OTHERS = ("tab:gray", "D")


def draw_methods(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy of each method, every seed a point."""
    names = list(dict.fromkeys(table["method"]))[::-1]
    for place, name in enumerate(names):
        values = 100 * table[table["method"] == name].groupby("seed")["accuracy"].mean()
        colour, marker = MARKS.get(name, OTHERS)
        axes.plot(values, [place] * len(values), marker, color=colour, markersize=6, alpha=0.6)
        axes.plot([values.mean()], [place], "|", color="black", markersize=18)
    axes.set(xlabel="accuracy on recordings not seen (%)", ylabel="method", ylim=(-0.5, len(names) - 0.5))
    axes.set_yticks(range(len(names)), names)


@paper.claim(
    "A linear read-out of the fixed liquid tells event digits about as well as a spiking network trained whole, and better "
    "than one of the events' counts.",
    expect={"gap_to_trained": below(0.05), "gain_over_counts": above(0.0)},
    reported={
        "gap_to_trained": Reported(0.0427, where=f"{CODE}, N-MNIST: 93.93 % of SRNN-SNN, 89.66 % on resistive memory"),
        "gap_to_gru": Reported(0.0657, where=f"{CODE}, N-MNIST: 96.23 % of an RNN, 89.66 % on resistive memory"),
        "accuracy": Reported(0.8966, where=f"{CODE}, N-MNIST on resistive memory"),
    },
)
def event_digits(trial: Trial) -> Result:
    """Saccade digits."""
    return beside_trained(trial, "digits")


event_digits.figure(draw_methods)


@paper.claim(
    "A linear read-out of the fixed liquid tells audio-like signals about as well as a spiking network trained whole, and "
    "better than one of the events' counts.",
    expect={"gap_to_trained": below(0.05), "gain_over_counts": above(0.0)},
    reported={
        "gap_to_trained": Reported(
            -0.0636, where=f"{CODE}, N-TIDIGITS: 63.75 % of SRNN-SNN, 70.11 % on resistive memory"
        ),
        "gap_to_gru": Reported(0.0543, where=f"{CODE}, N-TIDIGITS: 75.54 % of an RNN, 70.11 % on resistive memory"),
        "accuracy": Reported(0.7011, where=f"{CODE}, N-TIDIGITS on resistive memory"),
    },
    why=(
        "Which level is crossed when must be kept for tens of steps: a network that is trained whole learns to, and the "
        "counts of 200 neurons with random weights keep too little of it. On digits before a moving camera, where counts "
        "of events say most, the liquid is within 3 points. The authors' audio is 64 channels of a cochlea, ours 24 "
        "crossings of levels."
    ),
)
def event_signals(trial: Trial) -> Result:
    """Level crossings of MNIST-1D."""
    return beside_trained(trial, "signals")


event_signals.figure(draw_methods)


# Matching two modalities.

MODALITIES = ("digits", "signals")
TEMPERATURE = 0.1
PROJECTION_RATE = 3e-3
STEPS = 100
BATCH = 128


class Pairs(NamedTuple):
    """Recordings of both modalities, and their features."""

    data: dict[str, Recordings]
    train: dict[str, Tensor]
    test: dict[str, Tensor]


def pairs(
    trial: Trial,
    features: str = "liquid",
    cells: ResistiveCells = DEVICES,
    drives: tuple[float, float] = (1.0, 1.0),
    kinds: tuple[str, str] = MODALITIES,
) -> Pairs:
    """Features of the recordings of both modalities: rates of a liquid each, or the counts of their own events."""
    data = {kind: Recordings(*(part.cpu() for part in recordings(trial, kind, train=900, test=890))) for kind in kinds}
    train, test = {}, {}
    for number, (kind, rows) in enumerate(data.items()):
        if features == "counts":
            train[kind], test[kind] = rows.train.sum(1), rows.test.sum(1)
            continue
        setting = SETTINGS[kind]._replace(drive=drives[number])
        reader = LiquidReadOut(trial, setting, units=size_of(trial), cells=cells, number=number)
        reader.take_liquid(rows.train)
        train[kind], test[kind] = reader.rates(rows.train, "learned")[:, 0], reader.rates(rows.test, "asked")[:, 0]
    return Pairs(data, train, test)


def partners(
    labels: Mapping[str, Tensor], seen: Tensor, generator: torch.Generator, count: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Rows of both modalities that have the same class, every seen class that both have alike, and these classes."""
    seen = seen[torch.stack([torch.bincount(own, minlength=10)[seen] > 0 for own in labels.values()]).all(0)]
    classes = seen[torch.randint(len(seen), (count,), generator=generator)]
    rows = {}
    for kind, own in labels.items():
        # Sorted by class, the rows of a class lie beside each other.
        order, many = own.argsort(stable=True), torch.bincount(own, minlength=10)
        places = torch.rand(count, generator=generator, dtype=torch.float64) * many[classes]
        rows[kind] = order[(many.cumsum(0) - many)[classes] + places.long()]
    return rows, classes


def standardised(train: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """Values in units of the spread of these rows."""
    mean, spread = train[rows].mean(0), train[rows].std(0)
    return (values - mean) / spread.clamp(min=1e-3)


def matched(found: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor], classes: Tensor) -> float:
    """Share of signals of these classes whose nearest digit, among digits of these classes, has their class."""
    images, sounds = (
        (vectors[mask], own[mask])
        for vectors, own in zip(found, labels, strict=True)
        for mask in (torch.isin(own, classes),)
    )
    nearest = (sounds[0] @ images[0].T).argmax(dim=1)
    return float((images[1][nearest] == sounds[1]).float().mean())


class Matching(NamedTuple):
    """Shares of signals matched."""

    seen: float
    unseen: float


def match(trial: Trial, given: Pairs, unseen: tuple[int, int], *, trained: bool = True) -> Matching:
    """Learn projections on all classes but two, and match recordings that were not learned from."""
    return learning(trial, given, unseen, trial.pick(smoke=2, laptop=STEPS, full=10 * STEPS) if trained else 0)[-1]


def learning(trial: Trial, given: Pairs, unseen: tuple[int, int], steps: int) -> list[Matching]:
    """The same at the start, after each tenth of the steps, and at the end."""
    seen, out = split_of(unseen)
    name = "-".join(map(str, unseen))
    labels = {kind: given.data[kind].train_labels for kind in given.data}
    train: list[Tensor] = []
    test: list[Tensor] = []
    for kind in given.data:
        rows = torch.isin(labels[kind], seen)
        for parts, values in ((train, given.train[kind]), (test, given.test[kind])):
            parts.append(standardised(given.train[kind], rows, values))
    projections = AlignedProjections(
        train[0].shape[1], train[1].shape[1], generator=trial.generator(f"start-{name}", "cpu")
    )
    draw = trial.generator(f"pairs-{name}", "cpu")
    optimiser = torch.optim.Adam(projections.parameters(), lr=PROJECTION_RATE)
    found = []
    for step in range(steps + 1):
        if step == steps or step % max(1, steps // 10) == 0:
            with torch.no_grad():
                found.append(matching(projections(*test), given.data, seen, out))
        if step < steps:
            rows_of, classes = partners(labels, seen, draw, BATCH)
            both = projections(*(values[rows_of[kind]] for kind, values in zip(given.data, train, strict=True)))
            descend(optimiser, contrastive_loss(*both, temperature=TEMPERATURE, labels=classes))
    return found


def split_of(unseen: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Seen and unseen classes as tensors."""
    return torch.tensor([digit for digit in range(10) if digit not in unseen]), torch.tensor(unseen)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


def matching(found: tuple[Tensor, Tensor], data: Mapping[str, Recordings], seen: Tensor, out: Tensor) -> Matching:
    """How well recordings to be asked about match, among the seen and among the unseen classes."""
    digits, signals = (rows.test_labels for rows in data.values())
    return Matching(matched(found, (digits, signals), seen), matched(found, (digits, signals), out))


def zero_shot(trial: Trial, splits: list[tuple[int, int]], kinds: tuple[str, str] = MODALITIES) -> Result:
    """Matching with learned projections of the liquids, of the events' counts, and with projections as drawn."""
    given, counted = pairs(trial, kinds=kinds), pairs(trial, "counts", kinds=kinds)
    ways = {
        "resistive liquid": [match(trial, given, unseen) for unseen in splits],
        "counts alone": [match(trial, counted, unseen) for unseen in splits],
        "liquid, untrained projections": [match(trial, given, unseen, trained=False) for unseen in splits],
    }
    means = {
        name: Matching(*(mean(list(values)) for values in zip(*found, strict=True))) for name, found in ways.items()
    }
    ours, counts, untrained = means.values()
    measures = {
        "unseen_accuracy": ours.unseen,
        "gain_over_untrained": ours.unseen - untrained.unseen,
        "unseen_accuracy_of_counts": counts.unseen,
        "seen_accuracy": ours.seen,
        "seen_accuracy_of_counts": counts.seen,
    }
    return measures, matching_columns(ways, splits)


def mean(values: list[float]) -> float:
    """Of one number or more."""
    return sum(values) / len(values)


def matching_columns(ways: Mapping[str, list[Matching]], splits: list[tuple[int, int]]) -> dict[str, list[Any]]:
    """Each way's shares for each split as columns."""
    rows = [
        (name, "-".join(map(str, unseen)), *one)
        for name, found in ways.items()
        for unseen, one in zip(splits, found, strict=True)
    ]
    names = ("method", "unseen classes", "seen", "unseen")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def draw_matching(axes: "Axes", table: "pd.DataFrame") -> None:
    """Matching among unseen classes over matching among seen ones: a point for each seed and split."""
    styles = (("tab:blue", "o"), ("tab:orange", "s"), ("tab:green", "^"))
    for (colour, marker), (name, rows) in zip(styles, table.groupby("method", sort=False), strict=False):
        axes.plot(
            100 * rows["seen"],
            100 * rows["unseen"],
            marker,
            color=colour,
            markersize=5,
            alpha=0.6,
            linestyle="none",
            label=name,
        )
    axes.axhline(50, color="black", linestyle="--", linewidth=1, label="chance, of two unseen classes")
    axes.axvline(12.5, color="black", linestyle=":", linewidth=1, label="chance, of eight seen classes")
    axes.set(
        xlabel="recordings matched, seen classes (%)",
        ylabel="recordings matched, unseen classes (%)",
        xlim=(0, 100),
        ylim=(0, 100),
    )
    axes.legend(fontsize=9)


@paper.claim(
    "Projections that were learned by contrast on other digits match the signals and images of 8 and 9.",
    expect={"unseen_accuracy": above(0.5), "gain_over_untrained": above(0.0)},
    reported={
        "unseen_accuracy": Reported(0.875, where=f"{CODE}, audio searches image, 8 and 9, on resistive memory"),
        "seen_accuracy": Reported(0.6742, where=f"{CODE}, audio searches image, 1 to 7, on resistive memory"),
    },
    why=(
        "The authors' script keeps the epoch with the best test accuracy; ours, chosen so, would report 0.63 in place of "
        "0.51. That matching works where two modalities share structure is shown by handwriting; MNIST-1D's signals are "
        "drawn templates, and share none with images of the same digit that other digits could teach."
    ),
)
def eight_and_nine(trial: Trial) -> Result:
    """The paper's split (with 0 among the seen); chance is one half.

    Beside the result at the last step stands what choosing makes of it: the best of nine pairs of gains and all steps
    looked at, by the very recordings that are asked about, which is how the authors' scripts choose.
    """
    measures, columns = zero_shot(trial, [(8, 9)])
    drives = trial.pick(smoke=(1.0,), laptop=(0.5, 1.0, 2.0), full=(0.5, 1.0, 2.0))
    alone = [pairs(trial, drives=(drive, drive)) for drive in drives]
    steps = trial.pick(smoke=2, laptop=STEPS, full=10 * STEPS)
    tried = [
        one
        for images, sounds in product(alone, repeat=2)
        for one in learning(
            trial, Pairs(images.data, mixed(images.train, sounds.train), mixed(images.test, sounds.test)), (8, 9), steps
        )
    ]
    return measures | {"unseen_accuracy_if_chosen_on_test": max(one.unseen for one in tried)}, columns


def mixed(images: Mapping[str, Tensor], sounds: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Digits of the one and signals of the other."""
    return {"digits": images["digits"], "signals": sounds["signals"]}


eight_and_nine.figure(draw_matching)


@paper.claim(
    "Projections that were learned by contrast on some digits match the signals and images of two others, whichever.",
    expect={"unseen_accuracy": above(0.5), "gain_over_untrained": above(0.0)},
    reported={"unseen_accuracy": Reported("zero-shot learning of multimodal events", where="abstract")},
    why=(
        "As for 8 and 9: a signal of MNIST-1D shares nothing with the image of its digit that the eight other pairs could "
        "teach. Where both modalities are handwriting, the same projections reach 0.74."
    ),
)
def any_two(trial: Trial) -> Result:
    """Splits drawn at random: of two classes, one split is right or swapped by luck; chance is one half on average."""
    return zero_shot(trial, drawn_splits(trial))


any_two.figure(draw_matching)


def drawn_splits(trial: Trial) -> list[tuple[int, int]]:
    """Pairs of classes to hold out."""
    every = list(combinations(range(10), 2))
    count = trial.pick(smoke=1, laptop=12, full=len(every))
    return [every[place] for place in trial.rng("splits").permutation(len(every))[:count]]


@paper.claim(
    "Where both modalities come from handwriting, projections that were learned by contrast on some characters match two "
    "others, whichever.",
    expect={"unseen_accuracy": above(0.5), "gain_over_untrained": above(0.0)},
    reported={
        "unseen_accuracy": Reported("neural and visual data alignment for brain-machine interfaces", where="abstract")
    },
)
def handwriting(trial: Trial) -> Result:
    """Digits before a moving eye, and digits as spike times, in place of images of letters and the signals of writing."""
    return zero_shot(trial, drawn_splits(trial), ("digits", "ink"))


handwriting.figure(draw_matching)


class TrainedEncoders(nn.Module):
    """Both liquids with all of their weights trained, and projections of their rates.

    Args:
        liquids: Where the weights start.
        generator: Source of the projections.
    """

    def __init__(self, liquids: list[ResistiveLiquid], generator: torch.Generator) -> None:
        super().__init__()
        self.images, self.sounds = (TrainedRecurrent(liquid, 2) for liquid in liquids)
        sizes = [liquid.input.outputs for liquid in liquids]
        self.image_scale, self.sound_scale = (nn.BatchNorm1d(size, affine=False) for size in sizes)
        self.projections = AlignedProjections(sizes[0], sizes[1], generator=generator)

    def forward(self, images: Tensor, sounds: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors of events ``(batch, time, units)`` of both modalities."""
        found: tuple[Tensor, Tensor] = self.projections(
            self.image_scale(self.images.rates(images)), self.sound_scale(self.sounds.rates(sounds))
        )
        return found


ENCODER_RATE = 1e-3
ENCODER_STEPS = 200
ENCODER_BATCH = 64


def match_trained(trial: Trial, data: Mapping[str, Recordings], unseen: tuple[int, int]) -> Matching:
    """The same with spiking encoders that learn along with the projections."""
    seen, out = split_of(unseen)
    name = "-".join(map(str, unseen))
    liquids = [
        liquid_for(
            data[kind].train,
            SETTINGS[kind],
            trial.generator(f"cells-{number}", "cpu"),
            units=size_of(trial),
            cells=SOFTWARE,
        )
        for number, kind in enumerate(MODALITIES)
    ]
    encoders = TrainedEncoders(liquids, trial.generator(f"start-{name}", "cpu"))
    labels = {kind: data[kind].train_labels for kind in MODALITIES}
    draw = trial.generator(f"pairs-{name}", "cpu")
    optimiser = torch.optim.Adam(encoders.parameters(), lr=ENCODER_RATE)
    for _ in range(trial.pick(smoke=1, laptop=ENCODER_STEPS, full=10 * ENCODER_STEPS)):
        rows, classes = partners(labels, seen, draw, trial.pick(smoke=16, laptop=ENCODER_BATCH, full=BATCH))
        both = encoders(*(data[kind].train[rows[kind]] for kind in MODALITIES))
        descend(optimiser, contrastive_loss(*both, temperature=TEMPERATURE, labels=classes))
    encoders.eval()
    with torch.no_grad():
        found = encoders(*(data[kind].test for kind in MODALITIES))
    return matching(found, data, seen, out)


@paper.claim(
    "The fixed liquids match recordings about as well as spiking encoders that are trained whole, of seen classes and of "
    "unseen ones.",
    expect={"gap_in_seen": below(0.05), "gap_in_unseen": below(0.05)},
    reported={
        "gap_in_seen": Reported(0.1486, where=f"{CODE}, audio searches image, 1 to 7: 82.28 % and 67.42 %"),
        "gap_in_unseen": Reported(-0.135, where=f"{CODE}, audio searches image, 8 and 9: 74.0 % and 87.5 %"),
    },
    why=(
        "On seen classes trained encoders are 14 points ahead, as in the authors' own table (15). On unseen ones both are "
        "near chance, with wide intervals."
    ),
)
def beside_trained_encoders(trial: Trial) -> Result:
    """The paper's split and another one; within five points counts as comparable."""
    every = [pair for pair in combinations(range(10), 2) if pair != (8, 9)]
    splits = [(8, 9), every[int(trial.rng("splits").integers(len(every)))]][: trial.pick(smoke=1, laptop=2, full=2)]
    given = pairs(trial)
    ways = {
        "resistive liquid": [match(trial, given, unseen) for unseen in splits],
        "trained spiking encoders": [match_trained(trial, given.data, unseen) for unseen in splits],
    }
    ours, theirs = ([mean(list(values)) for values in zip(*found, strict=True)] for found in ways.values())
    measures = {
        "gap_in_seen": theirs[0] - ours[0],
        "gap_in_unseen": theirs[1] - ours[1],
        "seen_accuracy_of_trained": theirs[0],
        "unseen_accuracy_of_trained": theirs[1],
    }
    return measures, matching_columns(ways, splits)


beside_trained_encoders.figure(draw_matching)


# What devices do wrong.

NOISES = (0.0, 0.3, 1.0, 3.0, 10.0)
LIQUIDS = 2


@paper.claim(
    "Classification and matching are as accurate with the read noise of the devices as without.",
    expect={"drop_in_digits": below(0.02), "drop_in_signals": below(0.02), "drop_in_matching": below(0.02)},
    reported={
        "drop_in_digits": Reported(-0.0055, where=f"{CODE}, N-MNIST: 89.11 % in software, 89.66 % on resistive memory"),
        "drop_in_signals": Reported(
            0.0068, where=f"{CODE}, N-TIDIGITS: 70.79 % in software, 70.11 % on resistive memory"
        ),
        "drop_in_matching": Reported(-0.0132, where=f"{CODE}, audio searches image, 1 to 7: 66.1 % and 67.42 %"),
    },
    why=(
        "Digits lose nothing. Signals and matching lose 7 points at a read noise of 1 µS, a fifth of the spread of "
        "weights, which is our assumption: the macro's own noise was not at hand. At 0.3 µS signals lose 1 point "
        "(figure)."
    ),
)
def read_noise(trial: Trial) -> Result:
    """The same conductances read with noise and without; within two points of accuracy counts as the same."""
    rows = []
    for kind in MODALITIES:
        data = recordings(trial, kind)
        for number in range(trial.pick(smoke=1, laptop=LIQUIDS, full=5)):
            quiet = None
            for noise in trial.pick(smoke=(0.0, READ_NOISE), laptop=NOISES, full=NOISES):
                cells = replace(DEVICES, read_noise=noise)
                method = LiquidReadOut(trial, SETTINGS[kind], units=size_of(trial), cells=cells, number=number)
                found = accuracy(method, data, trial)
                quiet = quiet or method
                told = quiet.read_out.predict(method.rates(data.test, "asked")).argmax(1)
                rows.append((kind, noise, found, float((told == data.test_labels).float().mean())))
    noiseless, noisy = (
        match(trial, pairs(trial, cells=replace(DEVICES, read_noise=noise)), (8, 9)).seen for noise in (0.0, READ_NOISE)
    )

    def drop(kind: str) -> float:
        at = [mean([row[2] for row in rows if row[:2] == (kind, noise)]) for noise in (0.0, READ_NOISE)]
        return at[0] - at[1]

    measures = {
        "drop_in_digits": drop("digits"),
        "drop_in_signals": drop("signals"),
        "drop_in_matching": noiseless - noisy,
    }
    names = ("recordings", "noise", "learned with it", "learned without")
    return measures, {name: [row[place] for row in rows] for place, name in enumerate(names)}


@read_noise.figure
def draw_noise(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy over read noise, with read-outs learned under it and without it."""
    for kind, colour, marker in (("digits", "tab:blue", "o"), ("signals", "tab:orange", "s")):
        rows = table[table["recordings"] == kind]
        for column, line, fill in (("learned with it", "-", colour), ("learned without", "--", "none")):
            draw_spread(
                axes, rows, "noise", column, scale=100, color=colour, marker=marker, markerfacecolor=fill, linestyle=line,
                label=f"{kind}, read-out {column}",
            )  # fmt: skip
    axes.axvline(READ_NOISE, color="black", linestyle=":", linewidth=1)
    axes.set(xlabel="read noise of a cell (µS)", ylabel="accuracy (%)", ylim=(0, 100))
    axes.set_xscale("symlog", linthresh=0.3, linscale=0.5)
    axes.set_xticks(NOISES, [f"{noise:g}" for noise in NOISES])
    axes.minorticks_off()
    axes.legend(fontsize=9)


LEVELS = (2, 3, 4, 8, 16)
CUT = 2.0
STUCK = 0.1


@paper.claim(
    "A liquid needs no precise weights: cells that hold two conductances, or of which a tenth is stuck, serve as well as "
    "normal random numbers.",
    expect={"drop_at_two_levels": below(0.02), "drop_with_stuck_cells": below(0.02)},
    reported={
        "drop_at_two_levels": Reported(
            "random weights from the stochasticity of resistive switching",
            where="abstract; how many levels is not said",
        )
    },
    why=(
        "A tenth of stuck cells costs nothing. Two levels cost 3 points on signals and nothing on digits, a mean of 1.7 "
        "that is within the bound of 2, but not surely; three levels and more cost nothing (figure)."
    ),
)
def limited_conductances(trial: Trial) -> Result:
    """The same normal weights, unlimited or cut at two deviations and written; means over digits and signals."""
    rows = []
    for kind in MODALITIES:
        data = recordings(trial, kind)
        for number in range(trial.pick(smoke=1, laptop=LIQUIDS, full=5)):
            kinds: dict[tuple[int, float], ResistiveCells] = {(0, 0.0): SOFTWARE}
            for levels in trial.pick(smoke=(2,), laptop=LEVELS, full=LEVELS):
                kinds[levels, 0.0] = ResistiveCells(levels=levels)
            kinds[LEVELS[-1], STUCK] = ResistiveCells(levels=LEVELS[-1], stuck=STUCK)
            for (levels, stuck), cells in kinds.items():
                weights = partial(normal_weights, trial, number, cut=CUT if levels else math.inf)
                method = LiquidReadOut(
                    trial, SETTINGS[kind], units=size_of(trial), cells=cells, weights=weights, number=number
                )
                rows.append((kind, levels, stuck, accuracy(method, data, trial)))

    def mean_at(levels: int, stuck: float) -> float:
        return mean([row[3] for row in rows if row[1:3] == (levels, stuck)])

    measures = {
        "drop_at_two_levels": mean_at(0, 0.0) - mean_at(2, 0.0),
        "drop_with_stuck_cells": mean_at(0, 0.0) - mean_at(LEVELS[-1], STUCK),
    }
    names = ("recordings", "levels", "stuck", "accuracy")
    return measures, {name: [row[place] for row in rows] for place, name in enumerate(names)}


def normal_weights(trial: Trial, number: int, inputs: int, *, cut: float) -> tuple[Tensor, Tensor]:
    """Normal random weights of both arrays, cut at so many deviations."""
    generator = trial.generator(f"weights-{number}", "cpu")
    units = size_of(trial)
    into, back = (torch.randn(units, fan_in, generator=generator).clamp(-cut, cut) for fan_in in (inputs, units))
    return into, back


@limited_conductances.figure
def draw_levels(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy over the number of conductances, with unlimited weights as a line."""
    for kind, colour, marker in (("digits", "tab:blue", "o"), ("signals", "tab:orange", "s")):
        rows = table[table["recordings"] == kind]
        written = rows[(rows["levels"] > 0) & (rows["stuck"] == 0)]
        draw_spread(
            axes, written, "levels", "accuracy", scale=100, color=colour, marker=marker, linestyle="-", label=kind
        )
        stuck = rows[rows["stuck"] > 0]
        draw_spread(
            axes, stuck, "levels", "accuracy", scale=100, color=colour, marker="x", markersize=8,
            label=f"{kind}, {STUCK:.0%} of the cells stuck",
        )  # fmt: skip
        ideal = 100 * rows[rows["levels"] == 0]["accuracy"].mean()
        axes.axhline(ideal, color=colour, linestyle="--", linewidth=1, label=f"{kind}, normal weights")
    axes.set(xscale="log", xlabel="conductances that a cell can be written to", ylabel="accuracy (%)", ylim=(0, 100))
    axes.set_xticks(LEVELS, [str(levels) for levels in LEVELS])
    axes.minorticks_off()
    axes.legend(fontsize=9)


# What training costs.

EPOCHS = 100
SIZES = {"digits": (50, 256), "signals": (129, 64)}
"""Steps and units of the authors' scripts: N-MNIST cut to 16 × 16 pixels, and N-TIDIGITS."""


def products(call: Callable[[], Any]) -> float:
    """Multiply-accumulates of matrix products in a call, backward included."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2


@paper.claim(
    "Learning the projections alone costs about two orders of magnitude less than learning spiking encoders too.",
    expect={"reduction": above(100.0)},
    reported={"reduction": Reported(152.83, where="abstract, of SRNN-based contrastive learning")},
)
def training_cost(trial: Trial) -> Result:
    """At the authors' sizes (200 neurons, 64 projected dimensions, 100 epochs), a pair of recordings; see the departures."""
    units, dim, count = trial.pick(smoke=20, laptop=UNITS, full=UNITS), 64, 8
    generator = trial.generator("cells", "cpu")
    projections = AlignedProjections(units, units, dim, generator=generator)
    liquid_forward, encoders_step, encoder_weights = 0.0, 0.0, 0
    rates = []
    for steps, inputs in SIZES.values():
        events = (torch.rand(steps, count, inputs, generator=generator) < 0.1).float()
        # With noise, the liquid goes step by step, and every product is seen.
        liquid = ResistiveLiquid(inputs, units, cells=DEVICES, generator=generator)
        liquid_forward += products(partial(liquid, events, generator=generator))
        rates.append(liquid(events, generator=generator).detach())
        network = TrainedRecurrent(liquid, 2)
        encoders_step += products(partial(written_out, network, events))
        encoder_weights += network.input.weight.numel() + network.neurons.weight.numel()

    def project() -> None:
        torch.autograd.backward(contrastive_loss(*projections(*rates)))

    projections_step = products(project)
    # Gradients of the rates, which learned encoders need besides: as many products as the projections' own.
    through = sum(units * dim * count for _ in SIZES)
    epochs = [1, 3, 10, 30, EPOCHS]
    fixed = [(liquid_forward + epoch * projections_step) / count for epoch in epochs]
    learned = [epoch * (encoders_step + projections_step + through) / count for epoch in epochs]
    own = sum(parameter.numel() for parameter in projections.parameters())
    measures = {
        "reduction": learned[-1] / fixed[-1],
        "reduction_of_parameters": (own + encoder_weights) / own,
        "millions_a_pair": fixed[-1] / 1e6,
    }
    return measures, {"epochs": epochs, "fixed liquids": fixed, "trained encoders": learned}


def written_out(network: TrainedRecurrent, events: Float[Tensor, "time batch inputs"]) -> None:
    """Forward and backward through time step by step, so that every product is seen."""
    state, total = None, None
    for current in network.input(events):
        spikes, state = network.neurons.step(current, state)
        total = spikes if total is None else total + spikes
    assert total is not None
    torch.autograd.backward(total.sum())


@training_cost.figure
def draw_cost(axes: "Axes", table: "pd.DataFrame") -> None:
    """Multiply-accumulates a pair of recordings over epochs."""
    for name, colour, marker, line in (
        ("trained encoders", "tab:orange", "s", "--"), ("fixed liquids", "tab:blue", "o", "-"),
    ):  # fmt: skip
        draw_spread(axes, table, "epochs", name, color=colour, marker=marker, linestyle=line, label=name)
    last = table[table["epochs"] == table["epochs"].max()]
    theirs = float(last["trained encoders"].mean())
    axes.plot(
        [last["epochs"].iloc[0]],
        [theirs / 152.83],
        "v",
        color="black",
        markerfacecolor="none",
        markersize=8,
        label="the paper's reduction",
    )
    axes.set(xscale="log", yscale="log", xlabel="epochs", ylabel="multiply-accumulates a pair of recordings")
    axes.legend(fontsize=9)
