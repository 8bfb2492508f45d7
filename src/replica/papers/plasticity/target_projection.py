"""Lomnitz, Daniels, Zhang and Piacentino 2022: Learning with Local Gradients at the Edge.

Target projection: every layer fits a fixed random projection of the label in the forward pass. How near does it come to
backpropagation, is it better than direct random target projection, and how much memory does it save?
"""

from functools import partial
from typing import Any

import pandas as pd

from replica.lab.claims import Choice, LogUniform, Paper, Trial
from replica.lab.problems.credit.step_memory import memory_over_depth
from replica.lab.studies import Arena, dots, lines
from replica.plasticity.auglocal import AugLocal
from replica.plasticity.learning_rule import LearningRule, adam
from replica.plasticity.target_projection import TargetProjection

paper = Paper("target_projection")
SPACE = {"learning_rate": LogUniform(1e-4, 1e-2), "scale": LogUniform(0.3, 3.0)}


@paper.entry(
    "credit", name="target-projection", space=SPACE | {"layer_loss": Choice(("squared_error", "absolute_error"))}
)
def target_projection(
    trial: Trial, learning_rate: float = 3e-3, scale: float = 1.0, layer_loss: str = "squared_error"
) -> LearningRule:
    """Squared errors, the mean over positions, the last state of a sequence."""
    generator = trial.generator("projections")
    return LearningRule(
        TargetProjection, layer_loss=layer_loss, scale=scale, optimiser=adam(learning_rate), generator=generator
    )


@paper.entry("credit", name="direct-random-target-projection", space=SPACE)
def direct(trial: Trial, learning_rate: float = 3e-3, scale: float = 1.0) -> LearningRule:
    """What the paper generalises: Frenkel, Lefebvre and Bol (2021)."""
    return target_projection(trial, learning_rate, scale, layer_loss="direct")


SHALLOW = Arena(
    "credit",
    data="digits",
    depth=2,
    width=32,
    activation="tanh",
    epochs=10,
    test=0.5,
    shift_batches=0,
    choose={"learning_rate": (0.003, 0.01)},
    smoke={"width": 8},
    full={"data": "mnist", "width": 128, "epochs": 30, "train": 0, "test": 0.25},
)
rules = SHALLOW.compare(
    {
        "backprop": "backprop",
        "target projection": target_projection,
        "direct projection": direct,
        "hidden layers as drawn": "head-only",
    }
).over(network=("mlp", "conv", "recurrent"))
accuracies = dots("network", "accuracy", by="method", ylabel="test accuracy (%)", percent=True)


def against_backprop(table: pd.DataFrame, form: str) -> dict[str, float]:
    """The gap on one form of network, and what makes it worth a look."""
    accuracy = table[table["network"] == form].set_index("method")["accuracy"]
    ours = accuracy["target projection"]
    return {
        "gap_to_backprop": accuracy["backprop"] - ours,
        "accuracy": ours,
        "accuracy_of_backprop": accuracy["backprop"],
        "gain_over_hidden_layers_as_drawn": ours - accuracy["hidden layers as drawn"],
    }


@paper.claim(rules, figure=accuracies)
def dense(table: pd.DataFrame) -> dict[str, float]:
    """Two layers of 32 units."""
    return against_backprop(table, "mlp")


@paper.claim(rules, figure=accuracies)
def convolutional(table: pd.DataFrame) -> dict[str, float]:
    """Two convolutions of 32 channels."""
    return against_backprop(table, "conv")


@paper.claim(rules, figure=accuracies)
def recurrent(table: pd.DataFrame) -> dict[str, float]:
    """Two Elman layers of 32 units; a step is a row of the image."""
    return against_backprop(table, "recurrent")


@paper.claim(rules, figure=accuracies)
def above_direct(table: pd.DataFrame) -> dict[str, float]:
    """The same networks, projections and batches; only the layers' loss differs."""
    accuracy = table.pivot(index="network", columns="method", values="accuracy")
    gain = accuracy["target projection"] - accuracy["direct projection"]
    over_drawn = accuracy["target projection"] - accuracy["hidden layers as drawn"]
    return {
        "gain_dense": gain["mlp"],
        "gain_convolutional": gain["conv"],
        "gain_recurrent": gain["recurrent"],
        "least_gain_over_hidden_layers_as_drawn": over_drawn.min(),
    }


def memory(trial: Trial) -> list[dict[str, Any]]:
    """Megabytes that a step on 32 digits takes, over convolutional layers."""
    backprop = partial(AugLocal, blocks=1)
    return memory_over_depth(trial, {"backprop": backprop, "target projection": TargetProjection}, batch=32)


@paper.claim(memory, figure=lines("layers", "step", xlabel="convolutional layers", ylabel="memory of a step (MB)"))
def memory_of_deep_networks(table: pd.DataFrame) -> dict[str, float]:
    """The share of backpropagation's memory that a step on twelve convolutions takes."""
    step = table[table["layers"] == 12].set_index("method")["step"]
    return {"share": step["target projection"] / step["backprop"]}
