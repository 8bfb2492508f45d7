"""Ma, Wu, Si, Tan 2024: Scaling Supervised Local Learning with Augmented Auxiliary Networks.

A dozen blocks that learn alone, each through a small network like the layers that follow: is that as good as backpropagation,
and how much memory does it save?
"""

from functools import partial
from typing import Any

from replica.lab.claims import Integer, LogUniform, Paper, Trial, Uniform
from replica.lab.problems.credit.step_memory import memory_over_depth, saved_of_backprop
from replica.lab.studies import Arena, dots, lines
from replica.plasticity.auglocal import AugLocal
from replica.plasticity.learning_rule import LearningRule, adam
from replica.plasticity.local_blocks import lean_averages

paper = Paper("auglocal")


@paper.entry(
    "credit",
    name="auglocal",
    space={"learning_rate": LogUniform(1e-4, 1e-2), "depth": Integer(1, 6), "taper": Uniform(0.0, 1.0)},
)
def auglocal(trial: Trial, learning_rate: float = 1e-3, depth: int = 3, taper: float = 0.5) -> LearningRule:
    """One local block a hidden layer."""
    generator = trial.generator("auglocal")
    return LearningRule(AugLocal, depth=depth, taper=taper, optimiser=adam(learning_rate), generator=generator)


DOZEN = Arena(
    "credit",
    data="mnist-1d",
    fresh=True,
    network="conv",
    depth=12,
    width=16,
    epochs=20,
    batch=64,
    shift_batches=0,
    choose={"learning_rate": (0.001, 0.003)},
    smoke={"width": 4},
    full={"data": "mnist", "width": 32, "epochs": 20, "train": 0},
)
rules = DOZEN.compare(
    {"backprop": "backprop", "AugLocal": auglocal, "greedy": "greedy-local", "hidden layers as drawn": "head-only"}
)


@paper.claim(rules, figure=dots("method", "accuracy", xlabel="learning rule", ylabel="test accuracy (%)", percent=True))
def accuracy_over_layers(table):
    """How far greedy and augmented local learning fall behind."""
    accuracy = table.set_index("method")["accuracy"]
    return {
        "behind_backprop": accuracy["backprop"] - accuracy["AugLocal"],
        "greedy_behind_backprop": accuracy["backprop"] - accuracy["greedy"],
        "past_half_of_the_gap": accuracy["AugLocal"] - (accuracy["greedy"] + accuracy["backprop"]) / 2,
        "gain_over_hidden_layers_as_drawn": accuracy["AugLocal"] - accuracy["hidden layers as drawn"],
        "accuracy_of_backprop": accuracy["backprop"],
    }


def memory(trial: Trial) -> list[dict[str, Any]]:
    """Megabytes that training on 1,024 digits at a time takes, over hidden layers."""
    trainers: dict[str, Any] = {
        # Backpropagation saves the memory of averages as auxiliary networks do.
        "backprop": lambda net, example: AugLocal(lean_averages(net), example, blocks=1),
        "AugLocal": AugLocal,
        "greedy": partial(AugLocal, depth=0),
    }
    return memory_over_depth(trial, trainers)


@paper.claim(memory, figure=lines("layers", "all", xlabel="hidden layers, each a local block", ylabel="memory (MB)"))
def memory_saved(table):
    """The share of backpropagation's memory that a dozen local blocks do without: of all, and of a step's tensors."""
    return saved_of_backprop(table, "AugLocal")
