"""Data handed over in Python: kept once, read alike by every process, refused in one line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

import replica
from replica.data import read_events, read_labelled
from replica.errors import ReplicaError
from replica.lab.problems.registry import get
from replica.lab.report.given_data import keep_data

FORMATS = (".npy", ".npz", ".parquet")
FRAME = pd.DataFrame({"size": [1.0, 2, 3, 4] * 6, "kind": list("aabb") * 6, "y": list("uvuv") * 6}, index=range(7, 31))


def test_equal_data_are_kept_once(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    given = [np.eye(3), FRAME, {"X": np.eye(4), "y": np.array(list("abab"))}]
    for data in given:
        first = keep_data(data, store, FORMATS)
        assert keep_data(data.copy(), store, FORMATS) == first
    assert sorted(path.suffix for path in (tmp_path / "arrays").iterdir()) == [".npy", ".npz", ".parquet"]
    assert keep_data(2 * np.eye(3), store, FORMATS) != keep_data(np.eye(3), store, FORMATS)


def test_what_is_kept_is_what_was_given(tmp_path: Path) -> None:
    found = read_labelled(keep_data(FRAME, tmp_path / "s.db", FORMATS), "y")
    np.testing.assert_array_equal(found.features["size"], FRAME["size"])
    assert found.classes == ("u", "v")
    words = np.array(list("abab"), dtype=object)
    assert read_labelled(keep_data({"X": np.eye(4), "y": words}, tmp_path / "s.db", FORMATS)).classes == ("a", "b")


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
        keep_data(data, tmp_path / "s.db", FORMATS)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


RNG = np.random.default_rng(0)
X, Y, GRIDS = RNG.normal(size=(60, 12)), np.arange(60) % 3, RNG.normal(size=(40, 16, 16))
TABLE = pd.DataFrame(X, columns=list("abcdefghijkl"))
COUNTS = (RNG.random((60, 10, 6)) < 0.3).astype("float32")
EVENTS = pd.DataFrame(np.argwhere(COUNTS), columns=["sample", "time", "unit"])
FORMS = {
    "recall": {"array": np.sign(X), "tensor": torch.tensor(np.sign(X)), "pair": (np.sign(X), Y), "table": TABLE},
    "classification": {"pair": (X, Y), "table": TABLE.assign(target=Y), "table and labels": (TABLE, pd.Series(Y))},
    "regression": {"pair": (X, X[:, 0]), "tensors": (torch.tensor(X), torch.tensor(X[:, 0])),
                   "table": TABLE.assign(target=X[:, 0]), "table and numbers": (TABLE, pd.Series(X[:, 0]))},
    "operator": {"pair": (GRIDS, GRIDS), "tables": (TABLE, TABLE), "dataset": TensorDataset(*[torch.tensor(GRIDS)] * 2)},
    "stream": {"pair": (X, Y), "tensors": (torch.tensor(X), torch.tensor(Y)), "table": TABLE.assign(target=Y)},
    "credit": {"pair": (X, Y), "tensors": (torch.tensor(X), torch.tensor(Y)), "table": TABLE.assign(target=Y)},
    "scaling": {"pair": (X, Y), "tensors": (torch.tensor(X), torch.tensor(Y)), "table": TABLE.assign(target=Y)},
    "merge": {"pair": (X, Y), "tensors": (torch.tensor(X), torch.tensor(Y)), "table": TABLE.assign(target=Y)},
    "shift": {"arrays by name": {"X": X, "y": Y, "site": np.arange(60) // 3 % 4},
              "table": TABLE.assign(target=Y, site=[str(i) for i in np.arange(60) // 3 % 4])},
    "similarity": {"arrays by name": {f"{net}/{layer}": GRIDS * (net == "a") + RNG.normal(size=GRIDS.shape)
                                      for net in "ab" for layer in ("one", "two")}},
    "pretext": {"pair": (GRIDS, Y[:40]), "tensors": (torch.tensor(GRIDS), torch.tensor(Y[:40]))},
    "sample": {"array": X, "tensor": torch.tensor(X), "pair": (GRIDS, Y[:40]), "table": TABLE},
    "events": {"pair": (COUNTS, Y), "tensors": (torch.tensor(COUNTS), torch.tensor(Y)),
               "table": EVENTS.assign(label=Y[EVENTS["sample"]])},
    "transport": {"pair": (X, X[:50] + 1), "tensors": (torch.tensor(X), torch.tensor(X) + 1), "arrays by name":
                  {"target": X[:40], "source": X + 1}},
}  # fmt: skip
CHEAPEST = {
    "recall": "random-guess",
    "regression": "mean",
    "operator": "mean-field",
    "credit": "head-only",
    "scaling": "he",
    "similarity": "linear-cka",
    "pretext": "untrained",
    "merge": "average",
    "transport": "mean-shift",
    "sample": "gaussian",
}
OPTIONS: dict[str, dict[str, Any]] = {"recall": {"stored": 5}, "stream": {"tasks": 3}, "shift": {"domain": "site"}}


@pytest.mark.parametrize(("problem", "form"), [(problem, form) for problem in FORMS for form in FORMS[problem]])
def test_every_problem_takes_data_in_every_form(tmp_path: Path, problem: str, form: str) -> None:
    comparison = replica.compare(
        problem, data=FORMS[problem][form], only=[CHEAPEST.get(problem, "majority")], scale="smoke",
        store=tmp_path / "s.db", workers=1, quiet=True, **OPTIONS.get(problem, {}),
    )  # fmt: skip
    assert not comparison.results.errors
    dataset = comparison.results.dataset
    assert dataset.name in ("your array", "your data", "your table")
    assert dataset.name in dataset.description
    assert "array-" not in dataset.name + dataset.description
    assert comparison.plain()["data"].endswith((".npy", ".npz", ".parquet")), "a program finds the file"


@pytest.mark.parametrize(
    ("problem", "data", "said"),
    [
        ("classification", X, "data: is one array; wanted a pair such as (X, y)"),
        ("stream", (X, Y), "your data leaves 3 classes to the stream"),
        ("events", (X, Y), "your data: X has shape (60, 12) and y has shape (60,); wanted counts of shape"),
        ("events", (COUNTS / 2, Y), "your data: X holds 0.5; wanted the number of events"),
        ("events", (300 * COUNTS, Y), "your data: X holds 300; wanted the number of events"),
    ],
)
def test_data_that_do_not_fit_are_called_as_the_user_knows_them(
    tmp_path: Path, problem: str, data: Any, said: str
) -> None:
    with pytest.raises(ReplicaError) as caught:
        replica.compare(problem, data=data, scale="smoke", store=tmp_path / "s.db", quiet=True)
    assert said in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_events_counted_by_the_user_are_kept_as_they_are() -> None:
    found = read_events({"X": COUNTS.reshape(60, 10, 2, 3), "y": np.array(list("abc"))[Y]}, steps=50)
    np.testing.assert_array_equal(found.events, COUNTS)
    np.testing.assert_array_equal(found.labels, Y)
    assert (found.shape, found.classes) == ((2, 3), ("a", "b", "c"))


def test_an_option_that_says_how_data_are_read_cannot_be_swept(tmp_path: Path) -> None:
    with pytest.raises(ReplicaError, match="says how the data is read"):
        replica.compare("classification", sweep={"target": ["a", "b"]}, store=tmp_path / "s.db", quiet=True)


def test_a_method_without_its_library_is_left_out_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from replica.lab.runner import methods, participants

    found = participants.importlib.util.find_spec
    monkeypatch.setattr(
        participants.importlib.util, "find_spec", lambda name: None if name == "neuralop" else found(name)
    )
    sizes = {"samples": 40, "resolution": 16, "train": 16, "test": 8, "scale": "smoke", "workers": 1, "quiet": True}
    monkeypatch.setattr(methods, "load_paper", lambda module: SimpleNamespace(entries={}))
    _, left_out = participants.participants(get("operator"), get("operator").resolve({}), (), ())
    assert left_out == {"fno": "needs pip install 'replica-papers[physics]'", "tfno": left_out["fno"]}
    comparison = replica.compare("operator", only=["mean-field"], store=tmp_path / "s.db", **sizes)
    assert not comparison.results.left_out, "who chooses methods knows that others are left out"
    with pytest.raises(ReplicaError, match=r"Method fno needs pip install 'replica-papers\[physics\]'"):
        replica.compare("operator", only=["fno"], store=tmp_path / "s.db", **sizes)
