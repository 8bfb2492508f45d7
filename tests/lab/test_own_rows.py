"""The user's own rows in every problem that takes them: columns, colours, rows to test, groups, and the sizes that are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import replica
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.cli.compare import _problem_and_options
from replica.lab.problems import get
from replica.lab.problems.data_sources import column_names
from replica.lab.problems.stream.plan import plan

ROWS = 40
TABLE = pd.DataFrame(
    {"Id": range(ROWS), "a": np.random.default_rng(0).normal(size=ROWS), "b": np.arange(ROWS) % 7 + 0.5,
     "last, first": np.arange(ROWS) % 5, "site": np.arange(ROWS) // 4, "y": np.arange(ROWS) % 2}
)  # fmt: skip


def features(problem: str, content: Any) -> list[str]:
    return list((content.labelled if problem == "stream" else content).features.columns)


@pytest.fixture
def table(tmp_path: Path) -> str:
    TABLE.to_csv(tmp_path / "mine.csv", index=False)
    return str(tmp_path / "mine.csv")


@pytest.mark.parametrize("name", ["classification", "regression", "credit", "scaling", "stream"])
def test_columns_are_dropped_and_kept_as_told(name: str, table: str) -> None:
    problem = get(name)
    plain = problem.load(table, {})
    assert features(name, plain.content) == ["a", "b", "last, first", "site"]
    assert "only counts or names the rows: Id" in plain.description
    told = problem.load(table, problem.resolve({"drop": 'b,"last, first"', "keep": "Id"}))
    assert features(name, told.content) == ["Id", "a", "site"]
    assert "left out, as told: b, last, first" in told.description
    assert told.digest != plain.digest


def test_columns_of_patterns(table: str) -> None:
    problem = get("recall")
    assert problem.load(table, {}).shape == (5,)
    assert problem.load(table, {"drop": "y, site", "keep": "1"}).shape == (4,)


def test_names_of_columns_are_parted_by_commas() -> None:
    assert column_names('a, "b, c" ,d,') == ["a", "b, c ", "d"]
    assert column_names("") == []
    for text in ("a\nb", "a" * 200_000):
        with pytest.raises(ReplicaError, match="names no columns"):
            column_names(text)


@pytest.mark.parametrize("name", ["classification", "credit", "scaling", "stream", "recall"])
def test_colour_is_grey_unless_kept_and_either_is_told(name: str, tmp_path: Path) -> None:
    problem, rng = get(name), np.random.default_rng(0)
    for part in ("cat", "dog"):
        (tmp_path / part).mkdir()
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)).save(tmp_path / part / f"{i}.png")
    folder = str(tmp_path / "cat" if name == "recall" else tmp_path)
    grey, kept = (problem.load(folder, {"colour": word}) for word in ("grey", "kept"))
    assert (grey.shape, kept.shape) == ((5, 6), (3, 5, 6))
    assert "colour images made grey" in grey.description
    assert "3 × 5 × 6" in kept.description


def test_an_option_given_alone_means_its_word() -> None:
    option = {"colour": "kept"}
    assert _problem_and_options(["classification", "--colour"], set())[1] == option
    assert _problem_and_options(["classification", "--colour", "--target", "y"], set())[1] == {**option, "target": "y"}
    assert _problem_and_options(["classification", "--colour=grey"], set())[1] == {"colour": "grey"}
    assert get("classification").resolve({"colour": True})["colour"] == "kept"
    with pytest.raises(ReplicaError, match="--target needs a value"):
        _problem_and_options(["classification", "--target"], set())


@pytest.mark.parametrize("name", ["classification", "regression", "credit", "scaling", "stream", "recall"])
def test_named_sets_are_read_in_one_way(name: str) -> None:
    problem = get(name)
    for option in set(problem.data_options) - {"domain"}:
        with pytest.raises(ReplicaError, match=f"leave --{option.replace('_', '-')} out"):
            problem.load("diabetes" if name == "regression" else "digits", {option: "kept"})


def test_rows_to_test_and_groups_in_a_comparison(tmp_path: Path) -> None:
    own: dict[str, Any] = {"only": ["logistic-regression"], "scale": "smoke", "store": tmp_path / "s.db", "quiet": True}
    own["workers"] = 1
    tested = replica.compare("classification", data=TABLE[:24], test_data=TABLE[24:], **own)
    assert not tested.results.errors
    assert "24 rows to learn from and 16 to test, of 4 columns" in tested.results.dataset.description
    assert "train 24 rows · test 16 rows" in tested.settings
    grouped = replica.compare("classification", data=TABLE, groups="site", **own)
    assert not grouped.results.errors
    assert "3 columns" in grouped.results.dataset.description
    assert "10 groups by site" in grouped.results.dataset.description
    assert "groups site · " in grouped.settings
    tests = get("credit").load(tested.results.source, tested.results.options).content.tests
    assert tests.tolist() == [False] * 24 + [True] * 16


def test_the_measure_that_ranks_is_in_answer_and_table(tmp_path: Path) -> None:
    rare = TABLE.assign(y=(np.arange(ROWS) % 8 == 0).astype(int))
    comparison = replica.compare(
        "classification", data=rare, rank_by="balanced_accuracy", only=["majority", "logistic-regression"], scale="smoke",
        store=tmp_path / "s.db", quiet=True, workers=1,
    )  # fmt: skip
    assert comparison.answer.startswith("Best by balanced accuracy")
    assert comparison.table.loc["majority", "balanced_accuracy"] == 0.5
    assert comparison.figure().axes[0].get_xlabel().startswith("Balanced accuracy")


@pytest.mark.parametrize("pretrain", ["none", "unlabelled", "classes"])
@pytest.mark.parametrize("scale", ["smoke", "laptop"])
@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_stream_tests_the_rows_that_are_told(pretrain: str, scale: Any, split: Any, tmp_path: Path) -> None:
    problem = get("stream")
    (TABLE[:32].assign(y=np.arange(32) % 4)).to_csv(tmp_path / "learned.csv")
    (TABLE[:8].assign(y=np.arange(8) % 4)).to_csv(tmp_path / "tested.csv")
    given = {"test_data": str(tmp_path / "tested.csv"), "target": "y", "tasks": 2, "pretrain": pretrain}
    options = problem.resolve(given)
    dataset = problem.load(str(tmp_path / "learned.csv"), options)
    problem.check(dataset, options)
    made = plan(dataset.content, options, Trial(0, scale), split)
    learned, tested = (set(np.concatenate(parts).tolist()) for parts in (made.learned, made.tested))
    assert max([*learned, *made.pretraining]) < 32
    assert not learned & tested
    if split == "test":
        labels = dataset.content.labelled.labels
        assert tested == {row for row in range(32, 40) if labels[row] in made.classes}


# --- sizes that are told are those that are used -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
@pytest.mark.parametrize("name", ["classification", "credit", "events", "operator", "scaling", "stream"])
def test_told_sizes_are_those_of_a_trial(name: str, scale: Any) -> None:
    problem = get(name)
    options = problem.resolve({"resolution": 16, "samples": 40, "train": 20, "test": 9} if name == "operator" else {})
    dataset = problem.load(
        "darcy" if name == "operator" else "latency-digits" if name == "events" else "digits", options
    )
    used = problem.used(dataset, options, scale)
    trial = Trial(0, scale)
    if name == "stream":
        made = plan(dataset.content, options, trial, "test")
        counted = sum(map(len, made.learned)), sum(map(len, made.tested))
        assert used["tasks"] == str(len(made.learned))
    else:
        counted = tuple(len(rows) for rows in problem.rows(trial, dataset.content, options, "test"))  # type: ignore[attr-defined]
    assert [int(used[part].split()[0].replace(",", "")) for part in ("train", "test")] == list(counted)
    if "epochs" in options:
        assert int(used["epochs"]) == (options["epochs"] if scale == "laptop" else 2 if name == "operator" else 1)


def test_a_swept_size_is_told_as_it_is_swept(tmp_path: Path) -> None:
    comparison = replica.compare(
        "classification", data="wine", sweep={"train": [20, 40]}, only=["majority"], scale="smoke", store=tmp_path / "s.db",
        quiet=True, workers=1,
    )  # fmt: skip
    assert "train 20, 40 · test 45 rows · " in comparison.settings


def test_operations_are_counted_on_recordings_of_all_classes() -> None:
    problem, seen = get("events"), []

    class Counts:
        def fit(self, events: Any, labels: Any) -> None: ...

        def predict(self, events: Any) -> Any:
            return torch.zeros(len(events), 10)

        def operations(self, events: Any) -> Any:
            seen.append(events)
            return {"operations": 1.0}

    dataset, options = problem.load("latency-digits", {}), problem.resolve({"train": 20})
    problem.run(Trial(0), lambda trial: Counts(), dataset, options)
    (events,) = seen
    rows = {row.tobytes(): label for row, label in zip(dataset.content.events, dataset.content.labels, strict=True)}
    labels = [rows[row.numpy().astype(np.uint8).tobytes()] for row in events]
    assert len(labels) == 100
    assert np.bincount(labels, minlength=10).min() >= 3
