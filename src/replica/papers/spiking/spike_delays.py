"""Learning delays in spiking neural networks with dilated convolutions with learnable spacings (Hammouamri et al. 2024)."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.data import EventSet, delayed_coincidences, latency_digits
from replica.lab.claims import LogUniform, Paper, Reported, Trial, Uniform, above, below
from replica.spiking import (
    ArcTangent,
    DelayedLinear,
    DelayedSpikingNetwork,
    LeakyIntegrateAndFire,
    LeakyIntegrator,
    NarrowingSchedule,
)
from replica.training import EventClassifier, fit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = tuple[dict[str, float], dict[str, list[Any]]]
Recordings = tuple[Tensor, Tensor, Tensor, Tensor]
"""Events and labels to learn from, and to be asked."""
Delays = Literal["learned", "fixed", "none"]
Width = Literal["narrowing", "constant"]
WIDTHS: tuple[Width, ...] = ("narrowing", "constant")

paper = Paper(
    "spike_delays",
    departures=(
        "The paper's text beyond its abstract was not at hand; what is told of its practice is read from the authors' code: "
        "Gaussian taps whose width falls geometrically from half of the longest delay to 0.5 steps in the first quarter of the "
        "epochs, delays clamped, rounded for every evaluation and learned 100 times as fast as weights, 0.5 throughout as "
        "the ablation, a surrogate arc tangent of slope 5, normalisation, and the sum over time of the read-out's softmax.",
        "Spoken digits and commands (SHD, SSC, GSC) could not be had: delayed coincidences made on the spot, whose classes "
        "differ in delays alone, and scikit-learn's digits, each pixel one spike, stand for them.",
        "One hidden layer of 48 neurons (the paper: two or three of 256 or 512), 500 or 300 updates with the problem's own "
        "training, no dropout: what fits two minutes. The width of the wide taps is set after each epoch, as there.",
        "Equal parameters are equally many learned numbers, so that networks with fixed random delays and without delays have "
        "twice the neurons of the one that learns them. After a look at development seeds fixed delays had been counted like "
        "learned ones for a while (the same network, as the authors' code has it), with which learned delays look better; the "
        "count as first written was restored before anything was judged, and the wider network searched anew.",
        "Fixed random delays are whole steps from the start; in the authors' code they are whole in evaluation only.",
        "Rates, and how long potentials last, were chosen by the accuracy on one development seed, for every kind of network "
        "out of 16 tries at least (learned delays had the most), or 6 where the neuron is that of the paper's SHD configuration "
        "(time constant 1.005 steps). With so few updates weights learn faster than there (0.02 to 0.2, at most 0.005), delays "
        "alike (0.15 to 0.2 steps an update, there 0.1), which is 3 to 10 times the rate of weights and not 100 times.",
        "After a first look at development seeds: epochs on coincidences were raised from 15 to 25 and the rates' range was "
        "widened for all, since the best lay at its edge; and the comparisons on coincidences, of networks and of widths, were "
        "split in two, with the paper's forgetful neurons and with neurons tuned for each, since with the latter the networks "
        "with and without delays did alike. No bound was touched.",
        "Planted delays are our test: 100 synapses to 10 neurons, weights 0.5 to 1, random events of 0.03 a step and unit. "
        "Its rates, number of updates and the share of them in which taps narrow (0.8 instead of 0.25) were chosen "
        "on development seeds; the layer with constant taps has the same.",
        "The entries' defaults are one choice for all data, from the same development seed.",
        "That rounding costs no accuracy is how we read a practice of the code, and not a sentence of the paper; its bound of "
        "one point is ours.",
    ),
)

NARROW = 0.5
WIDTH = 48
# Of a time constant of 10.05 ms at steps of 10 ms: 1 − 1/1.005.
FORGETFUL = 0.005
KINDS: tuple[Delays, ...] = ("learned", "fixed", "none")
SETTINGS = ("forgetful", "tuned")
# Each the best of as many tries on a development seed: 6 where the neurons are the paper's, else 16.
CHOSEN: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("forgetful", "learned"): {"decay": FORGETFUL, "learning_rate": 0.02, "delay_rate": 10},
    ("forgetful", "constant"): {"decay": FORGETFUL, "learning_rate": 0.05, "delay_rate": 3},
    ("forgetful", "fixed"): {"decay": FORGETFUL, "learning_rate": 0.05},
    ("forgetful", "none"): {"decay": FORGETFUL, "learning_rate": 0.02},
    ("tuned", "learned"): {"decay": 0.8, "learning_rate": 0.02, "delay_rate": 10},
    ("tuned", "constant"): {"decay": 0.5, "learning_rate": 0.02, "delay_rate": 10},
    ("tuned", "fixed"): {"decay": 0.5, "learning_rate": 0.2},
    ("tuned", "none"): {"decay": 0.8, "learning_rate": 0.1},
    ("digits", "learned"): {"decay": 0.95, "learning_rate": 0.05, "delay_rate": 3},
    ("digits", "fixed"): {"decay": 0.95, "learning_rate": 0.05},
    ("digits", "none"): {"decay": 0.95, "learning_rate": 0.1},
}
STYLES = {
    "learned": ("tab:blue", "o"), "fixed": ("tab:orange", "s"), "none": ("tab:green", "^"),
    "narrowing": ("tab:blue", "o"), "constant": ("tab:purple", "D"),
    "whole steps": ("tab:blue", "o"), "as learned": ("tab:gray", "v"),
}  # fmt: skip


def synapses(module: nn.Module) -> list[DelayedLinear]:
    """All layers of delayed synapses within it."""
    return [layer for layer in module.modules() if isinstance(layer, DelayedLinear)]


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
    ) -> Self:
        """See `EventClassifier.fit`."""
        total = self.epochs_for(epochs)

        def narrow(done: int) -> None:
            if self.width == "narrowing":
                longest = max(each.max_delay for each in synapses(self.module))
                NarrowingSchedule(max(NARROW, longest / 2), NARROW).apply(self.module, done / total)
            if after_epoch is not None:
                after_epoch(done)

        return super().fit(events, labels, shape=shape, epochs=epochs, after_epoch=narrow)


def width_of_equal_count(units: int, classes: int, width: int) -> int:
    """Neurons of a hidden layer whose delays are not learned that has as many learned numbers as one with learned delays.

    Learned: 2 (units + classes) h + 2 h, the last of the normalisation; else: (units + classes) h' + 2 h'.
    """
    return round(width * (2 * (units + classes) + 2) / (units + classes + 2))


def classifier(
    trial: Trial,
    delays: Delays = "learned",
    *,
    width: int = WIDTH,
    sigma: Width = "narrowing",
    delay_share: float = 1 / 3,
    decay: float = 0.8,
    learning_rate: float = 0.02,
    delay_rate: float = 10.0,
    epochs: int | None = None,
) -> DelayClassifier:
    """One hidden layer between delayed synapses; where delays are not learned, as wide as gives as many learned numbers."""

    def make(steps: int, classes: int, shape: tuple[int, ...]) -> DelayReader:
        units, longest = math.prod(shape), round(delay_share * steps)
        neurons = width if delays == "learned" else width_of_equal_count(units, classes, width)
        network = DelayedSpikingNetwork(
            units, (neurons,), classes,
            max_delay=0 if delays == "none" else longest,
            decay=decay,
            learn_delays=delays == "learned",
            sigma=max(NARROW, longest / 2) if sigma == "narrowing" else NARROW,
            silence=2 * (longest // 2),
        )  # fmt: skip
        return DelayReader(network, delay_rate)

    return DelayClassifier(
        make, trial.generator("weights", "cpu"), epochs=epochs, learning_rate=learning_rate, width=sigma
    )


@paper.entry(
    "events",
    name="learned-delays",
    space={
        "learning_rate": LogUniform(2e-3, 0.2), "decay": Uniform(0.0, 0.98), "delay_rate": LogUniform(1.0, 100.0),
        "delay_share": Uniform(0.1, 0.6),
    },
)  # fmt: skip
def learned_delays(
    trial: Trial,
    learning_rate: float = 0.02,
    decay: float = 0.8,
    delay_rate: float = 10.0,
    delay_share: float = 1 / 3,
) -> DelayClassifier:
    """A spiking network with a learned delay at every synapse, rounded to whole steps to predict."""
    return classifier(
        trial, width=128, learning_rate=learning_rate, decay=decay, delay_rate=delay_rate, delay_share=delay_share
    )


@paper.entry(
    "events",
    name="fixed-delays",
    space={"learning_rate": LogUniform(2e-3, 0.2), "decay": Uniform(0.0, 0.98), "delay_share": Uniform(0.1, 0.6)},
)
def fixed_delays(
    trial: Trial, learning_rate: float = 0.1, decay: float = 0.8, delay_share: float = 1 / 3
) -> DelayClassifier:
    """The paper's control: random delays that stay as they are, in as many more neurons as give equally many learned numbers."""
    return classifier(trial, "fixed", width=128, learning_rate=learning_rate, decay=decay, delay_share=delay_share)


