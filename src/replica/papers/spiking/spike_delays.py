"""Learning delays in spiking neural networks with dilated convolutions with learnable spacings (Hammouamri et al. 2024)."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.lab.claims import LogUniform, Paper, Reported, Trial, Uniform, above, below
from replica.lab.data import EventSet, delayed_coincidences, latency_digits
from replica.lab.problems.events_training import EPOCHS, EventClassifier
from replica.spiking import (
    ArcTangent,
    DelayedLinear,
    DelayedSpikingNetwork,
    LeakyIntegrateAndFire,
    LeakyIntegrator,
    NarrowingSchedule,
)
from replica.training import fit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = tuple[dict[str, float], dict[str, list[Any]]]
Delays = Literal["learned", "fixed", "none"]
Width = Literal["narrowing", "constant"]
WIDTHS: tuple[Width, ...] = ("narrowing", "constant")

paper = Paper("spike_delays", departures=())

NARROW = 0.5
DECAY, RATE, WIDTH = 0.5, 4e-3, 48
STYLES = {
    "learned": ("tab:blue", "o"), "fixed": ("tab:orange", "s"), "none": ("tab:green", "^"), "constant": ("tab:purple", "D"),
}  # fmt: skip


class DelayReader(nn.Module):
    """A `DelayedSpikingNetwork` as a network of the problem events.

    The scores are the sum over time of the softmax of the read-out's potentials, as in the authors' code.

    Args:
        network: Takes ``(time, batch, units)``.
        delay_rate: How many times as fast as weights its delays are learned.
    """

    def __init__(self, network: DelayedSpikingNetwork, delay_rate: float) -> None:
        super().__init__()
        self.network = network
        self.delay_rate = delay_rate

    def forward(self, events: Float[Tensor, "batch time units"]) -> Float[Tensor, "batch classes"]:
        """Scores."""
        return self.network(events.transpose(0, 1)).softmax(dim=2).sum(dim=0)

    def operations(self, events: Float[Tensor, "batch time units"]) -> Mapping[str, float]:
        """Synaptic additions and spikes of one inference."""
        counted = self.network.operations(events.transpose(0, 1))
        return {"operations": counted.additions / len(events), "spikes": counted.spikes / len(events)}

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Delays have a rate of their own."""
        return self.network.parameter_groups(learning_rate, delay_rate=self.delay_rate)


