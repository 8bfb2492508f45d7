"""Labelled rows: how a trial draws those to learn from and those to test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.claims import Trial

from .problem import VALIDATION_SHARE, Dataset, Option, Options, Split
from .split_rows import Rows, SplitRows


class LabelledRows(SplitRows):
    """For problems whose data are labelled rows: every class is split alike, by the options ``train`` and ``test``.

    Where the data say which rows are to test, these are; where they name groups, whole groups are drawn. At smoke scale two rows
    a class are learned from in any case.
    """

    def rows(self, trial: Trial, content: Any, options: Options, split: Split) -> tuple[Rows, Rows]:
        """The rows to learn from and to test of one trial, or of its training part alone for validation."""
        train, test = _drawn(content, options, trial.rng("split"))
        if trial.scale == "smoke":
            train = train[: max(self.smoke_rows[0], 2 * len(content.classes))]
            test = trial.rng("smoke").permutation(test)[: self.smoke_rows[1]]  # they come class by class
        if split == "validation":
            kept, held_out = _held_out(content, train, trial.rng("validation"))
            train, test = train[kept], train[held_out]
        return train, test

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that every class can be learned, and that there is something to test."""
        train, classes = int(options["train"]), len(dataset.content.classes)
        if 0 < train < classes:
            raise ReplicaError(
                f"Option train is {train}, but {dataset.name} has {classes} classes; give --train {classes} or more."
            )
        tests, groups = (_part(dataset.content, name) for name in ("tests", "groups"))
        if tests is not None and not tests.any():
            raise ReplicaError(f"Of the rows to test of {dataset.name} none is left; wanted labels that are learned.")
        if tests is None and groups is not None and not len(_drawn(dataset.content, options)[1]):
            raise ReplicaError(
                f"No group of {dataset.name} can be tested so that each class is left to learn from; "
                "wanted every class in two groups or more."
            )

    def check_validation(self, dataset: Dataset, options: Options) -> None:
        """See that some class has two rows to learn from, one of which can be held out."""
        content = dataset.content
        train, _ = _drawn(content, options)
        grouped = _part(content, "groups") is not None
        if grouped and not all(len(part) for part in _held_out(content, train)):
            raise ReplicaError(
                f"Tuning holds groups out of those to learn from, but {dataset.name} has too few that share their classes; "
                "wanted every class in three groups or more, or leave --tune out."
            )
        if not grouped and np.bincount(content.labels[train]).max() < 2:
            raise ReplicaError(
                f"Tuning holds {self.unit} out of those to learn from, but {dataset.name} leaves {len(train)}, one a class; "
                f"give --train {2 * len(content.classes)} or more, a smaller --test, or leave --tune out."
            )


def labelled_options(train: int, unit: str = "rows") -> tuple[Option, Option]:
    """The options that `LabelledRows` reads."""
    return (
        Option("train", train, f"{unit} to learn from at most; 0 for all that are not tested", minimum=0,
               label=f"{unit.capitalize()} to learn from"),
        Option("test", 0.25, f"share of {unit} to test", minimum=0.01, maximum=0.95, label=f"Share of {unit} to test"),
    )  # fmt: skip


def _part(content: Any, name: str) -> NDArray[Any] | None:
    """The groups, or the rows to test, where the data name them."""
    found: NDArray[Any] | None = getattr(content, name, None)
    return found


def _drawn(content: Any, options: Options, rng: np.random.Generator | None = None) -> tuple[Rows, Rows]:
    """Rows to learn from and rows to test, before the scale has its say."""
    rng = rng or np.random.default_rng(0)
    labels, test, most = content.labels, float(options["test"]), int(options["train"])
    groups, tests = _part(content, "groups"), _part(content, "tests")
    if tests is None:
        if groups is None:
            return stratified_split(labels, test, most, rng)
        tests = drawn_groups(labels, groups, test, rng)
    return _mixed(labels, ~tests, rng)[: most or None], np.flatnonzero(tests)


def _held_out(content: Any, train: Rows, rng: np.random.Generator | None = None) -> tuple[Rows, Rows]:
    """Which of the rows to learn from stay so, and which are held out for validation."""
    rng = rng or np.random.default_rng(0)
    labels, groups = content.labels[train], _part(content, "groups")
    if groups is None:
        return stratified_split(labels, VALIDATION_SHARE, 0, rng)
    held_out = drawn_groups(labels, groups[train], VALIDATION_SHARE, rng)
    return _mixed(labels, ~held_out, rng), np.flatnonzero(held_out)


def stratified_split(labels: NDArray[np.int64], test: float, most: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Draw rows to learn from (0 for all) and to test; each class keeps its share in both, and one row at least.

    With one random state, fewer training rows are a subset of more, so that the points of a learning curve are paired.
    """
    tested, kept = [], []
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held_out = min(max(round(test * count), 1), count - 1)
        tested.append(rows[:held_out])
        kept.append(rows[held_out:])
    return _queued(kept)[: most or None], np.concatenate(tested)


def _mixed(labels: NDArray[np.int64], chosen: NDArray[np.bool_], rng: np.random.Generator) -> Rows:
    """The chosen rows, drawn in an order in which classes are mixed."""
    return _queued([rng.permutation(np.flatnonzero(chosen & (labels == label))) for label in np.unique(labels)])


def _queued(classes: Sequence[Rows]) -> Rows:
    """The rows of all classes in one queue: every class fills up at its own rate, the first row of each comes first."""
    turn = np.concatenate([np.arange(len(rows)) / len(rows) for rows in classes])
    return np.concatenate(classes)[np.argsort(turn, kind="stable")]


def drawn_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw whole groups, in random order, that together come near to a share of the rows; every class keeps a row outside.

    Which rows are of drawn groups, bool; none where each group holds all rows of some class.

    Example:
        >>> drawn_groups(np.array([0, 1, 0, 1]), np.array([5, 5, 3, 3]), 0.5, np.random.default_rng(0)).sum()
        np.int64(2)
    """
    _, numbers = np.unique(groups, return_inverse=True)
    counts = np.zeros((numbers.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (numbers, labels), 1)
    left, missing, drawn = counts.sum(axis=0), share * len(labels), np.zeros(len(counts), bool)
    for group in rng.permutation(len(counts)):
        rest, size = left - counts[group], counts[group].sum()
        nearer = abs(missing - size) < abs(missing) or not drawn.any()
        if nearer and rest[left > 0].all():
            left, missing, drawn[group] = rest, missing - size, True
    return drawn[numbers]
