"""The user's own solution maps, from ``.npz`` and ``.mat`` files or memory, without ever unpickling."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from replica.data.files.arrays import Arrays, named_arrays
from replica.data.files.grid_axes import channels_first, found_axes, told_axes
from replica.data.sets.patterns import check_shape, refuse, shown
from replica.data.sets.solution_maps import Boundary, SolutionMap

MAP_FORMATS = (".npz", ".mat")
"""What `read_solution_map` reads."""
NAMES = (("inputs", "outputs"), ("X", "y"), ("coeff", "sol"), ("a", "u"))
"""What the two arrays may be called; the last two as Li et al. (2021) call theirs."""
SMALLEST_COUNT = 4
_WANTED = "wanted a file written by numpy.savez (or MATLAB) with arrays 'inputs' and 'outputs'"
_BOUNDARIES = get_args(Boundary)


def read_solution_map(source: str | os.PathLike[str] | Any, axes: str = "") -> SolutionMap:
    """Read pairs of functions on a grid from an ``.npz`` or ``.mat`` file.

    It holds ``inputs`` and ``outputs`` (or ``X`` and ``y``, ``coeff`` and ``sol``, ``a`` and ``u``), numbers of shape ``(count,
    *grid)``, ``(count, channels, *grid)`` or ``(count, *grid, channels)`` with a grid of one or two axes, the same for both, and
    may hold ``boundary``, a text: what the outputs satisfy at the domain's ends. Steps in time are channels. The grid has as many
    axes as it can; where channels may then come first or last, ``axes`` must say so. The domain is the unit interval or square.

    Args:
        source: The file (``~`` is the home folder), arrays by name, or a pair (inputs, outputs).
        axes: What the axes of the arrays are, in order: n (count), c (channels), t (time), x, y, such as ``"n,x,y,t"``. An array
            without channels and time lacks those axes.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    arrays = named_arrays(source, MAP_FORMATS, _WANTED)
    names = next((pair for pair in NAMES if set(pair) <= set(arrays.headers)), NAMES[0])
    arrays.need(names, _WANTED)
    for name in names:
        shape, dtype = arrays.headers[name]
        if dtype.kind in "buif":
            check_shape(Path(arrays.source), shape, dtype, f"array {name!r}")
    found = arrays.read(names)
    return _to_map(arrays.source, dict(zip(NAMES[0], found.values(), strict=True)), _boundary(arrays), axes)


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


def _to_map(file: Path | str, given: Mapping[str, NDArray[Any]], boundary: Boundary, axes: str) -> SolutionMap:
    shapes = given["inputs"].shape, given["outputs"].shape
    codes, notes = told_axes(file, axes, shapes) if axes else found_axes(file, shapes)
    counts = [shape[code.index("n")] for code, shape in zip(codes, shapes, strict=True)]
    if counts[0] != counts[1]:
        many = f"there are {counts[0]:,} inputs and {counts[1]:,} outputs"
        raise refuse(file, many, "wanted one output for each input")
    if counts[0] < SMALLEST_COUNT:
        raise refuse(file, f"there are {counts[0]} samples", f"wanted {SMALLEST_COUNT} or more")
    arrays = [_values(file, name, array, code) for (name, array), code in zip(given.items(), codes, strict=True)]
    empty = ~arrays[1].reshape(len(arrays[1]), -1).any(axis=1)
    if empty.any():
        wrong = f"output {int(np.argmax(empty))} (from 0) is 0 everywhere"
        raise refuse(file, wrong, "wanted outputs with a norm to divide by")
    ends = 0 if boundary == "periodic" else 1
    spacing = tuple(1 / (nodes - ends) for nodes in arrays[0].shape[2:])
    return SolutionMap(arrays[0], arrays[1], boundary, spacing, tuple(notes))


def _values(file: Path | str, name: str, array: NDArray[Any], code: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = np.asarray(array, np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        place = np.unravel_index(int(np.argmin(finite)), array.shape)
        at = tuple(int(i) for i in place)
        raise refuse(file, f"{name} at {at} (from 0) is {array[place]}", "wanted finite numbers that float32 holds")
    values = channels_first(values, code)
    if (values == values[0]).all():
        raise refuse(file, f"all {name} are the same", "wanted samples that differ")
    return values
