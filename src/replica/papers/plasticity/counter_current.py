"""Kao and Hariharan 2024: Counter-Current Learning, a Biologically Plausible Dual Network Approach for Deep Learning.

A network learns beside a feedback network that runs the other way. How near does it come to backpropagation, is it better than
other rules without weight transport, and do the two networks grow alike?
"""

from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.data import digits
from replica.kernels import pairwise_linear_cka
from replica.lab.claims import LogUniform, Paper, Trial
from replica.lab.problems.credit.networks import network
from replica.lab.studies import Arena, dots, lines
from replica.plasticity.counter_current import CounterCurrentLearning
from replica.plasticity.learning_rule import LearningRule, adam
from replica.plasticity.target_projection import TargetProjection
from replica.plasticity.target_propagation import DifferenceTargetPropagation

paper = Paper("counter_current")
SPACE = {"learning_rate": LogUniform(1e-4, 1e-2)}


@paper.entry("credit", name="counter-current", space=SPACE, network=("mlp", "conv"))
def counter_current(trial: Trial, learning_rate: float = 3e-3, decorrelation: float = 0.0) -> LearningRule:
    """Feedback layers with ELU, drawn anew, beside the network as it is given."""
    generator = trial.generator("feedback")
    return LearningRule(
        CounterCurrentLearning, decorrelation=decorrelation, optimiser=adam(learning_rate), generator=generator
    )


@paper.entry("credit", name="target-propagation", space=SPACE, network=("mlp", "conv"))
def target_propagation(trial: Trial, learning_rate: float = 1e-3, step_size: float = 1.0) -> LearningRule:
    """Difference target propagation, which the paper compares with."""
    generator = trial.generator("feedback")
    return LearningRule(
        DifferenceTargetPropagation, step_size=step_size, optimiser=adam(learning_rate), generator=generator
    )


def direct_target_projection(trial: Trial, learning_rate: float = 3e-3) -> LearningRule:
    """Direct random target projection, which the paper compares with."""
    generator = trial.generator("feedback")
    return LearningRule(TargetProjection, layer_loss="direct", optimiser=adam(learning_rate), generator=generator)


DIGITS = Arena(
    "credit",
    data="digits",
    depth=5,
    width=128,
    activation="tanh",
    epochs=8,
    test=0.5,
    shift_batches=0,
    choose={"learning_rate": (0.003, 0.01)},
    smoke={"width": 8},
    full={"data": "mnist", "width": 256, "epochs": 100, "train": 0, "test": 0.25},
)
SHOWN = {"backprop": "backprop", "counter-current": counter_current, "hidden layers as drawn": "head-only"}
OTHERS = {
    "feedback alignment": "feedback-alignment",
    "direct feedback alignment": "direct-feedback-alignment",
    "target propagation": target_propagation,
    "direct random target projection": direct_target_projection,
}
accuracies = dots("method", "accuracy", xlabel="learning rule", ylabel="test accuracy (%)", percent=True)
perceptron = DIGITS.compare(SHOWN | OTHERS)
convolutions = DIGITS.compare(SHOWN).over(network=("conv",), width=(32,))


def beside_backprop(table: pd.DataFrame) -> dict[str, float]:
    """The gap to backpropagation, and what makes it worth a look."""
    accuracy = table.set_index("method")["accuracy"]
    ours = accuracy["counter-current"]
    return {
        "gap_to_backprop": accuracy["backprop"] - ours,
        "accuracy": ours,
        "accuracy_of_backprop": accuracy["backprop"],
        "gain_over_hidden_layers_as_drawn": ours - accuracy["hidden layers as drawn"],
    }


@paper.claim(perceptron, figure=accuracies)
def near_backprop(table: pd.DataFrame) -> dict[str, float]:
    """Five hidden layers of 128 units."""
    return beside_backprop(table)


@paper.claim(perceptron, figure=accuracies)
def above_others(table: pd.DataFrame) -> dict[str, float]:
    """The same networks, rows and batches for every rule."""
    accuracy = table.set_index("method")["accuracy"]
    gains = {f"gain_over_{name.replace(' ', '_')}": accuracy["counter-current"] - accuracy[name] for name in OTHERS}
    return {**gains, **beside_backprop(table)}


@paper.claim(convolutions, figure=accuracies)
def convolutional(table: pd.DataFrame) -> dict[str, float]:
    """Five convolutions of 32 channels and a linear head."""
    return beside_backprop(table)


def similarities(trainer: CounterCurrentLearning, inputs: Tensor, labels: Tensor) -> Float[Tensor, "levels levels"]:
    """CKA of each level of the feedback network (rows, from b_0 to the codes) with each of the network (a_0 to scores)."""
    with torch.no_grad():
        ups = [inputs]
        for layer in trainer.network.children():
            ups.append(layer(ups[-1]))
        codes = torch.eye(trainer.classes, device=inputs.device)
        downs = [signal[labels] for signal in (*trainer.signals(), codes)]
    return pairwise_linear_cka(*([level.flatten(1) for level in levels] for levels in (downs, ups)))


def growing_alike(trial: Trial) -> list[dict[str, Any]]:
    """Similarity of both networks' levels on rows not learned from, over 160 steps of five convolutions with ELU on digits.

    ``top`` is the box of Figure 6: scores and the two last hidden levels of the network, with the inputs' and the two first
    hidden levels of the feedback network; ``others`` are all other pairs.
    """
    images = digits()
    order = torch.as_tensor(trial.rng("split-0").permutation(len(images.labels)))
    learned, asked = order.split(trial.pick(smoke=64, laptop=len(order) // 2, full=len(order) // 2))[:2]
    values, labels = torch.tensor(images.values), torch.tensor(images.labels)
    values = ((values - values[learned].mean()) / values[learned].std())[:, None].to(trial.device)
    labels = labels.to(trial.device)
    learned, tested = learned.to(trial.device), asked[:500].to(trial.device)
    net = network(
        "conv", values.shape[1:], 10, depth=5, width=trial.pick(smoke=8, laptop=32, full=32),
        generator=trial.generator("network-0"),
    )  # fmt: skip
    for layer in list(net.children())[:-1]:
        layer[1] = nn.ELU()  # type: ignore[operator]
    trainer = counter_current(trial, 3e-3).build(net, nn.functional.cross_entropy, values[learned[:16]])
    drawn, rows, done = trial.rng("batches-0"), [], 0
    top = torch.zeros(7, 7, dtype=torch.bool)
    top[:3, -3:] = True
    for step in trial.pick(smoke=(0, 2), laptop=(0, 20, 40, 80, 160), full=(0, 20, 40, 80, 160)):
        for _ in range(step - done):
            batch = learned[torch.as_tensor(drawn.choice(len(learned), 32, replace=False), device=learned.device)]
            trainer.step(values[batch], labels[batch])
        found, done = similarities(trainer, values[tested], labels[tested]), step
        for levels, chosen in {"top three of either network": top, "other pairs of levels": ~top}.items():
            rows.append({"step": step, "levels": levels, "similarity": float(found[chosen].mean())})
    return rows


@paper.claim(growing_alike, figure=lines("step", "similarity", by="levels", ylabel="CKA of the two networks"))
def alignment(table: pd.DataFrame) -> dict[str, float]:
    """How much alike the two networks have grown."""
    similarity = table.pivot(index="step", columns="levels", values="similarity")
    rise = similarity.iloc[-1] - similarity.iloc[0]
    top = rise["top three of either network"]
    return {"rise_at_the_top": top, "rise_beyond_other_levels": top - rise["other pairs of levels"]}
