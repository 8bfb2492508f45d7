"""Learning delays in spiking neural networks with dilated convolutions with learnable spacings (Hammouamri et al. 2024)."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.lab.claims import LogUniform, Paper, Trial, Uniform
from replica.lab.studies import Arena, against, dots
from replica.spiking import (
    ArcTangent,
    DelayedLinear,
    DelayedSpikingNetwork,
    LeakyIntegrateAndFire,
    NarrowingSchedule,
)
from replica.training import EventClassifier, fit

paper = Paper("spike_delays")

Delays = Literal["learned", "fixed", "none"]
NARROW = 0.5
WHOLE_AFTER = 0.5
"""The share of the training after which delays are heard in whole steps, so that weights learn with what evaluation uses."""


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
    """Trains as all methods of the problem are trained, narrows the taps after every epoch, and then makes delays whole."""

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
            longest = self.module.network.max_delay  # type: ignore[union-attr]
            NarrowingSchedule(max(NARROW, longest / 2), NARROW).apply(self.module, done / total)  # type: ignore[operator, arg-type]
            if done >= WHOLE_AFTER * total:
                for layer in self.module.network.synapses:  # type: ignore[union-attr]
                    layer.sigma.zero_()
            if after_epoch is not None:
                after_epoch(done)

        return super().fit(events, labels, shape=shape, epochs=epochs, after_epoch=narrow)


def width_of_equal_count(units: int, classes: int, width: int) -> int:
    """Neurons of a hidden layer whose delays are not learned that has as many parameters as one with learned delays.

    Learned: 2 (units + classes) h + 2 h, the last of the normalisation; else: (units + classes) h' + 2 h'.
    """
    return round(width * (2 * (units + classes) + 2) / (units + classes + 2))


def classifier(
    trial: Trial,
    delays: Delays,
    learning_rate: float,
    decay: float,
    delay_share: float,
    width: int,
    delay_rate: float = 1.0,
) -> DelayClassifier:
    """One hidden layer between delayed synapses; where delays are not learned, as wide as gives as many parameters."""

    def make(steps: int, classes: int, shape: tuple[int, ...]) -> DelayReader:
        units, longest = math.prod(shape), round(delay_share * steps)
        neurons = width if delays == "learned" else width_of_equal_count(units, classes, width)
        network = DelayedSpikingNetwork(
            units, (neurons,), classes,
            max_delay=0 if delays == "none" else longest,
            decay=decay,
            learn_delays=delays == "learned",
            sigma=max(NARROW, longest / 2),
            silence=2 * (longest // 2),  # the same for all, so that none hears longer
        )  # fmt: skip
        return DelayReader(network, delay_rate)

    return DelayClassifier(make, trial.generator("weights", "cpu"), learning_rate=learning_rate)


SPACE: dict[str, Any] = {
    "learning_rate": LogUniform(2e-3, 0.2),
    "decay": Uniform(0.0, 0.98),
    "delay_share": Uniform(0.1, 0.6),
}


@paper.entry("events", name="learned-delays", space={**SPACE, "delay_rate": LogUniform(1.0, 100.0)})
def learned_delays(
    trial: Trial,
    learning_rate: float = 0.02,
    decay: float = 0.8,
    delay_rate: float = 10.0,
    delay_share: float = 1 / 3,
    width: int = 128,
) -> DelayClassifier:
    """A spiking network with a learned delay at every synapse, in whole steps from half of the training on."""
    return classifier(trial, "learned", learning_rate, decay, delay_share, width, delay_rate)


@paper.entry("events", name="fixed-delays", space=SPACE)
def fixed_delays(
    trial: Trial, learning_rate: float = 0.1, decay: float = 0.8, delay_share: float = 1 / 3, width: int = 128
) -> DelayClassifier:
    """The paper's control: random delays that stay as they are, in as many more neurons as give equally many parameters."""
    return classifier(trial, "fixed", learning_rate, decay, delay_share, width)


def no_delays(
    trial: Trial, learning_rate: float = 0.1, decay: float = 0.8, delay_share: float = 1 / 3, width: int = 128
) -> DelayClassifier:
    """The same without any delay."""
    return classifier(trial, "none", learning_rate, decay, delay_share, width)


