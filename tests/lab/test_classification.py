"""The problem classification: splits, numbers, measures, protocol, and the picture."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn import metrics
from sklearn.metrics import log_loss as sklearn_log_loss

from replica.data import Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import get
from replica.lab.problems.classification.calibration import expected_calibration_error, log_loss
from replica.lab.problems.classification.class_metrics import auroc, balanced_accuracy, confusion_matrix, macro_f1
from replica.lab.problems.classification.data import prepare
from replica.lab.problems.labelled_rows import stratified_split
from replica.lab.problems.problem import Dataset

problem = get("classification")


@pytest.fixture(scope="module")
def wine() -> Dataset:
    return problem.load("wine", {})


def run(
    make: Any, dataset: Dataset, seed: int = 0, examples: bool = False, scale: Any = "laptop", **options: Any
) -> Any:
    return problem.run(Trial(seed, scale), make, dataset, problem.resolve(options), examples=examples)


class Constant:
    """Gives the same probabilities to every row."""

    classes_ = np.arange(3)

    def __init__(self, row: Any = (0.2, 0.5, 0.3)) -> None:
        self.row = np.array(row)

    def fit(self, X: Any, y: Any) -> Constant:
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.tile(self.row, (len(X), 1))

    def predict(self, X: Any) -> Any:
        return self.predict_proba(X).argmax(axis=1)


# --- splits and numbers --------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    st.lists(st.integers(2, 30), min_size=2, max_size=6),
    st.floats(0.05, 0.9),
    st.integers(0, 40),
    st.integers(0, 5),
)
def test_splits_share_no_row_and_hold_every_class(counts: list[int], test: float, most: int, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, tested = stratified_split(labels, test, most, np.random.default_rng(seed))
    assert not set(train) & set(tested)
    assert set(labels[tested]) == set(range(len(counts)))
    if most == 0:
        assert len(train) + len(tested) == len(labels)
    else:
        assert len(train) <= most
        assert len(set(labels[train])) == min(most, len(counts))
    fewer, again = stratified_split(labels, test, max(1, most // 2), np.random.default_rng(seed))
    assert set(fewer) <= set(train) or most == 1
    np.testing.assert_array_equal(again, tested)


def test_columns_are_made_from_training_rows_alone() -> None:
    frame = pd.DataFrame(
        {
            "number": [1.0, 2.0, np.nan, 3.0, 100.0, np.nan],
            "word": pd.Categorical(["a", "b", "a", None, "c", "a"]),
        }
    )
    content = Labelled(frame, np.array([0, 1, 0, 1, 0, 1]), ("x", "y"))
    train, test = np.arange(4), np.arange(4, 6)
    known, unknown = prepare(content, train, test)
    filled = np.array([1.0, 2.0, 2.0, 3.0])
    np.testing.assert_allclose(known[:, 0], (filled - filled.mean()) / filled.std())
    np.testing.assert_allclose(known[:, 0].std(), 1)
    assert len(set(known[[0, 1, 3], 1])) == 1  # the column that says whether the number is missing
    assert known[2, 1] != known[0, 1]
    assert known[:, 2:].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]  # (missing), a, b
    np.testing.assert_allclose(unknown[0, 0], (100 - filled.mean()) / filled.std())
    assert unknown[0, 2:].tolist() == [0, 0, 0]  # c was never seen
    poisoned = Labelled(frame.assign(number=[1.0, 2.0, np.nan, 3.0, -1e9, 7.0]), content.labels, content.classes)
    np.testing.assert_array_equal(prepare(poisoned, train, test)[0], known)


def test_images_keep_their_shapes() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((10, 3, 4), np.float32)
    known, unknown = prepare(Labelled(images, np.arange(10) % 2, ("a", "b")), np.arange(8), np.arange(8, 10))
    assert known.shape == (8, 12)
    np.testing.assert_allclose([known.mean(), known.std()], [0, 1], atol=1e-6)
    spread = images[:8].std()
    np.testing.assert_allclose(unknown[0] - unknown[1], (images[8] - images[9]).ravel() / spread, rtol=1e-4)


# --- measures ------------------------------------------------------------------------------------------------------------


def test_measures_of_a_known_method(wine: Dataset) -> None:
    metrics = run(lambda trial: Constant(), wine).metrics
    shares = np.bincount(wine.content.labels) / len(wine.content)
    assert float(metrics["accuracy"]) == pytest.approx(shares[1], abs=0.02)
    assert metrics["log_loss"] == pytest.approx(-(shares * np.log([0.2, 0.5, 0.3])).sum(), abs=0.03)
    assert metrics["calibration_error"] == pytest.approx(abs(0.5 - float(metrics["accuracy"])), abs=1e-9)
    assert metrics["parameters"] == 3
    perfect = run(lambda trial: Oracle(wine), wine).metrics
    assert float(perfect["accuracy"]) == 1
    assert perfect["log_loss"] == perfect["calibration_error"] == 0


class Oracle(Constant):
    """Knows the labels of all rows, by their (prepared) first values' order."""

    def __init__(self, dataset: Dataset) -> None:
        content = dataset.content
        train, test = stratified_split(content.labels, 0.25, 5000, Trial(0).rng("split"))
        rows = prepare(content, train, test)[1]
        self.known = {row.tobytes(): label for row, label in zip(rows, content.labels[test], strict=True)}

    def predict_proba(self, X: Any) -> Any:
        return np.eye(3)[[self.known[row.tobytes()] for row in X]]


