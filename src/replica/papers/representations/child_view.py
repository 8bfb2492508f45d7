"""Orhan and Lake 2024: Learning high-level visual representations from a child's perspective without strong inductive biases.

A camera drifts over a few digits, as a child's eyes over few things: how much of what a reference gains that has seen thousands
of digits does a network gain from that stream, without labels, and do other streams give the same?
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replica.data import digits, mnist, omniglot
from replica.lab.claims import LogUniform, Paper, Trial, Uniform
from replica.lab.problems.pretext.nets import Encoder
from replica.lab.studies import dots
from replica.representations import MaskedTraining, StreamDistillation
from replica.training import label_budgets, ridge_probe

paper = Paper("child_view")
CHILDREN = ("first child", "second child", "third child")
Task = tuple[Tensor, Tensor, Tensor, Tensor]
"""Images and labels to learn a probe from, and others to ask it."""


@paper.entry(
    "pretext",
    name="camera-distillation",
    space={"learning_rate": LogUniform(3e-4, 1e-2), "turns": Uniform(0.0, 30.0)},
)
def camera_distillation(trial: Trial, learning_rate: float = 2e-3, turns: float = 15.0) -> StreamDistillation:
    """Neighbouring frames of a camera that drifts over the images."""
    return StreamDistillation(learning_rate=learning_rate, rotation=turns)


@paper.entry(
    "pretext",
    name="masked-autoencoder",
    space={"learning_rate": LogUniform(3e-4, 1e-2), "share": Uniform(0.3, 0.9)},
)
def masked_autoencoder(trial: Trial, learning_rate: float = 3e-3, share: float = 0.75) -> MaskedTraining:
    """Hidden patches are filled in."""
    return MaskedTraining(learning_rate=learning_rate, share=share)


def seen_and_asked(trial: Trial) -> tuple[Tensor, dict[str, Task]]:
    """Digits that streams are made of, and tasks on images of others: digits, and characters of many scripts."""
    smoke = trial.scale == "smoke"
    pool = digits() if smoke else mnist()
    images, labels = torch.from_numpy(pool.values)[:, None], torch.from_numpy(pool.labels)
    images = images if smoke else nn.functional.avg_pool2d(images, 2)
    order = torch.from_numpy(trial.rng("digits").permutation(len(images)))
    count, known = trial.pick(smoke=(100, 200), laptop=(5000, 1000), full=(5000, 1000))
    seen, bank, asked = order[:count], order[count : count + known], order[count + known :]
    tasks = {"digits": (images[bank], labels[bank], images[asked], labels[asked])}
    if smoke:  # needs no download
        return images[seen], tasks | {"letters": tasks["digits"]}
    letters = omniglot(images.shape[-1])
    drawn = np.sort(trial.rng("letters").choice(len(letters.characters), 40, replace=False))
    rows = np.isin(letters.labels, drawn)
    ink, kinds = (
        torch.from_numpy(letters.values[rows])[:, None],
        torch.from_numpy(np.searchsorted(drawn, letters.labels[rows])),
    )
    ink, early = ink / ink.amax((2, 3), keepdim=True), torch.from_numpy(letters.drawers[rows] < 10)
    return images[seen], tasks | {"letters": (ink[early], kinds[early], ink[~early], kinds[~early])}


def children(trial: Trial) -> list[dict[str, Any]]:
    """Accuracy of probes with ten labels a class: an untrained network, children, the reference, and unrelated moments."""
    images, tasks = seen_and_asked(trial)
    own, frames, steps, width = trial.pick(
        smoke=(10, 100, 3, 2), laptop=(60, 80_000, 500, 8), full=(60, 800_000, 20_000, 32)
    )
    order = torch.from_numpy(trial.rng("children").permutation(len(images)))
    shown = {name: images[order[own * k : own * (k + 1)]] for k, name in enumerate(CHILDREN)}
    rows = []

    def learned(name: str, stream: Tensor, steps: int, related: bool = True) -> None:
        side = images.shape[-1]
        encoder = Encoder((1, side, side), width, 64, trial.generator("encoder", "cpu"))().to(trial.device)
        method = StreamDistillation(related=related)
        method.learn(stream.to(trial.device), encoder, trial.generator(name), frames=frames, steps=steps)
        for task, (known, labels, asked, answers) in tasks.items():
            draws = trial.generator(f"labels of {task}", "cpu")
            budgets = [label_budgets(labels, (10,), draws)[0] for _ in range(5)]
            features = [method.embed(part.to(trial.device)).cpu() for part in (known, asked)]
            accuracy = ridge_probe(features[0], labels, budgets).accuracy(features[1], answers).mean()
            rows.append({"learner": name, "task": task, "accuracy": float(accuracy)})

    learned("untrained", images, 0)
    for name, stream in shown.items():
        learned(name, stream, steps)
    learned("reference", images, steps)
    learned("reference, unrelated", images, steps, related=False)
    return rows


shown = dots("learner", "accuracy", "task", xlabel="learned from", ylabel="probe accuracy (%)", percent=True)


@paper.claim(children, figure=shown)
def most_of_the_reference(table):
    """What children gain over the untrained network, beside what the reference gains."""
    accuracy = table.groupby("learner")["accuracy"].mean()
    untrained, reference = accuracy["untrained"], accuracy["reference"]
    child = accuracy[list(CHILDREN)].mean()
    return {
        "gain_past_70_percent": (child - untrained) - 0.7 * (reference - untrained),
        "share_of_accuracy": child / reference,
        "share_of_accuracy_untrained": untrained / reference,
        "gain_of_reference": reference - untrained,
        "gain_of_children": child - untrained,
        "reference_over_unrelated": reference - accuracy["reference, unrelated"],
    }


@paper.claim(children, figure=shown)
def children_agree(table):
    """How far apart three children are."""
    accuracy = table.pivot_table(index="learner", columns="task", values="accuracy")
    ours = accuracy.loc[list(CHILDREN)]
    return {
        "spread": ours.mean(axis=1).std(),
        "spread_of_digits": ours["digits"].std(),
        "gain_of_children": ours.mean(axis=1).mean() - accuracy.loc["untrained"].mean(),
    }
