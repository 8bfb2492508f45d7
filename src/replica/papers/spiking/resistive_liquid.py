"""Resistive memory-based zero-shot liquid state machine (Lin et al. 2023).

A liquid whose weights are whatever resistive cells became, and nothing but linear layers learned behind it.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.data import latency_digits, saccade_digits, saccade_mnist
from replica.lab.claims import LogUniform, Paper, Trial, Uniform
from replica.lab.studies import Arena, against, dots
from replica.papers.baselines.events import CountsLinear
from replica.spiking import (
    AlignedProjections,
    RecurrentLeakyIntegrateAndFire,
    ResistiveCells,
    ResistiveLiquid,
    contrastive_loss,
    match_accuracy,
    same_class_rows,
)
from replica.training import EventClassifier

paper = Paper("resistive_liquid")

UNITS = 200
DEVICES = ResistiveCells(read_noise=1.0)
SOFTWARE = ResistiveCells(low=0.0, high=1000.0)
"""No limits and no noise: weights are normal numbers."""
READ_TOGETHER = 100


def liquid_for(
    events: Float[Tensor, "count time units"],
    generator: torch.Generator,
    *,
    units: int = UNITS,
    cells: ResistiveCells = DEVICES,
    drive: float = 1.0,
    **liquid: float,
) -> ResistiveLiquid:
    """A liquid whose input currents have the root mean square `drive`, in thresholds, on these recordings."""
    size = float(events.square().mean().sqrt()) or 1.0
    made = ResistiveLiquid(
        events.shape[2], units, cells=cells, input_gain=drive / size, generator=generator,
        **liquid,  # type: ignore[arg-type]
    )  # fmt: skip
    return made.to(events.device)


@torch.no_grad()
def rates(
    liquid: ResistiveLiquid, events: Float[Tensor, "count time units"], noise: torch.Generator
) -> Float[Tensor, "count neurons"]:
    """Spikes a step of each neuron, under read noise."""
    found = []
    for batch in events.split(READ_TOGETHER):
        # Filled up with silence, so that the noise of a recording does not depend on how many come with it.
        filled = events.new_zeros(READ_TOGETHER, *events.shape[1:])
        filled[: len(batch)] = batch
        found.append(liquid(filled.transpose(0, 1), generator=noise)[: len(batch)])
    return torch.cat(found)


class LiquidReadOut:
    """A fixed liquid of resistive cells, and a linear read-out of its rates trained as the problem's networks are.

    Args:
        trial: Where conductances, noise and the read-out's training come from.
        learning_rate: Of the read-out.
        **liquid: See `liquid_for`.
    """

    def __init__(self, trial: Trial, learning_rate: float, **liquid: Any) -> None:
        self.trial, self.settings = trial, liquid
        self.read_out = EventClassifier(
            lambda steps, classes, shape: CountsLinear(shape[0], classes),
            trial.generator("weights", "cpu"),
            learning_rate=learning_rate,
        )

    def fit(
        self, events: Float[Tensor, "count time units"], labels: Int[Tensor, " count"], *, epochs: int | None = None
    ) -> None:
        """Take a liquid as it comes, and learn to read it."""
        self.liquid = liquid_for(events, self.trial.generator("cells-0", "cpu"), **self.settings)
        self.read_out.fit(self._rates(events, "learned-0"), labels, epochs=epochs)
        self.head, self.classes = self.read_out.module, int(labels.max()) + 1

    def predict(self, events: Float[Tensor, "count time units"]) -> Float[Tensor, "count classes"]:
        """Scores."""
        return self.read_out.predict(self._rates(events, "asked-0"))

    def operations(self, events: Float[Tensor, "count time units"]) -> Mapping[str, float]:
        """Additions in the arrays, for each event and spike one a neuron it reaches, and the read-out's products."""
        spikes = float(self._rates(events, "asked-0").sum()) * events.shape[1] / len(events)
        arrived = float(events.sum()) / len(events) + spikes
        return {"operations": self.liquid.input.outputs * (arrived + self.classes), "spikes": spikes}

    def _rates(self, events: Tensor, stream: str) -> Float[Tensor, "count 1 neurons"]:
        return rates(self.liquid, events, self.trial.generator(stream, events.device))[:, None]


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
    learning_rate: float = 1e-2,
    drive: float = 1.0,
    recurrent_gain: float = 1.0,
    decay: float = 0.8,
    units: int = UNITS,
    read_noise: float = DEVICES.read_noise,
) -> LiquidReadOut:
    """Its liquid of cells that are read with this noise (in microsiemens), and a linear read-out."""
    cells = replace(DEVICES, read_noise=read_noise)
    return LiquidReadOut(
        trial, learning_rate, units=units, cells=cells, drive=drive, recurrent_gain=recurrent_gain, decay=decay
    )


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


