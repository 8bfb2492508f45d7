"""The problem teacher: measures, what a learner is told, what it may not see, and the picture."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import Outcome
from replica.lab.problems.teacher.problem import Teacher, losses
from replica.lab.problems.teacher.targets import TARGETS, teacher
from replica.papers.baselines.teacher import mean as mean_target, ridge as linear_ridge

problem = Teacher()
SHAPES = {"dsd": (8, 16), "linear": (100,), "local": (8, 2), "polynomial": (12,), "keys": (9, 8)}


def run(make: Any, seed: int = 0, examples: int = 40, split: Any = "test", **options: Any) -> Outcome:
    resolved = problem.resolve({"test": 300, "examples": examples, **options})
    dataset = problem.load("made", resolved)
    return problem.run(Trial(seed), make, dataset, resolved, examples=True, split=split)


class Watch:
    """Remembers what it is given, and predicts a number."""

    def __init__(self, number: float = 0.0) -> None:
        self.number = number

    def fit(self, X: Any, y: Any, shape: Any = None) -> Watch:
        self.X, self.y, self.shape = X.copy(), y.copy(), shape
        X[:], y[:] = 0, 0
        return self

    def predict(self, X: Any) -> Any:
        self.asked = X.copy()
        X[:] = 0
        return np.full(len(self.asked), self.number)


class Knows:
    """Gives the best prediction of a trial's teacher, changed as told."""

    def __init__(self, seed: int, change: Any = lambda best: best, **options: Any) -> None:
        self.known = teacher(problem.resolve(options), Trial(seed).rng("teacher"))
        self.change = change

    def fit(self, X: Any, y: Any) -> None:
        pass

    def predict(self, X: Any) -> Any:
        rows = X.reshape(-1, *self.known.shape)
        best = getattr(self.known, "posterior_mean" if self.known.binary else "function")
        return self.change(best(rows))


# --- measures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_who_knows_has_no_excess(target: str) -> None:
    metrics = run(lambda _: Knows(3, target=target), 3, target=target).metrics
    floor = teacher(problem.resolve({"target": target}), Trial(3).rng("teacher")).floor
    assert metrics["excess"] == pytest.approx(0, abs=1e-6)
    assert metrics["error"] == pytest.approx(floor, abs=1e-6)
    assert list(metrics) == [metric.name for metric in problem.metrics]


def test_excess_of_known_mistakes() -> None:
    shifted = run(lambda _: Knows(0, lambda best: best + 0.3, target="linear"), target="linear", noise=0.5).metrics
    assert (shifted["excess"], shifted["error"]) == pytest.approx((0.09, 0.34))
    wrong = run(lambda _: Knows(0, lambda best: -best, noise=0.4), noise=0.4).metrics
    silent = run(lambda _: Knows(0, lambda best: 0 * best, noise=0.4), noise=0.4).metrics
    assert wrong["error"] == pytest.approx(1 - run(lambda _: Knows(0, noise=0.4), noise=0.4).metrics["error"], abs=0.05)
    assert silent["excess"] == pytest.approx(float(wrong["excess"]) / 2)
    assert losses(np.array([1.0, -1.0]), np.array([-1.0, -1.0]), True).tolist() == [1, 0]


def test_a_tenth_of_guessing_is_the_goal() -> None:
    shown = run(mean_target).examples
    assert shown["goal"] == pytest.approx((0.5 - shown["floor"]) / 10)
    assert run(mean_target, target="linear", noise=0.5).examples == {"floor": 0.25, "goal": 0.1}


def test_linear_learners_find_linear_teachers() -> None:
    few, many = (float(run(linear_ridge, examples=count, target="linear").metrics["excess"]) for count in (50, 800))
    assert few > 0.2
    # Least squares: σ² N / (P − N − 1).
    assert many == pytest.approx(0.25**2 * 100 / (800 - 101), rel=0.4)


# --- what a learner is told, and what it may not do ----------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_it_is_told_the_shape_and_fewer_examples_are_the_first_of_more(target: str) -> None:
    few, many, other = Watch(), Watch(), Watch()
    run(lambda _: few, 1, 10, target=target)
    run(lambda _: many, 1, 50, target=target)
    run(lambda _: other, 2, 10, target=target)
    assert few.shape == SHAPES[target]
    assert few.X.shape == (10, np.prod(few.shape))
    np.testing.assert_allclose(few.X, many.X[:10], rtol=1e-12)
    np.testing.assert_allclose(few.y, many.y[:10], rtol=1e-9)
    np.testing.assert_array_equal(few.asked, many.asked)
    assert not np.allclose(few.X, other.X)


