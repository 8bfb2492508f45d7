"""Intervals: against SciPy and brute force, and by how often they cover the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from docs.statistics import shares as clustered
from replica.lab.claims import Proportion, interval

STUDIES = 1000
SEEDS = 5
ERROR = 3 * math.sqrt(0.95 * 0.05 / STUDIES)
"""Three standard errors of a coverage of 95 % estimated from so many studies."""

rng = np.random.default_rng


def coverage(draw, truth: float) -> float:
    """Share of simulated studies of five seeds whose interval holds the truth."""
    hits = 0
    for study in range(STUDIES):
        span = interval(draw(rng([study, 7])))
        hits += span.low <= truth <= span.high
    return hits / STUDIES


def binomial(share: float, total: int):
    return lambda r: [Proportion(int(k), total) for k in r.binomial(total, share, SEEDS)]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.95])
@pytest.mark.parametrize("total", [20, 100, 1000])
def test_shares_of_independent_outcomes_are_covered_near_zero_and_one_too(share, total):
    assert coverage(binomial(share, total), share) >= 0.95 - ERROR


def test_a_plain_wilson_interval_would_not_cover_shares_that_differ_between_seeds():
    """What the design effect is for: without it the same studies are covered far less often."""
    hits = 0
    for study in range(STUDIES):
        shares = clustered(0.5, 100, 20.0)(rng([study, 7]), SEEDS)
        pooled = interval([Proportion(sum(share.successes for share in shares), 500)])
        hits += pooled.low <= 0.5 <= pooled.high
    assert hits / STUDIES < 0.7


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=40), st.floats(0.5, 0.99))
def test_t_agrees_with_scipy(values, level):
    span = interval(values, level=level)
    if np.ptp(values) == 0:
        assert span.low == span.high == pytest.approx(values[0])
        return
    wanted = stats.t.interval(level, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (span.low, span.high) == pytest.approx(wanted, rel=1e-9, abs=1e-6)


@given(st.integers(0, 50), st.integers(1, 50), st.floats(0.5, 0.99))
def test_one_seed_gives_scipys_wilson_interval(successes, total, level):
    successes = min(successes, total)
    span = interval([Proportion(successes, total)], level=level)
    wanted = stats.binomtest(successes, total).proportion_ci(level, method="wilson")
    assert (span.low, span.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert 0 <= span.low <= successes / total <= span.high <= 1


def test_kinds_and_numbers_choose_the_method():
    assert interval([1.0]).plain() == {"mean": 1.0, "low": None, "high": None}
    assert interval([1.0, 2.0]).method == "t"
    assert interval(rng(0).normal(size=40).tolist()).method == "t"
    assert interval([Proportion(5, 5)] * 5).method == "Wilson"
    perfect = interval([Proportion(20, 20)] * 5)
    assert perfect.high == 1
    assert 0.9 < perfect.low < 1, "all right in a finite sample is not certainty"


def test_what_is_deterministic_is_known_from_one_value():
    for value in (2.5, Proportion(1, 4)):
        sure = interval([value], exact=True)
        assert (sure.low, sure.mean, sure.high, sure.method) == (float(value),) * 3 + ("exact",)
        assert interval([value, value], exact=True) == interval([value, value])


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_is_a_share(level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        interval([1.0, 2.0], level=level)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf], [1.0, Proportion(1, 2)]])
def test_nonsense_is_refused(values):
    with pytest.raises(ValueError, match=r"^interval: "):
        interval(values)
