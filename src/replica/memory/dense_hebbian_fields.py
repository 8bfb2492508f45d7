"""Means over groups of neurons without a tensor over groups: from power sums, or as polynomials of an overlap.

No sum over groups of P neurons is ever written out: the means of products of P different η_i σ_i follow from the power
sums Σ_i (η_i σ_i)^k by Newton's identities, and for ±1 patterns they are polynomials of the overlap alone.
"""

import math
from functools import lru_cache

import torch
from numpy.polynomial import Polynomial
from torch import Tensor


def _symmetric_means(power_sums: list[Tensor], count: int, upto: int) -> list[Tensor]:
    """Means g_0..g_upto of all products of k different variables, from their power sums (Newton's identities).

    With e_k the elementary symmetric polynomial, g_k = e_k / C(count, k). Means stay of order one where e_k
    overflows.
    """
    means = [torch.ones_like(power_sums[0])]
    for k in range(1, upto + 1):
        total = power_sums[k - 1] * ((-1) ** (k - 1) / (k * math.comb(count, k)))
        for j in range(1, k):
            weight = (-1) ** (j - 1) * math.comb(count, k - j) / (k * math.comb(count, k))
            total = torch.addcmul(total, means[k - j], power_sums[j - 1], value=weight)
        means.append(total)
    return means


@lru_cache(maxsize=64)
def _field_polynomials(order: int, dim: int, coincident: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Coefficients in u = s/N of the two polynomials that give the field of ±1 patterns, where s = Σ_j ξ_j σ_j.

    With f(s) the mean product over groups of P − 1 neurons whose ξ_j σ_j sum to s (a Krawtchouk polynomial; with
    coincident groups the discrete derivative of n^P), these are (f(s−1) + f(s+1))/2 and (f(s−1) − f(s+1))/2.
    """
    s = Polynomial([0.0, dim])
    if coincident:
        f = ((s + 1) ** order - (s - 1) ** order) / (2 * order * float(dim) ** (order - 1))
    else:
        # Means of products over groups of growing size: g_k = (s·g_{k−1} − (k−1)·g_{k−2}) / (N − k).
        before, f = Polynomial([0.0]), Polynomial([1.0])
        for k in range(1, order):
            f, before = (s * f - (k - 1) * before) / (dim - k), f
    below, above = (f(Polynomial([shift, 1.0])) for shift in (-1 / dim, 1 / dim))
    even, odd = (tuple(((below + sign * above) / 2).coef.tolist()) for sign in (1, -1))
    return even[:order], odd[: order - 1]


def _evaluate(coefficients: tuple[float, ...], u: Tensor, squares: Tensor) -> Tensor:
    """Horner's scheme for a polynomial that has only odd or only even powers."""
    degree = len(coefficients) - 1
    if degree < 2:
        return u * coefficients[1] if degree else torch.full_like(u, coefficients[0])
    value = squares * coefficients[degree]
    for k in range(degree - 2, 1, -2):
        value.add_(coefficients[k]).mul_(squares)
    value.add_(coefficients[degree % 2])
    return value.mul_(u) if degree % 2 else value


def _powers(value: Tensor, upto: int) -> list[Tensor]:
    """value, value², … by repeated products, which are many times faster than general powers."""
    powers = [value]
    while len(powers) < upto:
        powers.append(powers[-1] * value)
    return powers
