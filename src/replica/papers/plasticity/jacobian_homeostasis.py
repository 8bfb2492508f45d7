"""Improving equilibrium propagation without weight symmetry through Jacobian homeostasis (Laborieux and Zenke, 2023).

A Cauchy integral over complex nudges of finite size gives the exact response; asymmetric weights make it a poor error
signal; a penalty on the Jacobian's antisymmetric part mends it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.data import digits, mnist
from replica.lab.claims import LogUniform, Paper, Trial
from replica.lab.studies import lines
from replica.plasticity import EquilibriumPropagation, LayeredDynamics, RecurrentBackpropagation, soft_relu
from replica.plasticity.learning_rule import LearningRule

paper = Paper("jacobian_homeostasis")


# --- The entry

LEAST_SIGNAL = 1e-8
"""How much of a nudge of the last layer must reach the first to be read as a difference in double precision."""
READ_TO = 1e-6
"""Activations come to rest within this share of what reaches the first layer."""


class EquilibriumAround(EquilibriumPropagation):
    """Equilibrium propagation around a forward network, whose weights it shares, with feedback weights of its own.

    Over so many layers that a nudge would round away, it solves for the response to an infinitesimal one instead, as the
    authors' code does with N = 0. Its loss is cross-entropy, continued to complex scores.
    """

    def __init__(
        self, network: nn.Sequential, example: Tensor, *, loss: Any, feedback_gain: float, points: int,
        generator: torch.Generator, **options: Any,
    ) -> None:  # fmt: skip
        reaching = feedback_gain ** (len(list(network.children())) - 2)
        seen = reaching >= LEAST_SIGNAL
        dynamics = LayeredDynamics.around(
            network, feedback_gain=feedback_gain, activation=soft_relu, sweeps=60,
            tolerance=READ_TO * (reaching if seen else 1.0), generator=generator,
        )  # fmt: skip
        super().__init__(
            dynamics, points=points if seen else 0, precision=torch.float64, generator=generator, **options
        )
        self.names = {id(parameter): name for name, parameter in network.named_parameters()}

    def gradients(self, inputs: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """The directions, homeostasis included, by the network's names of parameters."""
        found = super().gradients(inputs, labels)
        named = self.dynamics.named_parameters()
        return {self.names[id(value)]: found[name] for name, value in named if id(value) in self.names}


@paper.entry(
    "credit",
    name="equilibrium-propagation",
    network=("mlp",),
    space={
        "learning_rate": LogUniform(1e-4, 1e-2),
        "homeostasis": LogUniform(1.0, 1000.0),
        "feedback_gain": LogUniform(0.01, 0.3),
    },
)
def equilibrium_propagation(
    trial: Trial, learning_rate: float = 3e-3, homeostasis: float = 100.0, feedback_gain: float = 0.03, points: int = 2,
    radius: float = 0.5, probes: int = 64,
) -> LearningRule:  # fmt: skip
    """Holomorphic equilibrium propagation with Jacobian homeostasis; feedback weights drawn apart from the forward ones."""
    make = partial(
        EquilibriumAround, learning_rate=learning_rate, homeostasis=homeostasis, feedback_gain=feedback_gain,
        points=points, radius=radius, probes=probes, generator=trial.generator("rule"),
    )  # fmt: skip
    return LearningRule(make)


# --- The networks and data of the claims

Rows = tuple[Float[Tensor, "count pixels"], Int[Tensor, " count"]]
CLASSES = 10


