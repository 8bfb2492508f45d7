"""Data of the problem recall: real patterns in [0, 1] and their ±1 form, each set without duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.problems.data_sources import column_names, digest, user_path
from replica.lab.problems.own_rows import refuse_own
from replica.lab.problems.problem import Dataset, Value

NAMED: Mapping[str, str] = {
    "digits": "1,797 handwritten digits of 8 × 8 pixels (ships with scikit-learn)",
    "mnist": "MNIST's 10,000 test digits of 28 × 28 pixels (11 MB, downloaded once)",
}

_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class PatternSets:
    """The distinct patterns of a data set, in the order in which they first occur.

    Args:
        real: float32 in [0, 1], shape ``(count, dim)``.
        binary: int8 of −1 and +1, shape ``(count, dim)``; the count may be smaller, since rows that differ
            may look alike in ±1.
    """

    real: NDArray[np.float32] = field(repr=False)
    binary: NDArray[np.int8] = field(repr=False)

    def distinct(self, values: Literal["binary", "real"]) -> NDArray[Any]:
        """The patterns in one of the two forms."""
        return self.binary if values == "binary" else self.real


def load(source: str, options: Mapping[str, Value]) -> Dataset:
    """Read a named data set or the user's file, and bring it into both forms.

    Raises:
        ReplicaError: If there is no such data, or its values are all the same.
    """
    if source in NAMED:
        refuse_own(source, options)
        from replica.data import digits, mnist

        images = digits() if source == "digits" else mnist(split="test")
        return _dataset(source, NAMED[source], images.values.reshape(len(images), -1), images.values.shape[1:])

    from replica.data import read_patterns

    path = user_path(source, NAMED, "a file or a folder of images")
    keep, drop = (column_names(str(options.get(name, ""))) for name in ("keep", "drop"))
    found = read_patterns(path, keep=keep, drop=drop, colour=options.get("colour") == "kept")
    count = f"{len(found.values):,} patterns of {' × '.join(map(str, found.shape))} values from {path.name}"
    scaling = "scaled to [0, 1] by the smallest and largest value of the whole file"
    return _dataset(source, "; ".join((count, *found.notes, scaling)), found.values, found.shape)


def _dataset(name: str, description: str, values: NDArray[Any], shape: tuple[int, ...]) -> Dataset:
    real = scale(values, name)
    binary = binarise(real, image=len(shape) > 1)
    sets = PatternSets(real[distinct_rows(real)], binary[distinct_rows(binary)])
    hashed = digest((sets.real.shape, sets.binary.shape, shape), sets.real, sets.binary)
    if len(sets.binary) < len(real):
        description += f"; {len(sets.binary):,} of them distinct in ±1"
    return Dataset(name=name, description=description, content=sets, digest=hashed, shape=shape)


def scale(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Scale to [0, 1] by the smallest and the largest value of the whole set (not of each column).

    Raises:
        ReplicaError: If all values are the same.
    """
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

    Images, and sets of only two values, become +1 above half of the range. Other data become +1 above the
    median of their column, so that every column carries as much information as it can.

    Args:
        real: Values in [0, 1], shape ``(count, dim)``.
        image: Whether the patterns are images.
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