class DelayClassifier(EventClassifier):
    """Trains as all methods of the problem are trained, and narrows the taps after every epoch.

    Args:
        width: Whether taps start wide, or have their last width from the start.
    """

    def __init__(self, *arguments: Any, width: Width = "narrowing", **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.width = width

    def fit(
        self,
        events: Tensor,
        labels: Tensor,
        *,
        shape: tuple[int, ...] | None = None,
        epochs: int | None = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """See `EventClassifier.fit`."""
        total = next(number for number in (epochs, self.epochs, EPOCHS) if number is not None)

        def narrow(done: int) -> None:
            if self.width == "narrowing":
                longest = self.module.network.max_delay  # type: ignore[union-attr]
                NarrowingSchedule(max(NARROW, longest / 2), NARROW).apply(self.module, done / total)
            if after_epoch is not None:
                after_epoch(done)

        super().fit(events, labels, shape=shape, epochs=epochs, after_epoch=narrow)


def width_without_delays(units: int, classes: int, width: int) -> int:
    """Neurons of a hidden layer without delays that has as many numbers as one with them.

    With: 2 (units + classes) h + 2 h, the last of the normalisation; without: (units + classes) h' + 2 h'.
    """
    return round(width * (2 * (units + classes) + 2) / (units + classes + 2))


def classifier(
    trial: Trial,
    delays: Delays = "learned",
    *,
    width: int = WIDTH,
    sigma: Width = "narrowing",
    delay_share: float = 1 / 3,
    decay: float = DECAY,
    learning_rate: float = RATE,
    delay_rate: float = 100.0,
    epochs: int | None = None,
) -> DelayClassifier:
    """One hidden layer between delayed synapses; without delays, as wide as gives as many numbers."""

    def make(steps: int, classes: int, shape: tuple[int, ...]) -> DelayReader:
        units, longest = math.prod(shape), round(delay_share * steps)
        neurons = width_without_delays(units, classes, width) if delays == "none" else width
        network = DelayedSpikingNetwork(
            units, (neurons,), classes,
            max_delay=0 if delays == "none" else longest,
            decay=decay,
            learn_delays=delays == "learned",
            sigma=max(NARROW, longest / 2) if sigma == "narrowing" else NARROW,
            silence=2 * (longest // 2),
        )  # fmt: skip
        return DelayReader(network, delay_rate)

    return DelayClassifier(make, trial, epochs=epochs, learning_rate=learning_rate, width=sigma)


@paper.entry(
    "events",
    name="learned-delays",
    space={"learning_rate": LogUniform(5e-4, 5e-2), "decay": Uniform(0.0, 0.95), "delay_share": Uniform(0.1, 0.5)},
)
def learned_delays(
    trial: Trial, learning_rate: float = RATE, decay: float = DECAY, delay_share: float = 1 / 3
) -> DelayClassifier:
    """A spiking network with a learned delay at every synapse, rounded to whole steps to predict."""
    return classifier(trial, learning_rate=learning_rate, decay=decay, delay_share=delay_share, width=64)


def split(trial: Trial, data: EventSet, train: int, test: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Events and labels to learn from and to be asked."""
    order = trial.rng("split").permutation(len(data))
    parts = (order[:train], order[train : train + test])
    return tuple(
        torch.as_tensor(values[rows], dtype=kind, device=trial.device)
        for rows in parts
        for values, kind in ((data.events, torch.float32), (data.labels, torch.int64))
    )  # type: ignore[return-value]


def coincidences(trial: Trial) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Recordings whose classes differ in nothing but delays."""
    train, test = trial.pick(smoke=(40, 20), laptop=(1000, 500), full=(8000, 2000))
    data = delayed_coincidences(train + test, seed=int(trial.rng("data").integers(2**31)))
    return split(trial, data, train, test)


def spike_times(trial: Trial) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Digits whose pixels fire once, the sooner the more ink."""
    train, test = trial.pick(smoke=(40, 20), laptop=(1000, 500), full=(1297, 500))
    return split(trial, latency_digits(), train, test)


def accuracy(method: DelayClassifier, events: Tensor, labels: Tensor) -> float:
    """Share told right."""
    return float((method.predict(events).argmax(1) == labels).double().mean())


def numbers(method: DelayClassifier) -> int:
    """Learned or fixed, a delay is a number of its synapse, as its weight is."""
    layers = [layer for layer in method.module.modules() if isinstance(layer, DelayedLinear) and layer.max_delay]
    fixed = sum(layer.delay.numel() for layer in layers if not layer.learns_delays)
    return fixed + sum(each.numel() for each in method.module.parameters())


def compared(trial: Trial, data: tuple[Tensor, Tensor, Tensor, Tensor], name: str) -> Result:
    """The three networks, each with the same recordings, batches, epochs and number of learned parameters."""
    events, labels, asked, truth = data
    found: dict[str, float] = {}
    series: dict[str, list[Any]] = {"delays": [], "accuracy": [], "numbers": []}
    for delays in ("learned", "fixed", "none"):
        method = classifier(trial, delays, epochs=trial.pick(smoke=1, laptop=20, full=100), **CHOSEN[name, delays])
        method.fit(events, labels)
        found[delays] = accuracy(method, asked, truth)
        series["delays"].append(delays)
        series["accuracy"].append(found[delays])
        series["numbers"].append(numbers(method))
    return {
        "gain_of_learning": found["learned"] - found["fixed"],
        "gain_of_random_delays": found["fixed"] - found["none"],
    }, series


CHOSEN: Mapping[tuple[str, str], Mapping[str, float]] = {
    (data, delays): {} for data in ("coincidences", "digits") for delays in ("learned", "fixed", "none")
}
ORDERED = {
    "gain_of_learning": Reported("learning them helps even more", where="abstract"),
    "gain_of_random_delays": Reported("fixed random delays help", where="abstract"),
}


@paper.claim(
    "Where classes differ in delays alone, fixed random delays help, and learning them helps even more.",
    expect={"gain_of_learning": above(0.0), "gain_of_random_delays": above(0.0)},
    reported=ORDERED,
)
def on_coincidences(trial: Trial) -> Result:
    """Recordings of 20 units; accuracy on those not seen."""
    return compared(trial, coincidences(trial), "coincidences")


@paper.claim(
    "On digits told by spike times, fixed random delays help, and learning them helps even more.",
    expect={"gain_of_learning": above(0.0), "gain_of_random_delays": above(0.0)},
    reported=ORDERED,
)
def on_spike_times(trial: Trial) -> Result:
    """Recordings of 64 units that each fire once; accuracy on those not seen."""
    return compared(trial, spike_times(trial), "digits")


@paper.claim(
    "Taps that start wide and narrow learn better than taps that are narrow from the start.",
    expect={"gain_of_narrowing": above(0.0)},
    reported={"gain_of_narrowing": Reported("constant σ = 0.5 beside a decreasing one", where="authors' code")},
)
def narrowing(trial: Trial) -> Result:
    """Delayed coincidences; a constant width of half a step beside one that falls to it within a quarter of the epochs."""
    events, labels, asked, truth = coincidences(trial)
    found: dict[Width, float] = {}
    for width in WIDTHS:
        method = classifier(
            trial, sigma=width, epochs=trial.pick(smoke=1, laptop=20, full=100), **CHOSEN["coincidences", "learned"]
        )
        method.fit(events, labels)
        found[width] = accuracy(method, asked, truth)
    series = {"width": list(found), "accuracy": list(found.values())}
    return {"gain_of_narrowing": found["narrowing"] - found["constant"]}, series


@paper.claim(
    "Rounding learned delays to whole steps costs no accuracy.",
    expect={"loss_by_rounding": below(0.01)},
    reported={"loss_by_rounding": Reported("delays are rounded to be evaluated", where="authors' code")},
)
def rounding(trial: Trial) -> Result:
    """Delayed coincidences; the same network before and after."""
    events, labels, asked, truth = coincidences(trial)
    method = classifier(trial, epochs=trial.pick(smoke=1, laptop=20, full=100), **CHOSEN["coincidences", "learned"])
    method.fit(events, labels)
    found = {"whole steps": accuracy(method, asked, truth)}
    layers = [layer for layer in method.module.modules() if isinstance(layer, DelayedLinear)]
    for layer in layers:
        layer.rounds = False
    found["as learned"] = accuracy(method, asked, truth)
    return {"loss_by_rounding": found["as learned"] - found["whole steps"]}, {
        "delays": list(found), "accuracy": list(found.values()),
    }  # fmt: skip


def draw_accuracies(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy of each kind of network; a line joins those of one seed."""
    kind = next(name for name in ("delays", "width") if name in table)
    names = list(dict.fromkeys(table[kind]))
    places = {name: place for place, name in enumerate(names)}
    for _, seed in table.groupby("seed"):
        axes.plot(seed[kind].map(places), 100 * seed["accuracy"], color="tab:gray", linewidth=0.8, alpha=0.6)
    for name, place in places.items():
        colour, marker = STYLES[name]
        part = table[table[kind] == name]
        axes.plot([place] * len(part), 100 * part["accuracy"], marker, color=colour, alpha=0.8, markersize=7)
    labels = {"delays": "synaptic delays", "width": "width of taps"}
    axes.set(xlabel=labels[kind], ylabel="accuracy on recordings not seen (%)", xlim=(-0.5, len(names) - 0.5))
    axes.set_xticks(range(len(names)), names)


for one in (on_coincidences, on_spike_times, narrowing, rounding):
    one.figure(draw_accuracies)


UNITS, LONGEST, SMOOTHING = 10, 20, 0.8


def recovered(trial: Trial, width: Width) -> tuple[DelayedLinear, DelayedLinear]:
    """A layer of neurons with known weights and delays, and one that learned from its spikes alone.

    The loss is the squared distance of both spike trains, each smoothed by a leaky integrator (van Rossum 2001), on new
    random input events at every step.
    """
    generator = trial.generator("planted")
    teacher = DelayedLinear(UNITS, UNITS, LONGEST, learn_delays=False, generator=trial.generator("teacher", "cpu"))
    student = DelayedLinear(
        UNITS,
        UNITS,
        LONGEST,
        sigma=NARROW if width == "constant" else None,
        generator=trial.generator("student", "cpu"),
    )
    with torch.no_grad():
        teacher.weight.copy_(0.5 + 0.5 * torch.rand(teacher.weight.shape, generator=trial.generator("weights", "cpu")))
    teacher, student = teacher.to(trial.device), student.to(trial.device)
    neurons = LeakyIntegrateAndFire(decay=SMOOTHING, reset="zero", detach_reset=True, surrogate=ArcTangent(1.0))
    smoothed = LeakyIntegrator(SMOOTHING)
    steps, time, batch = trial.pick(smoke=(3, 30, 4), laptop=(600, 100, 32), full=(3000, 200, 64))

    def recordings() -> Iterator[tuple[Tensor]]:
        while True:
            yield ((torch.rand(time, batch, UNITS, generator=generator, device=trial.device) < 0.03).float(),)

    def distance(layer: nn.Module, events: Tensor) -> Tensor:
        with torch.no_grad():
            target = smoothed(neurons(teacher(events)))
        return (smoothed(neurons(layer(events))) - target).square().mean() / target.var()

    optimiser = torch.optim.Adam([{"params": [student.weight], "lr": 0.01}, {"params": [student.delay], "lr": 0.5}])
    schedule = NarrowingSchedule(LONGEST / 2, NARROW, share=0.8)

    def narrow(step: int) -> None:
        if width == "narrowing":
            schedule.apply(student, step / steps)

    fit(
        student, distance, recordings(), optimiser=optimiser, steps=steps, after_step=narrow,
        schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps),
    )  # fmt: skip
    return teacher, student


@paper.claim(
    "Delays planted in a network are found again from its spikes, if taps narrow.",
    expect={"recovered": above(0.9), "gain_of_narrowing": above(0.0)},
    reported={
        "recovered": Reported("positions are learned together with the weights", where="abstract"),
        "gain_of_narrowing": Reported("constant σ = 0.5 beside a decreasing one", where="authors' code"),
    },
)
def planted(trial: Trial) -> Result:
    """The share of 100 synapses whose rounded delay is the planted one."""
    series: dict[str, list[Any]] = {"width": [], "planted": [], "learned": []}
    shares = {}
    for width in WIDTHS:
        teacher, student = recovered(trial, width)
        pairs = (teacher.delay.flatten().tolist(), student.rounded_delays().flatten().tolist())
        shares[width] = sum(one == other for one, other in zip(*pairs, strict=True)) / len(pairs[0])
        for column, values in zip(series.values(), ([width] * len(pairs[0]), *pairs), strict=True):
            column.extend(values)
    return {"recovered": shares["narrowing"], "gain_of_narrowing": shares["narrowing"] - shares["constant"]}, series


@planted.figure
def draw_planted(axes: "Axes", table: "pd.DataFrame") -> None:
    """Learned over planted delay of every synapse; the line is where they are the same."""
    for width, shift in zip(WIDTHS, (-0.15, 0.15), strict=True):
        colour, marker = STYLES[width]
        part = table[table["width"] == width]
        hits = 100 * (part["planted"] == part["learned"]).mean()
        axes.plot(
            part["planted"] + shift, part["learned"], marker, color=colour, alpha=0.35, markersize=4,
            label=f"{width} taps ({hits:.0f} % right)",
        )  # fmt: skip
    axes.plot([0, LONGEST], [0, LONGEST], color="tab:gray", linewidth=1, zorder=0)
    axes.set(xlabel="planted delay (steps)", ylabel="learned delay (steps)")
    axes.legend(fontsize=9, loc="upper left")
