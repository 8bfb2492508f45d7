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
DIM, NOISE, BATCH, RATE = 50, 0.1, 64, 1e-3
ACTIVATIONS = {"tanh": nn.Tanh, "ReLU": nn.ReLU}
TARGETS = (("a",), ("ab",), ("a", "ab"))
CORNER = "0: ab"  # inputs on a square and XOR as the only target


class Grid:
    """Tasks on the same latents and noise, a cell each; of a single target there is a copy that counts 0."""

    def __init__(self, separabilities: tuple[float, ...], trial: Trial) -> None:
        cells = list(product(separabilities, TARGETS))
        self.names = [f"{separability:g}: {' '.join(targets)}" for separability, targets in cells]
        self.tasks = [latent_task(*each, dim=DIM, generator=trial.generator("directions")) for each in cells]
        self.counts = torch.tensor([[True, len(targets) > 1] for _, targets in cells], device=trial.device)
        self.means = torch.stack([task.means for task in self.tasks])
        self.labels = torch.stack([task.labels[:, [0, -1]] for task in self.tasks])

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (cells, count, dim), labels (cells, count, 2) and conditions (count,)."""
        conditions = torch.randint(4, (count,), generator=generator, device=generator.device)
        spread = torch.randn(count, DIM, generator=generator, device=generator.device)
        return self.means[:, conditions] + NOISE * spread, self.labels[:, conditions], conditions

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
def geometry(nets: Replicas, grid: Grid, generator: torch.Generator) -> list[dict[str, Any]]:
    """Of the hidden layer in each cell: its alignments, and how its targets are coded."""
    inputs, labels, conditions = grid.draw(256, generator)
    right = ((nets(inputs, shared=False) > 0) == labels).float().mean(1)
    weight, bias, activation = nets.parameters["0.weight"], nets.parameters["0.bias"], nets.model(0)[1]  # type: ignore[index]
    clean, noisy = (activation(rows @ weight.mT + bias[:, None]).double() for rows in (grid.means, inputs))
    rows = []
    for cell, task in enumerate(grid.tasks):
        found: dict[str, Any] = {"cell": grid.names[cell], "accuracy": float(right[cell][grid.counts[cell]].mean())}
        kernel = clean[cell] @ clean[cell].T
        for name, other in (("target", task.target_kernel), ("input", task.input_kernel)):
            found[name] = float(kernel_alignment(kernel, other.double()))
        parallel = [parallelism_score(clean[cell], side) for side in task.labels.T]
        across = [cross_condition_generalization(noisy[cell], conditions, side) for side in task.labels.T]
        found["parallelism"], found["generalization"] = (float(sum(each)) / len(each) for each in (parallel, across))
        rows.append(found)
    return rows


def networks(trial: Trial) -> list[dict[str, Any]]:
    """Networks of both activations in all cells, before and after training."""
    separabilities = (0.0, 1.0) if trial.scale == "smoke" else (0.0, 0.25, 0.5, 1.0, 2.0)
    hidden, steps = trial.pick(smoke=(8, 3), laptop=(128, 800), full=(128, 10_000))
    grid, rows = Grid(separabilities, trial), []
    for name, activation in ACTIVATIONS.items():
        weights, batches = trial.generator("weights"), grid.batches(trial.generator("batches"))
        nets = Replicas([mlp((DIM, hidden, 2), activation=activation, generator=weights) for _ in grid.names])
        for training in ("before", "after"):
            if training == "after":
                train_replicas(nets, loss, batches, steps=steps, rates=RATE, optimiser="adam", shared=False)
            found = geometry(nets, grid, trial.generator("test"))
            rows += [{"activation": name, "training": training} | row for row in found]
    return rows


def by_cell(table: Any, measure: str, training: str = "after") -> Any:
    """A column an activation, and their difference, tanh less ReLU."""
    rows = table[table["training"] == training].pivot_table(index="cell", columns="activation", values=measure)
    return rows.assign(gain=rows["tanh"] - rows["ReLU"])


def compared(table: Any, measure: str) -> Any:
    """By cell after training and before, without the corner, and the measures that all judges give."""
    after, before = by_cell(table, measure), by_cell(table, measure, "before")
    right = by_cell(table, "accuracy").drop(CORNER)[list(ACTIVATIONS)].mean(axis=None)
    return after.drop(CORNER), before.drop(CORNER), {"gain_in_xor_corner": after["gain"][CORNER], "accuracy": right}


def shown(measure: str, label: str) -> Any:
    """Trained networks by cell."""

    def draw(axes, table):
        draw_dots = dots("cell", measure, "activation", xlabel="separability: targets", ylabel=label)
        draw_dots(axes, table[table["training"] == "after"])
        axes.tick_params(axis="x", rotation=90)

    return draw


@paper.claim(networks, figure=shown("target", "alignment with targets"))
def tanh_takes_target_geometry(table):
    """Target alignment, tanh less ReLU."""
    after, before, known = compared(table, "target")
    return known | {
        "target_alignment_gain": after["gain"].mean(),
        "share_of_cells": (after["gain"] > 0).mean(),
        "target_alignment_learned": after["tanh"].mean() - before["tanh"].mean(),
        "gain_before_training": before["gain"].mean(),
    }


@paper.claim(networks, figure=shown("input", "alignment with inputs"))
def relu_keeps_input_geometry(table):
    """Input alignment, ReLU less tanh."""
    after, before, known = compared(table, "input")
    return known | {
        "input_alignment_gain": -after["gain"].mean(),
        "share_of_cells": (after["gain"] < 0).mean(),
        "gain_in_xor_corner": -known["gain_in_xor_corner"],
        "input_alignment_lost": before["tanh"].mean() - after["tanh"].mean(),
        "gain_before_training": -before["gain"].mean(),
    }


@paper.claim(networks, figure=shown("parallelism", "parallelism score of targets"))
def training_disentangles_tanh_more(table):
    """Parallelism score of the targets that training adds, tanh less ReLU."""
    after, before, known = compared(table, "parallelism")
    return known | {
        "parallelism_gain_learned": after["gain"].mean() - before["gain"].mean(),
        "parallelism_gain": after["gain"].mean(),
        "generalization_gain": by_cell(table, "generalization")["gain"].drop(CORNER).mean(),
        "parallelism_of_relu": after["ReLU"].mean(),
    }
