"""Snapshots of moving populations: clouds of points at consecutive times, of which nobody knows who became whom."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.public_files import FOLDER_VARIABLE
from replica.errors import ReplicaError

SNAPSHOTS: Mapping[str, tuple[str, int]] = {"cells": ("eb_data.npy", 5), "drifters": ("GoMvortex_data.npy", 9)}
"""Of each set the file and how many snapshots it holds."""


@cache
def snapshots(name: str) -> NDArray[np.float64]:
    """Read snapshots from ``$REPLICA_DATA/snapshots/``: ``cells`` or ``drifters``.

    ``cells`` are 300 cells of human embryoid bodies at each of 5 times over 27 days, as 5 principal components of their gene
    expression (Moon et al. 2019). ``drifters`` are 111 positions of floats in a vortex of the Gulf of Mexico at each of 9 times.
    Both as prepared by Shen, Berlinghieri and Broderick 2025.

    Args:
        name: One of `SNAPSHOTS`.

    Returns:
        Points, shape ``(times, count, dim)``.

    Raises:
        ReplicaError: If there is no such set, or the file is not there or not whole.
    """
    if name not in SNAPSHOTS:
        raise ReplicaError(f"There are no snapshots {name!r:.60}; there are {', '.join(SNAPSHOTS)}.")
    file, times = SNAPSHOTS[name]
    above = os.environ.get(FOLDER_VARIABLE)
    path = Path(above or "").expanduser() / "snapshots" / file
    if not (above and path.is_file()):
        looked = f"{path} is not there" if above else f"{FOLDER_VARIABLE} is not set"
        raise ReplicaError(
            f"Snapshots {name} are missing ({looked}): put Notebooks/data/{file} of github.com/YunyiShen/SBIRR into a folder "
            f"snapshots/ and set {FOLDER_VARIABLE} to the folder above it."
        )
    try:
        values = np.asarray(np.load(path, allow_pickle=False), np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise ReplicaError(f"{path}: cannot be read as an array ({' '.join(str(error).split())[:120]}).") from error
    if values.ndim != 3 or len(values) != times or not np.isfinite(values).all():
        raise ReplicaError(f"{path}: shape {values.shape}; wanted {times} times of points, all finite.")
    return values
