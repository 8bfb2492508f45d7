"""Labelled rows: how a trial draws those to learn from and those to test, every class alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.claims import Trial

from .problem import VALIDATION_SHARE, Dataset, Option, Split, Value

Rows = NDArray[np.intp]


class LabelledRows:
    """For problems whose data are labelled rows: every class is split alike, by the options ``train`` and ``test``."""

    smoke_rows: ClassVar[tuple[int, int]] = (100, 100)
    """The most rows to learn from (two a class in any case) and to test at smoke scale."""
    unit: ClassVar[str] = "rows"
    """What a row is called."""

    def rows(self, trial: Trial, content: Any, options: Mapping[str, Value], split: Split) -> tuple[Rows, Rows]:
        """The rows to learn from and to test of one trial, or of its training part alone for validation."""
        labels = content.labels
        train, test = stratified_split(labels, float(options["test"]), int(options["train"]), trial.rng("split"))
        if trial.scale == "smoke":
            train = train[: max(self.smoke_rows[0], 2 * len(content.classes))]
            test = trial.rng("smoke").permutation(test)[: self.smoke_rows[1]]  # they come class by class
        if split == "validation":
            kept, held_out = stratified_split(labels[train], VALIDATION_SHARE, 0, trial.rng("validation"))
            train, test = train[kept], train[held_out]
        return train, test

    def check(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that every class can be learned.

        Raises:
            ReplicaError: If fewer rows to learn from are asked for than there are classes.
        """
        train, classes = int(options["train"]), len(dataset.content.classes)
        if 0 < train < classes:
            raise ReplicaError(
                f"Option train is {train}, but {dataset.name} has {classes} classes; give --train {classes} or more."
            )

    def check_validation(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that some class has two rows to learn from, one of which can be held out.

        Raises:
            ReplicaError: If none has.
        """
        labels = dataset.content.labels
        train, _ = stratified_split(labels, float(options["test"]), int(options["train"]), np.random.default_rng(0))
        if np.bincount(labels[train]).max() < 2:
            raise ReplicaError(
                f"Tuning holds {self.unit} out of those to learn from, but {dataset.name} leaves {len(train)}, one a class; "
                f"give --train {2 * len(dataset.content.classes)} or more, a smaller --test, or leave --tune out."
            )


def labelled_options(train: int, unit: str = "rows") -> tuple[Option, Option]:
    """The options that `LabelledRows` reads."""
    return (
        Option("train", train, f"{unit} to learn from at most; 0 for all that are not tested", minimum=0,
               label=f"{unit.capitalize()} to learn from"),
        Option("test", 0.25, f"share of {unit} to test", minimum=0.01, maximum=0.95, label=f"Share of {unit} to test"),
    )  # fmt: skip


def stratified_split(labels: NDArray[np.int64], test: float, most: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Draw the rows to test and the rows to learn from; each class keeps its share in both, and one row at least.

    With one random state, fewer training rows are a subset of more, so that the points of a learning curve are paired.

    Args:
        labels: Class numbers, each class with two rows or more.
        test: The share of rows to test.
        most: The most rows to learn from; 0 for all that are not tested.
        rng: Where randomness comes from.

    Returns:
        Rows to learn from, classes mixed; and rows to test, class by class.
    """
    classes, counts = np.unique(labels, return_counts=True)
    tested, kept, turn = [], [], []
    for label, count in zip(classes, counts, strict=True):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held_out = min(max(round(test * count), 1), count - 1)
        tested.append(rows[:held_out])
        kept.append(rows[held_out:])
        # Its place in the queue: every class fills up at its own rate, the first row of each comes first.
        turn.append(np.arange(count - held_out) / (count - held_out))
    order = np.argsort(np.concatenate(turn), kind="stable")
    train = np.concatenate(kept)[order]
    return train[: most or None], np.concatenate(tested)