COINCIDENCES = Arena(
    "events", data="coincidences", fresh=True, epochs=20, choose={"learning_rate": (0.02, 0.05)},
    full={"train": 0, "epochs": 150},
)  # fmt: skip
# The decay of a time constant of 10.05 ms at steps of 10 ms, as the paper has it for SHD: 1 − 1/1.005.
FORGETFUL = {"decay": 0.005, "width": 32}
DELAYS = COINCIDENCES.compare(
    {"learned": (learned_delays, FORGETFUL), "fixed": (fixed_delays, FORGETFUL), "none": (no_delays, FORGETFUL)}
)


@paper.claim(DELAYS, figure=dots("method", "accuracy", xlabel="delays", percent=True))
def forgetful(table):
    accuracy = table.set_index("method")["accuracy"]
    return {
        "gain_of_learning": accuracy["learned"] - accuracy["fixed"],
        "gain_of_random_delays": accuracy["fixed"] - accuracy["none"],
        **{f"accuracy_{name}": value for name, value in accuracy.items()},
    }


UNITS, LONGEST, SMOOTHING = 10, 20, 0.8


def planted_delays(trial: Trial) -> dict[str, list[Any]]:
    """Delays of 100 synapses to neurons of known weights, and those learned from their spikes alone.

    The loss is the squared distance of both spike trains, each smoothed by a leaky integrator (van Rossum 2001), on new
    random input events at every step. A layer whose taps narrow and one whose taps are narrow from the start learn side by
    side, from the same start and events.
    """
    events = trial.generator("planted")
    teacher = DelayedLinear(UNITS, UNITS, LONGEST, learn_delays=False, generator=trial.generator("teacher", "cpu"))
    with torch.no_grad():
        teacher.weight.copy_(0.5 + 0.5 * torch.rand(teacher.weight.shape, generator=trial.generator("weights", "cpu")))
    students = {
        name: DelayedLinear(UNITS, UNITS, LONGEST, sigma=sigma, generator=trial.generator("student", "cpu"))
        for name, sigma in (("narrowing", LONGEST / 2), ("constant", NARROW))
    }
    both = nn.ModuleList(students.values()).to(trial.device)
    teacher = teacher.to(trial.device)
    neurons = LeakyIntegrateAndFire(decay=SMOOTHING, reset="zero", detach_reset=True, surrogate=ArcTangent(1.0))
    steps, time, batch = trial.pick(smoke=(3, 30, 4), laptop=(600, 100, 32), full=(3000, 200, 64))
    ages = torch.arange(time, device=trial.device)[:, None] - torch.arange(time, device=trial.device)
    smoothing = torch.where(ages >= 0, SMOOTHING**ages, 0.0)

    def recordings() -> Iterator[tuple[Tensor]]:
        while True:
            yield ((torch.rand(time, batch, UNITS, generator=events, device=trial.device) < 0.03).float(),)

    def distances(layers: Any, inputs: Tensor) -> Tensor:
        currents = torch.stack([teacher(inputs).detach(), *(layer(inputs) for layer in layers)], dim=1)
        target, *found = (smoothing @ neurons(currents).flatten(1)).view(currents.shape).unbind(1)
        return sum((each - target).square().mean() for each in found) / target.var()

    schedule = NarrowingSchedule(LONGEST / 2, NARROW, share=0.8)
    weights, delays = ([getattr(layer, name) for layer in both] for name in ("weight", "delay"))
    optimiser = torch.optim.Adam([{"params": weights, "lr": 0.01}, {"params": delays, "lr": 0.5}])
    fit(
        both, distances, recordings(), optimiser=optimiser, steps=steps,
        schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps),
        after_step=lambda step: schedule.apply(students["narrowing"], step / steps),
    )  # fmt: skip
    rows: dict[str, list[Any]] = {"taps": [], "planted": [], "learned": []}
    for name, student in students.items():
        rows["taps"] += [name] * UNITS**2
        rows["planted"] += teacher.delay.flatten().tolist()
        rows["learned"] += student.rounded_delays().flatten().tolist()
    return rows


@paper.claim(planted_delays, figure=against("planted", "learned", "taps"))
def planted(table):
    """The share of synapses whose rounded delay is the planted one."""
    share = (table["planted"] == table["learned"]).groupby(table["taps"]).mean()
    return {"recovered": share["narrowing"], "gain_of_narrowing": share["narrowing"] - share["constant"]}
