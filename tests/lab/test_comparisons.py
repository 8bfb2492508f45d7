"""Ties with the best: paired by seed, and how seldom equal methods are parted."""

import math

import numpy as np
import pytest
from scipy import stats

from docs.statistics import PAGE
from replica.lab.claims import tied_with_best
from replica.lab.claims.comparisons import critical_value

STUDIES = 4000
SPREADS = {
    "equal": lambda methods: np.ones(methods),
    "one noisy": lambda methods: np.r_[1.0, np.full(methods - 1, 0.01)],
    "from quiet to noisy": lambda methods: np.geomspace(0.1, 10, methods),
}


def largest_gap(scores: np.ndarray) -> np.ndarray:
    """The largest paired t between the best and another, of each study; ``scores`` is ``[studies, methods, seeds]``."""
    order = np.argsort(-scores.mean(2), axis=1)
    scores = np.take_along_axis(scores, order[:, :, None], axis=1)
    return stats.ttest_1samp(scores[:, :1] - scores[:, 1:], 0, axis=2).statistic.max(1)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("methods", [2, 3, 6, 12])
@pytest.mark.parametrize("seeds", [5, 20])
def test_among_equal_methods_one_is_parted_in_at_most_5_percent(methods, seeds, spread):
    rng = np.random.default_rng([methods, seeds, 11])
    hard = 3 * rng.normal(size=(STUDIES, 1, seeds))  # how hard each seed is, the same for all methods
    scores = SPREADS[spread](methods)[:, None] * rng.normal(size=(STUDIES, methods, seeds)) + hard
    gaps = largest_gap(scores)
    wrong = (gaps > critical_value(methods, seeds)).mean()
    error = 3 * math.sqrt(0.05 * 0.95 / STUDIES)
    assert wrong <= 0.05 + error
    if spread == "equal":
        assert wrong >= 0.05 - error, "no more cautious than it must be"
    for study in np.argsort(-gaps)[:: STUDIES // 20]:
        tied = tied_with_best(dict(zip(range(methods), scores[study], strict=True)), "higher")
        assert all(tied.values()) == (gaps[study] <= critical_value(methods, seeds))


def test_two_methods_are_compared_by_the_paired_t_test():
    for seeds in (2, 5, 20):
        assert critical_value(2, seeds) == pytest.approx(stats.t.ppf(0.975, seeds - 1), rel=0.05)


def test_the_page_states_the_limits():
    told = " ".join(PAGE.read_text().split())
    two, three, six, twelve = (f"{critical_value(methods, 5):.1f}" for methods in (2, 3, 6, 12))
    assert f"{two} for two methods at five seeds, {three} for three, {six} for six, {twelve} for twelve" in told
    assert f"with ten seeds, twelve methods need {critical_value(12, 10):.1f}" in told


def test_pairing_tells_apart_what_seeds_hide():
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 1, 5)
    scores = {"best": seeds + 0.2, "near": seeds + 0.2 + np.array([0.01, -0.02, 0.01, -0.01, 0.0]), "worse": seeds}
    scores["worse"] = scores["worse"] + 0.01 * rng.normal(size=5)
    assert tied_with_best(scores, "higher") == {"best": True, "near": True, "worse": False}
    assert tied_with_best({name: -values for name, values in scores.items()}, "lower")["worse"] is False
    shuffled = {**scores, "worse": scores["worse"][[1, 2, 3, 4, 0]]}
    assert tied_with_best(shuffled, "higher")["worse"] is True


def test_differences_without_spread():
    same, less = np.arange(5.0), np.arange(5.0) - 0.1
    assert tied_with_best({"a": same, "b": same.copy(), "c": less}, "higher") == {"a": True, "b": True, "c": False}


def test_one_seed_marks_the_best_alone():
    scores = {"a": np.array([0.5]), "b": np.array([0.9]), "c": np.array([0.9]), "d": np.array([0.1])}
    assert tied_with_best(scores, "higher") == {"a": False, "b": True, "c": True, "d": False}
    assert tied_with_best(scores, "lower") == {"a": False, "b": False, "c": False, "d": True}


def test_few_and_unequal_methods():
    assert tied_with_best({}, "higher") == {}
    assert tied_with_best({"a": np.ones(5)}, "higher") == {"a": True}
    with pytest.raises(ValueError, match="the same seeds for all methods"):
        tied_with_best({"a": np.ones(5), "b": np.ones(4)}, "higher")