def split(trial: Trial, data: EventSet, train: int, test: int) -> Recordings:
    """Events and labels to learn from and to be asked."""
    order = trial.rng("split").permutation(len(data))
    parts = (order[:train], order[train : train + test])
    return tuple(
        torch.as_tensor(values[rows], dtype=kind, device=trial.device)
        for rows in parts
        for values, kind in ((data.events, torch.float32), (data.labels, torch.int64))
    )  # type: ignore[return-value]


def coincidences(trial: Trial) -> Recordings:
    """Recordings whose classes differ in nothing but delays."""
    train, test = trial.pick(smoke=(40, 20), laptop=(1000, 500), full=(8000, 2000))
    data = delayed_coincidences(train + test, seed=int(trial.rng("data").integers(2**31)))
    return split(trial, data, train, test)


def spike_times(trial: Trial) -> Recordings:
    """Digits whose pixels fire once, the sooner the more ink."""
    train, test = trial.pick(smoke=(40, 20), laptop=(1000, 500), full=(1297, 500))
    return split(trial, latency_digits(), train, test)


def accuracy(method: DelayClassifier, events: Tensor, labels: Tensor) -> float:
    """Share told right."""
    return float((method.predict(events).argmax(1) == labels).double().mean())


def numbers(method: DelayClassifier) -> int:
    """How many numbers are learned."""
    return sum(each.numel() for each in method.module.parameters())


