"""Monotone deep Boltzmann machines (Feng, Winston and Kolter 2023).

One mean-field fixed point, found from any start and by a solver that always converges; images completed and classified at once.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from replica.data import digits, mnist
from replica.lab.claims import LogUniform, Paper, Proportion, Trial
from replica.lab.studies import dots, lines
from replica.memory import ConvolutionalMonotoneBoltzmann, MonotoneBoltzmann, NodeLayout, forward_backward, mean_field
from replica.memory.monotone_boltzmann_learners import (
    BoltzmannClassifier,
    BoltzmannMemory,
    learn_to_complete,
    start_at_frequencies,
)
from replica.memory.monotone_machine import UNKNOWN
from replica.training import split_indices

paper = Paper("monotone_boltzmann")

SEEN = 0.4
"""Share of pixels that inference may see, as in the authors' code."""


# --- One fixed point


def fixed_points(trial: Trial) -> list[dict[str, Any]]:
    """The most that fixed points from random starts and corners differ in any probability, in double precision.

    Machines with random factors (the fewer rows A has, the stronger Φ), each beside one whose couplings have the same
    nodes and spectral norm but random signs, solved by damped mean field; and a machine trained on digits.
    """
    machines = trial.pick(smoke=2, laptop=8, full=50)
    starts = trial.pick(smoke=3, laptop=16, full=64)
    layers = trial.pick(smoke=((6, 2), (1, 3)), laptop=((24, 2), (8, 4), (1, 10)), full=((128, 2), (32, 4), (1, 10)))
    generator = trial.generator("machines")
    rows: list[dict[str, Any]] = []
    excess = []
    for rank in trial.pick(smoke=(4,), laptop=(32, 16, 8, 4, 2), full=(128, 32, 8, 2, 1)):
        monotone, free = [], []
        for _ in range(machines):
            machine = MonotoneBoltzmann(
                layers, rank=rank, gain=4.0, generator=generator, dtype=torch.float64, tolerance=1e-9, steps=100_000
            )
            unary = torch.randn(machine.layout.entries, generator=generator, device=trial.device, dtype=torch.float64)
            machine.biases.data.copy_(unary)
            begin = machine.layout.random_marginals(starts, sharpness=10.0, generator=generator, like=unary)
            with torch.no_grad():
                coupling = machine.couplings()
                monotone.append(largest_distance(machine.infer(start=begin, batch=starts).solution.marginals))
                eigenvalues = torch.linalg.eigvalsh(coupling)
                signs = unrestricted(coupling, float(eigenvalues.abs().amax()), machine.layout, generator)
                found = mean_field(
                    partial(torch.matmul, other=signs), unary.expand(starts, -1), machine.layout, damping=0.85,
                    start=begin, steps=trial.pick(smoke=50, laptop=1500, full=5000), tolerance=1e-8,
                )  # fmt: skip
            free.append(largest_distance(found.marginals[found.converged]))
            excess.append(float(eigenvalues[-1]) - (1 - machine.margin))
        rows.append({"couplings": "monotone (most)", "rank": rank, "distance": max(monotone)})
        rows.append({"couplings": "unrestricted (mean)", "rank": rank, "distance": float(np.mean(free))})
    trained = train_on_images(trial, task := Task(trial), steps=trial.pick(smoke=2, laptop=100, full=2000)).double()
    trained.tolerance, trained.steps = 1e-9, 100_000
    pixels, seen = task.pixels[task.test][:1].expand(starts, -1), task.seen[:1].expand(starts, -1)
    begin = trained.layout.random_marginals(starts, sharpness=10.0, generator=generator, like=trained.biases)
    with torch.no_grad():
        points = trained.infer(torch.where(seen, pixels, UNKNOWN), start=begin).solution.marginals
    rows.append({"couplings": "trained on digits", "rank": 96, "distance": largest_distance(points)})
    return [*rows, {"excess": max(excess)}]


def largest_distance(points: Float[Tensor, "starts entries"]) -> float:
    """Largest difference in any entry between two rows; 0 without rows."""
    return float((points.amax(0) - points.amin(0)).max()) if len(points) else 0.0


