"""Which classifier an infinitely wide and infinitely deep network is, by its activation.

Radhakrishnan, Belkin, Uhler 2022, arXiv 2204.14126. With A = E[φ(z)], A' = E[φ'(z)], B' = E[φ'(z)²], E[φ(z)²] = 1,
and training inputs on the non-negative part of the unit sphere, so that every inner product is at least 0.
"""

import math
from enum import Enum
from typing import NamedTuple

import torch
from scipy.optimize import brentq

from .dual_activations import Activation, DualActivation, dual_activation

_SLACK = 1e-9


class LimitKind(Enum):
    """What the prediction tends to as depth grows."""

    NEAREST_NEIGHBOUR = "1-nearest neighbour"
    MAJORITY = "majority vote"
    SINGULAR = "singular kernel"


class LimitType(NamedTuple):
    """The limit of infinite depth, and the numbers that decide it.

    Attributes:
        kind: which of the three classifiers.
        exponent: α of the singular kernel R(‖x − z‖) / ‖x − z‖^α; ∞ for the nearest neighbour, 0 for the majority.
            The singular kernel is optimal for data with a density on S^d where α = d.
        mean_square: A² = κ(0).
        slope_at_zero: A'² = κ'(0).
        slope_at_one: B' = κ'(1).
        fixed_point: the correlation that distinct inputs tend to.
        kernel_ratio: what K_L(x, z) / K_L(x, x) tends to for distinct inputs. Where it is 1 (A ≠ 0 and B' < 1) the Gram
            matrix becomes singular, and the limit is the majority vote only with a ridge, however small.
    """

    kind: LimitKind
    exponent: float
    mean_square: float
    slope_at_zero: float
    slope_at_one: float
    fixed_point: float
    kernel_ratio: float


def limit_classifier_type(activation: Activation | DualActivation) -> LimitType:
    """Which classifier the network becomes at infinite depth.

        A = 0, A' = 0:   the nearest neighbour, as K_L falls doubly exponentially in L, the more the farther;
        A = 0, A' ≠ 0:   the singular kernel of exponent α = −4 log|A'| / log B';
        A ≠ 0:           the majority, as K_L(x, z) / K_L(x, x) tends to one number for all x ≠ z.

    Args:
        activation: φ or its dual activation; scaled here to E[φ(z)²] = 1.

    Raises:
        ValueError: if the activation is linear, which no depth makes a classifier of these kinds, or jumps, so that
            B' is infinite and there is no tangent kernel.

    Example:
        >>> import torch
        >>> from replica.kernels import limit_classifier_type, optimal_activation
        >>> limit_classifier_type(optimal_activation(4)).exponent
        4.0
        >>> limit_classifier_type(torch.relu).kind
        <LimitKind.MAJORITY: 'majority vote'>
    """
    dual = dual_activation(activation)
    mean_square, slope, end = dual.at_zero, dual.slope_at_zero, dual.slope_at_one
    if not math.isfinite(end):
        raise ValueError(f"activation: got E[φ'(z)²] = {end}, want a finite number")
    if mean_square > 0:
        if end > 1 + _SLACK:
            fixed = _stable_fixed_point(dual)
            return LimitType(LimitKind.MAJORITY, 0.0, mean_square, slope, end, fixed, 0.0)
        # At B' = 1 both K_L(x, z) and K_L(x, x) = L + 1 grow; below 1 both stay and become equal.
        ratio = 1.0 if end < 1 - _SLACK else _critical_ratio(dual)
        return LimitType(LimitKind.MAJORITY, 0.0, mean_square, slope, end, 1.0, ratio)
    if end <= 1 + _SLACK:
        raise ValueError("activation: got a linear one, want a nonlinear activation")
    if slope == 0:
        return LimitType(LimitKind.NEAREST_NEIGHBOUR, math.inf, mean_square, slope, end, 0.0, 0.0)
    exponent = -2 * math.log(slope) / math.log(end)
    return LimitType(LimitKind.SINGULAR, exponent, mean_square, slope, end, 0.0, 0.0)


def _stable_fixed_point(dual: DualActivation) -> float:
    def excess(value: float) -> float:
        return float(dual.value(torch.tensor(value, dtype=torch.float64))) - value

    # κ(0) > 0 and κ is convex on [0, 1] with κ(1) = 1, κ'(1) > 1: one crossing below 1.
    high = 1 - 1e-6
    while excess(high) > 0 and high < 1 - 1e-12:
        high = 1 - (1 - high) / 8
    return float(brentq(excess, 0.0, high))


def _critical_ratio(dual: DualActivation) -> float:
    # With 1 − κ(1 − δ) = δ − c δ^p: δ_l ~ l^(−1/(p−1)), the product of slopes falls as l^(−p/(p−1)), and the sum that is
    # K_L grows as L / (1 + p/(p−1)). Twice differentiable at 1: p = 2; a kink (ReLU): p = 3/2.
    gap = torch.tensor([1e-4, 1e-2], dtype=torch.float64)
    lost = gap - dual.complement(gap)
    power = float((lost[1] / lost[0]).log() / (gap[1] / gap[0]).log())
    power = round(2 * power) / 2
    return 1 / (1 + power / (power - 1))