def test_log_loss_is_scikit_learns_and_a_certain_mistake_is_finite() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(4), 50), rng.integers(4, size=50)
    assert log_loss(probabilities, labels) == pytest.approx(sklearn_log_loss(labels, probabilities, labels=range(4)))
    assert log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-6))


def test_calibration_error_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(3), 400), rng.integers(3, size=400)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    total = 0.0
    for b in range(15):
        inside = (confidence >= b / 15) & (confidence < (b + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(probabilities, labels) == pytest.approx(total)
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0  # confidence 1 is in the last bin


@settings(max_examples=30, derandomize=True)
@given(st.integers(2, 5), st.integers(2, 60), st.integers(0, 10**6), st.booleans())
def test_measures_in_which_classes_count_alike_are_scikit_learns(
    classes: int, rows: int, seed: int, coarse: bool
) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(classes, size=(2, rows))
    chances = rng.dirichlet(np.ones(classes), rows)
    chances = np.round(chances, 1) if coarse else chances  # ties
    confusion = confusion_matrix(truth, predicted, classes)
    np.testing.assert_array_equal(confusion, metrics.confusion_matrix(truth, predicted, labels=range(classes)))
    wanted = metrics.recall_score(truth, predicted, labels=np.unique(truth), average="macro")
    assert balanced_accuracy(confusion) == pytest.approx(wanted)
    assert macro_f1(confusion) == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    there = [c for c in range(classes) if 0 < (truth == c).sum() < rows]
    areas = [metrics.roc_auc_score(truth == c, chances[:, c]) for c in there]
    assert auroc(chances, truth) == pytest.approx(np.mean(areas) if areas else 0.5)


def test_the_chosen_measure_ranks_and_is_tuned_by(wine: Dataset) -> None:
    chosen = problem.metrics_for(problem.resolve({"rank_by": "auroc"}))
    assert chosen[0].name == "auroc"
    assert set(chosen) == set(problem.metrics)
    assert problem.metrics_for(problem.resolve({})) == problem.metrics
    with pytest.raises(ReplicaError, match="rank_by must be one of accuracy, log_loss"):
        problem.resolve({"rank_by": "profit"})
    with pytest.raises(ReplicaError, match="forward_transfer, which is not measured"):
        get("stream").metrics_for(get("stream").resolve({"rank_by": "forward_transfer"}))


# --- the user's own rows to test, and groups -----------------------------------------------------------------------------


def own(rows: int = 60, **parts: Any) -> Dataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=rows)
    content = Labelled(pd.DataFrame({"v": np.arange(rows) * 1.0}), labels, ("a", "b", "c"), **parts)
    return Dataset("own", "", content, "own")


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
@pytest.mark.parametrize("split", ["test", "validation"])
def test_rows_to_test_are_those_that_are_told(scale: Any, split: Any) -> None:
    tests = np.arange(60) % 4 == 0
    dataset = own(tests=tests)
    train, test = problem.rows(Trial(0, scale), dataset.content, problem.resolve({}), split)
    if split == "test":
        assert sorted(test) == np.flatnonzero(tests).tolist()
        assert sorted(train) == np.flatnonzero(~tests).tolist()
    assert not tests[train].any()
    assert not set(train) & set(test)
    fewer, _ = problem.rows(Trial(0, scale), dataset.content, problem.resolve({"train": 6}), "test")
    assert len(fewer) == 6
    assert set(dataset.content.labels[fewer]) == {0, 1, 2}
    problem.check(dataset, problem.resolve({}))
    with pytest.raises(ReplicaError, match="none is left"):
        problem.check(own(tests=np.zeros(60, bool)), problem.resolve({}))


@settings(max_examples=60, derandomize=True)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=3, max_size=12),
    st.floats(0.05, 0.9), st.integers(0, 9),
)  # fmt: skip
def test_no_group_is_split_and_every_class_is_learned(members: list[list[int]], share: float, seed: int) -> None:
    labels = np.concatenate([np.array(part) for part in members])
    groups = np.repeat(np.arange(len(members)), [len(part) for part in members])
    _, labels = np.unique(labels, return_inverse=True)
    content = Labelled(pd.DataFrame({"v": labels}), labels, tuple("abc"[: labels.max() + 1]), groups=groups)
    dataset, options = Dataset("own", "", content, "own"), problem.resolve({"test": share, "train": 0})
    train, test = problem.rows(Trial(seed), content, options, "test")
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert not set(groups[train]) & set(groups[test])
    assert set(labels[train]) == set(labels)
    free = [g for g in range(len(members)) if set(labels[groups != g]) == set(labels)]
    if not free:
        with pytest.raises(ReplicaError, match="No group of own can be tested"):
            problem.check(dataset, options)
        return
    problem.check(dataset, options)
    assert len(test)
    learned, held_out = problem.rows(Trial(seed), content, options, "validation")
    assert sorted([*learned, *held_out]) == sorted(train)
    assert not set(groups[learned]) & set(groups[held_out])


