"""Activations whose infinitely wide and deep networks are optimal classifiers, ready for a finite network.

Radhakrishnan, Belkin, Uhler 2022, "Wide and Deep Neural Networks Achieve Optimality for Classification",
arXiv 2204.14126. All are scaled to E[φ(z)²] = 1 for z ~ N(0, 1).
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor, nn

from .hermite import hermite_series


class HermiteActivation(nn.Module):
    """Polynomial activation φ(z) = Σ_k c_k h_k(z) in normalised Hermite polynomials, scaled to Σ c_k² = 1.

    Its dual activation is the power series κ(ξ) = Σ_k c_k² ξᵏ.

    Args:
        coefficients: c_0, c_1, ...; at least one is not zero.

    Raises:
        ValueError: if they are all zero or not finite.

    Example:
        >>> import torch
        >>> from replica.kernels import HermiteActivation
        >>> HermiteActivation((0, 1, 0, 1))(torch.tensor([0.0, 1.0]))
        tensor([0.0000, 0.1298])
    """

    def __init__(self, coefficients: Sequence[float]) -> None:
        super().__init__()
        norm = math.sqrt(sum(float(c) ** 2 for c in coefficients))
        if not (norm > 0 and math.isfinite(norm)):
            raise ValueError(f"coefficients: got {tuple(coefficients)}, want finite numbers, not all zero")
        self.coefficients = tuple(float(c) / norm for c in coefficients)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"coefficients={self.coefficients}"

    def forward(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """φ(z), elementwise."""
        return hermite_series(values, self.coefficients)


class SineActivation(nn.Module):
    """φ(z) = sin(f z) · √(2 / (1 − exp(−2 f²))).

    Its dual activation is κ(ξ) = sinh(f² ξ) / sinh(f²).

    Args:
        frequency: f > 0, in radians per unit of z. f² is the number after "sine" in the authors' code.

    Raises:
        ValueError: if it is not a finite number above 0.

    Example:
        >>> import torch
        >>> from replica.kernels import SineActivation
        >>> SineActivation(1.0)(torch.tensor([0.0, 1.0]))
        tensor([0.0000, 1.2798])
    """

    def __init__(self, frequency: float = 1.0) -> None:
        super().__init__()
        if not (frequency > 0 and math.isfinite(frequency)):
            raise ValueError(f"frequency: got {frequency}, want a finite number above 0")
        self.frequency = float(frequency)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"frequency={self.frequency}"

    def forward(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """φ(z), elementwise."""
        return math.sqrt(-2 / math.expm1(-2 * self.frequency**2)) * torch.sin(self.frequency * values)


def optimal_activation(
    dimension: float, *, family: Literal["polynomial", "sine"] = "polynomial"
) -> HermiteActivation | SineActivation:
    """Activation whose infinitely wide and deep network is Bayes-optimal for data with a density on the sphere S^d.

    Its limit is a singular kernel classifier of exponent α = −4 log|A'| / log B' = d, A' = E[φ'(z)],
    B' = E[φ'(z)²], which is where Hilbert's kernel estimate is consistent (Devroye, Györfi, Krzyżak 1998).
    With w = 2^(−d/2):

        polynomial, d ≥ 2:  φ = √w h_1 + √(1 − 2w) h_2 + √w h_3,   A'² = w, B' = 2;
        polynomial, d = 1:  φ = (h_1 + h_7) / √2,                  A'² = 1/2, B' = 4;
        sine, d > 1:        φ ∝ sin(f z) with f that solves 2 log(sinh(f²)/f²) = d log(f² coth f²).

    Between 1 and 2 the polynomial is √w h_1 + √(1 − w) h_7 with the w that gives α = d.

    Args:
        dimension: d, of the sphere, one less than that of the space around it; or of the data's own manifold. Need not
            be whole.
        family: "polynomial" or "sine".

    Raises:
        ValueError: if `dimension` is below 1 (polynomial) or 1.01 (sine, which only tends to 1), or `family` is neither.

    Source: the authors' code (activations 2d_opt to 9d_opt and sine, named by the space around the sphere).

    Example:
        >>> from replica.kernels import optimal_activation
        >>> optimal_activation(2)
        HermiteActivation(coefficients=(0.0, 0.7071067811865476, 0.0, 0.7071067811865476))
    """
    if family not in ("polynomial", "sine"):
        raise ValueError(f"family: got {family!r}, want 'polynomial' or 'sine'")
    lowest = 1.0 if family == "polynomial" else 1.01
    if not (dimension >= lowest and math.isfinite(dimension)):
        raise ValueError(f"dimension: got {dimension}, want a finite number of {lowest:g} or more")
    if family == "sine":
        square = brentq(lambda s: 2 * _log_sinh_ratio(s) - dimension * math.log(s / math.tanh(s)), 1e-3, 1e4)
        return SineActivation(math.sqrt(square))
    if dimension < 2:
        weight = brentq(lambda w: -2 * math.log(w) - dimension * math.log(7 - 6 * w), 1e-6, 0.9, xtol=1e-15)
        return HermiteActivation((0, math.sqrt(weight), 0, 0, 0, 0, 0, math.sqrt(1 - weight)))
    weight = 2 ** (-dimension / 2)
    return HermiteActivation((0, math.sqrt(weight), math.sqrt(1 - 2 * weight), math.sqrt(weight)))


def _log_sinh_ratio(value: float) -> float:
    # log(sinh(s)/s) that neither overflows nor cancels.
    return value + math.log(-math.expm1(-2 * value) / (2 * value))
