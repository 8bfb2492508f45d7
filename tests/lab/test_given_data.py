"""Data handed over in Python: kept once, read alike by every process, refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import replica
from replica.data import read_labelled
from replica.errors import ReplicaError
from replica.lab.report.given_data import keep_data

FRAME = pd.DataFrame({"size": [1.0, 2, 3, 4] * 6, "kind": list("aabb") * 6, "y": list("uvuv") * 6}, index=range(7, 31))


def test_equal_data_are_kept_once(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    given = [np.eye(3), FRAME, {"X": np.eye(4), "y": np.array(list("abab"))}]
    for data in given:
        first = keep_data(data, store)
        assert keep_data(data.copy(), store) == first
    assert sorted(path.suffix for path in (tmp_path / "arrays").iterdir()) == [".npy", ".npz", ".parquet"]
    assert keep_data(2 * np.eye(3), store) != keep_data(np.eye(3), store)


def test_what_is_kept_is_what_was_given(tmp_path: Path) -> None:
    found = read_labelled(keep_data(FRAME, tmp_path / "s.db"), "y")
    np.testing.assert_array_equal(found.features["size"], FRAME["size"])
    assert found.classes == ("u", "v")
    words = np.array(list("abab"), dtype=object)
    assert read_labelled(keep_data({"X": np.eye(4), "y": words}, tmp_path / "s.db")).classes == ("a", "b")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({1, 2}, "the array holds object; wanted numbers or words"),
        ({"X": np.zeros(3, complex)}, "array 'X' holds complex128; wanted numbers or words"),
        (pd.DataFrame({"a": [1, "b", object()]}), "cannot be kept as Parquet"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_in_one_line(tmp_path: Path, data: object, said: str) -> None:
    with pytest.raises(ReplicaError) as caught:
        keep_data(data, tmp_path / "s.db")  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [FRAME, {"X": np.random.default_rng(0).normal(size=(24, 3)), "y": np.arange(24) % 2}])
def test_a_comparison_takes_them(tmp_path: Path, data: object) -> None:
    options = {"target": "y"} if isinstance(data, pd.DataFrame) else {}
    comparison = replica.compare(
        "classification", data=data, only=["majority", "logistic-regression"], scale="smoke",
        store=tmp_path / "s.db", quiet=True, **options,
    )  # fmt: skip
    assert set(comparison.table.index) == {"majority", "logistic-regression"}
    assert not comparison.results.errors


def test_an_option_that_says_how_data_are_read_cannot_be_swept(tmp_path: Path) -> None:
    with pytest.raises(ReplicaError, match="says how the data is read"):
        replica.compare("classification", sweep={"target": ["a", "b"]}, store=tmp_path / "s.db", quiet=True)


def test_a_method_without_its_library_is_left_out_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from replica.lab.runner import participants

    found = participants.importlib.util.find_spec
    monkeypatch.setattr(
        participants.importlib.util, "find_spec", lambda name: None if name == "neuralop" else found(name)
    )
    comparison = replica.compare(
        "operator", only=["mean-field"], scale="smoke", samples=40, resolution=16, train=16, test=8,
        store=tmp_path / "s.db", quiet=True,
    )  # fmt: skip
    assert comparison.results.left_out["fno"] == "needs pip install 'replica-papers[physics]'"
    with pytest.raises(ReplicaError, match=r"Method fno needs pip install 'replica-papers\[physics\]'"):
        replica.compare("operator", only=["fno"], scale="smoke", store=tmp_path / "s.db", quiet=True)
