"""The user's own solution maps, from ``.npz`` files, without ever unpickling."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import IO, Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from replica.data.sets import patterns as limits
from replica.data.files.numpy_files import DAMAGED, check_array, check_kind, read_array, read_header
from replica.data.sets.patterns import refuse, shown
from replica.data.sets.solution_maps import Boundary, SolutionMap
from replica.data.files.user_files import missing_file

SMALLEST_GRID = 5
"""Nodes an axis must have; a shorter second axis holds channels."""
SMALLEST_COUNT = 4
_WANTED = "wanted a file written by numpy.savez with arrays 'inputs' and 'outputs'"
_BOUNDARIES = get_args(Boundary)


def read_solution_map(path: str | os.PathLike[str]) -> SolutionMap:
    """Read pairs of functions on a grid from an ``.npz`` file.

    It holds ``inputs`` and ``outputs``, numbers of shape ``(count, *grid)`` or ``(count, channels, *grid)`` with a grid of
    one or two axes, the same for both, and may hold ``boundary``, a text: what the outputs satisfy at the domain's ends.
    Where three axes can be read in both ways, the grid has two. The domain is the unit interval or square.

    Args:
        path: The file; ``~`` is the home folder.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    file = Path(path).expanduser()
    try:
        if not file.exists():
            raise refuse(file, *missing_file(file))
        if not file.is_file():
            raise refuse(file, "is no file", _WANTED)
        if file.suffix.lower() != ".npz":
            raise refuse(file, f"the ending {file.suffix!r} is not known", _WANTED)
        check_kind(file, b"PK", _WANTED)
        arrays, boundary = _read(file)
    except DAMAGED as error:  # a name no file can have, no right to read it, a broken archive
        raise refuse(file, f"cannot be read as a NumPy archive ({error})", _WANTED) from error
    return _to_map(file, arrays["inputs"], arrays["outputs"], boundary)


def _read(file: Path) -> tuple[dict[str, NDArray[Any]], Boundary]:
    with zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        missing = [name for name in ("inputs", "outputs") if name not in names]
        if missing:
            held = ", ".join(map(repr, names[:6])) or "nothing"
            raise refuse(file, f"holds {held}, but no {' and no '.join(map(repr, missing))}", _WANTED)
        arrays = {}
        for name in ("inputs", "outputs"):
            with archive.open(f"{name}.npy") as stream:
                check_array(file, *read_header(file, stream), f"array {name!r}")
        total = sum(archive.getinfo(f"{name}.npy").file_size for name in ("inputs", "outputs"))
        if total > limits.LIMIT_BYTES:
            wanted = f"wanted at most {limits.LIMIT_BYTES / 2**30:g} GiB: bring fewer samples or a coarser grid"
            raise refuse(file, f"'inputs' and 'outputs' need {total / 2**30:.1f} GiB", wanted)
        for name in ("inputs", "outputs"):
            with archive.open(f"{name}.npy") as stream:
                arrays[name] = read_array(file, stream)
        if "boundary" not in names:
            return arrays, "unknown"
        with archive.open("boundary.npy") as stream:
            return arrays, _boundary(file, stream, archive)


def _boundary(file: Path, stream: IO[bytes], archive: zipfile.ZipFile) -> Boundary:
    shape, dtype = read_header(file, stream)
    wanted = "wanted one of " + ", ".join(_BOUNDARIES)
    if shape not in ((), (1,)) or dtype.kind not in "US" or dtype.itemsize > 1000:
        raise refuse(file, f"'boundary' has shape {shape} and type {shown(dtype)}", f"{wanted}, as a text")
    with archive.open("boundary.npy") as again:
        value: Any = read_array(file, again).reshape(())[()]
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip().lower()
    if text not in _BOUNDARIES:
        raise refuse(file, f"'boundary' is {text!r:.60}", wanted)
    return cast(Boundary, text)


def _to_map(file: Path, inputs: NDArray[Any], outputs: NDArray[Any], boundary: Boundary) -> SolutionMap:
    if len(inputs) != len(outputs):
        raise refuse(
            file, f"there are {len(inputs):,} inputs and {len(outputs):,} outputs", "wanted one output for each input"
        )
    if len(inputs) < SMALLEST_COUNT:
        raise refuse(file, f"there are {len(inputs)} samples", f"wanted {SMALLEST_COUNT} or more")
    readings = [
        (taken, given)
        for taken in _readings(inputs.shape)
        for given in _readings(outputs.shape)
        if taken[2:] == given[2:]
    ]
    if not readings:
        raise refuse(
            file,
            f"inputs have shape {inputs.shape} and outputs {outputs.shape}",
            "wanted (count, *grid) or (count, channels, *grid) with one grid for both, of one or two axes"
            f" with {SMALLEST_GRID} nodes or more",
        )
    shapes = max(readings, key=lambda reading: len(reading[0]))
    arrays = []
    for name, array, shape in (("inputs", inputs, shapes[0]), ("outputs", outputs, shapes[1])):
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(array, np.float32).reshape(shape)
        finite = np.isfinite(values).reshape(len(values), -1)
        if not finite.all():
            place = np.unravel_index(int(np.argmin(finite)), array.shape)
            at = tuple(int(i) for i in place)
            raise refuse(file, f"{name} at {at} (from 0) is {array[place]}", "wanted finite numbers that float32 holds")
        if (values == values[0]).all():
            raise refuse(file, f"all {name} are the same", "wanted samples that differ")
        arrays.append(values)
    empty = ~arrays[1].reshape(len(outputs), -1).any(axis=1)
    if empty.any():
        raise refuse(
            file, f"output {int(np.argmax(empty))} (from 0) is 0 everywhere", "wanted outputs with a norm to divide by"
        )
    ends = 0 if boundary == "periodic" else 1
    return SolutionMap(arrays[0], arrays[1], boundary, tuple(1 / (nodes - ends) for nodes in arrays[0].shape[2:]))


def _readings(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The ways to read an array's axes as count, channels and grid."""
    found = []
    for axes in (1, 2):
        if len(shape) in (axes + 1, axes + 2) and min(shape[-axes:]) >= SMALLEST_GRID:
            found.append((shape[0], shape[1] if len(shape) == axes + 2 else 1, *shape[-axes:]))
    return found
