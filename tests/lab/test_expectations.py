"""Bounds: how they are written, read back, and compared with an interval."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from replica.errors import ReplicaError
from replica.lab.claims import Expectation, Interval, above, below, between, parse, within

finite = st.floats(allow_nan=False, allow_infinity=False)


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
        (between(1, 2), (0.9, 2.1), "unclear"),
        (between(1, 2), (2.0, 2.5), "unclear"),
        (between(1, 2), (2.1, 2.5), "fails"),
        (within(0.1, of=0.5), (0.41, 0.59), "holds"),
        (within(0.1, of=0.5), (0.61, 0.7), "fails"),
        (above(0), (-math.inf, math.inf), "unclear"),
        (between(0, 1), (-math.inf, math.inf), "unclear"),
    ],
)
def test_a_bound_is_judged_by_the_whole_interval(bound, ends, wanted):
    assert bound.judge(span(*ends)) == wanted


@pytest.mark.parametrize(
    ("bound", "ends", "wanted"),
    [
        (above(0), (0.01, 0.05), "holds"),  # a small effect is one; only what is not shown can be no effect
        (above(0), (-0.05, 0.05), "no_effect"),
        (above(0), (-0.1, 0.1), "no_effect"),
        (above(0), (-0.05, 0.11), "unclear"),
        (above(0), (-0.09, -0.01), "no_effect"),
        (above(0), (-0.11, -0.01), "fails"),
        (above(0.1), (-0.05, 0.05), "no_effect"),
        (above(0.1), (-0.3, 0.05), "fails"),
        (below(-0.1), (-0.05, 0.05), "no_effect"),
        (below(-0.1), (0.05, 0.3), "fails"),
        (between(0.2, 0.3), (-0.05, 0.05), "no_effect"),
        (within(0.1, of=0), (-0.05, 0.05), "holds"),
        (above(0), (-math.inf, math.inf), "unclear"),
    ],
)
def test_an_interval_within_the_smallest_effect_is_no_effect(bound, ends, wanted):
    assert bound.judge(span(*ends), 0.1) == wanted


@given(st.floats(-5, 5), st.floats(0, 3), st.floats(-5, 5), st.floats(0, 3))
def test_judging_agrees_with_brute_force(low, width, start, room):
    bound, ends = between(start, start + room), span(low, low + width)
    inside = [point in bound for point in np.linspace(ends.low, ends.high, 101)]
    if all(inside):
        assert bound.judge(ends) == "holds"
    elif any(inside):
        assert bound.judge(ends) == "unclear"


@given(finite, finite)
def test_a_bound_is_read_back_as_the_same_one(one, other):
    low, high = sorted((one, other))
    for bound in (above(one), below(one), between(low, high)):
        assert parse(str(bound)) == bound


@pytest.mark.parametrize(
    ("text", "bound", "shown"),
    [
        ("above 0.02", above(0.02), "above 0.02"),
        (" above  -1e-9 ", above(-1e-9), "above -1e-09"),
        ("below 1", below(1), "below 1"),
        ("from 0.1 to 0.3", between(0.1, 0.3), "from 0.1 to 0.3"),
        ("within 0.1 of 0.5", between(0.4, 0.6), "from 0.4 to 0.6"),
        ("within 0.1 of 0.3", between(0.2, 0.4), "from 0.2 to 0.4"),
        ("from 1 to 1", between(1, 1), "from 1 to 1"),
        ("above 1.0000000001", above(1.0000000001), "above 1.0000000001"),
    ],
)
def test_bounds_as_they_are_written(text, bound, shown):
    assert parse(text) == bound
    assert str(parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "above",
        "over 1",
        "above 1 2",
        "above one",
        "above inf",
        "below nan",
        "from 3 to 1",
        "within -1 of 0",
        "Above 1",
    ],
)
def test_other_texts_are_refused_in_one_line(text):
    with pytest.raises(ReplicaError, match=r"^The bound .*write 'above 0\.02'.*$"):
        parse(text)


@pytest.mark.parametrize("ends", [(2, 1), (math.nan, 1), (0, math.nan), (-math.inf, math.inf)])
def test_a_bound_needs_ends_in_order(ends):
    with pytest.raises(ValueError, match="low <= high"):
        Expectation(*ends)
