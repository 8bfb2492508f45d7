"""Data of the problem merge: a folder of the user's trained networks, with the rows that they are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.arrays import named_arrays
from replica.data.files.safetensors import read_safetensors
from replica.data.sets.patterns import refuse

Weights = Mapping[str, NDArray[Any]]
BASE, BUILD, ROWS = "base.safetensors", "build.py", "rows.npz"
FEWEST = 4
"""The fewest rows of a network: some are held out, some are tested."""
FOLDER = "folder of networks (build.py with build(), NAME.safetensors and NAME.npz of each, or rows.npz, and base.safetensors)"
_WANTED_ROWS = "wanted a file written by numpy.savez with arrays 'X' (one row a sample) and 'y' (its class, from 0)"


KINDS = ("turn", "shear", "contrast", "noise", "order")
OF_TABLES = ("contrast", "noise", "order")


def kinds(grid: tuple[int, ...]) -> tuple[str, ...]:
    """The kinds of tasks that there are for inputs of this shape: all for images and signals, some for rows of a table."""
    return KINDS if 0 < len(grid) < 3 else OF_TABLES


@dataclass(frozen=True)
class Folder:
    """Trained networks of the user's.

    Args:
        build: The Python file whose ``build()`` makes a network.
        base: The weights from which all were trained on, where there are such.
        networks: The weights of each, by name.
        rows: By network, inputs ``(rows, …)`` and classes from 0; one and the same pair where all have one task.
        notes: What a reader must know besides.
    """

    build: Path
    base: Weights | None = field(repr=False)
    networks: Mapping[str, Weights] = field(repr=False)
    rows: Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]] = field(repr=False)
    notes: tuple[str, ...] = ()


def listed(text: str) -> list[str]:
    """Words parted by commas.

    Example:
        >>> listed("turn, shear")
        ['turn', 'shear']
    """
    return [word.strip() for word in text.split(",") if word.strip()]


def holds_networks(path: Path) -> bool:
    """Whether a path is a folder of networks, not of images or a file."""
    return path.is_dir() and any(path.glob("*.safetensors"))


def read_folder(path: Path) -> Folder:
    """Read a folder of trained networks.

    It holds ``build.py``, whose function ``build()`` makes a network without arguments; two or more files ``NAME.safetensors``
    with the weights of one each; ``NAME.npz`` with that one's rows, or ``rows.npz`` with those of all; and, where the networks
    were trained on from a common one, that one's weights in ``base.safetensors``.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    build = path / BUILD
    if not build.is_file():
        raise refuse(path, f"has no {BUILD}", "wanted a Python file with a function build() that makes a network")
    files = sorted(each for each in path.glob("*.safetensors") if each.name != BASE)
    if len(files) < 2:
        raise refuse(path, f"holds {len(files)} networks beside {BASE}", "wanted two or more files NAME.safetensors")
    base = read_safetensors(path / BASE) if (path / BASE).is_file() else None
    rows = {}
    common = _rows(path / ROWS) if (path / ROWS).is_file() else None
    for file in files:
        own = file.with_suffix(".npz")
        if not own.is_file() and common is None:
            raise refuse(path, f"has neither {own.name} nor {ROWS}", _WANTED_ROWS)
        rows[file.stem] = _rows(own) if own.is_file() else common
    notes = () if base is not None else (f"no {BASE}: their average stands for what they share",)
    return Folder(build, base, {file.stem: read_safetensors(file) for file in files}, rows, notes)  # type: ignore[arg-type]


def _rows(path: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
    opened = named_arrays(path, (".npz",), _WANTED_ROWS)
    opened.need(("X", "y"), _WANTED_ROWS)
    X, y = opened.read(("X", "y")).values()
    if X.ndim < 2 or y.shape != X.shape[:1]:
        raise refuse(path, f"'X' has shape {X.shape} and 'y' has shape {y.shape}", _WANTED_ROWS)
    if len(y) < FEWEST:
        raise refuse(path, f"holds {len(y)} rows", f"wanted {FEWEST} or more")
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise refuse(path, f"'y' holds {y.dtype} from {y.min()}", "wanted classes as whole numbers from 0")
    # Whole numbers of more than a byte are taken for tokens; bytes for pixels.
    X = X.astype(np.int64 if X.dtype.kind in "iu" and X.dtype.itemsize > 1 else np.float32)
    if not np.isfinite(X).all():
        raise refuse(path, "'X' holds numbers that are not finite", "wanted finite numbers")
    return X, y.astype(np.int64)
