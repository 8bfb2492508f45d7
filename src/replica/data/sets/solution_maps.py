"""Pairs of functions on a grid, the input and the solution of a PDE, and their cache on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Boundary = Literal["dirichlet", "neumann", "periodic", "unknown"]
T = TypeVar("T")

_SILENT_SECONDS = 2.0


@dataclass(frozen=True)
class SolutionMap:
    """Samples of a map from functions to functions, all on one regular grid of the unit interval or square.

    Args:
        inputs: float32, shape ``(count, channels, *grid)``.
        outputs: float32, shape ``(count, channels, *grid)``, on the same grid.
        boundary: What the outputs satisfy at the domain's ends; ``"unknown"`` in files that do not say. ``"periodic"``
            grids leave out the last end (it is the first one again), all others hold both ends.
        spacing: Distance between neighbouring nodes along each axis.
        notes: What a reader decided on its own, such as which axis holds channels.
    """

    inputs: NDArray[np.float32] = field(repr=False)
    outputs: NDArray[np.float32] = field(repr=False)
    boundary: Boundary
    spacing: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    @property
    def grid(self) -> tuple[int, ...]:
        """Nodes along each axis."""
        return tuple(self.inputs.shape[2:])


def cached(
    settings: Mapping[str, Any], boundary: Boundary, make: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
) -> SolutionMap:
    """Take a map from the cache, or make it (inputs and outputs of shape ``(count, *grid)``) and leave it there.

    Files are NumPy archives without pickles in the user's cache folder, called by all that the map depends on; each is written
    whole and then put in its place, so that a run that is stopped, or two at once, leave no half file. A damaged file is made
    again, and a folder that cannot be written is no error: the map is then made each time.
    """
    text = json.dumps(dict(settings), sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
    path = _folder() / f"{settings['equation']}-{digest}.npz"
    arrays = _read(path)
    if arrays is None:
        arrays = tuple(np.ascontiguousarray(array[:, None], np.float32) for array in make())
        _write(path, *arrays)
    inputs, outputs = arrays
    ends = 0 if boundary == "periodic" else 1
    return SolutionMap(inputs, outputs, boundary, tuple(1 / (nodes - ends) for nodes in inputs.shape[2:]))


def _folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("replica") / "solution_maps"


def _read(path: Path) -> tuple[NDArray[np.float32], ...] | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = (archive["inputs"], archive["outputs"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays):
        return None
    return arrays


def _write(path: Path, inputs: NDArray[np.float32], outputs: NDArray[np.float32]) -> None:
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, inputs=inputs, outputs=outputs)
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def shown_after_a_while(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Pass items on; where that takes more than two seconds on a terminal, show a line of progress."""
    from rich.console import Console
    from rich.progress import Progress

    line = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    task, begun = line.add_task(title, total=total), time.monotonic()
    with contextlib.ExitStack() as shown:
        for done, item in enumerate(items):
            line.update(task, completed=done)
            if not line.disable and not line.live.is_started and time.monotonic() - begun > _SILENT_SECONDS:
                shown.enter_context(line)
            yield item


def check_request(equation: str, count: int, resolution: int, smallest: int = 4) -> None:
    """See that a map of this size can be asked for."""
    for name, value, least in (("count", count, 1), ("resolution", resolution, smallest)):
        if cast(object, value) != int(value) or value < least:
            raise ValueError(f"{equation}: {name} is {value!r}; want a whole number, {least} or more.")
