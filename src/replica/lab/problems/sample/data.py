"""Data of the problem sample: rows of named sets, of the user's own, or of a law that trials draw from; and their scale."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data import POINT_CLOUDS, digits, mnist, read_patterns, small_table
from replica.data.sets.patterns import refuse

FEWEST = 30
"""The fewest rows: ten are tested."""
SIDE = 14
"""Pixels a side of MNIST here."""
DISTANT = 1e6
"""In deviations of the data: how far numbers are told apart; what lies beyond counts as there."""
_EXACT = 2.0**53


@dataclass(frozen=True)
class Items:
    """What there is to imitate.

    Args:
        values: One item a row, flat, as the file has it; without rows where a law draws them.
        shape: The shape of one item.
        steps: By how much the levels of each value differ that are whole multiples of something; 0 where there are no levels.
        law: The name of the law that trials draw from; empty where there are rows.
        notes: What a reader must know besides.
    """

    values: NDArray[Any] = field(repr=False)
    shape: tuple[int, ...]
    steps: NDArray[np.float64] = field(repr=False)
    law: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_grid(self) -> bool:
        """Whether an item is an image or a signal, whose values share one scale, and not a row of unlike columns."""
        return len(self.shape) > 1


def named(name: str) -> Items:
    """The content of a named set."""
    if name in POINT_CLOUDS:
        dim = POINT_CLOUDS[name].dim
        return Items(np.empty((0, dim)), (dim,), np.zeros(dim), name)
    if name == "digits":
        images, step = digits().values, 1 / 16
    elif name == "mnist":
        whole = mnist(split="test").values
        images = whole.reshape(len(whole), SIDE, 2, SIDE, 2).mean(axis=(2, 4), dtype=np.float32)
        step = 1 / 255
    else:
        return checked(Path(name), np.asarray(small_table(name).features, np.float64), ())
    flat = images.reshape(len(images), -1)
    return Items(flat, images.shape[1:], np.full(flat.shape[1], step))


def read(path: Path | Any, *, keep: Collection[str] = (), drop: Collection[str] = (), colour: bool = False) -> Items:
    """Read the user's rows or images; see `replica.data.read_patterns`, and `checked`."""
    found = read_patterns(path, keep=keep, drop=drop, colour=colour)
    return checked(path, found.values, found.notes, found.shape)


def checked(path: Path, values: NDArray[Any], notes: tuple[str, ...], shape: tuple[int, ...] = ()) -> Items:
    """Leave out columns that tell nothing and rows that are copies, and see which values have levels.

    Equal rows stay where some value has levels, as whole numbers have: noise of one level is added to those by every trial.

    Raises:
        ReplicaError: If all rows are equal.
    """
    shape = shape or values.shape[1:]
    constant = (values == values[:1]).all(axis=0)
    if constant.all():
        raise refuse(path, "all rows are equal", "wanted rows that differ")
    if len(shape) == 1 and constant.any():
        values, told = values[:, ~constant], int(constant.sum())
        notes = (
            *notes,
            f"{told:,} {'column that is' if told == 1 else 'columns that are'} the same in all rows left out",
        )
        shape = values.shape[1:]
    steps = levels(values, together=len(shape) > 1)
    if steps.any():
        notes = (*notes, "noise of one level is added to whole numbers")
    else:
        # Rows as bytes: equal where all values are; adding 0 turns -0 to 0.
        seen = np.ascontiguousarray(values + 0).view(np.dtype((np.void, values.shape[1] * values.dtype.itemsize)))
        first = np.sort(np.unique(seen.ravel(), return_index=True)[1])
        if len(first) < len(values):
            left = len(values) - len(first)
            notes = (*notes, f"{left:,} {'row that is a copy' if left == 1 else 'rows that are copies'} left out")
            values = values[first]
    return Items(values, shape, steps, "", notes)


def levels(values: NDArray[Any], *, together: bool) -> NDArray[np.float64]:
    """The greatest step of which all values of a column, or of all columns together, are whole multiples apart; 0 if none is.

    Example:
        >>> levels(np.array([[1.0, 0.5, 2], [4, 1, 2], [10, 2, 2]]), together=False).tolist()
        [3.0, 0.0, 0.0]
    """
    columns = values.reshape(-1, 1) if together else values
    steps = np.zeros(columns.shape[1])
    for place, column in enumerate(columns.T):
        if (np.abs(column) < _EXACT).all() and (column == np.round(column)).all():
            whole = column.astype(np.int64)
            steps[place] = np.gcd.reduce(whole - whole[0])
    return np.broadcast_to(steps, values.shape[1:]).copy()


@dataclass(frozen=True)
class Standardisation:
    """What brings rows to mean 0 and deviation 1, and samples back: each column by itself, or all pixels alike.

    Args:
        mean: Of the training rows, shape ``(dim,)``.
        deviation: Likewise; 1 where training rows do not vary.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float64], *, together: bool) -> Standardisation:
        """Of training rows."""
        axis = None if together else 0
        # Brought below 1 first: squares of what floats can hold may overflow.
        largest = np.abs(rows).max(axis=axis)
        largest = np.where(largest > 0, largest, 1.0)
        mean, deviation = (function(rows / largest, axis=axis) * largest for function in (np.mean, np.std))
        deviation = np.where(deviation > 0, deviation, 1.0)
        return cls(*(np.broadcast_to(value, rows.shape[1:]) for value in (mean, deviation)))

    def scaled(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Rows as methods see them."""
        with np.errstate(over="ignore"):
            return ((rows - self.mean) / self.deviation).clip(-DISTANT, DISTANT).astype(np.float32)

    def restored(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Rows as the file has them."""
        return np.asarray(rows * self.deviation + self.mean)
