"""Data of the problem operator: solution maps by name, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from replica.data import SolutionMap, burgers, darcy, helmholtz, read_solution_map, split_seed
from replica.data.sets.patterns import LIMIT_BYTES
from replica.errors import ReplicaError
from replica.lab.problems.data_sources import digest, user_path
from replica.lab.problems.problem import Dataset, Value

__all__ = ["SolutionMap", "burgers", "darcy", "helmholtz", "load"]

SMALLEST_GRID = 5
"""Nodes that are left of an axis after the stride, at least."""

TRAIN, TEST = 200, 50
"""Samples to train on and to test on, where a file holds as many."""
SEED = 0
"""The seed of the named sets, where none stands behind the name; trials differ in which samples they train on."""


def load(source: str, options: Mapping[str, Value], named: Mapping[str, str]) -> Dataset:
    """Make a named solution map, or read the user's file.

    Args:
        source: One of ``named``, or a path.
        options: ``samples`` and ``resolution`` say how a named map is made, ``axes`` how a file is read.
        named: The names, with their descriptions.

    Raises:
        ReplicaError: In one line, what is wrong and what is wanted.
    """
    name, drawn = split_seed(source, named)
    if name in named:
        if options["axes"]:
            raise ReplicaError(f"Data {source} is made on the spot; leave --axes out.")
        seed = SEED if drawn is None else drawn
        count, resolution = int(options["samples"]), int(options["resolution"])
        needed = 8 * count * (resolution if name == "burgers" else (resolution + 1) ** 2)
        if needed > LIMIT_BYTES:
            raise ReplicaError(
                f"{source}: {count:,} samples at resolution {resolution} need {needed / 2**30:.1f} GiB, more than"
                f" {LIMIT_BYTES / 2**30:g} GiB; give a smaller --samples or --resolution."
            )
        try:
            if name == "burgers":
                content = burgers(count, resolution, seed)
            elif name == "helmholtz":
                content = helmholtz(count, resolution, seed)
            else:
                content = darcy("smooth" if name == "darcy-smooth" else "two-phase", count, resolution, seed)
        except ValueError as error:
            raise ReplicaError(str(error)) from None
        more = f", drawn with seed {drawn}" if drawn is not None else ""
        return _dataset(source, f"{named[name]}: {_size(content)}{more}", content)
    path = user_path(source, named, "an .npz or .mat file")
    content = read_solution_map(path, str(options["axes"]))
    train, test = sizes({"train": TRAIN, "test": TEST}, len(content))
    parts = (f"by default {train} to train on and {test} to test on",) * (train < TRAIN)
    told = f"{_size(content)}, boundary {content.boundary}, from {path.name}"
    return _dataset(source, "; ".join((told, *content.notes, *parts)), content)


def sizes(options: Mapping[str, Value], count: int) -> tuple[int, int]:
    """Samples to train on and to test on: of a file with fewer than the defaults ask for, four fifths and one fifth."""
    train, test = int(options["train"]), int(options["test"])
    if (train, test) == (TRAIN, TEST) and train + test > count:
        return count - max(1, count // 5), max(1, count // 5)
    return train, test


def _size(content: SolutionMap) -> str:
    grid = " × ".join(map(str, content.grid))
    channels = content.inputs.shape[1], content.outputs.shape[1]
    kinds = "" if channels == (1, 1) else f" with {channels[0]} input and {channels[1]} output channels"
    return f"{len(content):,} samples on {grid} nodes{kinds}"


def _dataset(name: str, description: str, content: SolutionMap) -> Dataset:
    arrays = content.inputs, content.outputs
    hashed = digest((*(array.shape for array in arrays), content.boundary), *arrays)
    return Dataset(name, description, content, hashed, content.grid)


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
