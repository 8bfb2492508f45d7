"""Alleman, Lindsey, Fusi 2024: Task structure and nonlinearity jointly determine learned representational geometry.

Do tanh networks take on the geometry of the targets, and ReLU networks keep that of the inputs, wherever the two differ?
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from replica.kernels import kernel_alignment
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots
from replica.representations import cross_condition_generalization, latent_task, parallelism_score
from replica.training import Replicas, mlp, train_replicas

paper = Paper("task_geometry")
DIM, BATCH, RATE = 50, 64, 1e-3
ACTIVATIONS = {"tanh": nn.Tanh, "ReLU": nn.ReLU}
TARGETS = (("a",), ("ab",), ("a", "ab"))
CORNER = "0: ab"
"""Inputs on a square and XOR as the only target."""


class Grid:
    """Tasks of all separabilities and targets, on the same latents and noise; a cell with one target has another that counts 0."""

    def __init__(self, separabilities: tuple[float, ...], trial: Trial) -> None:
        cells = list(product(separabilities, TARGETS))
        self.names = [f"{separability:g}: {' '.join(targets)}" for separability, targets in cells]
        self.tasks = [
            latent_task(*cell, dim=DIM, generator=trial.generator("directions")) for cell in cells
        ]
        self.counts = torch.tensor([[True, task.labels.shape[1] > 1] for task in self.tasks], device=trial.device)
        self.means = torch.stack([task.means for task in self.tasks])
        self.labels = torch.stack([task.labels[:, [0, -1]] for task in self.tasks])

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (cells, count, dim), labels (cells, count, 2) and conditions (count,)."""
        conditions = torch.randint(4, (count,), generator=generator, device=generator.device)
        spread = torch.randn(count, DIM, generator=generator, device=generator.device)
        inputs = self.means[:, conditions] + self.tasks[0].noise * spread
        return inputs, self.labels[:, conditions], conditions

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Fresh ones without end."""
        while True:
            inputs, labels, _ = self.draw(BATCH, generator)
            yield inputs, labels.float(), self.counts.float()


def loss(model: Any, inputs: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the targets that count."""
    each = nn.functional.binary_cross_entropy_with_logits(model(inputs), labels, reduction="none").mean(0)
    return (each * counts).sum() / counts.sum()


@torch.no_grad()
def geometry(nets: Replicas, grid: Grid, trial: Trial) -> list[dict[str, Any]]:
    """Of the hidden layer in each cell: its alignments, and how its targets are coded."""
    inputs, labels, conditions = grid.draw(256, trial.generator("test"))
    hidden = nets.losses(lambda model, *batch: model(*batch), (inputs,), shared=False)
    right = ((hidden > 0) == labels).float().mean(1)
    clean, noisy = (layer_of(nets, each) for each in (grid.means, inputs))
    rows = []
    for cell, (name, task) in enumerate(zip(grid.names, grid.tasks, strict=True)):
        centred = clean[cell] - clean[cell].mean(0)
        kernel = (centred @ centred.T).double()
        sides = list(task.labels.T)
        rows.append(
            {
                "cell": name,
                "accuracy": float(right[cell][grid.counts[cell]].mean()),
                "target": float(kernel_alignment(kernel, task.target_kernel.double())),
                "input": float(kernel_alignment(kernel, task.input_kernel.double())),
                "parallelism": sum(float(parallelism_score(clean[cell], side)) for side in sides) / len(sides),
                "generalization": sum(
                    float(cross_condition_generalization(noisy[cell], conditions, side)) for side in sides
                )
                / len(sides),
            }
        )
    return rows


def layer_of(nets: Replicas, inputs: Tensor) -> Tensor:
    """Hidden activations, (cells, rows, units)."""
    weights = nets.parameters
    before = torch.baddbmm(weights["0.bias"][:, None], inputs, weights["0.weight"].mT)
    return nets.model(0)[1](before)


def networks(trial: Trial) -> list[dict[str, Any]]:
    """Networks of both activations in all cells, before and after training."""
    separabilities = trial.pick(smoke=(0.0, 1.0), laptop=(0.0, 0.25, 0.5, 1.0, 2.0), full=(0.0, 0.25, 0.5, 1.0, 2.0))
    hidden, steps = trial.pick(smoke=(8, 3), laptop=(128, 1500), full=(128, 10_000))
    grid = Grid(separabilities, trial)
    rows = []
    for name, activation in ACTIVATIONS.items():
        weights = trial.generator("weights")
        nets = Replicas([mlp((DIM, hidden, 2), activation=activation, generator=weights) for _ in grid.names])
        for training in ("before", "after"):
            if training == "after":
                batches = grid.batches(trial.generator("batches"))
                train_replicas(nets, loss, batches, steps=steps, rates=RATE, optimiser="adam", shared=False)
            rows += [{"activation": name, "training": training, **row} for row in geometry(nets, grid, trial)]
    return rows


def gains(table, measure: str, training: str = "after"):
    """Tanh less ReLU by cell, and that of the corner."""
    rows = table[table["training"] == training].pivot_table(index="cell", columns="activation", values=measure)
    gain = rows["tanh"] - rows["ReLU"]
    return gain.drop(CORNER), gain[CORNER]


def mean(table, measure: str, activation: str, training: str = "after") -> float:
    """Over the grid without the corner."""
    rows = table[(table["activation"] == activation) & (table["training"] == training) & (table["cell"] != CORNER)]
    return rows[measure].mean()


def accuracy(table) -> float:
    """Of trained networks, over the grid and both activations."""
    return (mean(table, "accuracy", "tanh") + mean(table, "accuracy", "ReLU")) / 2


def shown(measure: str, label: str):
    """Trained networks by cell."""

    def draw(axes, table):
        trained = table[table["training"] == "after"]
        dots("cell", measure, "activation", xlabel="separability: targets", ylabel=label)(axes, trained)
        axes.tick_params(axis="x", rotation=90)

    return draw


@paper.claim(networks, figure=shown("target", "alignment with targets"))
def tanh_takes_target_geometry(table):
    """Target alignment, tanh less ReLU."""
    gain, corner = gains(table, "target")
    return {
        "target_alignment_gain": gain.mean(),
        "share_of_cells": (gain > 0).mean(),
        "gain_in_xor_corner": corner,
        "accuracy": accuracy(table),
        "target_alignment_learned": mean(table, "target", "tanh") - mean(table, "target", "tanh", "before"),
        "gain_before_training": gains(table, "target", "before")[0].mean(),
    }


@paper.claim(networks, figure=shown("input", "alignment with inputs"))
def relu_keeps_input_geometry(table):
    """Input alignment, ReLU less tanh."""
    gain, corner = gains(table, "input")
    return {
        "input_alignment_gain": -gain.mean(),
        "share_of_cells": (gain < 0).mean(),
        "gain_in_xor_corner": -corner,
        "accuracy": accuracy(table),
        "input_alignment_lost": mean(table, "input", "tanh", "before") - mean(table, "input", "tanh"),
        "gain_before_training": -gains(table, "input", "before")[0].mean(),
    }


@paper.claim(networks, figure=shown("parallelism", "parallelism score of targets"))
def tanh_disentangles(table):
    """Parallelism score of the targets, tanh less ReLU."""
    gain, corner = gains(table, "parallelism")
    return {
        "parallelism_gain": gain.mean(),
        "generalization_gain": gains(table, "generalization")[0].mean(),
        "gain_in_xor_corner": corner,
        "accuracy": accuracy(table),
        "parallelism_of_relu": mean(table, "parallelism", "ReLU"),
        "gain_before_training": gains(table, "parallelism", "before")[0].mean(),
    }
