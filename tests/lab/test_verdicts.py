"""Trials, measures, bounds, verdicts and comparisons."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from matplotlib.figure import Figure
from scipy import stats

from replica.lab.claims import (
    Interval,
    Paper,
    Proportion,
    Reported,
    Trial,
    above,
    below,
    between,
    holm,
    judge,
    paired_p_value,
    tied_with_best,
    within,
)  # fmt: skip
from replica.lab.claims.drawing import draw_spread
from replica.lab.claims.measures import from_plain, to_plain


def span(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 5, "t")


@pytest.mark.parametrize(
    ("bound", "ends", "wanted"),
    [
        (above(0), (0.1, 0.2), "holds"),
        (above(0), (-0.1, 0.2), "unclear"),
        (above(0), (-0.2, -0.1), "fails"),
        (above(0), (0.0, 0.0), "fails"),  # no gain in any seed is not a gain
        (above(0), (0.0, 0.2), "unclear"),
        (below(0.05), (0.01, 0.04), "holds"),
        (below(0.05), (0.04, 0.06), "unclear"),
        (below(0.05), (0.05, 0.06), "fails"),
        (between(1, 2), (1.0, 2.0), "holds"),
        (between(1, 2), (0.9, 1.5), "unclear"),
        (between(1, 2), (2.1, 2.5), "fails"),
        (within(0.1, of=0.5), (0.41, 0.59), "holds"),
        (within(0.1, of=0.5), (0.61, 0.7), "fails"),
        (above(0), (-math.inf, math.inf), "unclear"),
    ],
)
def test_a_bound_is_judged_by_the_whole_interval(bound, ends, wanted):
    assert bound.judge(span(*ends)) == wanted


@given(st.floats(-5, 5), st.floats(0, 3), st.floats(-5, 5), st.floats(0, 3))
def test_judging_agrees_with_brute_force(low, width, start, room):
    bound, ends = between(start, start + room), span(low, low + width)
    points = np.linspace(ends.low, ends.high, 101)
    inside = (points >= bound.low) & (points <= bound.high)
    if inside.all():
        assert bound.judge(ends) == "holds"
    elif inside.any():
        assert bound.judge(ends) == "unclear"


def test_a_claim_is_as_good_as_its_weakest_expectation():
    good = [{"a": 1.0 + 0.01 * i, "b": 5.0 + 0.01 * i} for i in range(5)]
    assert judge({"a": above(0), "b": above(0)}, good).verdict == "holds"
    assert judge({"a": above(0), "b": above(5.02)}, good).verdict == "unclear"
    assert judge({"a": above(0), "b": above(6)}, good).verdict == "fails"
    assert judge({"a": above(5.02), "b": above(6)}, good).verdict == "fails"
    assert judge({"a": above(0)}, good, errors=1).verdict == "error"
    assert judge({"a": above(0)}, [], errors=5).verdict == "error"
    with pytest.raises(ValueError, match="expects the measure 'c'"):
        judge({"c": above(0)}, good)


def test_verdicts_are_rarely_wrong_by_chance():
    """A true mean on the far side of its bound is called *holds* in at most 2.5 % of studies, and the reverse."""
    studies, wrong = 1000, {"holds": 0, "fails": 0}
    for study in range(studies):
        values = np.random.default_rng([study, 5]).normal(0.0, 1.0, 5)
        wrong["holds"] += judge({"x": above(0)}, [{"x": v} for v in values]).verdict == "holds"
        wrong["fails"] += judge({"x": above(0)}, [{"x": v} for v in values]).verdict == "fails"
    error = 3 * math.sqrt(0.025 * 0.975 / studies)
    assert max(wrong.values()) / studies <= 0.025 + error


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "text", None, [1.0]])
def test_what_is_no_finite_number_is_an_error(value):
    with pytest.raises(ValueError, match="Measure 'x'"):
        to_plain({"x": value})


def test_measures_survive_the_store():
    plain = to_plain({"a": np.float32(0.5), "b": Proportion(np.int64(3), 4), "c": 2})
    assert plain == {"a": 0.5, "b": {"successes": 3, "total": 4}, "c": 2.0}
    assert from_plain(plain["b"]) == Proportion(3, 4)
    for nothing in ({}, None, 3.0):
        with pytest.raises(ValueError, match="at least one entry"):
            to_plain(nothing)
    for successes, total in ((5, 4), (-1, 4), (0, 0)):
        with pytest.raises(ValueError, match="Proportion"):
            Proportion(successes, total)


def test_streams_of_a_trial_repeat_and_are_independent():
    one, same, other = Trial(3), Trial(3, "smoke"), Trial(4)
    assert one.rng("a").random(5).tolist() == same.rng("a").random(5).tolist()
    draws = [trial.rng(name).random(20_000) for trial in (one, other) for name in ("a", "b", "")]
    correlations = np.corrcoef(draws)[np.triu_indices(6, 1)]
    assert np.abs(correlations).max() < 4 / math.sqrt(20_000)
    import torch

    assert torch.equal(torch.rand(5, generator=one.generator("a")), torch.rand(5, generator=same.generator("a")))
    assert not torch.equal(torch.rand(5, generator=one.generator("a")), torch.rand(5, generator=one.generator("b")))
    assert [Trial(0, scale).pick(smoke=1, laptop=2, full=3) for scale in ("smoke", "laptop", "full")] == [1, 2, 3]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_its_definition(p_values):
    ordered = sorted(range(len(p_values)), key=lambda i: p_values[i])
    wanted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(ordered):
        running = max(running, min(1.0, p_values[index] * (len(p_values) - rank)))
        wanted[index] = running
    assert holm(p_values) == pytest.approx(wanted)
    # It rejects whatever Bonferroni rejects.
    assert all(a <= min(1.0, p * len(p_values)) + 1e-12 for a, p in zip(holm(p_values), p_values, strict=True))


@given(st.lists(st.tuples(st.integers(-99, 99).map(float), st.integers(-99, 99).map(float)), min_size=3, max_size=9))
def test_the_paired_test_agrees_with_scipy(pairs):
    ours, theirs = map(np.array, zip(*pairs, strict=True))
    difference = ours - theirs
    if np.ptp(difference) < 1e-9:
        return
    assert paired_p_value(ours, theirs) == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, rel=1e-6, abs=1e-12)


def test_ties_are_paired_by_seed_and_corrected():
    seeds = np.random.default_rng(0).normal(0, 1, 5)  # how hard each seed is, the same for all methods
    scores = {"best": seeds + 0.2, "near": seeds + 0.2 + np.array([0.01, -0.02, 0.01, -0.01, 0.0]), "worse": seeds}
    assert tied_with_best(scores, "higher") == {"best": True, "near": True, "worse": False}
    assert tied_with_best({name: -values for name, values in scores.items()}, "lower")["worse"] is False
    assert tied_with_best({"a": np.ones(5), "b": np.ones(5)}, "higher") == {"a": True, "b": True}
    assert tied_with_best({"a": np.ones(1), "b": np.zeros(1)}, "higher") == {"a": True, "b": True}
    assert tied_with_best({}, "higher") == {}


def test_equal_methods_are_seldom_told_apart():
    """Family-wise: with five equal methods some method is wrongly called worse in about 5 % of comparisons, or fewer.

    The best of five is chosen by the same data, which costs a little; Holm's correction over four pays for it.
    """
    false_alarms = 0
    for study in range(600):
        draws = np.random.default_rng([study, 11]).normal(size=(5, 5))
        false_alarms += not all(tied_with_best({str(i): row for i, row in enumerate(draws)}, "higher").values())
    assert false_alarms / 600 <= 0.10


def test_a_paper_file_is_checked_where_it_is_written():
    paper = Paper("toy")

    @paper.claim("One is one.", expect={"one": within(0.1, of=1)}, reported={"one": Reported(1.0, "Table 1")})
    def one(trial):
        return {"one": 1.0}

    assert one(Trial(0)) == ({"one": 1.0}, {})
    assert paper.claims["one"] is one
    with pytest.raises(ValueError, match="two claims are named 'one'"):
        paper.claim("Again.", expect={"one": above(0)})(one.function)
    with pytest.raises(ValueError, match="seeds must be at least 5"):
        paper.claim("Few.", expect={"one": above(0)}, seeds=3)
    with pytest.raises(ValueError, match="expect must map"):
        paper.claim("Nothing.", expect={})
    with pytest.raises(ValueError, match="slug must be"):
        Paper("Bad Slug")
    paper.entry("recall", name="m")(lambda trial: None)
    with pytest.raises(ValueError, match="two entries"):
        paper.entry("recall", name="m")(lambda trial: None)


def test_the_spread_of_equal_numbers_can_be_drawn() -> None:
    axes = Figure().subplots()
    table = pd.DataFrame(
        {"x": [1] * 3 + [2] * 3, "y": [0.1] * 3 + [0.7, 0.8, 0.9]}
    )  # the mean of 0.1, 0.1, 0.1 is not 0.1
    draw_spread(axes, table, "x", "y", scale=100)
    (bars,) = axes.containers[0].lines[2]
    equal, apart = (segment[:, 1] for segment in bars.get_segments())
    assert equal == pytest.approx([10, 10])
    assert apart == pytest.approx([70, 90])