def test_validation_holds_out_a_fifth_of_the_examples_and_asks_for_their_targets() -> None:
    whole, part = Watch(), Watch(0.5)
    run(lambda _: whole, examples=20, target="linear", noise=0.5)
    metrics = run(lambda _: part, examples=20, split="validation", target="linear", noise=0.5).metrics
    np.testing.assert_array_equal(part.X, whole.X[:16])
    np.testing.assert_array_equal(part.asked, whole.X[16:])
    assert metrics["error"] == pytest.approx(np.mean((whole.y[16:] - 0.5) ** 2))
    assert metrics["excess"] == pytest.approx(float(metrics["error"]) - 0.25)


def test_at_smoke_scale_there_is_less_of_everything() -> None:
    watch, resolved = Watch(), problem.resolve({"examples": 3000})
    dataset = problem.load("made", resolved)
    problem.run(Trial(0, "smoke"), lambda _: watch, dataset, resolved)
    assert (len(watch.X), len(watch.asked)) == (100, 100)
    assert problem.used(dataset, resolved, "smoke")["examples"] == "100"
    used = problem.used(dataset, problem.resolve({"target": "linear"}), "laptop")
    assert used == {"examples": "300", "test": "2000", "dim": "100"} | dict.fromkeys(
        ("patches", "reach", "degree", "outer_degree"), ""
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise": 0.0}, r"Target dsd: noise: got 0\.0, want a finite number above 0\."),
        ({"target": "local", "reach": 9}, r"Target local: reach: got 9, want a number from 1 to the 8 patches\."),
        ({"target": "polynomial", "degree": 3, "dim": 2}, r"Target polynomial: dim: got 2, want 3 or more\."),
    ],
)
def test_options_must_go_together(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ReplicaError, match=said):
        run(mean_target, **options)


def test_it_takes_no_other_data() -> None:
    with pytest.raises(ReplicaError, match="'dsd' is a target; give --target dsd"):
        problem.load("dsd", {})
    with pytest.raises(ReplicaError, match=r"draws its own examples, .*; leave --data my\.csv out"):
        problem.load("my.csv", {})
    with pytest.raises(ReplicaError, match="a fifth of 4 examples; give --examples 5 or more"):
        run(mean_target, examples=4, split="validation")
    with pytest.raises(ReplicaError, match=r"returned shape \(300, 1\); wanted \(300,\), a number a row"):
        run(lambda _: Knows(0, lambda best: best[:, None]))


# --- the picture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sweep", [("examples", (10, 100, 1000)), ("dim", (4, 8)), None])
@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_the_picture(sweep: Any, noise: float) -> None:
    values = sweep[1] if sweep else (None,)
    errors = {"mine": 0.4, "ridge": 0.6, "mean": 1.0}
    points = [
        (method, value, metric, level / (i + 1), 0.9 * level / (i + 1), 1.1 * level / (i + 1))
        for method, level in errors.items()
        for i, value in enumerate(values)
        for metric in ("excess", "error", "fit_seconds")
    ]
    comparison = SimpleNamespace(
        sweep=sweep,
        curves=pd.DataFrame(points, columns=["method", "value", "metric", "mean", "low", "high"]),
        rows=[{"method": method} for method in (*errors, "failed")],
        examples={method: {"floor": noise**2, "goal": 0.3} for method in errors},
        options=problem.resolve({"target": "linear"}),
        dataset=problem.load("made", {"target": "linear"}),
    )
    figure = Figure(figsize=(9, 4))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    parts = [axes for part in figure.subfigs for axes in part.axes]
    assert len(parts) == (3 if sweep and sweep[0] == "examples" else 2)
    if len(parts) == 3:
        mine, ridge, mean = ((line.get_marker(), float(line.get_xdata()[0])) for line in parts[2].lines)
        # 0.4, 0.2, 0.13: the goal, 0.3, lies between the first two; 0.6, 0.3, 0.2 meets it; 1, 0.5, 0.33 does not reach it.
        assert mine == ("o", pytest.approx(10 * 10 ** (np.log(0.4 / 0.3) / np.log(2))))
        assert ridge[1] == pytest.approx(100)
        assert mean == (">", 1000)
        assert parts[1].get_yscale() == ("log" if noise else "linear")
        assert [text.get_text() for text in parts[2].get_yticklabels()] == list(errors)
