"""Sarnthein, Bachmann, Anagnostidis, Hofmann 2023: Random Teachers are Good Teachers.

A deep net learns to give the outputs of another that was never trained: does it end with better features than its teacher, is it
the data that make them, and does it help to start next to the teacher?
"""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from replica.lab.claims import LogUniform, Paper, Trial, Uniform
from replica.lab.studies import dots
from replica.representations import PrototypeHead, RandomTeacher, distil, frozen_outputs, interpolated_start
from replica.training import Minibatches, conv_net, effective_rank, fit, mlp, neighbour_accuracy, ridge_probe

paper = Paper("random_teachers")
TEACHER, STUDENT, NOISE, ROOF = "teacher", "student", "student, random inputs", "labels"
START, FAR = "independent start", "student, independent start"
NEAR = 1e-10
"""The authors' α for a student that starts next to its teacher."""


@paper.entry(
    "pretext", name="random-teacher", space={"learning_rate": LogUniform(1e-4, 1e-2), "alpha": Uniform(0.0, 1.0)}
)
def random_teacher(trial: Trial, learning_rate: float = 1e-3, alpha: float = NEAR, batch: int = 128) -> RandomTeacher:
    """Outputs of a net that was never trained."""
    return RandomTeacher(alpha=alpha, batch=batch, learning_rate=learning_rate)


def digits(trial: Trial) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images of mean 0 and variance 1 to learn from, their labels, and the same to test."""
    pixels, labels = load_digits(return_X_y=True)
    order = trial.rng("rows").permutation(len(pixels))
    held = 450
    X, Y = torch.from_numpy(pixels[order]).float().view(-1, 1, 8, 8), torch.from_numpy(labels[order])
    X = (X - X[held:].mean()) / X[held:].std()
    X, Y = X.to(trial.device), Y.to(trial.device)
    return X[held:], Y[held:], X[:held], Y[:held]


def net(trial: Trial, name: str) -> nn.Sequential:
    """A deep encoder, and the head of self-distillation."""
    layers, width = trial.pick(smoke=(4, 2), laptop=(9, 16), full=(12, 64))
    channels, pools = (1, *[width] * layers), (1, layers // 2)
    encoder = conv_net(channels, 10, size=(8, 8), pool_after=pools, generator=trial.generator(name))[:-1]
    head = PrototypeHead(4 * width, 256, generator=trial.generator(f"head of {name}"))
    return nn.Sequential(encoder, head).to(trial.device)


def cross_entropy(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Of labels."""
    return nn.functional.cross_entropy(model(inputs), labels)


def students(trial: Trial) -> list[dict[str, Any]]:
    """Probe and neighbours' accuracies of a teacher, of its students, and of the same net trained on labels."""
    X, Y, test, truth = digits(trial)
    steps, labelled = trial.pick(smoke=(2, 2), laptop=(2000, 300), full=(20_000, 2000))
    teacher, fresh = net(trial, "teacher"), net(trial, "fresh")
    noise = torch.randn(X.shape, generator=trial.generator("noise"), device=X.device)
    rows: list[dict[str, Any]] = []

    def probe(method: str, model: nn.Module, left: float = 0.0) -> None:
        encoder = next(model.children())
        known, asked = frozen_outputs(encoder, X), frozen_outputs(encoder, test)
        accuracy = float(ridge_probe(known, Y).accuracy(asked, truth))
        near = neighbour_accuracy(known, Y, asked, truth)
        rank = float(effective_rank(asked))
        rows.append({"method": method, "accuracy": accuracy, "neighbours": near, "rank": rank, "loss left": left})

    probe(TEACHER, teacher)
    probe(START, fresh)
    for method, inputs, alpha in ((STUDENT, X, NEAR), (NOISE, noise, NEAR), (FAR, X, 1.0)):
        student = interpolated_start(teacher, fresh, alpha)
        losses = distil(
            student, teacher, inputs, steps=steps, generator=trial.generator("order"), batch=64, weight_decay=0.01,
            student_temperature=0.1, teacher_temperature=0.04,
        ).losses  # fmt: skip
        probe(method, student, float(np.mean(losses[-20:])) / losses[0])
    encoder, _ = interpolated_start(teacher, fresh, 0.0).children()
    roof = nn.Sequential(encoder, mlp((encoder(X[:1]).shape[1], 10), generator=trial.generator("roof")))
    batches = Minibatches(X, Y, size=64, generator=trial.generator("order"))
    optimiser = torch.optim.AdamW(roof.parameters(), 1e-3, weight_decay=0.01)
    fit(roof, cross_entropy, batches, optimiser=optimiser, steps=labelled)
    probe(ROOF, roof)
    return rows


draw = dots("method", "accuracy", xlabel="encoder", ylabel="probe accuracy (%)", percent=True)


def measured(table):
    """The gates of every claim, and the table by method."""
    rows = table.set_index("method")
    accuracy = rows["accuracy"]
    return {"headroom": accuracy[ROOF] - accuracy[TEACHER], "accuracy_of_roof": accuracy[ROOF]}, rows


@paper.claim(students, figure=draw)
def better_than_the_teacher(table):
    """The student on digits, next to its teacher at first."""
    gates, rows = measured(table)
    gain = rows.loc[STUDENT] - rows.loc[TEACHER]
    log_rank = np.log(rows["rank"])
    return gates | {
        "gain": gain["accuracy"],
        "gain_of_neighbours": gain["neighbours"],
        "log_rank_gained": log_rank[STUDENT] - log_rank[TEACHER],
    }


@paper.claim(students, figure=draw)
def data_matter(table):
    """Beside one that saw noise in place of digits."""
    gates, rows = measured(table)
    accuracy = rows["accuracy"]
    return gates | {
        "loss_by_random_inputs": accuracy[STUDENT] - accuracy[NOISE],
        "gain_by_random_inputs": accuracy[NOISE] - accuracy[TEACHER],
    }


@paper.claim(students, figure=draw)
def locality(table):
    """Beside one that started independently."""
    gates, rows = measured(table)
    accuracy = rows["accuracy"]
    return gates | {
        "gain_by_closeness": accuracy[STUDENT] - accuracy[FAR],
        "gain_from_afar": accuracy[FAR] - accuracy[TEACHER],
    }


@paper.claim(students, figure=draw)
def independent_start(table):
    """The student that started independently."""
    gates, rows = measured(table)
    gain, gain_over_start = (rows.loc[FAR] - rows.loc[before] for before in (TEACHER, START))
    return gates | {
        "gain_from_afar": gain["accuracy"],
        "gain_over_start": gain_over_start["accuracy"],
        "gain_of_neighbours_from_afar": gain["neighbours"],
    }
