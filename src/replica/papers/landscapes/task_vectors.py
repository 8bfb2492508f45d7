"""Zhang, Albert, Rodriguez-Opazo, van den Hengel, Abbasnejad 2024: Knowledge Composition using Task Vectors with Learned
Anisotropic Scaling.

What fine-tuning changed in several networks, added up with a learned number for each block of parameters: do tasks disturb
one another less, and is a new task learned from fewer labels?
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd
import torch
from torch import nn

from replica.lab.claims import Integer, LogUniform, Paper, Trial
from replica.lab.problems import Merge
from replica.lab.problems.merge.nets import Trained, cross_entropy, trained
from replica.lab.problems.merge.scores import Labelled
from replica.lab.studies import Arena, dots, lines
from replica.landscapes import AnisotropicComposition, TaskVector, learn_scales
from replica.papers.baselines.merge import Merger, Rows
from replica.training import Replicas, train_replicas

paper = Paper("task_vectors")
Cell = tuple[int, float, int]
"""Labels a class, rate, task."""


def composing(trial: Trial, partitions: int, rate: float, steps: int) -> Merger:
    """A merger that learns the scales of what training changed, on the rows held out."""

    def combine(base: nn.Module, networks: Sequence[nn.Module], rows: Rows) -> nn.Module:
        vectors = [TaskVector.between(base, net) for net in networks]
        composed = AnisotropicComposition(base, vectors, partitions=partitions, generator=trial.generator("groups"))
        learn_scales(composed, rows, rate=rate, steps=trial.pick(smoke=3, laptop=steps, full=steps))
        merger.numbers_learned = composed.scales.numel()
        return composed.merged(base)

    merger = Merger(combine)
    return merger


@paper.entry("merge", name="atlas", space={"rate": LogUniform(0.003, 0.3), "partitions": Integer(1, 16)})
def atlas(trial: Trial, partitions: int = 1, rate: float = 0.03, steps: int = 200) -> Merger:
    """One learned scale for each task vector and block of parameters, or for each of a block's random groups."""
    return composing(trial, partitions, rate, steps)


def scale_each(trial: Trial, rate: float = 0.03) -> Merger:
    """One learned scale a task."""
    return composing(trial, 0, rate, 200)


def start(trial: Trial) -> Merger:
    """What all were trained on from."""
    return Merger(lambda base, networks, rows: base)


SETTINGS: dict[str, Any] = {"setting": "tasks", "networks": 6, "kinds": "turn,shear", "train": 2500, "held_out": 500}
TASKS = Arena("merge", data="mnist", smoke={"data": "digits"}, **SETTINGS)
scales = {"block by block": atlas, "a scale each": scale_each, "one scale": "task-arithmetic", "start": start}
merging = TASKS.compare(scales)


@paper.claim(
    merging, figure=dots("method", "kept", xlabel="scales", ylabel="single nets' accuracy kept (%)", percent=True)
)
def less_interference(table):
    """What learned scales keep of single nets' accuracy, beside one searched scale and one learned scale a task."""
    by = table.set_index("method")
    kept = by["kept"]
    return {
        "gain_over_one_scale": kept["block by block"] - kept["one scale"],
        "gain_over_a_scale_each": kept["block by block"] - kept["a scale each"],
        "kept_by_one_scale": kept["one scale"],
        "accuracy_of_single_nets": by["single"]["start"],
        "gain_over_start": kept["block by block"] - kept["start"],
    }


def networks(trial: Trial) -> Trained:
    """The networks of the arena."""
    problem = Merge()
    options = problem.resolve(SETTINGS)
    data = problem.load("digits" if trial.scale == "smoke" else "mnist", {})
    parts = problem.rows(trial, data.content, options, "test")
    return trained(trial, data.content, data.digest, parts, options, "test")


LABELS = (1, 2, 4)


def few_shot(trial: Trial) -> list[dict[str, Any]]:
    """Accuracy on each task of networks that learned it from few labels, over rates: on test rows, and on others held out."""
    nets = networks(trial)
    tasks = range(len(nets.networks))
    vectors = [TaskVector.between(nets.base, net) for net in nets.networks]
    random = [vector.random_like(trial.generator(f"random {i}", "cpu")) for i, vector in enumerate(vectors)]

    def composed(of: Sequence[TaskVector]) -> list[nn.Module]:
        return [AnisotropicComposition(nets.base, [*of[:task], *of[task + 1 :]]) for task in tasks]

    # What each method starts from, the parameters that stay, and its rates.
    methods: dict[str, tuple[Sequence[nn.Module], str, Sequence[float]]] = {
        "task vectors": (composed(vectors), "", (0.01, 0.03, 0.1)),
        "random directions": (composed(random), "", (0.01, 0.03, 0.1)),
        "linear probe": ([nets.base] * len(tasks), "layer", (0.001, 0.003, 0.01)),
        "full fine-tuning": ([nets.base] * len(tasks), "head", (0.0003, 0.001, 0.003)),
    }
    rows = []
    for method, (starts, still, rates) in methods.items():
        cells = list(product(LABELS, trial.pick(smoke=rates[:1], laptop=rates, full=rates), tasks))
        learned = adapted(trial, nets, [starts[task] for _, _, task in cells], cells, still)
        rows += measured(nets, learned, method, cells)
    controls = [(0, 0.0, task) for task in tasks]
    rows += measured(nets, Replicas([nets.base] * len(tasks)), "start", controls)
    return rows + measured(nets, Replicas(nets.networks), "all rows", controls)


