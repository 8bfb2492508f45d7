"""The problem regression: rows, measures, protocol, what a method need not tell, and the picture."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import norm

import replica
from replica.data import RegressionRows
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import get
from replica.lab.problems.problem import Dataset
from replica.lab.problems.regression.data import draw_rows
from replica.lab.problems.regression.scores import LEVELS, coverage_curve, crps, farthest

problem = get("regression")
FIVE = ("rmse", "nll", "crps", "coverage", "width")


def own(targets: Any, **parts: Any) -> Dataset:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(len(targets), 2)), columns=["a", "b"])
    return Dataset("own", "", RegressionRows(frame, np.asarray(targets, float), **parts), "own")


def run(method: Any, dataset: Dataset, seed: int = 0, scale: Any = "laptop", **options: Any) -> Any:
    make = method if callable(method) else lambda trial: method
    return problem.run(Trial(seed, scale), make, dataset, problem.resolve(options), examples=True)


class Normal:
    """The same normal distribution for every row."""

    def __init__(self, mean: float = 0.0, deviation: float = 1.0) -> None:
        self.distribution = norm(mean, deviation)

    def fit(self, X: Any, y: Any) -> Normal:
        return self

    def predict(self, X: Any) -> Any:
        return torch.full((len(X),), self.distribution.mean())  # tensors do as well

    def predict_quantiles(self, X: Any, levels: Any) -> Any:
        return np.tile(self.distribution.ppf(levels), (len(X), 1))

    def log_density(self, X: Any, y: Any) -> Any:
        return self.distribution.logpdf(y)


# --- rows ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, derandomize=True)
@given(
    st.integers(5, 60),
    st.floats(0.01, 0.95) | st.just(0.0),
    st.integers(0, 3),
    st.sampled_from(["", "groups", "tests", "splits"]),
)
def test_rows_to_test_are_never_learned_from(count: int, share: float, seed: int, kind: str) -> None:
    numbers = np.arange(count)
    parts: dict[str, Any] = {"groups": numbers // 2, "tests": numbers % 3 == 0, "splits": (numbers[::4], numbers[1::4])}
    content = own(numbers, **({kind: parts[kind]} if kind else {})).content
    train, test = draw_rows(content, share, seed, np.random.default_rng(seed))
    assert sorted([*train, *test]) == numbers.tolist()
    if kind == "groups":
        assert not set(train // 2) & set(test // 2)
    elif kind == "tests":
        assert set(test) == set(numbers[numbers % 3 == 0])
    elif kind == "splits" and not share and seed < 2:
        assert set(test) == set(parts["splits"][seed])
    else:
        wanted = share or (len(parts["splits"][0]) / count if kind else 0.25)
        assert len(test) == min(max(round(wanted * count), 1), count - 1)


def test_fewer_rows_are_part_of_more_and_scaling_comes_from_them() -> None:
    dataset, few, many = own(np.arange(40.0) ** 2), problem.resolve({"train": 7}), problem.resolve({})
    (small, tested), (large, again) = (problem.rows(Trial(3), dataset.content, o, "test") for o in (few, many))
    assert set(small) < set(large)
    assert set(tested) == set(again)
    kept, held_out = problem.rows(Trial(3), dataset.content, many, "validation")
    assert sorted([*kept, *held_out]) == sorted(large)
    targets = problem.sample(Trial(3), dataset.content, few, small, tested).targets
    np.testing.assert_allclose([targets.mean(), targets.std()], [0, 1], atol=1e-12)
    np.testing.assert_allclose(targets * (small**2).std() + (small**2).mean(), small**2)


@pytest.mark.parametrize(("options", "parts", "said"), [
    ({"train": 1}, {}, "wanted two rows or more to learn from"),
    ({}, {"groups": np.zeros(8, int)}, "All rows of own are of one group"),
    ({}, {"tests": np.arange(8) < 7}, "leaves 1 rows to learn from and 7 to test"),
])  # fmt: skip
def test_too_few_rows_are_told(options: Any, parts: Any, said: str) -> None:
    with pytest.raises(ReplicaError, match=said):
        problem.check(own(np.arange(8), **parts), problem.resolve(options))


def test_rows_that_cannot_be_held_out_are_told() -> None:
    with pytest.raises(ReplicaError, match="wanted three rows or more"):
        problem.check_validation(own(np.arange(8)), problem.resolve({"train": 2}))
    with pytest.raises(ReplicaError, match="wanted three groups"):
        problem.check_validation(own(np.arange(8), groups=np.arange(8) // 4), problem.resolve({}))


# --- measures ------------------------------------------------------------------------------------------------------------


def test_crps_is_the_closed_form_of_a_normal_distribution() -> None:
    truth = np.linspace(-3, 3, 61)
    exact = truth * (2 * norm.cdf(truth) - 1) + 2 * norm.pdf(truth) - 1 / np.sqrt(np.pi)
    found = [crps(norm.ppf(LEVELS)[None], truth[[i]]) for i in range(61)]
    np.testing.assert_allclose(found, exact, atol=0.005)


def test_crps_is_the_integral_of_the_squared_difference_of_distributions() -> None:
    rng = np.random.default_rng(0)
    quantiles, truth = np.sort(rng.normal(size=(4, 50))), rng.normal(size=4)
    grid = np.linspace(-6, 6, 120_001)
    for line, true in zip(quantiles, truth, strict=True):
        below = np.searchsorted(line, grid, side="right") / 50
        assert crps(line[None], np.array([true])) == pytest.approx(
            np.trapezoid((below - (grid >= true)) ** 2, grid), abs=1e-3
        )


def test_measures_of_a_distribution_that_is_right() -> None:
    targets = np.random.default_rng(1).normal(50, 1e6, size=20_000)
    metrics = run(Normal(), own(targets), train=0).metrics
    assert {name for name in metrics if not name.endswith(("seconds", "parameters"))} == set(FIVE)
    wanted = {
        "rmse": 1,
        "nll": 0.5 + 0.5 * np.log(2 * np.pi),
        "crps": 1 / np.sqrt(np.pi),
        "coverage": 0.9,
        "width": 3.29,
    }
    for name, value in wanted.items():
        assert float(metrics[name]) == pytest.approx(value, rel=0.02), name
    unsure, biased = (run(method, own(targets), train=0).metrics for method in (Normal(deviation=2), Normal(mean=3)))
    assert unsure["width"] == pytest.approx(2 * metrics["width"])
    assert biased["rmse"] == pytest.approx(np.sqrt(10), rel=0.02)
    for name in ("nll", "crps"):
        assert metrics[name] < min(unsure[name], biased[name])


@pytest.mark.parametrize(("scale", "shift"), [(1e12, 0.0), (1e-12, 0.0), (1.0, 1e9)])
def test_measures_do_not_depend_on_the_targets_unit(scale: float, shift: float) -> None:
    targets = np.random.default_rng(0).normal(size=200)
    plain, other = (run(Normal(), own(values)).metrics for values in (targets, shift + scale * targets))
    for name in FIVE:
        assert float(other[name]) == pytest.approx(float(plain[name]), rel=1e-6), name


def test_the_unit_is_the_deviation_of_all_targets_of_a_trial() -> None:
    rng, tests = np.random.default_rng(0), np.arange(20_000) % 2 == 1
    targets = rng.normal(size=20_000) * np.where(tests, 6, 2)
    metrics = run(
        Normal(deviation=3), own(targets, tests=tests), train=0
    ).metrics  # of a standardised target that is tested
    share = 6 / np.sqrt((6**2 + 2**2) / 2)
    assert metrics["rmse"] == pytest.approx(share, rel=0.02)
    assert metrics["width"] == pytest.approx(3.29 * share, rel=0.02)
    assert metrics["nll"] == pytest.approx(0.5 + 0.5 * np.log(2 * np.pi) + np.log(share), abs=0.02)


def test_targets_that_are_equal_where_they_are_learned_make_no_nan() -> None:
    targets = np.full(40, 0.1)
    targets[:10] = np.arange(10)
    for baseline in problem.baselines():
        outcome = run(baseline.make, own(targets, tests=np.arange(40) < 20))
        assert all(np.isfinite(float(value)) for value in outcome.metrics.values()), baseline.name


def test_far_rows_are_those_of_the_test_part_that_are_farthest() -> None:
    rng = np.random.default_rng(0)
    known, queries = rng.normal(size=(50, 3)) + 2, rng.normal(size=(20, 3))
    distance = np.linalg.norm(queries - known.mean(axis=0), axis=1)
    assert set(np.flatnonzero(farthest(queries, known, 0.2))) == set(np.argsort(distance)[-4:])
    metrics = run(Normal(), own(rng.normal(size=100)), shift="far").metrics
    assert set(metrics) == {metric.name for metric in problem.metrics_for(problem.resolve({"shift": "far"}))}
    with pytest.raises(ReplicaError, match="shift_crps, which is not measured"):
        problem.metrics_for(problem.resolve({"rank_by": "shift_crps"}))
    levels, inside = coverage_curve(np.tile(norm.ppf(LEVELS), (20_000, 1)), rng.normal(size=20_000))
    np.testing.assert_allclose(inside, levels, atol=0.01)
    assert levels[LEVELS[25:].tolist().index(0.95)] == pytest.approx(0.9)


# --- protocol ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", problem.baselines(), ids=lambda baseline: baseline.name)
def test_baselines_learn_and_repeat(baseline: Any) -> None:
    first, again = (
        run(baseline.make, problem.load("diabetes", problem.resolve({})), seed=3, scale="smoke", test=0.5)
        for _ in range(2)
    )
    plain = [{k: v for k, v in each.metrics.items() if k != "fit_seconds"} for each in (first, again)]
    assert plain[0] == plain[1]
    assert first.examples == again.examples
    assert 0.9 < first.metrics["rmse"] < 1.2 if baseline.name == "mean" else first.metrics["rmse"] < 0.95
    if "coverage" in first.metrics:
        assert float(first.metrics["coverage"]) > 0.55


def test_quantiles_of_the_forest_are_those_of_the_weighted_targets() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 3)), rng.normal(size=80)
    make = next(baseline.make for baseline in problem.baselines() if baseline.name == "random-forest")
    forest = make(Trial(0), n_estimators=7).fit(X, y)
    queries, levels = rng.normal(size=(5, 3)), np.array([0.1, 0.5, 0.77])
    there, asked, wanted = forest.forest.apply(X), forest.forest.apply(queries), np.empty((5, 3))
    for i, place in enumerate(asked):
        same = there == place
        weights = (same / same.sum(axis=0)).mean(axis=1)
        order = np.argsort(y)
        wanted[i] = [y[order][np.argmax(weights[order].cumsum() >= level - 1e-12)] for level in levels]
    np.testing.assert_allclose(forest.predict_quantiles(queries, levels), wanted)


@pytest.mark.parametrize(("name", "output", "said"), [
    ("predict", np.zeros(3), "predict returned shape (3,); wanted (10,)"),
    ("predict", np.full(10, np.nan), "predict returned nan for row 0"),
    ("predict", np.full(10, "a"), "predict returned <U1; wanted real numbers"),
    ("predict_quantiles", np.zeros((50, 10)), "predict_quantiles returned shape (50, 10); wanted (10, 50)"),
    ("log_density", np.full(10, np.inf), "log_density returned inf for row 0"),
])  # fmt: skip
def test_broken_methods_are_refused_in_one_line(name: str, output: Any, said: str) -> None:
    method = Normal()
    setattr(method, name, lambda *given: output)
    with pytest.raises(ReplicaError) as caught:
        run(method, own(np.arange(40)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_density_of_zero_is_finite_and_quantiles_that_cross_are_sorted() -> None:
    targets = own(np.random.default_rng(0).normal(size=200))
    method = Normal()
    plain = run(method, targets).metrics
    method.log_density = lambda X, y: np.full(len(X), -np.inf)  # type: ignore[method-assign]
    method.predict_quantiles = lambda X, levels: Normal().predict_quantiles(X, levels[::-1])  # type: ignore[method-assign]
    metrics = run(method, targets).metrics
    assert metrics["nll"] == pytest.approx(1e4, rel=1e-3)
    assert metrics["crps"] == pytest.approx(plain["crps"])


# --- what a method does not tell, and the picture ------------------------------------------------------------------------


def test_what_a_method_does_not_tell_stays_open(tmp_path: Path) -> None:
    common: dict[str, Any] = {"only": ["mean", "ridge"], "scale": "smoke", "seeds": 2, "workers": 1, "quiet": True}
    comparison = replica.compare("regression", store=tmp_path / "s.db", **common)
    table = comparison.table
    assert table.index.tolist() == ["ridge", "mean"]
    assert np.isnan(table.loc["ridge", "crps"])
    page, shown = comparison.report(tmp_path / "r.html").read_text(), comparison._repr_html_()
    for text in (page, shown):
        assert ">–<" in text
        assert "nan" not in text.lower().split("<table")[1].split("</table")[0]
    by_crps = replica.compare("regression", store=tmp_path / "s.db", rank_by="crps", **common)
    assert by_crps.answer.startswith("Best by CRPS: mean")
    assert by_crps.table.index.tolist() == ["mean", "ridge"]
    assert not by_crps.table.loc["ridge", "tied_with_best"]
    alone = replica.compare("regression", store=tmp_path / "s.db", rank_by="crps", **{**common, "only": ["ridge"]})
    assert alone.answer == "No method tells its CRPS."
    assert alone.report(tmp_path / "r.html").exists()
    swept = replica.compare(
        "regression", store=tmp_path / "s.db", rank_by="crps", sweep={"train": [20, 60]}, shift=True, tune=2, **common
    )
    assert not swept.results.errors
    assert swept.report(tmp_path / "r.html").exists()


@pytest.mark.parametrize("sure", [0, 1, 9])
def test_figure_draws(sure: int) -> None:
    methods = [f"method {i}" for i in range(9)]
    curves = pd.DataFrame([(m, None, "rmse", 0.5, 0.4, 0.6) for m in methods],
                          columns=["method", "value", "metric", "mean", "low", "high"])  # fmt: skip
    dataset = own(np.random.default_rng(0).normal(size=100) * 1e6, target="price in $ of a house with a long name")
    told, silent = Normal(), SimpleNamespace(fit=lambda X, y: None, predict=Normal().predict)
    examples = {m: run(told if i < sure else silent, dataset).examples for i, m in enumerate(methods)}
    comparison = SimpleNamespace(sweep=None, curves=curves, rows=[{"method": m} for m in methods], examples=examples,
                                 dataset=dataset, options={})  # fmt: skip
    figure = Figure(figsize=(12, 4.6))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    _, first, second = figure.axes
    assert first.get_title() == ("method 0, 90 % intervals" if sure else "method 0")
    assert second.get_title() == ("does the interval hold the truth?" if sure else "method 1")