def test_the_share_of_groups_to_test_is_near_to_what_is_asked() -> None:
    groups = np.repeat(np.arange(40), 5)
    content = Labelled(pd.DataFrame({"v": groups}), np.arange(200) % 2, ("a", "b"), groups=groups)
    drawn = [problem.rows(Trial(seed), content, problem.resolve({}), "test")[1] for seed in range(3)]
    assert [len(rows) for rows in drawn] == [50, 50, 50]
    assert len({tuple(np.unique(groups[rows])) for rows in drawn}) == 3
    few = Labelled(content.features, content.labels, content.classes, groups=groups // 20)
    with pytest.raises(ReplicaError, match="every class in three groups or more"):
        problem.check_validation(Dataset("own", "", few, "own"), problem.resolve({}))


@pytest.mark.parametrize(
    ("scale", "used"),
    [("smoke", {"train": "100 rows", "test": "45 rows"}), ("laptop", {"train": "133 rows", "test": "45 rows"})],
)
def test_sizes_are_those_that_are_used(wine: Dataset, scale: Any, used: dict[str, str]) -> None:
    assert problem.used(wine, problem.resolve({}), scale) == used


# --- protocol ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", problem.baselines(), ids=lambda baseline: baseline.name)
def test_baselines_learn_and_repeat(baseline: Any, wine: Dataset) -> None:
    first = run(baseline.make, wine, seed=3, examples=True, scale="smoke")
    again = run(baseline.make, wine, seed=3, examples=True, scale="smoke")
    timed = {"fit_seconds", "predict_seconds"}
    assert {k: v for k, v in first.metrics.items() if k not in timed} == {
        k: v for k, v in again.metrics.items() if k not in timed
    }
    assert first.examples == again.examples
    assert set(first.metrics) == {metric.name for metric in problem.metrics}
    accuracy = float(first.metrics["accuracy"])
    assert accuracy < 0.5 if baseline.name == "majority" else accuracy > 0.85


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (SimpleNamespace(fit=print, predict=print), "has no method predict_proba"),
        (Constant((0.5, 0.5)), "returned shape (45, 2); wanted (45, 3)"),
        (Constant((0.5, 0.5, 0.5)), "add up to 1.5"),
        (Constant((np.nan, 0.5, 0.5)), "returned nan; wanted probabilities"),
        (Constant((-0.5, 1.0, 0.5)), "returned -0.5; wanted probabilities"),
    ],
)
def test_broken_methods_are_refused_in_one_line(method: Any, said: str, wine: Dataset) -> None:
    with pytest.raises(ReplicaError) as caught:
        run(lambda trial: method, wine)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_predictions_must_be_labels(wine: Dataset) -> None:
    method = Constant()
    method.predict = lambda X: np.full(len(X), 7)  # type: ignore[method-assign]
    with pytest.raises(ReplicaError, match="returned 7 for row 0"):
        run(lambda trial: method, wine)


