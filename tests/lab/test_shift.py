"""The problem shift: which rows are learned from and tested, what is measured, the user's own environments."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from replica.data import coloured_digits
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import get
from replica.lab.problems.problem import Dataset
from replica.lab.problems.shift.data import flips
from replica.lab.problems.shift.problem import predicted

SHIFT = get("shift")


class Column:
    """Believes the sign of one column: probability 0.9 for its class."""

    def __init__(self, column: int = 0) -> None:
        self.column = column
        self.told: dict[str, Any] = {}

    def fit(self, X: Any, y: Any, environment: Any, shape: Any = None) -> Column:
        self.told = {"X": X, "y": y, "environment": environment, "shape": shape}
        return self

    def predict_proba(self, X: Any) -> Any:
        one = np.where(X[:, self.column] > 0, 0.9, 0.1)
        return np.stack([1 - one, one], axis=1)


def table(tmp_path: Path, names: str = "ABC", rows: int = 200) -> Path:
    """Two columns: a cue that is right everywhere but in the last environment, and a cause that is right in 3 of 4 rows."""
    labels = np.arange(rows * len(names)) % 2
    site = np.repeat(list(names), rows)
    cue = np.where(site == names[-1], 1 - labels, labels)
    cause = np.where(np.arange(len(labels)) // 2 % 4 == 0, 1 - labels, labels)
    frame = pd.DataFrame({"cue": 2.0 * cue - 1, "cause": 2.0 * cause - 1, "site": site, "target": labels})
    path = tmp_path / "sites.csv"
    frame.to_csv(path, index=False)
    return path


def loaded(path: Path, **options: Any) -> tuple[Dataset, dict[str, Any]]:
    given = SHIFT.resolve({"domain": "site", **options})
    return SHIFT.load(str(path), given), given


def measured(
    dataset: Dataset, options: dict[str, Any], method: Any, **rest: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    outcome = SHIFT.run(Trial(0), lambda trial: method, dataset, options, examples=True, **rest)
    return dict(outcome.metrics), dict(outcome.examples)


def test_a_cue_that_turns_is_right_where_it_was_learned_and_wrong_where_not(tmp_path: Path) -> None:
    dataset, options = loaded(table(tmp_path))
    found, shown = measured(dataset, options, Column(0))
    assert (found["accuracy"].successes, found["accuracy"].total) == (0, 200)
    assert (found["worst_accuracy"], found["in_distribution"]) == (0.0, 1.0)
    assert shown == {"environments": ["A", "B", "C"], "accuracy": [1.0, 1.0, 0.0]}
    found, shown = measured(dataset, options, Column(1))
    assert found["accuracy"].successes == 150
    assert 0.5 < found["worst_accuracy"] <= 0.75


def test_any_environment_may_be_tested_and_the_last_is_by_default(tmp_path: Path) -> None:
    dataset, options = loaded(table(tmp_path), test_domain="A")
    method = Column(0)
    found, shown = measured(dataset, options, method)
    assert shown["environments"] == ["B", "C", "A"]
    assert found["accuracy"].successes == 200
    assert found["worst_accuracy"] == 0.0, "C is learned from, and the column misleads there"
    assert found["in_distribution"] == 0.5
    assert sorted(np.bincount(method.told["environment"])) == [160, 160], "a fifth is held out"
    assert method.told["shape"] == ()
    with pytest.raises(ReplicaError, match="Option test_domain is 'D'; wanted one of A, B, C"):
        measured(dataset, {**options, "test_domain": "D"}, Column(0))


def test_rows_are_learned_held_out_or_tested_and_never_two_of_these(tmp_path: Path) -> None:
    dataset, options = loaded(table(tmp_path, rows=50), train=20)
    groups = dataset.content.groups
    for split in ("test", "validation"):
        train, test = SHIFT.rows(Trial(3), dataset.content, options, split)
        assert not set(train) & set(test)
        assert len(set(test)) == len(test)
        assert (2 in groups[test]) == (split == "test")
        assert 2 not in groups[train]
    train, test = SHIFT.rows(Trial(3), dataset.content, options, "test")
    assert np.bincount(groups[train]).tolist() == [20, 20]
    assert np.bincount(groups[test]).tolist() == [10, 10, 50]


def test_of_three_environments_one_stands_in_for_the_test(tmp_path: Path) -> None:
    dataset, options = loaded(table(tmp_path, "ABCDE", 40))
    seen = set()
    for seed in range(8):
        train, test = SHIFT.rows(Trial(seed), dataset.content, options, "validation")
        (out,) = np.unique(dataset.content.groups[test])
        assert out not in dataset.content.groups[train]
        seen.add(int(out))
    assert seen <= {0, 1, 2, 3}
    assert len(seen) > 1
    found, _ = measured(dataset, options, Column(0), split="validation")
    assert found["accuracy"].successes == found["accuracy"].total
    found, _ = measured(*loaded(table(tmp_path)), Column(0), split="validation")
    assert found["in_distribution"] == 1.0


def test_a_classifier_that_knows_no_environments_learns_from_all_rows(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    dataset, options = loaded(table(tmp_path))
    found, _ = measured(dataset, options, LogisticRegression())
    assert found["in_distribution"] == 1.0
    assert found["accuracy"].successes == 0


def test_the_named_digits_are_those_of_their_flips() -> None:
    options = SHIFT.resolve({"flips": "0.1,0.1,0.5", "label_noise": 0.0})
    dataset = SHIFT.load("coloured-digits:7", options)
    content = dataset.content
    assert content.group_names == ("0.1 (1)", "0.1 (2)", "0.5")
    assert np.bincount(content.groups).tolist() == [719, 719, 359]
    made = coloured_digits((0.1, 0.1, 0.5), 0.0, shares=(2, 2, 1), seed=7)
    assert np.array_equal(content.features, made.features)
    assert SHIFT.load("coloured-digits", options).digest != dataset.digest
    assert flips("0,0.5,1") == (0.0, 0.5, 1.0)
    for wrong in ("0.1,0.2", "0.1,0.2,1.5", "much"):
        with pytest.raises(ReplicaError, match="Option flips is"):
            flips(wrong)


def test_what_does_not_fit_is_said_in_one_line(tmp_path: Path) -> None:
    path = table(tmp_path)
    with pytest.raises(ReplicaError, match="give --domain COLUMN"):
        SHIFT.load(str(path), SHIFT.resolve({}))
    with pytest.raises(ReplicaError, match="has 2 environments; wanted 3 or more"):
        measured(*loaded(table(tmp_path, "AB")), Column(0))
    frame = pd.read_csv(table(tmp_path))
    frame.loc[frame["site"] == "C", "target"] = 2
    frame.to_csv(path, index=False)
    with pytest.raises(ReplicaError, match=r"Class '2' of .* is in 'C' alone, which is tested"):
        measured(*loaded(path), Column(0))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (np.full((3, 2), 0.4), r"probabilities that add up to 0.8; wanted 1"),
        (np.array([[1.5, -0.5]] * 3), "returned -0.5; wanted probabilities"),
        (np.full((3, 3), 1 / 3), r"returned shape \(3, 3\); wanted \(3, 2\)"),
        (np.full((3, 2), np.nan), "returned nan; wanted probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(output: Any, said: str) -> None:
    with pytest.raises(ReplicaError, match=said):
        predicted("Mine.predict_proba", output, 3, np.array([0, 1]))


def test_labels_are_those_that_were_learned() -> None:
    assert predicted("x", np.array([[0.2, 0.8], [0.7, 0.3]]), 2, np.array([1, 4])).tolist() == [4, 1]


@pytest.mark.parametrize("methods", [1, 12])
def test_the_picture_has_a_line_a_method_and_the_unseen_environment_last(methods: int) -> None:
    names = [f"method {number}" for number in range(methods)]
    accuracy = np.linspace(0.2, 0.9, methods)
    comparison = SimpleNamespace(
        sweep=None,
        rows=[{"method": name} for name in names],
        curves=pd.DataFrame({"method": names, "metric": "accuracy", "mean": accuracy, "low": 0.1, "high": 0.95, "value": 0}),
        examples={name: {"environments": ["A", "B", "C"], "accuracy": [0.9, 0.8, float(accuracy[i])]}
                  for i, name in enumerate(names)},
        dataset=None, options={},
    )  # fmt: skip
    figure = Figure(figsize=(9, 4))
    FigureCanvasAgg(figure)
    SHIFT.draw(figure, comparison)
    figure.canvas.draw()
    (axes,) = figure.subfigs[1].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "B", "C"]
    ends = [line.get_ydata()[-1] for line in axes.lines if len(line.get_xdata()) == 3]
    assert sorted(ends) == pytest.approx(sorted(accuracy))


def test_the_example_leaves_a_cue_that_turns_where_it_learns(tmp_path: Path) -> None:
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples/my_shift_learner.py"))["SteadyColumns"]
    dataset, options = loaded(table(tmp_path, "ABCD"), test_domain="A")  # in D the cue is turned
    found, _ = measured(dataset, options, example())
    assert found["accuracy"].successes == 150, "the cause's"
