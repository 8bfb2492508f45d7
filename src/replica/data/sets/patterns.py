"""Patterns from the user's file, and what every reader asks of them: numbers, finite, not too many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError

LIMIT_BYTES = 2 * 2**30
"""The most that a file may hold once decoded."""


@dataclass(frozen=True)
class Patterns:
    """One pattern a row, as the file has them: not scaled, not shuffled.

    Args:
        values: Finite numbers, float32 or float64 (whichever holds the file's numbers), shape
            ``(count, dim)`` with ``dim >= 2``.
        shape: The shape of one pattern in the file: ``(height, width)`` for images, ``(dim,)`` for the rows
            of a table.
        notes: What the reader decided on its own, such as taking the first line for column names.
    """

    values: NDArray[Any] = field(repr=False)
    shape: tuple[int, ...]
    notes: tuple[str, ...] = ()


def refuse(path: Path | str, wrong: str, wanted: str) -> ReplicaError:
    """Build the one-line error of a reader: the file, what is wrong with it, what is wanted."""
    line = f"{shown(path)}: {shown(wrong)}; {shown(wanted)}"
    return ReplicaError(line if line.endswith("?") else line + ".")


def shown(text: Any) -> str:
    """Write a name from outside on one line: control characters are escaped, long text is cut."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return line if len(line) <= 300 else line[:299] + "…"


def floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The floating type that holds numbers of ``dtype``: float32 where that is enough, else float64."""
    return np.dtype(np.float32) if np.result_type(dtype, np.float32) == np.float32 else np.dtype(np.float64)


def check_shape(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], what: str = "the array") -> None:
    """See that an array of this shape is a list of patterns and fits the memory, before any of it is read."""
    if len(shape) < 2:
        raise refuse(path, f"{what} has shape {shape}", "wanted two axes or more, one pattern a row")
    if any(size < 1 for size in shape):
        raise refuse(path, f"{what} is empty, of shape {shape}", "wanted one pattern a row")
    if math.prod(shape[1:]) < 2:
        raise refuse(path, f"{what} has one column only", "wanted two values or more in every pattern")
    needed = math.prod(shape) * floating(dtype).itemsize
    if needed > LIMIT_BYTES:
        raise refuse(
            path,
            f"{what}, {' × '.join(f'{size:,}' for size in shape)} values, needs {needed / 2**30:.1f} GiB",
            f"wanted at most {LIMIT_BYTES / 2**30:g} GiB: bring fewer rows",
        )


def to_patterns(
    path: Path,
    array: NDArray[Any],
    *,
    notes: tuple[str, ...] = (),
    locate: Callable[[int, tuple[int, ...]], str] = lambda row, rest: f"the value at {(row, *rest)} (from 0)",
) -> Patterns:
    """Turn an array ``(count, ...)`` that passed `check_shape` into patterns; the first NaN or infinity is refused.

    ``locate`` says in the user's terms where the value of a row and the index within that row stands.
    """
    finite = np.isfinite(array)
    if not finite.all():
        row, *rest = (int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
        raise refuse(
            path,
            f"{locate(row, tuple(rest))} is {array[row, *rest]}",
            "wanted finite numbers: fill or drop it",
        )
    values = np.ascontiguousarray(array, floating(array.dtype)).reshape(len(array), -1)
    return Patterns(values, tuple(array.shape[1:]), notes)
