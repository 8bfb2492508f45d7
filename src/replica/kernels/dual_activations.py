"""Dual activations: what an infinitely wide layer does to the correlation of two inputs.

κ(ξ) = E[φ(u) φ(v)] / E[φ(z)²] for u, v standard Gaussian with correlation ξ; its derivative κ'(ξ) is that of φ' on the
same scale. Daniely, Frostig, Singer 2016, "Toward Deeper Understanding of Neural Networks", arXiv 1602.05897.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .activations import HermiteActivation, SineActivation
from .hermite import hermite_coefficients

Activation = Callable[[Tensor], Tensor]
# Squares of coefficients that are zero but for the rounding of their quadrature.
_ZERO = 1e-24


class DualActivation(ABC):
    """κ with κ(1) = 1, what deep iteration needs of it, and the three numbers that decide the limit of infinite depth.

    Attributes:
        at_zero: κ(0) = A², with A = E[φ(z)].
        slope_at_zero: κ'(0) = A'², with A' = E[φ'(z)].
        slope_at_one: κ'(1) = B' = E[φ'(z)²]; infinite if φ jumps.
        order: the power m in κ(ξ) = ξᵐ g(ξ), g(0) > 0.
        residual: share of E[φ(z)²] that the form leaves out; 0 where it is closed.
    """

    at_zero: float
    slope_at_zero: float
    slope_at_one: float
    order: int = 1
    residual: float = 0.0

    @abstractmethod
    def value(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ(ξ), elementwise, for ξ in [−1, 1]."""

    @abstractmethod
    def slope(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ'(ξ), elementwise."""

    @abstractmethod
    def complement(self, gap: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """1 − κ(1 − δ) without cancellation for small δ ≥ 0, elementwise."""

    def value_and_slope(self, correlation: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """κ(ξ) and κ'(ξ) together, which is cheaper than each alone."""
        return self.value(correlation), self.slope(correlation)

    def reduced(self, correlation: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """g(ξ) and g'(ξ) ξ + m g(ξ) of κ(ξ) = ξᵐ g(ξ), κ'(ξ) = ξᵐ⁻¹ (ξ g'(ξ) + m g(ξ)), for ξ ≥ 0 however small."""
        value, slope = self.value_and_slope(correlation)
        if self.order == 0:
            return value, slope * correlation
        # Here the order is 1. Below the smallest normal number the ratio is at its limit.
        tiny = correlation < 1e-30
        return torch.where(tiny, self.slope_at_zero, value / correlation.masked_fill(tiny, 1.0)), slope


class PowerSeriesDual(DualActivation):
    """κ(ξ) = Σ_k p_k ξᵏ with p_k = c_k² ≥ 0, scaled to Σ p_k = 1: the dual of φ = Σ c_k h_k.

    Args:
        powers: p_0, p_1, ...
        residual: share of E[φ(z)²] in the terms that were left out.

    Raises:
        ValueError: if a power is negative or not finite, or all are zero.

    Example:
        >>> import torch
        >>> from replica.kernels.dual_activations import PowerSeriesDual
        >>> PowerSeriesDual((0, 1, 0, 1)).value(torch.tensor([0.5]))
        tensor([0.3125])
    """

    def __init__(self, powers: Sequence[float], residual: float = 0.0) -> None:
        total = math.fsum(powers)
        if not (0 < total < math.inf) or min(powers) < 0:
            raise ValueError(f"powers: got {tuple(powers)}, want finite numbers of 0 or more, not all zero")
        shares = [float(p) / total for p in powers]
        while shares[-1] == 0.0:
            shares.pop()
        self.powers = tuple(shares)
        self.residual = residual
        self.at_zero = shares[0]
        self.slope_at_zero = shares[1] if len(shares) > 1 else 0.0
        self.slope_at_one = math.fsum(k * p for k, p in enumerate(shares))
        self.order = next(k for k, p in enumerate(shares) if p)

    def value(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ(ξ) by Horner's rule."""
        return _horner(self.powers, correlation)

    def slope(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ'(ξ) by Horner's rule."""
        return _horner(tuple(k * p for k, p in enumerate(self.powers))[1:], correlation)

    def complement(self, gap: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Σ_k p_k (1 − (1 − δ)ᵏ)."""
        logarithm = torch.log1p(-gap)
        total = torch.zeros_like(gap)
        for k, p in enumerate(self.powers):
            if k and p:
                total = total - p * torch.expm1(k * logarithm)
        return total

    def reduced(self, correlation: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """See `DualActivation.reduced`."""
        rest = self.powers[self.order :]
        return _horner(rest, correlation), _horner([(self.order + k) * p for k, p in enumerate(rest)], correlation)


class ReluDual(DualActivation):
    """Rectified linear unit: κ(ξ) = (√(1 − ξ²) + ξ (π − arccos ξ)) / π, the arc-cosine kernel of degree 1.

    Source: Cho, Saul 2009, "Kernel Methods for Deep Learning", Eq. 6 and 9.
    """

    at_zero = 1 / math.pi
    slope_at_zero = 0.5
    slope_at_one = 1.0
    order = 0

    def value(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ(ξ)."""
        return self.value_and_slope(correlation)[0]

    def slope(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ'(ξ) = (π − arccos ξ) / π."""
        return torch.acos(correlation).div_(-math.pi).add_(1)

    def value_and_slope(self, correlation: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """κ(ξ) and κ'(ξ)."""
        slope = self.slope(correlation)
        gap = 1 - correlation
        if torch.is_grad_enabled() and correlation.requires_grad:
            sine = (gap * (1 + correlation)).sqrt()
            return (sine / math.pi).addcmul(correlation, slope), slope
        # (1 − ξ) + ξ (1 − ξ) = 1 − ξ², all in one array: fresh memory costs more than the arithmetic.
        sine = gap.addcmul_(correlation, gap).sqrt_()
        return sine.mul_(1 / math.pi).addcmul_(correlation, slope), slope

    def complement(self, gap: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """1 − κ(cos θ) = (1 − cos θ) + (θ cos θ − sin θ) / π, by its series where θ is small."""
        sine = (gap * (2 - gap)).clamp_min(0).sqrt()
        angle = 2 * torch.asin((gap / 2).sqrt())
        square = angle.square()
        # sin θ − θ cos θ = θ³ (1/3 − θ²/30 + θ⁴/840 − ...)
        series = angle * square * (1 / 3 - square * (1 / 30 - square * (1 / 840 - square / 45360)))
        return gap - torch.where(angle < 0.05, series, sine - angle * (1 - gap)) / math.pi


class ErfDual(DualActivation):
    """φ(z) = erf(f z): κ(ξ) = arcsin(q ξ) / arcsin(q), q = 2f² / (1 + 2f²).

    Source: Williams 1997, "Computing with Infinite Networks", Eq. 11.

    Args:
        scale: f > 0.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale: got {scale}, want a finite number above 0")
        self.ratio = 2 * scale**2 / (1 + 2 * scale**2)
        self.norm = math.asin(self.ratio)
        self.at_zero = 0.0
        self.slope_at_zero = self.ratio / self.norm
        self.slope_at_one = self.ratio / (self.norm * math.sqrt((1 - self.ratio) * (1 + self.ratio)))

    def value(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ(ξ)."""
        return torch.asin(self.ratio * correlation) / self.norm

    def slope(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ'(ξ) = q / (arcsin(q) √(1 − q²ξ²))."""
        return self.slope_at_zero * torch.rsqrt(1 - (self.ratio * correlation).square())

    def complement(self, gap: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Difference arcsin x − arcsin y = arcsin((x² − y²) / (x √(1 − y²) + y √(1 − x²))), x = q, y = q (1 − δ)."""
        top, near = self.ratio, self.ratio * (1 - gap)
        difference = top**2 * gap * (2 - gap)
        span = top * (1 - near.square()).sqrt() + near * math.sqrt((1 - top) * (1 + top))
        return torch.asin((difference / span).clamp(-1, 1)) / self.norm


class SineDual(DualActivation):
    """φ(z) = sin(f z): κ(ξ) = sinh(f² ξ) / sinh(f²).

    Args:
        square: f² > 0.
    """

    def __init__(self, square: float = 1.0) -> None:
        if not 0 < square < 700:
            raise ValueError(f"square: got {square}, want a number between 0 and 700")
        self.square = float(square)
        self.norm = math.sinh(square)
        self.at_zero = 0.0
        self.slope_at_zero = square / self.norm
        self.slope_at_one = square / math.tanh(square)

    def value(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ(ξ)."""
        return torch.sinh(self.square * correlation) / self.norm

    def slope(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ'(ξ) = f² cosh(f² ξ) / sinh(f²)."""
        return torch.cosh(self.square * correlation) * self.slope_at_zero

    def value_and_slope(self, correlation: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """κ(ξ) and κ'(ξ), the cosine from cosh² = 1 + sinh²."""
        sine = torch.sinh(self.square * correlation)
        return sine / self.norm, torch.addcmul(torch.ones_like(sine), sine, sine).sqrt() * self.slope_at_zero

    def complement(self, gap: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """sinh(f²) − sinh(f² (1 − δ)) = 2 cosh(f² (1 − δ/2)) sinh(f² δ/2)."""
        half = self.square * gap / 2
        return 2 * torch.cosh(self.square - half) * torch.sinh(half) / self.norm


class CosineDual(DualActivation):
    """φ(z) = cos(f z): κ(ξ) = cosh(f² ξ) / cosh(f²).

    Args:
        square: f² > 0.
    """

    order = 0

    def __init__(self, square: float = 1.0) -> None:
        if not 0 < square < 700:
            raise ValueError(f"square: got {square}, want a number between 0 and 700")
        self.square = float(square)
        self.norm = math.cosh(square)
        self.at_zero = 1 / self.norm
        self.slope_at_zero = 0.0
        self.slope_at_one = square * math.tanh(square)

    def value(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ(ξ)."""
        return torch.cosh(self.square * correlation) / self.norm

    def slope(self, correlation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """κ'(ξ) = f² sinh(f² ξ) / cosh(f²)."""
        return torch.sinh(self.square * correlation) * (self.square / self.norm)

    def complement(self, gap: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """cosh(f²) − cosh(f² (1 − δ)) = 2 sinh(f² (1 − δ/2)) sinh(f² δ/2)."""
        half = self.square * gap / 2
        return 2 * torch.sinh(self.square - half) * torch.sinh(half) / self.norm


def dual_activation(activation: "Activation | DualActivation", *, degree: int = 64) -> DualActivation:
    """The dual activation of an activation: closed where one is known, else its Hermite expansion.

    Closed for ReLU, erf, sin, cos (`torch.relu`, `nn.ReLU()`, `torch.erf`, `torch.sin`, `torch.cos`),
    `SineActivation` and `HermiteActivation`. Any other elementwise function is expanded to `degree`, with its residual
    in `.residual`: below 1e-6 for smooth ones such as tanh or GELU, 3e-4 for a kink.

    Args:
        activation: a function or module from tensor to tensor, elementwise; a `DualActivation` is returned as it is.
        degree: of the expansion.

    Raises:
        ValueError: if the activation is not elementwise, or not finite or zero under the Gaussian.

    Example:
        >>> import torch
        >>> from replica.kernels import dual_activation
        >>> round(dual_activation(torch.tanh).slope_at_one, 3)
        1.178
    """
    if isinstance(activation, DualActivation):
        return activation
    if isinstance(activation, HermiteActivation):
        return PowerSeriesDual([c * c for c in activation.coefficients])
    if isinstance(activation, SineActivation):
        return SineDual(activation.frequency**2)
    if isinstance(activation, nn.ReLU) or activation in (torch.relu, nn.functional.relu):
        return ReluDual()
    for known, dual in ((torch.erf, ErfDual), (torch.sin, SineDual), (torch.cos, CosineDual)):
        if activation is known:
            return dual()
    coefficients, moment = hermite_coefficients(activation, degree)
    powers = coefficients.square() / moment
    powers = powers.where(powers > _ZERO, 0.0)
    return PowerSeriesDual(powers.tolist(), residual=max(0.0, 1 - float(powers.sum())))


def _horner(coefficients: Sequence[float], values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    if not coefficients:
        return torch.zeros_like(values)
    total = torch.full_like(values, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * values
        if coefficient:
            total = total + coefficient
    return total
