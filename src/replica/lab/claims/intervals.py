"""Intervals over seeds: Student's t for numbers, a clustered Wilson score for proportions.

Means of symmetric quantities, and shares, are covered as often as they should be. An interval covers less than it says where a
few values cannot show a long tail: at five seeds exponential 88 %, lognormal 82 %, a rare collapse 58 % (`docs/statistics.md` has
the table, `tests/lab/test_looks.py` repeats it). Report such a quantity on a log scale, as a median of many, or as a share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit  # scipy.stats takes a second to import

from .measures import Proportion

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its interval. One seed alone gives a number an interval without ends."""

    mean: float
    low: float
    high: float
    count: int
    method: str

    def plain(self) -> dict[str, float | None]:
        """JSON form; an end at infinity is ``None``."""
        return {
            "mean": self.mean,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
        }


def interval(values: Sequence[float | Proportion], *, level: float = LEVEL, exact: bool = False) -> Interval:
    """The interval of a measure over seeds: Student's t of numbers, Wilson's score of proportions.

    Args:
        values: One value a seed: all numbers, or all `Proportion`.
        level: The share of studies whose interval shall hold the truth, between 0 and 1.
        exact: Whether the measure is deterministic: one value alone is then known without error, its interval has no width.

    Raises:
        ValueError: If there is no value, a value is not finite, numbers and proportions are mixed, or ``level`` is out of range.
    """
    if len(values) == 0:
        raise ValueError("interval: needs at least one value, got none.")
    if not 0 < level < 1:
        raise ValueError(f"interval: level must lie between 0 and 1, not {level}.")
    shares = [value for value in values if isinstance(value, Proportion)]
    if shares and len(shares) != len(values):
        raise ValueError("interval: values must be all numbers or all Proportion, not a mixture.")
    numbers = np.array([float(value) for value in values])
    if not np.isfinite(numbers).all():
        raise ValueError(f"interval: values must be finite, not {numbers.tolist()}.")
    if exact and len(numbers) == 1:
        value = float(numbers[0])
        return Interval(value, value, value, 1, "exact")
    return proportion_interval(shares, level) if shares else mean_interval(numbers, level)


def mean_interval(values: np.ndarray, level: float = LEVEL) -> Interval:
    r"""Student's t: $\bar x \pm t_{(1 + \text{level}) / 2,\, n-1}\, s / \sqrt n$."""
    count, mean = len(values), float(values.mean())
    if count == 1:
        return Interval(mean, -math.inf, math.inf, 1, "none")
    half = float(stdtrit(count - 1, 0.5 + level / 2) * values.std(ddof=1) / math.sqrt(count))
    return Interval(mean, mean - half, mean + half, count, "t")


def proportion_interval(shares: Sequence[Proportion], level: float = LEVEL) -> Interval:
    r"""Wilson's score interval of a share pooled over seeds, widened where seeds differ by more than chance.

    Outcomes of one seed share its data, so they need not be independent. The design effect $d$ (the variance between seeds
    over the binomial one, at least 1) reduces the number of outcomes to $n / d$ (Kish 1965; Korn & Graubard 1998), and where
    it exceeds one, Student's quantile with one degree of freedom fewer than seeds replaces the normal one.
    """
    yes = np.array([share.successes for share in shares], dtype=float)
    total = np.array([share.total for share in shares], dtype=float)
    count, n = len(shares), float(total.sum())
    p = float(yes.sum() / n)
    z = float(ndtri(0.5 + level / 2))
    if count > 1 and 0 < p < 1:
        between = count / (count - 1) * float(((yes - p * total) ** 2).sum()) / n**2
        effect = between / (p * (1 - p) / n)
        if effect > 1:
            n = n / effect
            z = float(stdtrit(count - 1, 0.5 + level / 2))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # The ends at p = 0 and 1 are exact in the formula; rounding must not push them inside.
    low = 0.0 if p == 0 else max(0.0, centre - half)
    high = 1.0 if p == 1 else min(1.0, centre + half)
    return Interval(p, low, high, count, "Wilson")