def trained(
    trial: Trial, setting: str, recordings: Recordings, delays: Delays, width: Width = "narrowing"
) -> DelayClassifier:
    """A network of one kind with what the search on development seeds chose for it, fitted."""
    epochs = trial.pick(smoke=1, laptop=15 if setting == "digits" else 25, full=150)
    kind = "constant" if width == "constant" else delays
    method = classifier(trial, delays, sigma=width, epochs=epochs, **CHOSEN[setting, kind])
    method.fit(*recordings[:2])
    return method


def compared(trial: Trial, setting: str, recordings: Recordings) -> Result:
    """The three networks, each with the same recordings, batches, epochs and count of learned numbers."""
    found: dict[str, float] = {}
    series: dict[str, list[Any]] = {"delays": [], "accuracy": [], "numbers": []}
    for delays in KINDS:
        method = trained(trial, setting, recordings, delays)
        found[delays] = accuracy(method, *recordings[2:])
        for column, value in zip(series.values(), (delays, found[delays], numbers(method)), strict=True):
            column.append(value)
    return {
        "gain_of_learning": found["learned"] - found["fixed"],
        "gain_of_random_delays": found["fixed"] - found["none"],
    }, series


ORDER = {"gain_of_learning": above(0.0), "gain_of_random_delays": above(0.0)}
REPORTED_ORDER = {
    "gain_of_learning": Reported("learning them helps even more", where="abstract"),
    "gain_of_random_delays": Reported("fixed random delays help", where="abstract"),
}


@paper.claim(
    "Fixed random delays help, and learning them helps even more, with the paper's neurons, which forget within a step.",
    expect=ORDER,
    reported=REPORTED_ORDER,
    why=(
        "Fixed random delays help by 35 points. Learned ones are ahead of them only until they are rounded (93 % as "
        "learned, 63 % rounded, fixed 78 %). With as many learned numbers fixed delays come with twice the neurons, and "
        "in 500 updates learned positions do not settle on whole steps. Taps that end narrower lose nothing by rounding, "
        "and are no better: 61 and 65 % for 0.25 and 0.1 steps on a seed that is not judged, where 0.5 gave 68 %."
    ),
)
def forgetful(trial: Trial) -> Result:
    """Recordings of 20 units whose classes differ in nothing but delays; accuracy on those not seen."""
    return compared(trial, "forgetful", coincidences(trial))


@paper.claim(
    "Fixed random delays help, and learning them helps even more, where each network has the neurons that serve it best.",
    expect=ORDER,
    reported=REPORTED_ORDER,
    why=(
        "Fixed random delays help a little, by 3 points. Where potentials last, twice as many neurons with random delays "
        "find enough of the times they need by their weights, 92 %; learned delays reach 90 % as learned and 86 % "
        "rounded. The paper trains for 150 epochs on spoken words, where we have 500 updates."
    ),
)
def tuned(trial: Trial) -> Result:
    """The same recordings; how long potentials last was searched for each of the three."""
    return compared(trial, "tuned", coincidences(trial))


