"""Data of the problem regression, and how a trial draws rows to learn from and to test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from replica.data import REGRESSION_TABLES, RegressionRows, read_regression, regression_table, uci_table
from replica.lab.problems.data_sources import column_names, digest, user_path
from replica.lab.problems.fit_predict import Rows
from replica.lab.problems.labelled_rows import drawn_groups, stratified_split
from replica.lab.problems.own_rows import refuse_own
from replica.lab.problems.problem import VALIDATION_SHARE, Dataset, Value

NAMED: Mapping[str, str] = {
    "diabetes": "442 patients, 10 measures, how far diabetes went in a year (ships with scikit-learn)",
    "concrete": "1,030 mixtures of concrete, 8 columns, compressive strength; 20 standard splits (UCI, $REPLICA_DATA)",
    "energy": "768 buildings, 8 columns, heating load; 20 standard splits (UCI, $REPLICA_DATA)",
    "power": "9,568 hours of a power plant, 4 columns, electrical output; 20 standard splits (UCI, $REPLICA_DATA)",
    "wine": "1,599 red wines, 11 columns, quality; 20 standard splits (UCI, $REPLICA_DATA)",
    "yacht": "308 towings of yachts, 6 columns, resistance; 20 standard splits (UCI, $REPLICA_DATA)",
    "airfoil": "1,503 measurements of airfoils, 5 columns, sound pressure (UCI, extra tables)",
    "auto-mpg": "392 cars, 5 columns, miles per gallon (UCI, extra tables)",
    "insurance": "1,338 people, 6 columns of numbers and words, medical charges (extra tables)",
}
SHARE = 0.25
"""The share of rows to test, where nobody says another and the data have no standard split."""


def load(source: str, options: Mapping[str, Value]) -> Dataset:
    """Read a named data set or the user's file.

    Raises:
        ReplicaError: If there is no such data, or it is refused; see `replica.data.read_regression`.
    """
    if source in NAMED:
        refuse_own(source, options)
        read = regression_table if source in REGRESSION_TABLES else uci_table
        return _dataset(source, NAMED[source], read(source))
    path = user_path(source, NAMED, "a file")
    given = {name: str(options.get(name, "")) for name in ("target", "drop", "keep", "groups", "test_data")}
    found = read_regression(
        path,
        given["target"],
        groups=given["groups"],
        keep=column_names(given["keep"]),
        drop=column_names(given["drop"]),
        test=given["test_data"] or None,
    )
    kind = (
        f"images or signals of {' × '.join(map(str, found.shape))}"
        if found.shape
        else f"{found.features.shape[1]} columns"
    )
    many = f"{len(found):,} rows"
    if found.tests is not None:
        many = f"{int((~found.tests).sum()):,} rows to learn from and {int(found.tests.sum()):,} to test,"
    parts = [f"{many} of {kind}, {found.target} to predict, from {path.name}", *found.notes]
    parts += [f"{len(found.group_names):,} groups by {given['groups']}"] * bool(given["groups"])
    return _dataset(source, "; ".join(parts), found)


def _dataset(name: str, description: str, content: RegressionRows) -> Dataset:
    arrays: list[Any] = [content.targets, *content.splits]
    arrays += [part for part in (content.groups, content.tests) if part is not None]
    if isinstance(content.features, np.ndarray):
        arrays.append(content.features)
    else:
        import pandas as pd

        arrays.append(np.frombuffer(repr(list(content.features.columns)).encode(), np.uint8))
        arrays.append(pd.util.hash_pandas_object(content.features, index=False).to_numpy())
    hashed = digest((content.shape, content.target, len(content.splits)), *arrays)
    return Dataset(name=name, description=description, content=content, digest=hashed, shape=content.shape)


def draw_rows(content: RegressionRows, share: float, seed: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Draw rows to learn from, in random order, and rows to test.

    Rows that are told to be tested are. Else, where no share is asked for, a seed below the number of standard splits takes the
    one of its number. Else whole groups, where there are some, or single rows are drawn.

    Args:
        content: The data.
        share: The share of rows to test; 0 for the standard split, or a share like it.
        seed: The trial's.
        rng: Where randomness comes from.
    """
    tests, alike = content.tests, np.zeros(len(content), np.int64)
    if tests is None and not share and seed < len(content.splits):
        tests = np.isin(np.arange(len(content)), content.splits[seed])
    share = share or (len(content.splits[0]) / len(content) if content.splits else SHARE)
    if tests is None and content.groups is not None:
        tests = drawn_groups(alike, content.groups, share, rng)
    if tests is None:
        return stratified_split(alike, share, 0, rng)
    return rng.permutation(np.flatnonzero(~tests)), np.flatnonzero(tests)


def hold_out(content: RegressionRows, train: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Part the rows to learn from into those that stay so and those held out for validation, groups whole."""
    alike = np.zeros(len(train), np.int64)
    if content.groups is None:
        kept, held_out = stratified_split(alike, VALIDATION_SHARE, 0, rng)
        return train[kept], train[held_out]
    drawn = drawn_groups(alike, content.groups[train], VALIDATION_SHARE, rng)
    return train[~drawn], train[drawn]
