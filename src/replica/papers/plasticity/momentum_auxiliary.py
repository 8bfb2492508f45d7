"""Su, Cai, Zhu, He, Xu, Guan, Si 2024: Momentum Auxiliary Network for Supervised Local Learning.

Local blocks that learn through a moving average of the block that follows, and a trainable layer beside it: does the average
help, how near does learning come to backpropagation, and how much memory does it save?
"""

from functools import partial
from typing import Any

from replica.lab.claims import LogUniform, Paper, Trial, Uniform
from replica.lab.problems.credit.step_memory import memory_over_depth, saved_of_backprop
from replica.lab.studies import Arena, dots, lines
from replica.plasticity.auglocal import AugLocal
from replica.plasticity.learning_rule import LearningRule, adam
from replica.plasticity.local_blocks import lean_averages
from replica.plasticity.momentum_auxiliary import MomentumAuxiliary

paper = Paper("momentum_auxiliary")


@paper.entry(
    "credit",
    name="momentum-auxiliary",
    space={"learning_rate": LogUniform(1e-4, 1e-2), "momentum": Uniform(0.8, 0.999)},
)
def momentum_auxiliary(
    trial: Trial, learning_rate: float = 1e-3, momentum: float = 0.9, average: bool = True
) -> LearningRule:
    """One local block a hidden layer, with learnable biases, and averages beside them."""
    generator = trial.generator("momentum-auxiliary")
    return LearningRule(
        MomentumAuxiliary, momentum=momentum, average=average, optimiser=adam(learning_rate), generator=generator
    )


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
    {
        "backprop": "backprop",
        "average and layer": momentum_auxiliary,
        "layer alone": (momentum_auxiliary, {"average": False}),
        "greedy": "greedy-local",
        "hidden layers as drawn": "head-only",
    }
)
accuracies = dots("method", "accuracy", xlabel="learning rule", ylabel="test accuracy (%)", percent=True)


def controls(accuracy):
    """What makes the comparison worth a look."""
    return {
        "accuracy_of_backprop": accuracy["backprop"],
        "greedy_behind_backprop": accuracy["backprop"] - accuracy["greedy"],
    }


@paper.claim(rules, figure=accuracies)
def exchange_gains(table):
    """What the average adds to the trainable layer beside it."""
    accuracy = table.set_index("method")["accuracy"]
    return {"gain_of_average": accuracy["average and layer"] - accuracy["layer alone"], **controls(accuracy)}


@paper.claim(rules, figure=accuracies)
def accuracy_over_layers(table):
    """How much of the gap that greedy learning leaves is closed."""
    accuracy = table.set_index("method")["accuracy"]
    ours, middle = accuracy["average and layer"], (accuracy["greedy"] + accuracy["backprop"]) / 2
    drawn = accuracy["hidden layers as drawn"]
    return {
        "past_half_of_the_gap": ours - middle,
        "gain_over_hidden_layers_as_drawn": ours - drawn,
        **controls(accuracy),
    }


def memory(trial: Trial) -> list[dict[str, Any]]:
    """Megabytes that training on 1,024 digits at a time takes, over hidden layers."""
    trainers: dict[str, Any] = {
        # Backpropagation saves the memory of averages as auxiliary networks do.
        "backprop": lambda net, example: AugLocal(lean_averages(net), example, blocks=1),
        "average and layer": MomentumAuxiliary,
        "greedy": partial(AugLocal, depth=0),
    }
    return memory_over_depth(trial, trainers)


@paper.claim(memory, figure=lines("layers", "all", xlabel="hidden layers, each a local block", ylabel="memory (MB)"))
def memory_saved(table):
    """The share of backpropagation's memory that a dozen local blocks do without: of all, and of a step's tensors."""
    return saved_of_backprop(table, "average and layer")
