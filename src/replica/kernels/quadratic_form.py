"""The law of a quadratic form in Gaussian variables: how likely a sum of squares is to be small, far into the tail."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr


def quadratic_form_log_cdf(
    weights: ArrayLike, means: ArrayLike, value: float, degrees: ArrayLike | None = None
) -> float:
    """Logarithm of P(Σ_i w_i (z_i + m_i)² ≤ v) for independent standard normal z, by a saddlepoint.

    The relative error of the probability stays small however small it is, where sampling and inversion see nothing
    (Lugannani and Rice 1980; Kuonen 1999, in the form of Barndorff-Nielsen).

    Args:
        weights: w, shape (n,), 0 or more; those of 0 are left out.
        means: m, shape (n,).
        value: v.
        degrees: where given, each term is w_i χ² of so many degrees and noncentrality m_i², shape (n,); 1 each by default.

    Returns:
        The natural logarithm; −∞ where v is 0 or less.

    Raises:
        ValueError: if a weight is negative, all are 0, or the shapes differ.

    Example:
        >>> round(quadratic_form_log_cdf([1.0] * 4, [0.0] * 4, 2.0), 1)  # of χ² with 4 degrees: ln(1 − 2 / e)
        -1.3
    """
    scales, shifts, number = _form(weights, means, degrees)
    if value <= 0:
        return -math.inf

    def mean_at(t: float) -> float:
        """K′(t), the mean under the exponential tilt."""
        share = scales / (1 - 2 * t * scales)
        return float((share * (number + shifts / (1 - 2 * t * scales))).sum())

    mean = float((scales * (number + shifts)).sum())
    high = (1 - 1e-12) / (2 * float(scales.max()))
    low = 0.0 if value > mean else -1.0 / float(scales.max())
    while value < mean and mean_at(low) > value:
        low *= 4.0
    t = float(brentq(lambda at: mean_at(at) - value, low, high if value > mean else 0.0, xtol=1e-300, rtol=1e-14))
    tilted = 1 - 2 * t * scales
    cumulant = float((-0.5 * number * np.log(tilted) + shifts * t * scales / tilted).sum())
    curvature = float((2 * (scales / tilted) ** 2 * (number + 2 * shifts / tilted)).sum())
    root = math.copysign(math.sqrt(max(2 * (t * value - cumulant), 0.0)), t)
    if abs(root) < 1e-3:  # at the mean the term below is 0 / 0; its limit is the skewness over 6
        third = float((8 * scales**3 * (number + 3 * shifts)).sum())
        return float(log_ndtr(root + third / curvature**1.5 / 6))
    # P = Φ(r + ln(s / r) / r), the form of Barndorff-Nielsen, which stays a probability in the tail.
    return float(log_ndtr(root + math.log(t * math.sqrt(curvature) / root) / root))


def _form(weights: ArrayLike, means: ArrayLike, degrees: ArrayLike | None) -> tuple[NDArray[np.float64], ...]:
    """Weights above 0, the squares of their means, and their degrees."""
    scales, shifts = np.asarray(weights, float), np.asarray(means, float)
    number = np.ones_like(scales) if degrees is None else np.asarray(degrees, float)
    if scales.ndim != 1 or not scales.shape == shifts.shape == number.shape:
        shapes = f"{scales.shape}, {shifts.shape} and {number.shape}"
        raise ValueError(f"weights, means, degrees: got shapes {shapes}, want one and the same (n,)")
    if not (scales >= 0).all() or not scales.any():
        raise ValueError("weights: want 0 or more, and one above 0")
    kept = scales > 0
    return scales[kept], shifts[kept] ** 2, number[kept]
