"""Planned looks: how often the intervals of all looks together cover the truth."""

import re
from itertools import combinations

import numpy as np
import pytest

from docs.statistics import MEASURES, PAGE, coverage, needed_levels, outcomes
from replica.lab.claims import LOOKS, interval, next_look, nominal_level

STUDIES = 400
PLANS = [plan for size in range(1, len(LOOKS) + 1) for plan in combinations(LOOKS, size)]


def stated(first_cell: str) -> list[float]:
    """The shares in a row of docs/statistics.md."""
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {first_cell} |")]
    return [float(number) / 100 for number in re.findall(r"(\d+) %", row.removeprefix(f"| {first_cell} |"))]


def agrees(share: float, wanted: float, studies: int) -> bool:
    """Whether a simulated share agrees with a stated one: within three standard errors, and its rounding."""
    return abs(share - wanted) <= 0.006 + 3 * (wanted * (1 - wanted) / studies) ** 0.5


@pytest.mark.parametrize("measure", MEASURES)
def test_five_seeds_and_four_looks_cover_as_the_page_says(measure):
    found = coverage(measure, STUDIES, stream=7)
    assert all(agrees(*pair, STUDIES) for pair in zip(found, stated(measure), strict=True)), found


def test_the_page_admits_where_coverage_is_short():
    for measure in MEASURES:
        assert min(stated(measure)) >= 0.92 or measure.startswith("**")


def test_effects_are_decided_as_often_as_the_page_says():
    decided, last = outcomes(0.0, STUDIES)
    found = [*decided, *(last[name] / STUDIES for name in ("holds", "no_effect", "fails", "unclear"))]
    assert all(agrees(*pair, STUDIES) for pair in zip(found, stated("0"), strict=True)), found
    assert last["holds"] + last["fails"] <= 0.08 * STUDIES


@pytest.fixture(scope="module")
def needed() -> np.ndarray:
    return needed_levels(100_000, stream=99)


def test_the_level_that_a_study_needs_is_that_of_its_interval(needed):
    values = np.random.default_rng(99).standard_normal((100_000, LOOKS[-1]))[:20]
    for study, wanted in zip(values, needed, strict=False):
        for look, level in zip(LOOKS, wanted, strict=True):
            span = interval(study[:look].tolist(), level=level)
            assert min(abs(span.low), abs(span.high)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_selection_of_looks_covers_normal_means_together(plan, needed):
    held = (needed[:, [LOOKS.index(look) for look in plan]] <= nominal_level(plan)).all(1).mean()
    assert held == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / len(needed)) ** 0.5)


def test_looking_four_times_at_95_percent_would_mislead(needed):
    """What the nominal level is for."""
    assert (needed <= 0.95).all(1).mean() < 0.87


def test_other_plans_get_bonferronis_level():
    assert nominal_level([8]) == nominal_level([40]) == 0.95
    assert nominal_level([6, 12]) == pytest.approx(0.975)
    assert nominal_level(list(LOOKS)) < 1 - 0.05 / 4


@pytest.mark.parametrize("looks", [[], [10, 5], [5, 5]])
def test_looks_ascend(looks):
    with pytest.raises(ValueError, match="looks must be ascending"):
        nominal_level(looks)


def test_the_next_look():
    assert [next_look(LOOKS, done) for done in (0, 4, 5, 7, 39, 40, 41)] == [5, 5, 10, 10, 40, None, None]
    assert next_look((), 0) is None
