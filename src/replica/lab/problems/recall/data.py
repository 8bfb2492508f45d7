"""Data of the problem recall: real patterns in [0, 1] and their ±1 form, each set without duplicates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError

_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class PatternSets:
    """The distinct patterns of a data set, in the order in which they first occur.

    ``real`` are float32 in [0, 1], ``binary`` int8 of −1 and +1, both ``(count, dim)``; there may be fewer of the second, since
    rows that differ may look alike in ±1. The ``shape`` is one pattern's: ``(dim,)`` where it is no image.
    """

    real: NDArray[np.float32] = field(repr=False)
    binary: NDArray[np.int8] = field(repr=False)
    shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def distinct(self, values: Literal["binary", "real"]) -> NDArray[Any]:
        """The patterns in one of the two forms."""
        return self.binary if values == "binary" else self.real


def pattern_sets(values: NDArray[Any], shape: tuple[int, ...], name: str, notes: tuple[str, ...] = ()) -> PatternSets:
    """Bring patterns into both forms."""
    real = scale(values.reshape(len(values), -1), name)
    binary = binarise(real, image=len(shape) > 1)
    kept = binary[distinct_rows(binary)]
    notes += (f"{len(kept):,} of them distinct in ±1",) * (len(kept) < len(real))
    return PatternSets(real[distinct_rows(real)], kept, shape, notes)


def scale(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Scale to [0, 1] by the smallest and the largest value of the whole set (not of each column); all the same are refused."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ReplicaError(f"{name}: all values are {low:g}; wanted patterns that differ.")
    scaled = np.empty(values.shape, np.float32)
    for start in range(0, len(values), _BLOCK_ROWS):  # float64 a block at a time: the set may fill the memory
        block = slice(start, start + _BLOCK_ROWS)
        # Halves, so that the range of the largest numbers does not overflow.
        scaled[block] = (values[block].astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2)
    return scaled


def binarise(real: NDArray[np.float32], *, image: bool) -> NDArray[np.int8]:
    """Turn values in [0, 1] into ±1.

    Images, and sets of only two values, become +1 above half of the range; other data above the median of their column, so
    that every column carries as much information as it can.
    """
    two_valued = all(
        np.isin(real[start : start + _BLOCK_ROWS], (0.0, 1.0)).all() for start in range(0, len(real), _BLOCK_ROWS)
    )
    threshold = np.float32(0.5) if image or two_valued else np.median(real, axis=0)
    return np.where(real > threshold, np.int8(1), np.int8(-1))


def distinct_rows(patterns: NDArray[Any]) -> NDArray[np.intp]:
    """The first row of every set of equal rows, in order."""
    first: dict[bytes, int] = {}
    for i, row in enumerate(np.ascontiguousarray(patterns)):
        first.setdefault(hashlib.blake2b(row, digest_size=16).digest(), i)
    return np.fromiter(first.values(), np.intp, len(first))
