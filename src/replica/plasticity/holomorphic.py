"""What complex-differentiable networks need: activations that are holomorphic about the real line, and Cauchy's integral."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Inexact
from torch import Tensor


def shifted_sigmoid(values: Inexact[Tensor, "*shape"]) -> Inexact[Tensor, "*shape"]:
    """Sigmoid of slope 1 at ½, 1 / (1 + exp(2 − 4z)), holomorphic where |Im z| < π/4 (Laborieux and Zenke 2023, MLPs).

    Example:
        >>> shifted_sigmoid(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.1192, 0.5000, 0.8808])
    """
    return _sigmoid(4 * values - 2)


def double_silu(values: Inexact[Tensor, "*shape"]) -> Inexact[Tensor, "*shape"]:
    """z/2 · s(z) + (1 − z/2) · s(z − 2) with the sigmoid s, from 0 to 1 (Laborieux and Zenke 2023, convolutional nets).

    A smooth ramp, slightly below 0 before it and above 1 after it; holomorphic where |Im z| < π.

    Example:
        >>> double_silu(torch.tensor([-9.0, 1.0, 11.0])).round(decimals=2)
        tensor([-0.0000, 0.5000, 1.0000])
    """
    half = values / 2
    return half * _sigmoid(values) + (1 - half) * _sigmoid(values - 2)


def soft_relu(values: Inexact[Tensor, "*shape"], sharpness: float = 4.0) -> Inexact[Tensor, "*shape"]:
    """A smooth ReLU, z · s(κz) with the sigmoid s: ReLU itself as κ grows, holomorphic where |Im z| < π/κ (also called swish).

    Example:
        >>> soft_relu(torch.tensor([-3.0, 0.0, 3.0])).round(decimals=3)
        tensor([-0., 0., 3.])
    """
    return values * _sigmoid(sharpness * values)


def _sigmoid(values: Inexact[Tensor, "*shape"]) -> Inexact[Tensor, "*shape"]:
    """1 / (1 + exp(−z)); of complex values by way of real functions, which PyTorch vectorises."""
    if not values.is_complex():
        return torch.sigmoid(values)
    share, turn = torch.sigmoid(values.real), values.imag
    slope = share * (1 - share)
    lost = slope * (1 - torch.cos(turn))
    return torch.complex(share - lost, slope * torch.sin(turn)) / (1 - 2 * lost)


def cauchy_derivative(
    function: Callable[[Inexact[Tensor, " nudges"]], Inexact[Tensor, "nudges *shape"]],
    radius: float,
    points: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Inexact[Tensor, "*shape"]:
    """Derivative at 0 of a function that is real on the real line, from its values on a circle about 0.

    f′(0) = 1/(2πi) ∮ f(β)/β² dβ ≈ 1/N Σ_t f(β_t)/β_t with β_t = r exp(2πi t/N): exact up to O(r^N) where f is
    holomorphic within the circle (Laborieux and Zenke 2023; 2022, Eq. 10). Two points are the symmetric real difference
    and one point is the one-sided difference with f(0). Points below the real line are not visited: there f is the
    conjugate of what it is above.

    Args:
        function: Gives the values at some β, stacked along the first dimension; called once.
        radius: r > 0, how far from 0 to look.
        points: N ≥ 1. Complex β are asked for from three on.
        dtype: Real type of the β, or of their real and imaginary parts.
        device: Of the β.

    Raises:
        ValueError: If the radius is not positive and finite, or there is no point.

    Example:
        >>> cauchy_derivative(torch.exp, radius=1.0, points=1)
        tensor(1.7183)
        >>> cauchy_derivative(torch.exp, radius=1.0, points=8)
        tensor(1.0000)
    """
    return value_and_derivative(function, radius, points, dtype=dtype, device=device)[1]


def value_and_derivative(
    function: Callable[[Inexact[Tensor, " nudges"]], Inexact[Tensor, "nudges *shape"]],
    radius: float,
    points: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> tuple[Inexact[Tensor, "*shape"], Inexact[Tensor, "*shape"]]:
    """What the same points tell of f(0) itself, their mean, beside `cauchy_derivative`, whose arguments these are.

    The mean of a function that is holomorphic within the circle is its value at the centre, up to O(r^N): where the two
    differ by a share of r f′(0) that is not small, the derivative is not to be trusted. (With one point it is f(0).)

    Example:
        >>> value, _ = value_and_derivative(torch.exp, radius=0.1, points=4)
        >>> value
        tensor(1.0000)
        >>> value, _ = value_and_derivative(lambda z: 1 / (1 - z), radius=2.0, points=4)  # a pole within
        >>> value
        tensor(-0.0667)
    """
    if not (0 < radius < math.inf):
        raise ValueError(f"radius: got {radius}, want a positive finite number")
    if points < 1:
        raise ValueError(f"points: got {points}, want 1 or more")
    if points == 1:
        near, rest = function(torch.tensor([radius, 0.0], dtype=dtype, device=device))
        return rest, (near - rest) / radius
    if points == 2:
        above, below = function(torch.tensor([radius, -radius], dtype=dtype, device=device))
        return (above + below) / 2, (above - below) / (2 * radius)
    half = torch.arange(points // 2 + 1, dtype=dtype, device=device)
    nudges = torch.polar(torch.full_like(half, radius), 2 * math.pi * half / points)
    values = function(nudges)
    # t and N − t are conjugates; t = 0 and t = N/2 stand alone.
    twice = torch.full_like(half, 2.0)
    twice[0] = 1.0
    if points % 2 == 0:
        twice[-1] = 1.0
    shares = twice / (points * nudges)
    mean = torch.tensordot((twice / points).to(values.dtype), values, dims=1).real
    return mean, torch.tensordot(shares.to(values.dtype), values, dims=1).real
