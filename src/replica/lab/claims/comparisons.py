"""Which methods are statistically tied with the best: paired by seed, corrected for many comparisons."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

ALPHA = 0.05
_RUNS = 20_000


def tied_with_best(
    scores: Mapping[str, np.ndarray], better: Literal["higher", "lower"], alpha: float = ALPHA
) -> dict[str, bool]:
    """Say of each method whether the data cannot tell it from the best one: multiple comparisons with the best (Hsu 1981).

    The best is the one with the best mean. Another is parted from it where Student's paired t over seeds exceeds
    `critical_value`, which allows for the number of methods and for the best having been picked by the same data. Each pair
    has its own standard deviation: methods differ in theirs too much to pool it. With one seed nothing can be told apart:
    the best alone is marked, with those that equal it to the digit.

    Args:
        scores: The ranking metric of each method, one value a seed, all over the same seeds.
        better: Which direction is better.
        alpha: Among equal methods, the share of comparisons in which any of them is parted.

    Raises:
        ValueError: If the methods do not come from the same seeds (shapes differ).
    """
    if not scores:
        return {}
    if len({np.shape(values) for values in scores.values()}) > 1 or np.ndim(next(iter(scores.values()))) != 1:
        shapes = {name: np.shape(values) for name, values in scores.items()}
        raise ValueError(
            f"tied_with_best: needs one value a seed, the same seeds for all methods, not shapes {shapes}."
        )
    sign = 1.0 if better == "higher" else -1.0
    best = max(scores, key=lambda name: sign * float(scores[name].mean()))
    seeds = len(scores[best])
    limit = critical_value(len(scores), seeds, alpha) if len(scores) > 1 and seeds > 1 else 0.0
    return {name: _paired_t(sign * scores[best], sign * values) <= limit for name, values in scores.items()}


@functools.lru_cache
def critical_value(methods: int, seeds: int, alpha: float = ALPHA) -> float:
    """The largest paired t between the best of equal methods and any other, exceeded in a share ``alpha`` of comparisons.

    Simulated for normal scores with a fixed seed. It is larger than the value that Hsu tables, which allows for the best being
    any one given method: among equal methods that value parts one in 10 % (of two) to 33 % (of twelve) of comparisons.
    """
    rng = np.random.default_rng(0)
    largest = []
    chunk = max(1, min(_RUNS, 4_000_000 // (methods * seeds)))
    for start in range(0, _RUNS, chunk):
        scores = rng.standard_normal((min(chunk, _RUNS - start), seeds, methods))
        best = scores.mean(1).argmax(1)[:, None, None]
        gaps = np.take_along_axis(scores, best, 2) - scores
        spread = gaps.std(1, ddof=1)
        spread[spread == 0] = np.inf  # the best against itself
        largest.append((gaps.mean(1) / spread).max(1))
    return math.sqrt(seeds) * float(np.quantile(np.concatenate(largest), 1 - alpha))


def _paired_t(best: np.ndarray, other: np.ndarray) -> float:
    """Student's paired t; the same values give 0, a constant difference infinity."""
    gap, rounding = best - other, 1e-12 * float(np.abs([best, other]).max())
    if np.abs(gap).max() <= rounding:
        return 0.0
    if np.ptp(gap) <= rounding:
        return math.inf
    return float(gap.mean() / (gap.std(ddof=1) / math.sqrt(len(gap))))