def test_a_class_never_seen_gets_a_column(wine: Dataset) -> None:
    labels = wine.content.labels

    class TwoClasses(Constant):
        classes_ = np.array([0, 2])

        def __init__(self) -> None:
            super().__init__((0.25, 0.75))

        def predict(self, X: Any) -> Any:
            return torch.full((len(X),), 2)  # tensors do as well

    metrics = run(lambda trial: TwoClasses(), wine).metrics
    shares = np.bincount(labels) / len(labels)
    assert float(metrics["accuracy"]) == pytest.approx(shares[2], abs=0.02)
    # Class 1, which has no column, counts as given no chance at all.
    expected = -(shares * np.log([0.25, 1e-6, 0.75])).sum()
    assert metrics["log_loss"] == pytest.approx(expected, abs=0.3)


def test_a_method_may_write_into_what_it_is_given(wine: Dataset) -> None:
    class Vandal(Constant):
        def fit(self, X: Any, y: Any) -> Any:
            X[:], y[:] = 0, 0
            return self

        def predict_proba(self, X: Any) -> Any:
            probabilities = super().predict_proba(X)
            X[:] = 0
            return probabilities

    assert (
        run(lambda trial: Vandal(), wine).metrics["log_loss"] == run(lambda trial: Constant(), wine).metrics["log_loss"]
    )


def test_options_are_checked(wine: Dataset) -> None:
    with pytest.raises(ReplicaError, match="3 classes; give --train 3 or more"):
        problem.check(wine, problem.resolve({"train": 2}))
    with pytest.raises(ReplicaError, match="leave --target out"):
        problem.load("digits", {"target": "y"})
    with pytest.raises(ReplicaError, match="did you mean wine"):
        problem.load("wines", {})


# --- picture -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sweep", [None, ("train", (20, 80))])
@pytest.mark.parametrize("classes", [2, 30])
def test_figure_draws(sweep: Any, classes: int) -> None:
    rng = np.random.default_rng(0)
    methods = ["mine", "mlp", "majority"]
    rows = [{"method": name} for name in methods]
    values = sweep[1] if sweep else (None,)
    curves = pd.DataFrame(
        [
            (m, v, "accuracy", s, s - 0.02, s + 0.02)
            for m, s in zip(methods, (0.97, 0.95, 0.2), strict=True)
            for v in values
        ],
        columns=["method", "value", "metric", "mean", "low", "high"],
    )
    confusion = rng.integers(5, size=(classes, classes)) + np.eye(classes, dtype=int)
    examples = json.loads(json.dumps({name: {"confusion": confusion.tolist()} for name in methods}))
    content = SimpleNamespace(classes=tuple(f"class with a long name {i}" for i in range(classes)))
    comparison = SimpleNamespace(
        sweep=sweep, curves=curves, rows=rows, examples=examples, dataset=SimpleNamespace(content=content), options={}
    )
    figure = Figure(figsize=(12, 4.6))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    left, right = figure.axes
    assert left.get_xlabel() if sweep else left.get_xlabel().startswith("Accuracy")
    assert len(right.texts) == 3 * min(classes, 12)
    if not sweep:
        assert left.get_xlim()[0] > 0.8, "zoomed in where the methods are"
        assert any("0.2" in text.get_text() for text in left.texts), "what is off the scale is told"
