"""What the axes of functions on a grid are: seen from their lengths where these leave no doubt, or as the user says."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.patterns import refuse, shown
from replica.errors import ReplicaError

SMALLEST_GRID = 5
"""Nodes an axis of the grid has at least; a shorter one holds channels."""

_CODES = ("nxy", "ncxy", "nxyc", "nx", "ncx", "nxc")
"""One letter an axis: n counts samples, c holds channels (or steps in time), x and y are the grid."""
_WORDS = {"n": "n", "count": "n", "samples": "n", "c": "c", "channels": "c", "t": "c", "time": "c", "x": "x", "y": "y"}
Shapes = tuple[tuple[int, ...], tuple[int, ...]]
Codes = tuple[str, str]


def found_axes(file: Path | str, shapes: Shapes) -> tuple[Codes, list[str]]:
    """What the axes of inputs and outputs are, on one grid of as many axes as it can have, and notes; refused where in doubt."""
    readings = [
        (taken, made)
        for taken, made in itertools.product(*([code for code in _CODES if _fits(code, shape)] for shape in shapes))
        if _grid(taken, shapes[0]) == _grid(made, shapes[1]) and not ("c" in taken and "c" in made and taken != made)
    ]
    most = any("y" in inputs for inputs, _ in readings)
    best = [pair for pair in readings if ("y" in pair[0]) is most]
    if len(best) > 1:
        ways = [",".join(next(code for code in pair if "c" in code)) for pair in best]
        raise refuse(
            file,
            f"inputs of shape {shapes[0]} and outputs of shape {shapes[1]} can be read as {' or as '.join(ways)}",
            f"say which: --axes {' or --axes '.join(ways)} (n counts samples, c holds channels or steps in time)",
        )
    if not best or _is_doubtful(best[0], shapes):
        raise refuse(
            file,
            f"inputs have shape {shapes[0]} and outputs {shapes[1]}",
            f"wanted (count, *grid) or (count, channels, *grid) with one grid for both, of one or two axes with {SMALLEST_GRID}"
            " nodes or more, or other axes named, as in --axes n,x,y,t",
        )
    (codes,) = best
    if any(code.endswith("c") for code in codes):
        return codes, ["the last axis read as channels"]
    rows, *more = _grid(codes[0], shapes[0])
    if len(readings) > 1 and more:
        return codes, [f"{rows} × {more[0]} read as the grid, not as {rows} channels of {more[0]} nodes"]
    return codes, []


def told_axes(file: Path | str, text: str, shapes: Shapes) -> tuple[Codes, list[str]]:
    """What the axes are as the user says, such as ``n,x,y,t`` or ``nxyt``, and a note."""
    words = re.findall(r"[a-z]+", text.lower())
    words = list(words[0]) if len(words) == 1 and words[0] not in _WORDS else words
    code = "".join(_WORDS.get(word, "?") for word in words)
    if "?" in code or sorted(code.replace("c", "")) not in (["n", "x"], ["n", "x", "y"]):
        raise ReplicaError(
            f"Option axes is {shown(text)!r:.60}; wanted n, x and perhaps y, c (channels) and t (time), as in n,x,y,t."
        )
    found = []
    for name, shape in zip(("inputs", "outputs"), shapes, strict=True):
        fitting = [each for each in (code, code.replace("c", "")) if len(each) == len(shape)]
        if not fitting or min(_grid(fitting[0], shape)) < SMALLEST_GRID:
            wanted = f"wanted the {len(code)} axes {','.join(words)}, with {SMALLEST_GRID} nodes or more along the grid"
            raise refuse(file, f"{name} have shape {shape}", wanted)
        found.append(fitting[0])
    if _grid(found[0], shapes[0]) != _grid(found[1], shapes[1]):
        raise refuse(file, f"inputs have shape {shapes[0]} and outputs {shapes[1]}", "wanted one grid for both")
    time = ", steps in time as channels" * bool({"t", "time"} & set(words))
    return (found[0], found[1]), [f"axes read as {','.join(words)}{time}"]


def channels_first(values: NDArray[Any], code: str) -> NDArray[Any]:
    """Bring axes into the order count, channels, grid: shape ``(count, channels, *grid)``.

    Example:
        >>> channels_first(np.zeros((8, 5, 6, 3)), "nxyc").shape, channels_first(np.zeros((8, 5)), "nx").shape
        ((8, 3, 5, 6), (8, 1, 5))
    """
    order = sorted(range(len(code)), key=lambda axis: "nc".find(code[axis]) % 3)
    grid = _grid(code, values.shape)
    return np.ascontiguousarray(values.transpose(order)).reshape(values.shape[code.index("n")], -1, *grid)


def _is_doubtful(codes: Codes, shapes: Shapes) -> bool:
    """Whether channels come last, though that axis is as long as one of a grid in both arrays."""
    return all(code.endswith("c") and shape[-1] >= SMALLEST_GRID for code, shape in zip(codes, shapes, strict=True))


def _fits(code: str, shape: tuple[int, ...]) -> bool:
    return len(code) == len(shape) and min(_grid(code, shape)) >= SMALLEST_GRID


def _grid(code: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for axis, size in zip(code, shape, strict=True) if axis in "xy")