@paper.claim(
    "On digits told by spike times too, fixed random delays help, and learning them helps even more.",
    expect=ORDER,
    reported=REPORTED_ORDER,
    why=(
        "All three tell 95 to 96 %: one spike a pixel, the sooner the more ink, is told nearly as well by neurons without "
        "delays."
    ),
)
def spike_timing(trial: Trial) -> Result:
    """Recordings of 64 units that each fire once, the sooner the more ink; neurons tuned for each network."""
    return compared(trial, "digits", spike_times(trial))


@paper.claim(
    "Taps that start wide and narrow learn better than taps that are narrow from the start.",
    expect={"gain_forgetful": above(0.0), "gain_tuned": above(0.0)},
    reported={
        name: Reported("σ = 0.5 throughout is the ablation", where="authors' code")
        for name in ("gain_forgetful", "gain_tuned")
    },
    why=(
        "Planted delays are found only if taps start wide (next claims). Classes can be told with delays that are merely "
        "good enough, so that it matters less here: 4 points with forgetful neurons, none with tuned ones, and seeds "
        "differ by as much."
    ),
)
def narrowing(trial: Trial) -> Result:
    """Delayed coincidences; half a step throughout, beside a width that falls to it within a quarter of the epochs."""
    recordings = coincidences(trial)
    measures: dict[str, float] = {}
    series: dict[str, list[Any]] = {"setting": [], "width": [], "accuracy": []}
    for setting in SETTINGS:
        found = {}
        for width in WIDTHS:
            found[width] = accuracy(trained(trial, setting, recordings, "learned", width), *recordings[2:])
            for column, value in zip(series.values(), (setting, width, found[width]), strict=True):
                column.append(value)
        measures[f"gain_{setting}"] = found["narrowing"] - found["constant"]
    return measures, series


@paper.claim(
    "Rounding learned delays to whole steps costs no accuracy.",
    expect={"loss_forgetful": below(0.01), "loss_tuned": below(0.01)},
    reported={
        name: Reported("delays are rounded to be evaluated", where="authors' code")
        for name in ("loss_forgetful", "loss_tuned")
    },
    why=(
        "With taps half a step wide a position between two steps hears both, and rounding takes one of them away; neurons "
        "that forget within a step lose coincidences by it, those whose potentials last lose less. The gradient does not "
        "pull positions to whole steps, and 500 updates are few."
    ),
)
def rounding(trial: Trial) -> Result:
    """Delayed coincidences; the same network with its delays as learned, and rounded."""
    recordings = coincidences(trial)
    measures: dict[str, float] = {}
    series: dict[str, list[Any]] = {"setting": [], "delays": [], "accuracy": []}
    for setting in SETTINGS:
        method = trained(trial, setting, recordings, "learned")
        found = {}
        for name, rounds in (("as learned", False), ("whole steps", True)):
            for layer in synapses(method.module):
                layer.rounds = rounds
            found[name] = accuracy(method, *recordings[2:])
            for column, value in zip(series.values(), (setting, name, found[name]), strict=True):
                column.append(value)
        measures[f"loss_{setting}"] = found["as learned"] - found["whole steps"]
    return measures, series


def draw_accuracies(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy of each kind of network; a line joins those of one seed."""
    kind = next(name for name in ("delays", "width") if name in table)
    table = table.assign(setting=table.get("setting", ""))
    groups = list(dict.fromkeys(zip(table["setting"], table[kind], strict=True)))
    places = {group: place for place, group in enumerate(groups)}
    table = table.assign(place=[places[pair] for pair in zip(table["setting"], table[kind], strict=True)])
    for _, line in table.groupby(["seed", "setting"]):
        axes.plot(line["place"], 100 * line["accuracy"], color="tab:gray", linewidth=0.8, alpha=0.6, zorder=1)
    for (_, name), place in places.items():
        colour, marker = STYLES[name]
        part = table[table["place"] == place]
        axes.plot(part["place"], 100 * part["accuracy"], marker, color=colour, alpha=0.8, markersize=7)
    labels = {"delays": "synaptic delays", "width": "width of taps"}
    neurons = ", neurons" if any(setting for setting, _ in groups) else ""
    axes.set(
        xlabel=labels[kind] + neurons, ylabel="accuracy on recordings not seen (%)", xlim=(-0.5, len(groups) - 0.5)
    )
    names = [f"{name},\n{setting}" if setting else name for setting, name in groups]
    axes.set_xticks(range(len(groups)), names, fontsize=9)


for one in (forgetful, tuned, spike_timing, narrowing, rounding):
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
    axes.set_xticks(range(0, LONGEST + 1, 5))
    axes.set_yticks(range(0, LONGEST + 1, 5))
    axes.legend(fontsize=9, loc="lower right")
