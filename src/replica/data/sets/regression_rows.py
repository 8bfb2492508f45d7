"""Data with one number a row to predict: what every reader of them gives, and what it asks of the numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.patterns import refuse
from replica.data.sets.rows import Rows


@dataclass(frozen=True)
class RegressionRows(Rows):
    """Rows with one number each to predict; see `replica.data.sets.rows.Rows` for ``features``, ``notes``, ``groups``, ``tests``.

    Args:
        targets: Finite numbers that are not all the same, float64, shape ``(count,)``.
        target: What they are called.
        splits: Rows to test of each standard split, where the data have some.
    """

    targets: NDArray[np.float64] = field(repr=False)
    target: str = "target"
    splits: tuple[NDArray[np.intp], ...] = field(default=(), repr=False)


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