def unrestricted(
    coupling: Float[Tensor, "entries entries"], norm: float, layout: NodeLayout, generator: torch.Generator
) -> Float[Tensor, "entries entries"]:
    """Symmetric couplings with the same nodes and spectral norm, normal numbers otherwise."""
    drawn = torch.randn(coupling.shape, generator=generator, device=coupling.device, dtype=coupling.dtype)
    free = torch.where(coupling == 0, 0.0, drawn + drawn.T)
    return free * norm / torch.linalg.matrix_norm(free, 2)


@paper.claim(
    fixed_points, figure=lines("rank", "distance", by="couplings", log="xy", xlabel="rank of A (fewer: stronger)")
)
def one_fixed_point(table):
    """Distances are the largest; that of unrestricted couplings is the mean over machines of the smallest rank."""
    distance = table.groupby("couplings")["distance"]
    return {
        "spread": distance.max()["monotone (most)"],
        "spread_trained": distance.max()["trained on digits"],
        "excess_eigenvalue": table["excess"].max(),
        "spread_unrestricted": distance.last()["unrestricted (mean)"],
    }


# --- A solver that always converges


def solvers(trial: Trial) -> list[dict[str, Any]]:
    """How many machines each solver solves to a residual of 0.001, all with the same number of updates."""
    machines = trial.pick(smoke=4, laptop=12, full=200)
    ranks = trial.pick(smoke=(4,), laptop=(64, 32, 16, 8, 4, 2), full=(64, 32, 16, 8, 4, 2, 1))
    steps = trial.pick(smoke=200, laptop=1000, full=1000)
    generator = trial.generator("machines")
    rows = []
    for rank in ranks:
        converged = {"proximal": 0, "mean field, plain": 0, "mean field, half damped": 0}
        for _ in range(machines):
            machine = MonotoneBoltzmann(((40, 2), (1, 10)), rank=rank, gain=2.0, generator=generator)
            unary = torch.randn(1, machine.layout.entries, generator=generator, device=trial.device)
            with torch.no_grad():
                couple, lipschitz = machine.coupling()
                found = [
                    forward_backward(
                        couple, unary, machine.layout, lipschitz=lipschitz, margin=machine.margin, steps=steps
                    ),
                    *(
                        mean_field(couple, unary, machine.layout, damping=damping, steps=steps)
                        for damping in (0.0, 0.5)
                    ),
                ]
            for name, solution in zip(converged, found, strict=True):
                converged[name] += float(solution.residual) < 1e-3
        rows += [
            {"solver": name, "rank": rank, "converged": count, "machines": machines, "share": count / machines}
            for name, count in converged.items()
        ]
    return rows


@paper.claim(
    solvers,
    figure=lines(
        "rank", "share", by="solver", log="x", xlabel="rank of A (fewer: stronger)", ylabel="machines converged"
    ),
)
def solver_converges(table):
    """The share of all machines that each solver solves."""
    sums = table.groupby("solver", sort=False)[["converged", "machines"]].sum()
    ours, plain, damped = sums["converged"]
    total = int(sums["machines"].iloc[0])
    return {
        "converged": Proportion(int(ours), total),
        "more_than_plain": (ours - plain) / total,
        "more_than_damped": (ours - damped) / total,
        "plain_converged": plain / total,
    }


# --- Completion and classification at once


class Task:
    """Digits in black and white (at full scale MNIST in 4 grey levels), labels, and which pixels of a test image are seen.

    Attributes:
        pixels: levels of all images, shape (count, pixels).
        labels: shape (count, 1).
        train: rows to learn from.
        test: rows to test on.
        seen: pixels of the test images that are seen.
    """

    def __init__(self, trial: Trial) -> None:
        images = mnist("train") if trial.scale == "full" else digits()
        count = trial.pick(smoke=100, laptop=None, full=None)
        self.levels = trial.pick(smoke=2, laptop=2, full=4)
        values = torch.tensor(images.values, device=trial.device).flatten(1)[:count]
        self.pixels = (values * self.levels).long().clamp_max(self.levels - 1)
        self.labels = torch.tensor(images.labels, device=trial.device)[:count].unsqueeze(1)
        generator = trial.generator("task")
        self.train, self.test = split_indices(len(self.pixels), (0.75, 0.25), generator)
        shape = len(self.test), self.pixels.shape[1]
        self.seen = torch.rand(shape, generator=generator, device=trial.device) < SEEN

    def frequencies(self) -> Float[Tensor, "pixels levels"]:
        """How often each pixel has each level in the images to learn from."""
        return one_hot(self.pixels[self.train], self.levels).float().mean(0)


