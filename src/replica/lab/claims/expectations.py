"""Bounds that would make a sentence true."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .intervals import Interval

Judgement = Literal["holds", "fails", "unclear"]


@dataclass(frozen=True)
class Expectation:
    """A range that a measure's true mean must lie in. ``open_ends`` excludes the ends themselves."""

    low: float = -math.inf
    high: float = math.inf
    open_ends: bool = False

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high) or self.low > self.high:
            raise ValueError(f"Expectation: needs low <= high, not {self.low} and {self.high}.")

    def judge(self, interval: Interval) -> Judgement:
        """*holds* where the whole interval meets the bound, *fails* where no point of it does, else *unclear*."""
        if self.open_ends:
            inside = interval.low > self.low and interval.high < self.high
            outside = interval.high <= self.low or interval.low >= self.high
        else:
            inside = interval.low >= self.low and interval.high <= self.high
            outside = interval.high < self.low or interval.low > self.high
        return "holds" if inside else "fails" if outside else "unclear"

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}"
        if math.isinf(self.low):
            return f"below {self.high:g}"
        return f"from {self.low:g} to {self.high:g}"


def above(low: float) -> Expectation:
    """The mean must exceed ``low``: a measure that equals it in every seed fails."""
    return Expectation(low=low, open_ends=True)


def below(high: float) -> Expectation:
    """The mean must stay under ``high``: a measure that equals it in every seed fails."""
    return Expectation(high=high, open_ends=True)


def between(low: float, high: float) -> Expectation:
    """The mean must lie from ``low`` to ``high``, ends included."""
    return Expectation(low, high)


def within(tolerance: float, *, of: float) -> Expectation:
    """The mean must lie within ``tolerance`` of the value ``of``, ends included."""
    return Expectation(of - tolerance, of + tolerance)
