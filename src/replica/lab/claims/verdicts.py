"""From measurements over seeds to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from .expectations import Expectation, Judgement
from .intervals import LEVEL, Interval, interval
from .measures import Proportion

Verdict = Literal["holds", "fails", "no_effect", "unclear", "not_tested", "error"]
STRENGTH: tuple[Judgement, ...] = ("fails", "no_effect", "unclear", "holds")
"""Judgements from the weakest to the strongest."""
_WORDS: Mapping[str, str] = {
    "holds": "holds",
    "fails": "fails",
    "no_effect": "no effect of that size",
    "unclear": "unclear",
    "not_tested": "not tested at this scale",
    "error": "error",
}
_NONE: Mapping[str, float] = MappingProxyType({})
_NO_GATES: Mapping[str, Expectation] = MappingProxyType({})


@dataclass(frozen=True)
class Ruling:
    """What was decided of a claim, and on what grounds.

    Args:
        verdict: The verdict as JSON has it; `words` puts it for people.
        intervals: The interval of every measure, those that are only shown too.
        judgements: What became of each expectation.
        gates: Whether each gate was met.
        level: The level of the intervals.
    """

    verdict: Verdict
    intervals: Mapping[str, Interval]
    judgements: Mapping[str, Judgement]
    gates: Mapping[str, bool]
    level: float


def judge(
    expect: Mapping[str, Expectation],
    trials: Sequence[Mapping[str, float | Proportion]],
    errors: int = 0,
    *,
    gates: Mapping[str, Expectation] = _NO_GATES,
    smallest: Mapping[str, float] = _NONE,
    level: float = LEVEL,
    exact: bool = False,
) -> Ruling:
    """Judge a claim: *error* before *not_tested*, and that before its weakest expectation.

    *holds* needs every expectation to hold, an intersection-union test, which keeps its level without correction (Berger 1982).

    Args:
        expect: The bound of each measure that is judged.
        trials: The measures of each finished trial, one mapping a seed.
        errors: How many trials ended in an error; any makes the verdict *error*, as does no trial at all.
        gates: Bounds that the mean over seeds must meet for the comparison to tell something; else *not_tested*.
        smallest: The smallest effect of interest of a measure, by its name.
        level: The level of the intervals, see `replica.lab.claims.looks`.
        exact: Whether the measures are deterministic, so that one trial knows them without error.

    Raises:
        ValueError: If there is no expectation, if a trial lacks a measure that has a bound or gate, or if ``smallest`` is not
            positive or is for a measure without expectation.
    """
    names = list(dict.fromkeys(name for measures in trials for name in measures))
    if not expect:
        raise ValueError("judge: needs at least one expectation.")
    if wrong := [name for name, size in smallest.items() if name not in expect or not size > 0]:
        raise ValueError(f"judge: smallest needs a positive size for measures with an expectation, not for {wrong}.")
    for name in [*expect, *gates]:
        if trials and not all(name in measures for measures in trials):
            raise ValueError(f"The claim expects the measure {name!r}; its trials return {names}.")
    intervals = {
        name: interval([measures[name] for measures in trials if name in measures], level=level, exact=exact)
        for name in names
    }
    if not trials:
        return Ruling("error", intervals, {}, {}, level)
    judgements = {name: bound.judge(intervals[name], smallest.get(name)) for name, bound in expect.items()}
    met = {name: intervals[name].mean in bound for name, bound in gates.items()}
    verdict: Verdict = min(judgements.values(), key=STRENGTH.index)
    if errors:
        verdict = "error"
    elif not all(met.values()):
        verdict = "not_tested"
    return Ruling(verdict, intervals, judgements, met, level)


def words(verdict: str, setting: str) -> str:
    """The verdict for people: *fails* reads "not seen here" where the study is smaller than the paper's own or other.

    Example:
        >>> words("fails", "own"), words("fails", "smaller"), words("no_effect", "own")
        ('fails', 'not seen here', 'no effect of that size')
    """
    return "not seen here" if verdict == "fails" and setting != "own" else _WORDS[verdict]