def train_on_images(trial: Trial, task: Task, *, steps: int) -> MonotoneBoltzmann | ConvolutionalMonotoneBoltzmann:
    """A machine trained to complete pixels and label, given `SEEN` of the pixels, drawn anew in every batch."""
    generator = trial.generator("monotone")
    machine: MonotoneBoltzmann | ConvolutionalMonotoneBoltzmann
    if trial.scale == "full":
        machine = ConvolutionalMonotoneBoltzmann(
            (28, 28), task.levels, 10, hidden=(10, 4), rank=128, gain=0.3, tolerance=1e-2, generator=generator
        )
    else:
        layers = [(task.pixels.shape[1], task.levels), (32, 4), (1, 10)]
        machine = MonotoneBoltzmann(layers, rank=96, gain=0.3, tolerance=3e-2, generator=generator)
    start_at_frequencies(machine, task.frequencies())
    learn_to_complete(
        machine, task.pixels[task.train], task.labels[task.train], steps=steps, seen=SEEN, generator=generator,
        rate=trial.pick(smoke=0.01, laptop=0.01, full=0.003), size=trial.pick(smoke=16, laptop=64, full=128),
    )  # fmt: skip
    machine.tolerance = 1e-4
    return machine


def completion(trial: Trial) -> list[dict[str, Any]]:
    """Shares of unseen pixels and of labels inferred correctly, at once, from 40 % of the pixels; beside the most frequent."""
    task = Task(trial)
    machine = train_on_images(trial, task, steps=trial.pick(smoke=3, laptop=500, full=10_000))
    pixels, labels, hidden = task.pixels[task.test], task.labels[task.test], ~task.seen
    with torch.no_grad():
        found = machine.readout(machine.infer(torch.where(hidden, UNKNOWN, pixels)))
    guesses = {
        "monotone machine": (found[0].argmax(-1), found[2].argmax(-1)),
        "most frequent": (task.frequencies().argmax(-1).expand_as(pixels), task.labels[task.train].mode(0).values),
    }
    return [
        {"method": method, "inferred": name, "correct": float(right.float().mean())}
        for method, (completed, label) in guesses.items()
        for name, right in (("unseen pixels", (completed == pixels)[hidden]), ("labels", label == labels))
    ]


@paper.claim(completion, figure=dots("inferred", "correct", by="method", percent=True))
def completes_and_classifies(table):
    """Of unseen pixels, over the most frequent level; of labels, as it is (chance is 0.1)."""
    correct = table.set_index(["method", "inferred"])["correct"]
    ours, frequent = correct["monotone machine"], correct["most frequent"]
    return {
        "completion_over_frequencies": ours["unseen pixels"] - frequent["unseen pixels"],
        "accuracy": ours["labels"],
    }


# --- Entries


@paper.entry(
    "recall",
    name="monotone-boltzmann",
    space={"evidence": LogUniform(0.5, 8.0), "rate": LogUniform(0.003, 0.1)},
    values=("binary",),
)
def boltzmann_memory(trial: Trial, hidden: int = 64, evidence: float = 2.0, rate: float = 0.02) -> BoltzmannMemory:
    """Monotone Boltzmann machine trained to complete the patterns; cues are soft evidence."""
    steps = trial.pick(smoke=5, laptop=120, full=2000)
    return BoltzmannMemory(hidden, evidence, rate, steps, trial.generator("monotone-boltzmann"))


@paper.entry("classification", name="monotone-boltzmann-classifier", space={"rate": LogUniform(0.003, 0.1)})
def boltzmann_classifier(trial: Trial, hidden: int = 32, levels: int = 4, rate: float = 0.01) -> BoltzmannClassifier:
    """Monotone Boltzmann machine over features in levels, hidden nodes and label."""
    steps = trial.pick(smoke=60, laptop=500, full=5000)
    return BoltzmannClassifier(hidden, levels, rate, steps, trial.generator("monotone-boltzmann"))