class TrainedWhole(EventClassifier):
    """Trains a liquid's network whole, from its weights without the devices' noise."""

    def __init__(self, trial: Trial, learning_rate: float, decay: float) -> None:
        super().__init__(
            lambda steps, classes, shape: TrainedRecurrent(self.start, classes),
            trial.generator("weights", "cpu"),
            learning_rate=learning_rate,
        )
        self.trial, self.decay = trial, decay

    def fit(self, events: Tensor, labels: Tensor, **how: Any) -> Self:
        """See `EventClassifier.fit`."""
        self.start = liquid_for(events, self.trial.generator("cells-0", "cpu"), cells=SOFTWARE, decay=self.decay)
        return super().fit(events, labels, **how)


def trained_whole(trial: Trial, learning_rate: float = 3e-3, decay: float = 0.9) -> TrainedWhole:
    """The liquid's network, all weights trained."""
    return TrainedWhole(trial, learning_rate, decay)


def beside_trained(data: str, decay: float, test: float) -> Any:
    """The liquid on devices beside its network trained whole, counts of the events, and a GRU."""
    arena = Arena("events", data=data, train=1000, test=test, epochs=15)
    return arena.compare({
        "resistive liquid": (resistive_liquid, {"decay": decay}),
        "trained whole": (trained_whole, {"decay": decay}),
        "counts alone": "counts-linear",
        "GRU": "gru",
    })  # fmt: skip


def gaps(table):
    """How far the liquid is from the others."""
    accuracy = table.set_index("method")["accuracy"]
    ours = accuracy["resistive liquid"]
    return {
        "gap_to_trained": accuracy["trained whole"] - ours,
        "gain_over_counts": ours - accuracy["counts alone"],
        "gap_to_gru": accuracy["GRU"] - ours,
        "accuracy": ours,
        "accuracy_of_trained": accuracy["trained whole"],
    }


DIGITS = beside_trained("saccade-digits", decay=0.9, test=0.44)
SIGNALS = beside_trained("mnist-1d", decay=0.8, test=0.2)


@paper.claim(DIGITS, figure=dots("method", "accuracy", percent=True))
def event_digits(table):
    return gaps(table)


@paper.claim(SIGNALS, figure=dots("method", "accuracy", percent=True))
def event_signals(table):
    return gaps(table)


class Recordings(NamedTuple):
    """Recordings of one modality, split anew for each trial."""

    train: Float[Tensor, "count time units"]
    train_labels: Int[Tensor, " count"]
    test: Float[Tensor, "held time units"]
    test_labels: Int[Tensor, " held"]


