"""Intervals: against SciPy and brute force, and by how often they cover the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from replica.lab.claims import Proportion, interval
from replica.lab.claims.intervals import bootstrap_interval, mean_interval, proportion_interval

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


def beta_binomial(share: float, total: int, concentration: float):
    def draw(r):
        shares = r.beta(share * concentration, (1 - share) * concentration, SEEDS)
        return [Proportion(int(k), total) for k in r.binomial(total, shares)]

    return draw


def test_means_of_normal_quantities_are_covered_exactly():
    assert coverage(lambda r: r.normal(3.0, 2.0, SEEDS).tolist(), 3.0) == pytest.approx(0.95, abs=ERROR)


@pytest.mark.parametrize(
    ("name", "draw", "truth", "least"),
    [
        # Symmetric and heavy-tailed: Student's t is conservative.
        ("Student's t, 3 degrees", lambda r: r.standard_t(3, SEEDS), 0.0, 0.95),
        ("Laplace", lambda r: r.laplace(0, 1, SEEDS), 0.0, 0.95),
        ("uniform", lambda r: r.random(SEEDS), 0.5, 0.93),
        # Skewed: the shortfall that the module's documentation states.
        ("chi-square, 8 degrees", lambda r: r.chisquare(8, SEEDS), 8.0, 0.92),
        ("exponential", lambda r: r.exponential(1.0, SEEDS), 1.0, 0.88),
        ("lognormal, sigma 1", lambda r: r.lognormal(0, 1, SEEDS), math.exp(0.5), 0.82),
    ],
)
def test_means_of_five_seeds_cover_as_often_as_documented(name, draw, truth, least):
    assert coverage(lambda r: draw(r).tolist(), truth) >= least - ERROR


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.5, 0.95, 0.99])
@pytest.mark.parametrize("total", [20, 100, 1000])
def test_shares_of_independent_outcomes_are_covered_near_zero_and_one_too(share, total):
    assert coverage(binomial(share, total), share) >= 0.95 - ERROR


@pytest.mark.parametrize(
    ("share", "total", "least"),
    [(0.1, 100, 0.93), (0.5, 100, 0.93), (0.9, 1000, 0.93), (0.95, 1000, 0.92), (0.99, 1000, 0.80)],
)
def test_shares_that_differ_between_seeds_cover_as_documented(share, total, least):
    assert coverage(beta_binomial(share, total, 20.0), share) >= least - ERROR


def test_a_plain_wilson_interval_would_not_cover_shares_that_differ_between_seeds():
    """What the design effect is for: without it the same studies are covered far less often."""
    hits = 0
    for study in range(STUDIES):
        shares = beta_binomial(0.5, 100, 20.0)(rng([study, 7]))
        result = stats.binomtest(sum(s.successes for s in shares), 500).proportion_ci(method="wilson")
        hits += result.low <= 0.5 <= result.high
    assert hits / STUDIES < 0.7


def test_from_twenty_seeds_on_skewed_means_are_covered_better_than_by_t():
    covered = {"BCa": 0, "t": 0}
    for study in range(300):
        values = rng([study, 3]).exponential(1.0, 25)
        for name, span in (("BCa", interval(values.tolist())), ("t", mean_interval(values))):
            covered[name] += span.low <= 1.0 <= span.high
            assert span.method == name
    assert covered["BCa"] / 300 >= 0.93 - 3 * math.sqrt(0.93 * 0.07 / 300)
    assert covered["BCa"] >= covered["t"] - 5


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=19))
def test_t_agrees_with_scipy(values):
    span = mean_interval(np.array(values))
    if np.ptp(values) == 0:
        assert span.low == span.high == pytest.approx(values[0])
        return
    wanted = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (span.low, span.high) == pytest.approx(wanted, rel=1e-9, abs=1e-6)


@given(st.integers(0, 50), st.integers(1, 50))
def test_one_seed_gives_scipys_wilson_interval(successes, total):
    successes = min(successes, total)
    span = proportion_interval([Proportion(successes, total)])
    wanted = stats.binomtest(successes, total).proportion_ci(method="wilson")
    assert (span.low, span.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert 0 <= span.low <= successes / total <= span.high <= 1


def test_bootstrap_repeats_bit_for_bit_and_agrees_with_brute_force():
    values = rng(0).lognormal(size=40)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    # BCa by hand (Efron & Tibshirani 1993, eq. 14.10).
    means = rng(1).choice(values, (20_000, 40)).mean(1)
    z0 = stats.norm.ppf((means < values.mean()).mean())
    left_out = np.array([np.delete(values, i).mean() for i in range(40)])
    away = left_out.mean() - left_out
    a = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    ends = [stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in stats.norm.ppf([0.025, 0.975])]
    wanted = np.quantile(means, ends)
    span = bootstrap_interval(values)
    assert (span.low, span.high) == pytest.approx(wanted, rel=0.02)


def test_kinds_and_numbers_choose_the_method():
    assert interval([1.0]).plain() == {"mean": 1.0, "low": None, "high": None}
    assert interval([1.0, 2.0]).method == "t"
    assert interval(rng(0).normal(size=20).tolist()).method == "BCa"
    assert interval([3.0] * 25) == mean_interval(np.full(25, 3.0))
    assert interval([Proportion(5, 5)] * 5).method == "Wilson"
    perfect = interval([Proportion(20, 20)] * 5)
    assert perfect.high == 1
    assert 0.9 < perfect.low < 1, "all right in a finite sample is not certainty"


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf], [1.0, Proportion(1, 2)]])
def test_nonsense_is_refused(values):
    with pytest.raises(ValueError, match=r"^interval: "):
        interval(values)
