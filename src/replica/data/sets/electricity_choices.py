"""What people chose among four electricity contracts each time."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.public_files import FOLDER_VARIABLE
from replica.errors import ReplicaError

COLUMNS = ("pf", "cl", "loc", "wk", "tod", "seas")


class ElectricityChoices(NamedTuple):
    """Choices of one contract in four; the first of ``contracts`` is the one chosen.

    Attributes:
        contracts: (choices, 4, 6): fixed price (cents a kilowatt-hour, 0 for the two tariffs that follow), length (years), and
            whether the supplier is local, well known, has rates by time of day, or by season.
        people: (choices,), whose choice it was, from 0.
    """

    contracts: NDArray[np.float64]
    people: NDArray[np.int64]


@cache
def electricity_choices() -> ElectricityChoices:
    """Reads 4,308 choices of 361 people (Huber and Train, 2001) from ``$REPLICA_DATA/choices/electricity.csv.gz``.

    Raises:
        ReplicaError: if the file is not there, or is not that table.
    """
    import pandas as pd

    above = os.environ.get(FOLDER_VARIABLE)
    file = Path(above or "").expanduser() / "choices" / "electricity.csv.gz"
    if not above or not file.is_file():
        looked = f"{file} is not there" if above else f"{FOLDER_VARIABLE} is not set"
        raise ReplicaError(
            f"Electricity contracts are missing ({looked}): put the table Electricity of R's package mlogit, a row a contract, "
            f"there as choices/electricity.csv.gz and set {FOLDER_VARIABLE} to the folder above it."
        )
    table = pd.read_csv(file)
    missing = {"choice", "id", "chid", *COLUMNS} - set(table.columns)
    if missing:
        raise ReplicaError(f"{file}: has no column {', '.join(sorted(missing))}.")
    table = table.assign(other=~table["choice"].astype(bool)).sort_values(["chid", "other"], kind="stable")
    sizes, chosen = table.groupby("chid").size(), (~table["other"]).groupby(table["chid"]).sum()
    if not (sizes == 4).all() or not (chosen == 1).all():
        raise ReplicaError(f"{file}: wanted four contracts a choice (chid), one of them chosen.")
    people = np.unique(table["id"].to_numpy()[::4], return_inverse=True)[1]
    return ElectricityChoices(table[list(COLUMNS)].to_numpy(np.float64).reshape(-1, 4, 6), people.astype(np.int64))