def adapted(trial: Trial, nets: Trained, starts: Sequence[nn.Module], cells: Sequence[Cell], still: str) -> Replicas:
    """Networks that each learn their own few rows, side by side; parameters whose names begin with ``still`` stay."""
    replicas, steps = Replicas(starts), trial.pick(smoke=2, laptop=100, full=300)
    rows = [shots(nets, task, count) for count, _, task in cells]
    batch = tuple(torch.stack(part) for part in zip(*rows, strict=True))
    multiples = {name: 0.0 for name in replicas.parameters if still and name.startswith(still)}
    train_replicas(
        replicas, cross_entropy, [batch], steps=steps, rates=[rate for _, rate, _ in cells], optimiser="adam",
        multiples=multiples, clip_norm=1.0, schedule=lambda step: 1 - step / steps, shared=False,
    )  # fmt: skip
    return replicas


def shots(nets: Trained, task: int, count: int) -> Labelled:
    """As many of each class of the rows held out, the first ones; again and again until there are four of each."""
    inputs, labels = nets.held_out[task]
    chosen = torch.cat([torch.nonzero(labels == label)[:count, 0] for label in range(10)])
    again = chosen.repeat(max(LABELS) // count)
    return inputs[again], labels[again]


@torch.no_grad()
def measured(nets: Trained, replicas: Replicas, method: str, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Of each network on its task: accuracy on test rows, and on the later half of those held out, which no shot is of."""
    rows = [{"method": method, "labels": count, "rate": rate, "task": task} for count, rate, task in cells]
    unseen = [(inputs[len(inputs) // 2 :], labels[len(labels) // 2 :]) for inputs, labels in nets.held_out]
    for name, parts in (("accuracy", nets.tests), ("validation", unseen)):
        inputs, labels = (torch.stack([parts[task][i] for _, _, task in cells]) for i in range(2))
        right = replicas(inputs, shared=False).argmax(2) == labels
        for row, share in zip(rows, right.double().mean(1), strict=True):
            row[name] = float(share)
    return rows


def by_method(table):
    """Mean accuracy by method and labels a class; each task at the rate that does best on the other tasks' held-out rows."""
    table = table.reset_index(drop=True)
    total = table.groupby(["method", "labels", "rate"])["validation"].transform("sum")
    best = (total - table["validation"]).groupby([table[name] for name in ("method", "labels", "task")]).idxmax()
    return table.loc[best].groupby(["method", "labels"])["accuracy"].mean()


def shown(axes, table):
    """A line a method, over labels a class."""
    found = {seed: by_method(rows) for seed, rows in table[table["labels"] > 0].groupby("seed")}
    table = pd.concat(found, names=["seed"]).reset_index()
    draw = lines(
        "labels", "accuracy", "method", log="x", xlabel="labels a class", ylabel="test accuracy (%)", percent=True
    )
    draw(axes, table)


def gains(table, rival):
    """What task vectors gain on a rival by labels a class; and controls: room above the start, what of it is found."""
    found = by_method(table)
    ours, before = found["task vectors"], float(found["start"].iloc[0])
    room = {"headroom": float(found["all rows"].iloc[0]) - before, "gain_over_start": float(ours.mean()) - before}
    return ours - found[rival], room


@paper.claim(few_shot, figure=shown)
def few_shots(table):
    """What task vectors gain on full fine-tuning and on a linear probe from few labels."""
    (tuning, room), (probe, _) = gains(table, "full fine-tuning"), gains(table, "linear probe")
    at_one = {"gain_over_fine_tuning_at_one": tuning.iloc[0], "gain_over_probe_at_one": probe.iloc[0]}
    return {"gain_over_fine_tuning": tuning.mean(), "gain_over_probe": probe.mean(), **at_one, **room}


@paper.claim(few_shot, figure=shown)
def bases_matter(table):
    """What vectors of other tasks gain on random directions of equal number and length."""
    gain, room = gains(table, "random directions")
    return {"gain_over_random": gain.mean(), "gain_at_one": gain.iloc[0], **room}
