"""Which methods are statistically tied with the best: paired by seed, corrected for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.special import stdtr

ALPHA = 0.05


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): adjusted p-values in the order given, each at most 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    if p.size == 0:
        return []
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"holm: p-values must lie in [0, 1], not {p.tolist()}.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def paired_p_value(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Two-sided p-value of Student's paired t-test over seeds; exact agreement gives 1, a constant difference 0.

    Raises:
        ValueError: If the two do not come from the same seeds (shapes differ), or from fewer than two.
    """
    if ours.shape != theirs.shape or ours.ndim != 1:
        raise ValueError(
            f"paired_p_value: needs two vectors over the same seeds, got shapes {ours.shape} and {theirs.shape}."
        )
    if len(ours) < 2:
        raise ValueError("paired_p_value: needs at least two seeds.")
    difference = ours - theirs
    scale = float(np.abs(np.concatenate([ours, theirs])).max())
    if np.abs(difference).max() <= 1e-12 * scale:
        return 1.0
    if np.ptp(difference) <= 1e-12 * scale:
        return 0.0
    t = difference.mean() / (difference.std(ddof=1) / math.sqrt(len(difference)))
    return float(2 * stdtr(len(difference) - 1, -abs(t)))


def tied_with_best(
    scores: Mapping[str, np.ndarray], better: Literal["higher", "lower"], alpha: float = ALPHA
) -> dict[str, bool]:
    """Say of each method whether the data cannot tell it from the best one.

    The best is the one with the best mean; each other is compared with it by a paired test over seeds, Holm-corrected. With one
    seed nothing can be told apart, so all are tied.

    Args:
        scores: The ranking metric of each method, one value a seed, all over the same seeds.
        better: Which direction is better.
        alpha: The family-wise level of the test.
    """
    if not scores:
        return {}
    sign = 1.0 if better == "higher" else -1.0
    best = max(scores, key=lambda name: sign * float(scores[name].mean()))
    others = [name for name in scores if name != best]
    if len(scores[best]) < 2:
        return dict.fromkeys(scores, True)
    adjusted = holm([paired_p_value(scores[best], scores[name]) for name in others])
    tied = {name: p > alpha for name, p in zip(others, adjusted, strict=True)}
    return {name: name == best or tied[name] for name in scores}
