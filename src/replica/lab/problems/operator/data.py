"""Data of the problem operator: solution maps by name, and the user's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from replica.data import SolutionMap, burgers, darcy, helmholtz
from replica.data.sets.patterns import LIMIT_BYTES
from replica.errors import ReplicaError
from replica.lab.problems.problem import Options

SMALLEST_GRID = 5
"""Nodes that are left of an axis after the stride, at least."""

TRAIN, TEST = 200, 50
"""Samples to train on and to test on, where a file holds as many."""
SEED = 0
"""The seed of the named sets, where none stands behind the name; trials differ in which samples they train on."""


def solve(name: str, seed: int, count: int, resolution: int) -> SolutionMap:
    """Make a named solution map, or take it from the cache; one that would be too large or too coarse is refused."""
    needed = 8 * count * (resolution if name == "burgers" else (resolution + 1) ** 2)
    if needed > LIMIT_BYTES:
        raise ReplicaError(
            f"{name}: {count:,} samples at resolution {resolution} need {needed / 2**30:.1f} GiB, more than"
            f" {LIMIT_BYTES / 2**30:g} GiB; give a smaller --samples or --resolution."
        )
    try:
        if name.startswith("darcy"):
            made = darcy("smooth" if name == "darcy-smooth" else "two-phase", count, resolution, seed)
        else:
            made = (burgers if name == "burgers" else helmholtz)(count, resolution, seed)
    except ValueError as error:
        raise ReplicaError(str(error)) from None
    return replace(made, notes=(size(made),))


def sizes(options: Options, count: int) -> tuple[int, int]:
    """Samples to train on and to test on: of a file with fewer than the defaults ask for, four fifths and one fifth."""
    train, test = int(options["train"]), int(options["test"])
    if (train, test) == (TRAIN, TEST) and train + test > count:
        return count - max(1, count // 5), max(1, count // 5)
    return train, test


def size(content: SolutionMap) -> str:
    """How many samples on which grid, in words."""
    grid = " × ".join(map(str, content.grid))
    channels = content.inputs.shape[1], content.outputs.shape[1]
    kinds = "" if channels == (1, 1) else f" with {channels[0]} input and {channels[1]} output channels"
    return f"{len(content):,} samples on {grid} nodes{kinds}"


def stride_fits(nodes: int, stride: int, boundary: str) -> bool:
    """Whether every ``stride``-th of the nodes is a regular grid of the same domain.

    Example:
        >>> stride_fits(65, 2, "dirichlet"), stride_fits(64, 2, "dirichlet"), stride_fits(64, 2, "periodic")
        (True, False, True)
    """
    ends, whole = (nodes - 1) % stride == 0, nodes % stride == 0
    return {"periodic": whole, "unknown": ends or whole}.get(boundary, ends)


def strides(content: SolutionMap) -> str:
    """The strides that fit the data, in words."""
    fitting = [
        stride
        for stride in range(1, 17)
        if all(
            stride_fits(nodes, stride, content.boundary) and -(-nodes // stride) >= SMALLEST_GRID
            for nodes in content.grid
        )
    ]
    return " or ".join(map(str, fitting[:3]))


def strided(values: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Take every ``stride``-th grid point of ``(count, channels, *grid)`` values."""
    return values[(slice(None), slice(None), *(slice(None, None, stride) for _ in values.shape[2:]))]