def handwriting_pair(trial: Trial) -> list[Recordings]:
    """Digits before a moving eye, and digits whose pixels fire the sooner the more ink: images and the signals of writing."""
    made = {"digits": saccade_mnist if trial.scale == "full" else saccade_digits, "ink": latency_digits}
    both = []
    for kind, make in made.items():
        found, (train, test) = make(), trial.pick(smoke=(60, 60), laptop=(900, 890), full=(1800, 1780))  # type: ignore[operator]
        train = min(train, 2 * len(found) // 3)
        order = trial.rng(f"split-{kind}").permutation(len(found))[: train + test]
        events, labels = torch.tensor(found.events[order], dtype=torch.float32), torch.tensor(found.labels[order])
        both.append(Recordings(events[:train], labels[:train], events[train:], labels[train:]))
    return both


def liquids_for(trial: Trial, both: list[Recordings], cells: ResistiveCells) -> list[ResistiveLiquid]:
    """One for each modality."""
    units = trial.pick(smoke=15, laptop=UNITS, full=UNITS)
    return [
        liquid_for(rows.train, trial.generator(f"cells-{number}", "cpu"), units=units, cells=cells, decay=0.9)
        for number, rows in enumerate(both)
    ]


def liquid_rates(trial: Trial, both: list[Recordings]) -> list[Recordings]:
    """Rates of a resistive liquid each, in place of the recordings."""
    liquids = liquids_for(trial, both, DEVICES)
    return [
        rows._replace(
            train=rates(liquid, rows.train, trial.generator(f"learned-{number}", "cpu")),
            test=rates(liquid, rows.test, trial.generator(f"asked-{number}", "cpu")),
        )
        for number, (rows, liquid) in enumerate(zip(both, liquids, strict=True))
    ]


def match(
    trial: Trial, both: list[Recordings], unseen: tuple[int, int], model: nn.Module | None = None, *,
    steps: int = 100, rate: float = 3e-3,
) -> dict[str, Any]:  # fmt: skip
    """Learn by contrast on all classes but two, and match recordings not learned from, among the seen and the unseen.

    Args:
        trial: The trial.
        both: Recordings, or their features (two axes), which are standardised.
        unseen: Classes that are held out.
        model: Takes recordings of both kinds to unit vectors; projections of features by default.
        steps: Of Adam, a tenth of those at full scale.
        rate: Of learning.
    """
    seen, out = torch.tensor([c for c in range(10) if c not in unseen]), torch.tensor(unseen)
    name = "{}-{}".format(*unseen)
    labels = [rows.train_labels for rows in both]
    if model is None:
        both = [standardised(rows, seen) for rows in both]
        model = AlignedProjections(
            both[0].train.shape[1], both[1].train.shape[1], generator=trial.generator(f"start-{name}", "cpu")
        )
    draw = trial.generator(f"pairs-{name}", "cpu")
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(trial.pick(smoke=min(steps, 2), laptop=steps, full=10 * steps)):
        chosen, classes = same_class_rows(labels, seen, trial.pick(smoke=16, laptop=128, full=128), generator=draw)
        pair = model(*(rows.train[places] for rows, places in zip(both, chosen, strict=True)))
        optimiser.zero_grad()
        contrastive_loss(*pair, labels=classes).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        found = model(*(rows.test for rows in both))
    tested = [rows.test_labels for rows in both]
    return {
        "split": name,
        "seen": match_accuracy(*found, *tested, seen),  # type: ignore[call-arg]
        "unseen": match_accuracy(*found, *tested, out),  # type: ignore[call-arg]
    }


def standardised(rows: Recordings, seen: Tensor) -> Recordings:
    """Features in units of the spread of those of the seen classes."""
    own = rows.train[torch.isin(rows.train_labels, seen)]
    mean, spread = own.mean(0), own.std(0).clamp(min=1e-3)
    return rows._replace(train=(rows.train - mean) / spread, test=(rows.test - mean) / spread)


def drawn_splits(trial: Trial, count: int) -> list[tuple[int, int]]:
    """Pairs of classes to hold out; of two classes, one split is right or swapped by luck."""
    every = list(combinations(range(10), 2))
    count = trial.pick(smoke=1, laptop=count, full=len(every))
    return [every[place] for place in trial.rng("splits").permutation(len(every))[:count]]


def zero_shot(trial: Trial) -> list[dict[str, Any]]:
    """Matching by the liquids' rates, by counts of the events, and by the liquids with projections as drawn."""
    both = handwriting_pair(trial)
    counts = [rows._replace(train=rows.train.sum(1), test=rows.test.sum(1)) for rows in both]
    features = liquid_rates(trial, both)
    ways = {
        "resistive liquid": (features, {}),
        "counts alone": (counts, {}),
        "liquid, untrained projections": (features, {"steps": 0}),
    }
    splits = drawn_splits(trial, 12)
    return [
        {"method": name, **match(trial, given, unseen, **how)}  # type: ignore[arg-type]
        for name, (given, how) in ways.items()
        for unseen in splits
    ]


@paper.claim(zero_shot, figure=against("seen", "unseen", "method"))
def handwriting(table):
    mean = table.groupby("method")[["seen", "unseen"]].mean()
    ours, counts, untrained = (mean.loc[name] for name in table["method"].unique())
    return {
        "unseen_accuracy": ours["unseen"],
        "gain_over_untrained": ours["unseen"] - untrained["unseen"],
        "unseen_accuracy_of_counts": counts["unseen"],
        "seen_accuracy": ours["seen"],
        "seen_accuracy_of_counts": counts["seen"],
    }


class TrainedEncoders(nn.Module):
    """Both liquids with all of their weights trained, and projections of their rates.

    Args:
        liquids: Where the weights start.
        generator: Source of the projections.
    """

    def __init__(self, liquids: list[ResistiveLiquid], generator: torch.Generator) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(TrainedRecurrent(liquid, 2) for liquid in liquids)
        sizes = [liquid.input.outputs for liquid in liquids]
        self.scales = nn.ModuleList(nn.BatchNorm1d(size, affine=False) for size in sizes)
        self.projections = AlignedProjections(*sizes, generator=generator)

    def forward(self, *events: Float[Tensor, "batch time units"]) -> tuple[Tensor, Tensor]:
        """Unit vectors of both modalities."""
        parts = zip(self.encoders, self.scales, events, strict=True)
        return self.projections(*(scale(encoder.rates(own)) for encoder, scale, own in parts))  # type: ignore[operator]


def trained_encoders(trial: Trial) -> list[dict[str, Any]]:
    """Matching by projections of the fixed liquids, and by spiking encoders that learn along with them, from as many pairs."""
    both = handwriting_pair(trial)
    features, rows = liquid_rates(trial, both), []
    for unseen in drawn_splits(trial, 2):
        start = trial.generator("start-{}-{}".format(*unseen), "cpu")
        encoders = TrainedEncoders(liquids_for(trial, both, SOFTWARE), start)
        rows += [
            {"method": "resistive liquid", **match(trial, features, unseen)},
            {"method": "trained encoders", **match(trial, both, unseen, encoders, rate=2e-3)},
        ]
    return rows


@paper.claim(trained_encoders, figure=against("seen", "unseen", "method"))
def unseen_beside_trained_encoders(table):
    mean = table.groupby("method")[["seen", "unseen"]].mean()
    ours, theirs = mean.loc["resistive liquid"], mean.loc["trained encoders"]
    return {
        "gap_in_unseen": theirs["unseen"] - ours["unseen"],
        "gap_in_seen": theirs["seen"] - ours["seen"],
        "unseen_accuracy": ours["unseen"],
        "unseen_accuracy_of_trained": theirs["unseen"],
        "seen_accuracy_of_trained": theirs["seen"],
    }
