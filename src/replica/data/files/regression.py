"""The user's own numbers to predict: tables with a column of them, ``.npz`` files."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from replica.data.files.column_types import as_numbers, first_word
from replica.data.files.tables import TABLES, Table
from replica.data.files.target_rows import Encoded, Target, found, read_target_rows
from replica.data.sets.patterns import refuse, shown
from replica.data.sets.regression_rows import RegressionRows, check_targets

if TYPE_CHECKING:
    import pandas as pd

REGRESSION_FORMATS: tuple[str, ...] = (*TABLES, ".npz")
"""What `read_regression` reads."""


def read_regression(
    source: str | os.PathLike[str] | Any,
    target: str = "",
    *,
    groups: str = "",
    keep: Collection[str] = (),
    drop: Collection[str] = (),
    test: str | os.PathLike[str] | Any = None,
) -> RegressionRows:
    """Read rows with a number to predict from a file or memory.

    - Tables of text or Parquet: one row a sample. Columns are read, and left out, as `replica.data.read_labelled` does.
    - ``.npz``: arrays ``X`` (``(count, features)``, or images or signals with more axes) and ``y``.

    Rows without a number to predict are left out; the notes say so.

    Args:
        source: The file (``~`` is the home folder); or a data frame, arrays by name, or a pair ``(X, y)``.
        target: The column to predict, by name or by number from 1; where empty, one called target or y.
        groups: A column or array that names the group of each row; it is no feature.
        keep: Columns that stay although they seem to tell nothing.
        drop: Columns that are left out.
        test: Rows of the same kind that are there to test; they come after the others, and `RegressionRows.tests` tells them.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.

    Example:
        >>> rows = read_regression({"X": np.eye(5), "y": np.arange(5)})
        >>> rows.targets.tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    data, tested = (found(each, REGRESSION_FORMATS) for each in (source, test))
    return cast(RegressionRows, read_target_rows(data, tested, NUMBERS, target, groups, keep, drop))


def _numbers(table: Table, name: str) -> pd.Series:
    column, _ = as_numbers(table.frame[name], table.decimal)
    if column is None:
        row, cell = first_word(table.frame[name]) or (0, "")
        wrong = f"{table.place(row, name)} is {shown(cell)!r:.60}, no number to predict"
        raise refuse(table.source, wrong, f"wanted numbers; words are predicted by {CLASSIFY}")
    return column


def _encode(path: Path | str, column: pd.Series, what: str, tests: NDArray[np.bool_] | None) -> Encoded:
    targets, rows, notes = check_targets(path, column.to_numpy(np.float64, na_value=np.nan), what)
    return targets, rows, (), notes


CLASSIFY = "replica compare classification"
"""What does for words what this does for numbers."""

NUMBERS = Target(
    ("target", "y"),
    _numbers,
    _encode,
    "buif",
    f"numbers; words are predicted by {CLASSIFY}",
    "wanted a file written by numpy.savez with arrays 'X' (one row a sample) and 'y' (one number a row)",
    lambda name, values, classes, **more: RegressionRows(targets=values, target=name, **more),
)
