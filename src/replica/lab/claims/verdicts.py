"""From measurements over seeds to *holds*, *fails*, *unclear* or *error*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .expectations import Expectation, Judgement
from .intervals import Interval, interval
from .measures import Proportion

Verdict = Literal["holds", "fails", "unclear", "error"]
VERDICTS: tuple[Verdict, ...] = ("error", "fails", "unclear", "holds")
"""From the weakest to the strongest."""


@dataclass(frozen=True)
class Ruling:
    """What was decided of a claim, and on what grounds."""

    verdict: Verdict
    intervals: Mapping[str, Interval]
    judgements: Mapping[str, Judgement]


def judge(
    expect: Mapping[str, Expectation], trials: Sequence[Mapping[str, float | Proportion]], errors: int = 0
) -> Ruling:
    """Judge a claim by its weakest expectation.

    *holds* needs every expectation to hold, an intersection-union test, which keeps its level without correction (Berger 1982).

    Args:
        expect: The bound of each measure.
        trials: The measures of each finished trial, one mapping a seed.
        errors: How many trials ended in an error; any makes the verdict *error*.

    Raises:
        ValueError: If a trial lacks a measure that the claim has a bound for.
    """
    intervals: dict[str, Interval] = {}
    names = list(dict.fromkeys(name for measures in trials for name in measures))
    for name in expect:
        if trials and not all(name in measures for measures in trials):
            raise ValueError(f"The claim expects the measure {name!r}; its trials return {names}.")
    for name in names:
        intervals[name] = interval([measures[name] for measures in trials if name in measures])
    judgements = {name: bound.judge(intervals[name]) for name, bound in expect.items() if name in intervals}
    if errors or not trials:
        return Ruling("error", intervals, judgements)
    return Ruling(min(judgements.values(), key=VERDICTS.index), intervals, judgements)
