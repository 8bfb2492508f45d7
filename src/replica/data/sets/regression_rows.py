"""Data with one number a row to predict: what every reader of them gives, and what it asks of the numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.patterns import refuse

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RegressionRows:
    """Rows with one number each to predict.

    Args:
        features: A table, one row a sample: columns of numbers (NaN where one is missing) or of categories
            (pandas' category type). Or an array of finite numbers, ``(count, *shape)``, of images or signals.
        targets: Finite numbers that are not all the same, float64, shape ``(count,)``.
        target: What they are called.
        notes: What the reader decided on its own, such as leaving out rows without a number.
        groups: The number of each row's group, where the user named a column of them.
        group_names: What each group is called.
        tests: Which rows are there to test and not to learn from, where the user said so, bool.
        splits: Rows to test of each standard split, where the data have some.
    """

    features: pd.DataFrame | NDArray[Any] = field(repr=False)
    targets: NDArray[np.float64] = field(repr=False)
    target: str = "target"
    notes: tuple[str, ...] = ()
    groups: NDArray[np.int64] | None = field(default=None, repr=False)
    group_names: tuple[str, ...] = ()
    tests: NDArray[np.bool_] | None = field(default=None, repr=False)
    splits: tuple[NDArray[np.intp], ...] = field(default=(), repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image or signal; empty for the rows of a table."""
        return self.features.shape[1:] if isinstance(self.features, np.ndarray) else ()

    def __len__(self) -> int:
        return len(self.targets)


def check_targets(
    path: Path | str, targets: NDArray[np.float64], what: str
) -> tuple[NDArray[np.float64], NDArray[np.intp], list[str]]:
    """See that there are numbers to predict.

    Args:
        path: The file, for messages.
        targets: One a row, NaN where there is none.
        what: What they are in the user's terms, such as ``"column 'price'"``.

    Returns:
        The numbers as they are; the rows that have one; and a note where some have none.

    Raises:
        ReplicaError: If one is infinite, fewer than `FEWEST` rows have one, or all are the same.
    """
    if np.isinf(targets).any():
        raise refuse(path, f"{what} is infinite in row {int(np.isinf(targets).argmax()) + 1}", "wanted finite numbers")
    rows = np.flatnonzero(~np.isnan(targets))
    there = targets[rows]
    if len(rows) < FEWEST:
        raise refuse(
            path, f"{what} holds {len(rows)} numbers", f"wanted {FEWEST} rows or more to learn from and to test"
        )
    if there.min() == there.max():
        raise refuse(path, f"{what} is {there[0]:g} in every row", "wanted numbers that vary")
    with np.errstate(over="ignore", invalid="ignore"):  # such numbers are refused
        deviation = there.std()
    if not (np.isfinite(deviation) and deviation):
        raise refuse(path, f"{what} holds {np.abs(there).max():g}", "wanted numbers whose squares can be added up")
    missing = len(targets) - len(rows)
    return targets, rows, [f"{missing:,} rows without a number to predict left out"] * bool(missing)


FEWEST = 5
"""Rows that a table has at least."""
