"""95 % intervals over seeds: Student's t for few, BCa bootstrap from twenty on, a clustered Wilson score for proportions.

How often they cover the truth with five seeds, by simulation (``tests/lab/test_intervals.py`` repeats it): normal 95 %,
Student's t with 3 degrees of freedom 95 %, uniform 93 %; shares of independent outcomes 95 % or more, near 0 and 1 too.

Where they cover less than they say, because five values cannot show a long tail:

- means of strongly skewed quantities: chi-square with 8 degrees 93 %, exponential 88 %, lognormal with sigma 1 81 %. Report
  such a quantity on a log scale, as a median of many, or as a proportion below a threshold;
- shares near 0 or 1 whose chance itself differs much from seed to seed (beta-binomial, mean 0.99, concentration 20): 79 %; from
  0.05 to 0.95: 92 % and more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit  # scipy.stats takes a second to import; only the bootstrap needs it

from .measures import Proportion

LEVEL = 0.95
BOOTSTRAP_FROM = 20
"""Number of seeds from which the BCa bootstrap covers at least as well as Student's t, for skewed means too."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval. One seed alone gives an interval without ends."""

    mean: float
    low: float
    high: float
    count: int
    method: str

    def plain(self) -> dict[str, float | int | str | None]:
        """JSON form; an end at infinity is ``None``."""
        return {
            "mean": self.mean,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
        }


def interval(values: Sequence[float | Proportion]) -> Interval:
    """The interval of a measure over seeds, by the method that keeps its coverage for this kind and number.

    Args:
        values: One value a seed: all numbers, or all `Proportion`.

    Raises:
        ValueError: If there is no value, a value is not finite, or numbers and proportions are mixed.
    """
    if len(values) == 0:
        raise ValueError("interval: needs at least one value, got none.")
    shares = [value for value in values if isinstance(value, Proportion)]
    if shares:
        if len(shares) != len(values):
            raise ValueError("interval: values must be all numbers or all Proportion, not a mixture.")
        return proportion_interval(shares)
    numbers = np.array([float(value) for value in values])
    if not np.isfinite(numbers).all():
        raise ValueError(f"interval: values must be finite, not {numbers.tolist()}.")
    return bootstrap_interval(numbers) if len(numbers) >= BOOTSTRAP_FROM else mean_interval(numbers)


def mean_interval(values: np.ndarray) -> Interval:
    r"""Student's t: $\bar x \pm t_{0.975, n-1} s / \sqrt n$."""
    count, mean = len(values), float(values.mean())
    if count == 1:
        return Interval(mean, -math.inf, math.inf, 1, "none")
    half = float(stdtrit(count - 1, 0.5 + LEVEL / 2) * values.std(ddof=1) / math.sqrt(count))
    return Interval(mean, mean - half, mean + half, count, "t")


def bootstrap_interval(values: np.ndarray) -> Interval:
    """Bias-corrected and accelerated bootstrap of the mean (Efron 1987); its resamples are fixed, so it repeats."""
    if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return mean_interval(values)
    from scipy import stats

    result = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=9999,
        method="BCa",
        rng=np.random.default_rng(0),
    )
    ends = result.confidence_interval
    return Interval(float(values.mean()), float(ends.low), float(ends.high), len(values), "BCa")


def proportion_interval(shares: Sequence[Proportion]) -> Interval:
    r"""Wilson's score interval of a share pooled over seeds, widened where seeds differ by more than chance.

    Outcomes of one seed share its data, so they need not be independent. The design effect $d$ (the variance between seeds
    over the binomial one, at least 1) reduces the number of outcomes to $n / d$ (Kish 1965; Korn & Graubard 1998), and where
    it exceeds one, Student's quantile with one degree of freedom fewer than seeds replaces the normal one.
    """
    yes = np.array([share.successes for share in shares], dtype=float)
    total = np.array([share.total for share in shares], dtype=float)
    count, n = len(shares), float(total.sum())
    p = float(yes.sum() / n)
    z = float(ndtri(0.5 + LEVEL / 2))
    if count > 1 and 0 < p < 1:
        between = count / (count - 1) * float(((yes - p * total) ** 2).sum()) / n**2
        effect = between / (p * (1 - p) / n)
        if effect > 1:
            n = n / effect
            z = float(stdtrit(count - 1, 0.5 + LEVEL / 2))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # The ends at p = 0 and 1 are exact in the formula; rounding must not push them inside.
    low = 0.0 if p == 0 else max(0.0, centre - half)
    high = 1.0 if p == 1 else min(1.0, centre + half)
    return Interval(p, low, high, count, "Wilson")
