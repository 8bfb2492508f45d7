"""Five tables of the UCI repository with a number to predict, and the twenty splits by which papers compare on them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.public_files import FOLDER_VARIABLE
from replica.data.sets.regression_rows import RegressionRows
from replica.errors import ReplicaError

UCI_TABLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "concrete": (
        "compressive strength (MPa)",
        ("cement", "slag", "ash", "water", "superplasticizer", "coarse aggregate", "fine aggregate", "age"),
    ),
    "energy": (
        "heating load",
        ("compactness", "surface", "wall", "roof", "height", "orientation", "glazing", "glazing distribution"),
    ),
    "power": ("electrical output (MW)", ("temperature", "vacuum", "pressure", "humidity")),
    "wine": (
        "quality",
        ("fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides", "free sulfur dioxide",
         "total sulfur dioxide", "density", "pH", "sulphates", "alcohol"),
    ),
    "yacht": (
        "residuary resistance",
        ("centre of buoyancy", "prismatic coefficient", "length-displacement", "beam-draught", "length-beam", "Froude number"),
    ),
}  # fmt: skip
"""Of each table what is predicted, and the columns."""


@cache
def uci_table(name: str) -> RegressionRows:
    """Read a table from ``$REPLICA_DATA/uci/<name>/``, with its standard splits (Hernández-Lobato and Adams, 2015).

    A folder holds ``data.txt``, ``index_features.txt`` and ``index_target.txt`` (numbers of columns, from 0) and a file
    ``index_test_N.txt`` a split: the rows to test, all others being there to learn from.

    Args:
        name: One of `UCI_TABLES`.

    Returns:
        Its rows, with the rows to test of each split.

    Raises:
        ReplicaError: If there is no such table, or the folder does not hold it whole.
    """
    import pandas as pd

    if name not in UCI_TABLES:
        raise ReplicaError(f"There is no table {name!r:.60}; there are {', '.join(UCI_TABLES)}.")
    folder = _folder(name)
    target, columns = UCI_TABLES[name]
    values = _numbers(folder / "data.txt")
    features, predicted = (
        _numbers(folder / f"index_{part}.txt").astype(np.intp).ravel() for part in ("features", "target")
    )
    if values.ndim != 2 or max(*features, *predicted) >= values.shape[1] or len(features) != len(columns):
        raise ReplicaError(f"{folder}: data.txt is not the table {name}; wanted {len(columns)} columns and a target.")
    files = sorted(folder.glob("index_test_*.txt"), key=lambda file: int(file.stem.rpartition("_")[2]))
    splits = tuple(_numbers(file).astype(np.intp).ravel() for file in files)
    if not splits or any(rows.min() < 0 or rows.max() >= len(values) for rows in splits):
        raise ReplicaError(
            f"{folder}: wanted files index_test_N.txt, each with numbers of rows from 0 to {len(values) - 1}."
        )
    frame = pd.DataFrame(values[:, features], columns=list(columns))
    return RegressionRows(frame, values[:, predicted[0]], target, splits=splits)


def _folder(name: str) -> Path:
    above = os.environ.get(FOLDER_VARIABLE)
    folder = Path(above or "").expanduser() / "uci" / name
    if above and (folder / "data.txt").is_file():
        return folder
    looked = f"{folder} does not hold it" if above else f"{FOLDER_VARIABLE} is not set"
    raise ReplicaError(
        f"Table {name} is missing ({looked}): put the folder uci/{name} of github.com/LaurenceA/bayesfunc into a folder uci/ "
        f"and set {FOLDER_VARIABLE} to the folder above it."
    )


def _numbers(file: Path) -> NDArray[np.float64]:
    try:
        return np.loadtxt(file, dtype=np.float64, ndmin=1)
    except (OSError, ValueError) as error:
        raise ReplicaError(f"{file}: cannot be read as numbers ({' '.join(str(error).split())[:120]}).") from error