def images(trial: Trial) -> tuple[Rows, Rows]:
    """Images to learn from and to test on, standardised as one."""
    source = mnist("train") if trial.scale == "full" else digits()
    values = torch.from_numpy(source.values).flatten(1).to(trial.device)
    labels = torch.from_numpy(source.labels).to(trial.device)
    values = (values - values.mean()) / values.std()
    order = torch.randperm(len(values), generator=trial.generator("split"), device=trial.device)
    order = order[: trial.pick(smoke=60, laptop=len(order), full=len(order))]
    test, train = order.tensor_split([len(order) // 4])
    return (values[train], labels[train]), (values[test], labels[test])


def network(trial: Trial, pixels: int, **options: Any) -> LayeredDynamics:
    """Two hidden layers and one of a unit a class, read out linearly: the paper's network, narrower at laptop scale."""
    width = trial.pick(smoke=12, laptop=64, full=256)
    return LayeredDynamics.of_sizes(
        (pixels, width, width, CLASSES), CLASSES, generator=trial.generator("network"), **options
    ).to(trial.device)


def cosines(net: LayeredDynamics, inputs: Tensor, labels: Tensor) -> list[float]:
    """Cosine of each layer's response to an infinitesimal nudge with backpropagation's errors, the mean over rows."""
    responses = EquilibriumPropagation(net, points=0).errors(inputs, labels)
    errors = RecurrentBackpropagation(net).errors(inputs, labels)
    return [float(nn.functional.cosine_similarity(*pair).mean()) for pair in zip(responses, errors, strict=True)]


# --- A finite nudge

SMALL, LARGE = 0.2, 0.5
"""Nudges: one within which the dynamics are holomorphic for every row, and the paper's larger one."""


def relative(found: Sequence[Tensor], true: Sequence[Tensor]) -> float:
    """Relative error of vectors in parts."""
    one, other = (torch.cat([part.flatten() for part in parts]) for parts in (found, true))
    return float((one - other).norm() / other.norm())


def nudges(trial: Trial) -> list[dict[str, Any]]:
    """Relative errors in double precision: of error vectors over sizes and numbers of nudges, and of a gradient."""
    (inputs, labels), _ = images(trial)
    count = trial.pick(smoke=6, laptop=64, full=64)
    inputs, labels = inputs[:count].double(), labels[:count]
    points = trial.pick(smoke=(1, 2, 4), laptop=(1, 2, 4, 6, 8, 12, 16, 24), full=(1, 2, 4, 6, 8, 12, 16, 24))
    options = {"sweeps": trial.pick(smoke=300, laptop=600, full=600), "tolerance": 1e-13}
    apart = network(trial, inputs.shape[1], angle=90.0, **options).double()
    exact = EquilibriumPropagation(apart, points=0).errors(inputs, labels)
    rows: list[dict[str, Any]] = []
    for nudge in (SMALL, LARGE):
        for number in points:
            found = EquilibriumPropagation(apart, points=number, radius=nudge).errors(inputs, labels)
            rows.append({"nudge": nudge, "points": number, "error": relative(found, exact)})
    tied = network(trial, inputs.shape[1], angle=0.0, feedback_gain=0.25, **options).double()
    directions = EquilibriumPropagation(tied, points=points[-1], radius=SMALL).gradients(inputs, labels)
    true = torch.autograd.grad(nn.functional.cross_entropy(tied(inputs), labels), list(tied.parameters()))
    of_gradient = relative([directions[name] for name, _ in tied.named_parameters()], true)
    return [*rows, {"nudge": SMALL, "points": points[-1], "gradient_error": of_gradient}]


@paper.claim(nudges, figure=lines("points", "error", by="nudge", ylabel="relative error of error vectors", log="y"))
def finite_nudge(table):
    small = table[table["nudge"] == SMALL].groupby("points")[["error", "gradient_error"]].max()
    return {
        "cauchy_error": small["error"].iloc[-1],
        "gradient_error": small["gradient_error"].iloc[-1],
        "one_sided_error": small["error"].iloc[0],
    }


# --- Asymmetry


def angles(trial: Trial) -> list[dict[str, Any]]:
    """Cosines of error vectors with backpropagation's over the angle of feedback to transposed forward weights."""
    (inputs, labels), _ = images(trial)
    count = trial.pick(smoke=6, laptop=200, full=1000)
    inputs, labels = inputs[:count].double(), labels[:count]
    rows = []
    for angle in (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0):
        sweeps = trial.pick(smoke=40, laptop=2000, full=2000)
        net = network(trial, inputs.shape[1], angle=angle, sweeps=sweeps, tolerance=1e-10).double()
        found = enumerate(cosines(net, inputs, labels), start=1)
        rows += [{"angle": angle, "layer": layer, "cosine": cosine} for layer, cosine in found]
    return rows


@paper.claim(angles, figure=lines("angle", "cosine", by="layer", xlabel="angle (°)"))
def asymmetry(table):
    first = table[table["layer"] == 1].set_index("angle")["cosine"]
    return {"cosine_apart": first[90.0], "cosine_tied": first[0.0]}


# --- Learning

LOOP = ((3, 1),)
"""Feedback from the last layer to the first alone: no connection has one that runs the other way."""
NUDGED_SWEEPS = 10
"""Updates of each layer after a nudge, for all rules: about what the paper's 20 steps of all layers at once let through."""
EXACT = "recurrent backpropagation"

# The best of learning rates 1e-3, 3e-3, 1e-2 and coefficients 1, 10 (loop: 0.1, 1, 10) on seeds 101 and 102.
RULES = {"equilibrium": (1e-2, 0.0), "homeostatic": (3e-3, 10.0), EXACT: (3e-3, 0.0)}
LOOP_RULES = {"equilibrium": (1e-2, 0.0), "homeostatic": (1e-2, 0.1), EXACT: (1e-2, 0.0)}


def learn(trial: Trial, rule: str, rates: tuple[float, float], **options: Any) -> list[dict[str, Any]]:
    """Train a new network by a rule; rules with the same trial get the same weights, rows and batches."""
    (inputs, labels), (test_inputs, test_labels) = images(trial)
    net = network(trial, inputs.shape[1], sweeps=60, tolerance=1e-4, **options)
    kind = RecurrentBackpropagation if rule == EXACT else EquilibriumPropagation
    learning_rate, coefficient = rates
    trainer = kind(
        net, learning_rate=learning_rate, homeostasis=coefficient, nudged_sweeps=NUDGED_SWEEPS, points=0,
        generator=trial.generator("probes"),
    )  # fmt: skip
    order, size = trial.generator("batches"), trial.pick(smoke=15, laptop=50, full=50)
    rows: list[dict[str, Any]] = []
    for epoch in range(1, trial.pick(smoke=1, laptop=10, full=50) + 1):
        for batch in torch.randperm(len(inputs), generator=order, device=inputs.device).split(size):
            trainer.step(inputs[batch], labels[batch])
        correct = trainer.predict(test_inputs).argmax(1) == test_labels
        rows.append({"rule": rule, "epoch": epoch, "accuracy": float(correct.double().mean())})
    count = trial.pick(smoke=10, laptop=200, full=1000)
    rows[-1]["alignment"] = cosines(net, inputs[:count], labels[:count])[0]
    return rows


def asymmetric(trial: Trial) -> list[dict[str, Any]]:
    """Feedback weights at 90° to the forward ones at first."""
    return [row for rule, rates in RULES.items() for row in learn(trial, rule, rates)]


def looped(trial: Trial) -> list[dict[str, Any]]:
    """Layers 1 → 2 → 3 → 1."""
    return [row for rule, rates in LOOP_RULES.items() for row in learn(trial, rule, rates, links=LOOP)]


def gains(table):
    """What homeostasis adds at the end of training, and what backpropagation is ahead."""
    end = table[table["epoch"] == table["epoch"].max()].set_index("rule")
    gain = (end.loc["homeostatic"] - end.loc["equilibrium"])[["accuracy", "alignment"]]
    accuracy = end["accuracy"]
    return {
        "accuracy_gain": gain["accuracy"],
        "alignment_gain": gain["alignment"],
        "left_to_backprop": accuracy[EXACT] - accuracy["homeostatic"],
        "backprop_accuracy": accuracy[EXACT],
        "room": accuracy[EXACT] - accuracy["equilibrium"],
    }


@paper.claim(asymmetric, figure=lines("epoch", "accuracy", by="rule", percent=True))
def homeostasis(table):
    return gains(table)


@paper.claim(looped, figure=lines("epoch", "accuracy", by="rule", percent=True))
def loop(table):
    return gains(table)
