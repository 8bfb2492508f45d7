"""The user's own solution maps, from ``.npz`` files or memory, without ever unpickling."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from replica.data.files.arrays import Arrays, open_arrays
from replica.data.files.sources import in_memory, user_file
from replica.data.sets.patterns import check_shape, refuse, shown
from replica.data.sets.solution_maps import Boundary, SolutionMap

MAP_FORMATS = (".npz",)
"""What `read_solution_map` reads."""
SMALLEST_GRID = 5
"""Nodes an axis must have; a shorter second axis holds channels."""
SMALLEST_COUNT = 4
_WANTED = "wanted a file written by numpy.savez with arrays 'inputs' and 'outputs'"
_BOUNDARIES = get_args(Boundary)


def read_solution_map(source: str | os.PathLike[str] | Any) -> SolutionMap:
    """Read pairs of functions on a grid from an ``.npz`` file.

    It holds ``inputs`` and ``outputs`` (or ``X`` and ``y``), numbers of shape ``(count, *grid)`` or ``(count, channels, *grid)``
    with a grid of one or two axes, the same for both, and may hold ``boundary``, a text: what the outputs satisfy at the domain's
    ends. Where axes can be read in both ways, the grid has as many as it can; this is noted. The domain is the unit interval or
    square.

    Args:
        source: The file (``~`` is the home folder), arrays by name, or a pair (inputs, outputs).

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    data = user_file(source, MAP_FORMATS, _WANTED) if isinstance(source, str | os.PathLike) else in_memory(source)
    if not isinstance(data, Path | dict):
        raise refuse("data", "holds no pairs of functions", _WANTED)
    arrays = open_arrays(data, _WANTED)
    names = (
        ("X", "y") if {"X", "y"} <= set(arrays.headers) and "inputs" not in arrays.headers else ("inputs", "outputs")
    )
    arrays.need(names, _WANTED)
    for name in names:
        shape, dtype = arrays.headers[name]
        if dtype.kind in "buif":
            check_shape(Path(arrays.source), shape, dtype, f"array {name!r}")
    found = arrays.read(names)
    return _to_map(arrays.source, dict(zip(("inputs", "outputs"), found.values(), strict=True)), _boundary(arrays))


def _boundary(arrays: Arrays) -> Boundary:
    if "boundary" not in arrays.headers:
        return "unknown"
    shape, dtype = arrays.headers["boundary"]
    wanted = "wanted one of " + ", ".join(_BOUNDARIES)
    if shape not in ((), (1,)) or dtype.kind not in "US" or dtype.itemsize > 1000:
        raise refuse(arrays.source, f"'boundary' has shape {shape} and type {shown(dtype)}", f"{wanted}, as a text")
    value: Any = arrays.read(["boundary"], "US")["boundary"].reshape(())[()]
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip().lower()
    if text not in _BOUNDARIES:
        raise refuse(arrays.source, f"'boundary' is {text!r:.60}", wanted)
    return cast(Boundary, text)


def _to_map(file: Path | str, given: Mapping[str, NDArray[Any]], boundary: Boundary) -> SolutionMap:
    inputs, outputs = given["inputs"], given["outputs"]
    if len(inputs) != len(outputs):
        many = f"there are {len(inputs):,} inputs and {len(outputs):,} outputs"
        raise refuse(file, many, "wanted one output for each input")
    if len(inputs) < SMALLEST_COUNT:
        raise refuse(file, f"there are {len(inputs)} samples", f"wanted {SMALLEST_COUNT} or more")
    readings = [
        (taken, made) for taken in _readings(inputs.shape) for made in _readings(outputs.shape) if taken[2:] == made[2:]
    ]
    if not readings:
        raise refuse(
            file,
            f"inputs have shape {inputs.shape} and outputs {outputs.shape}",
            "wanted (count, *grid) or (count, channels, *grid) with one grid for both, of one or two axes"
            f" with {SMALLEST_GRID} nodes or more",
        )
    shapes = max(readings, key=lambda reading: len(reading[0]))
    notes = []
    if len(readings) > 1:
        rows, nodes = shapes[0][2:]
        notes.append(f"{rows} × {nodes} read as the grid, not as {rows} channels of {nodes} nodes")
    arrays = [_values(file, name, array, shape) for (name, array), shape in zip(given.items(), shapes, strict=True)]
    empty = ~arrays[1].reshape(len(outputs), -1).any(axis=1)
    if empty.any():
        wrong = f"output {int(np.argmax(empty))} (from 0) is 0 everywhere"
        raise refuse(file, wrong, "wanted outputs with a norm to divide by")
    ends = 0 if boundary == "periodic" else 1
    spacing = tuple(1 / (nodes - ends) for nodes in arrays[0].shape[2:])
    return SolutionMap(arrays[0], arrays[1], boundary, spacing, tuple(notes))


def _values(file: Path | str, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, np.float32).reshape(shape)
    finite = np.isfinite(values).reshape(len(values), -1)
    if not finite.all():
        place = np.unravel_index(int(np.argmin(finite)), array.shape)
        at = tuple(int(i) for i in place)
        raise refuse(file, f"{name} at {at} (from 0) is {array[place]}", "wanted finite numbers that float32 holds")
    if (values == values[0]).all():
        raise refuse(file, f"all {name} are the same", "wanted samples that differ")
    return values


def _readings(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The ways to read an array's axes as count, channels and grid."""
    found = []
    for axes in (1, 2):
        if len(shape) in (axes + 1, axes + 2) and min(shape[-axes:]) >= SMALLEST_GRID:
            found.append((shape[0], shape[1] if len(shape) == axes + 2 else 1, *shape[-axes:]))
    return found
