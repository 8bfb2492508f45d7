"""How a trial cuts data into a stream of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import Trial
from replica.lab.problems.classification import data as classification_data
from replica.lab.problems.problem import VALIDATION_SHARE, Split, Value
from replica.lab.problems.stream.data import StreamContent
from replica.lab.problems.stream.shifts import shifted

PRETRAINING_SHARE = 0.2
"""The share of rows not tested that the unlabelled pretraining gets."""

_SMOKE_TASKS, _SMOKE_CLASSES, _SMOKE_ROWS, _SMOKE_TESTED = 3, 10, 10, 4

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Plan:
    """Which rows a trial learns and tests in which task, and which come before the stream: ``labelled`` where they bring labels.

    ``classes[i]`` is the data's number of class i, in the order in which classes appear.
    """

    classes: tuple[int, ...]
    learned: tuple[Rows, ...]
    tested: tuple[Rows, ...]
    pretraining: Rows
    labelled: bool


@dataclass(frozen=True)
class Part:
    """Inputs ``(count, *shape)``, float32, with labels ``(count,)``, int64."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """One task of a stream: what is learned, what is tested, and its classes."""

    learned: Part
    tested: Part
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Stream:
    """What a trial hands to a method, task after task."""

    classes: int
    tasks: tuple[Task, ...]
    pretraining: Part | None
    labelled: bool


def task_classes(classes: int, tasks: int, first: float) -> list[int]:
    """How many classes each task has: the first as many as told (below 1 a share), the others, or all, equally many up to one.

    Example:
        >>> task_classes(10, 5, 0), task_classes(10, 6, 0.5), task_classes(11, 3, 4)
        ([2, 2, 2, 2, 2], [5, 1, 1, 1, 1, 1], [4, 4, 3])
    """
    if not first:
        return [len(part) for part in np.array_split(np.arange(classes), tasks)]
    head = round(first * classes) if first < 1 else round(first)
    return [head, *(len(part) for part in np.array_split(np.arange(classes - head), tasks - 1))]


def plan(content: StreamContent, options: Mapping[str, Value], trial: Trial, split: Split) -> Plan:
    """Cut the data into the tasks of one trial.

    Each class is split alike (each class of each domain where the data name domains): rows to test, rows for the unlabelled
    pretraining, rows to learn from. Under ``split="validation"`` a fifth of the rows to learn from takes the place of the test.
    """
    labels, tests = content.labelled.labels, content.labelled.tests
    smoke = trial.scale == "smoke"
    order = trial.rng("order").permutation(len(content.labelled.classes))
    rows_before = np.empty(0, np.intp)
    rng = trial.rng("split")
    if options["pretrain"] == "classes":
        order, kept_out = _part_classes(order, content.families)
        rows_before = np.flatnonzero(np.isin(labels, kept_out) & (True if tests is None else ~tests))
        if smoke:
            rows_before = rows_before[np.isin(labels[rows_before], kept_out[:_SMOKE_CLASSES])]
            rows_before = rng.permutation(rows_before)[: _SMOKE_ROWS * _SMOKE_CLASSES]
    domains = content.domains if content.domains is not None else np.zeros(len(labels), np.int64)
    tasks = min(int(options["tasks"]), _SMOKE_TASKS) if smoke else int(options["tasks"])
    first = float(options["first"])
    if smoke and content.domains is None:
        first = first / len(order) if first >= 1 else first
        order = order[:_SMOKE_CLASSES]
    elif smoke:
        domains = np.where(domains < _SMOKE_TASKS, domains, -1)
    learned: dict[tuple[int, int], Rows] = {}
    tested: dict[tuple[int, int], Rows] = {}
    for domain in range(domains.max() + 1):
        for label in sorted(order):
            rows = rng.permutation(np.flatnonzero((labels == label) & (domains == domain)))
            held, before, kept = _split_cell(rows, options, smoke, tests)
            if split == "validation":
                count = min(max(round(VALIDATION_SHARE * len(kept)), 1), max(len(kept) - 1, 0))
                held, kept = kept[len(kept) - count :], kept[: len(kept) - count]
            learned[domain, label], tested[domain, label] = kept, held
            rows_before = np.concatenate([rows_before, before])
    groups: list[list[tuple[int, int]]]
    if content.domains is not None:
        groups = [[key for key in learned if key[0] == domain] for domain in range(domains.max() + 1)]
    elif options["setting"] == "domain":
        groups = [[(0, label) for label in sorted(order)]] * tasks
    else:
        ends = np.cumsum(task_classes(len(order), tasks, first))[:-1]
        groups = [[(0, int(label)) for label in part] for part in np.split(order, ends)]

    def gathered(cells: Mapping[tuple[int, int], Rows]) -> tuple[Rows, ...]:
        return tuple(np.concatenate([cells[key] for key in group]) for group in groups)

    parts = gathered(learned)
    appear = dict.fromkeys(int(label) for part in parts for label in _in_order(labels[part], order))
    return Plan(tuple(appear), parts, gathered(tested), rows_before, options["pretrain"] == "classes")


def _part_classes(order: NDArray[np.int64], families: NDArray[np.int64] | None) -> tuple[Any, Any]:
    """The classes of the stream, and those kept for pretraining: whole families where there are some, else half."""
    if families is None:
        half = len(order) // 2
        return order[half:], order[:half]
    seen = list(dict.fromkeys(families[order]))
    before = np.isin(families[order], seen[: len(seen) // 2])
    return order[~before], order[before]


def _split_cell(
    rows: Rows, options: Mapping[str, Value], smoke: bool, tests: NDArray[np.bool_] | None
) -> tuple[Rows, Rows, Rows]:
    """Rows to test (those that are told, where some are), rows for the unlabelled pretraining, rows to learn from."""
    count = len(rows)
    tested = min(max(round(float(options["test"]) * count), 1), max(count - 1, 0))
    held, rest = (rows[:tested], rows[tested:]) if tests is None else (rows[tests[rows]], rows[~tests[rows]])
    share = PRETRAINING_SHARE if options["pretrain"] == "unlabelled" else 0.0
    before, kept = np.split(rest, [min(round(share * len(rest)), max(len(rest) - 1, 0))])
    if smoke:
        return held[:_SMOKE_TESTED], before[:_SMOKE_ROWS], kept[:_SMOKE_ROWS]
    return held, before, kept[: int(options["train"]) or None]


def _in_order(labels: NDArray[np.int64], order: Sequence[int] | NDArray[np.int64]) -> list[int]:
    there = set(labels.tolist())
    return [int(label) for label in order if int(label) in there]


def build(content: StreamContent, options: Mapping[str, Value], trial: Trial, split: Split) -> Stream:
    """Make one trial's stream: plan it, turn rows into numbers, number the classes as they appear, shift domains.

    All that is estimated comes from the pretraining rows, or from those learned in the first task where there are none:
    see `replica.lab.problems.classification.data.prepare`.
    """
    made = plan(content, options, trial, split)
    reference = made.pretraining if len(made.pretraining) else made.learned[0]
    labelled = content.labelled
    _, values = classification_data.prepare(labelled, reference, np.arange(len(labelled)))
    inputs = values.astype(np.float32).reshape(len(labelled), *(labelled.shape or values.shape[1:]))
    numbers = np.full(len(labelled.classes), -1, np.int64)
    numbers[list(made.classes)] = np.arange(len(made.classes))
    shifting = options["setting"] == "domain" and content.domains is None
    tasks = []
    for k, rows in enumerate(zip(made.learned, made.tested, strict=True)):
        parts = []
        for part in rows:
            taken = inputs[part]
            if shifting:
                taken = shifted(taken, str(options["shift"]), k, len(made.learned), trial.rng("shift"))
            parts.append(Part(taken, numbers[labelled.labels[part]]))
        tasks.append(Task(parts[0], parts[1], tuple(np.unique(parts[0].labels).tolist())))
    before = None
    if len(made.pretraining):
        _, own = np.unique(labelled.labels[made.pretraining], return_inverse=True)
        before = Part(inputs[made.pretraining], own.astype(np.int64))
    return Stream(len(made.classes), tuple(tasks), before, made.labelled)
