"""Bounds that would make a sentence true."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from replica.errors import ReplicaError

from .intervals import Interval

Judgement = Literal["holds", "no_effect", "unclear", "fails"]


@dataclass(frozen=True)
class Expectation:
    """A range that a measure's true mean must lie in: its ends belong to it, but the end of a half-open range does not.

    Raises:
        ValueError: If an end is NaN, both are infinite, or ``low`` is above ``high``.

    Example:
        >>> 0.3 in above(0.2), 0.2 in above(0.2), 0.2 in between(0.2, 0.3)
        (True, False, True)
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        # NaN compares as false: it fails the first condition.
        if not self.low <= self.high or (math.isinf(self.low) and math.isinf(self.high)):
            raise ValueError(f"Expectation: needs low <= high, one of them finite, not {self.low} and {self.high}.")

    @property
    def open_ends(self) -> bool:
        """Whether the end itself is excluded: that of *above* and *below* is."""
        return math.isinf(self.low) or math.isinf(self.high)

    def __contains__(self, value: float) -> bool:
        return self.low < value < self.high if self.open_ends else self.low <= value <= self.high

    def judge(self, interval: Interval, smallest: float | None = None) -> Judgement:
        """Compare the whole interval with the bound.

        Args:
            interval: Where the true mean lies.
            smallest: The smallest effect of interest, where zero is no effect: without it nothing is *no_effect*.

        Returns:
            *holds* where the whole interval meets the bound; else *no_effect* where all of it is within ``smallest`` of zero;
            else *fails* where no point of it meets the bound; else *unclear*.
        """
        if interval.low in self and interval.high in self:
            return "holds"
        if smallest is not None and -smallest <= interval.low and interval.high <= smallest:
            return "no_effect"
        if self.open_ends:
            return "fails" if interval.high <= self.low or interval.low >= self.high else "unclear"
        return "fails" if interval.high < self.low or interval.low > self.high else "unclear"

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {_shortest(self.low)}"
        if math.isinf(self.low):
            return f"below {_shortest(self.high)}"
        return f"from {_shortest(self.low)} to {_shortest(self.high)}"


def above(low: float) -> Expectation:
    """The mean must exceed ``low``: a measure that equals it in every seed fails."""
    return Expectation(low=low)


def below(high: float) -> Expectation:
    """The mean must stay under ``high``: a measure that equals it in every seed fails."""
    return Expectation(high=high)


def between(low: float, high: float) -> Expectation:
    """The mean must lie from ``low`` to ``high``, ends included."""
    return Expectation(low, high)


def within(tolerance: float, *, of: float) -> Expectation:
    """The mean must lie within ``tolerance`` of the value ``of``, ends included."""
    # Twelve digits: 0.3 - 0.1 is then the 0.2 that is meant.
    return Expectation(float(f"{of - tolerance:.12g}"), float(f"{of + tolerance:.12g}"))


def parse(text: str) -> Expectation:
    """Read a bound as registrations write it; what ``str`` gives for an `Expectation` is read back as the same one.

    Raises:
        ReplicaError: If the text has none of the four forms, or its ends are not finite numbers in order.

    Example:
        >>> print(parse("above 0.02"), parse("within 0.1 of 0.5"), sep=", ")
        above 0.02, from 0.4 to 0.6
    """
    makers: dict[str, Callable[..., Expectation]] = {
        r"above (\S+)": above,
        r"below (\S+)": below,
        r"from (\S+) to (\S+)": between,
        r"within (\S+) of (\S+)": lambda tolerance, of: within(tolerance, of=of),
    }
    for pattern, make in makers.items():
        if found := re.fullmatch(pattern, " ".join(text.split())):
            try:
                numbers = [float(number) for number in found.groups()]
                if all(map(math.isfinite, numbers)):
                    return make(*numbers)
            except ValueError:
                break
    raise ReplicaError(
        f"The bound {text!r} is not understood; write 'above 0.02', 'below 1', 'from 0.1 to 0.3' or 'within 0.1 of 0.5'."
    )


def _shortest(number: float) -> str:
    """The shortest text that is read back as the same number."""
    return short if float(short := f"{number:g}") == number else repr(float(number))
