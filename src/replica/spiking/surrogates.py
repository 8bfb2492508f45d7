"""Surrogate gradients: what stands in for the derivative of a spike."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class Surrogate(ABC):
    """A smooth step S(x) beside the Heaviside step H(x), whose derivative stands in for that of H (Neftci et al., 2019).

    x is the membrane potential minus the threshold. Called, it gives spikes H(x) = 1 for x ≥ 0 that pass gradients S'(x).

    Example:
        >>> x = torch.tensor([-0.5, 0.0, 2.0], requires_grad=True)
        >>> FastSigmoid(slope=1.0)(x).sum().backward()
        >>> x.grad
        tensor([0.4444, 1.0000, 0.1111])
    """

    @abstractmethod
    def derivative(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """S'(x)."""

    @abstractmethod
    def smooth(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """S(x), up to a constant."""

    def derivative_over_time(self, x: Float[Tensor, "time batch *units"]) -> Float[Tensor, "time batch *units"]:
        """S'(x) of a whole sequence, which neurons ask for: one that depends on the past of x overrides it."""
        return self.derivative(x)

    def __call__(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Spikes: 1 where x ≥ 0, else 0; backward S'(x)."""
        return _Spike.apply(x, self)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(x), None


def _check(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name}: got {value}, want more than 0")


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """S'(x) = 1 / (1 + k |x|)² (Zenke and Ganguli 2018, SuperSpike).

    Args:
        slope: k, in 1 / (unit of the potential).

    Raises:
        ValueError: if it is not above 0.
    """

    slope: float = 10.0

    def __post_init__(self) -> None:
        _check("slope", self.slope)

    def derivative(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.derivative`."""
        return x.abs().mul_(self.slope).add_(1).square_().reciprocal_()

    def smooth(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.smooth`: x / (1 + k |x|)."""
        return x / (1 + self.slope * x.abs())


@dataclass(frozen=True)
class ArcTangent(Surrogate):
    """S'(x) = (a / 2) / (1 + (π a x / 2)²) (Fang et al. 2021).

    Args:
        slope: a, in 1 / (unit of the potential).

    Raises:
        ValueError: if it is not above 0.
    """

    slope: float = 2.0

    def __post_init__(self) -> None:
        _check("slope", self.slope)

    def derivative(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.derivative`."""
        return x.mul(math.pi / 2 * self.slope).square_().add_(1).reciprocal_().mul_(self.slope / 2)

    def smooth(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.smooth`: arctan(π a x / 2) / π."""
        return torch.atan(math.pi / 2 * self.slope * x) / math.pi


@dataclass(frozen=True)
class Logistic(Surrogate):
    """S'(x) = k σ(k x) (1 − σ(k x)), the derivative of the logistic function.

    Args:
        slope: k, in 1 / (unit of the potential).

    Raises:
        ValueError: if it is not above 0.
    """

    slope: float = 4.0

    def __post_init__(self) -> None:
        _check("slope", self.slope)

    def derivative(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.derivative`."""
        level = torch.sigmoid(self.slope * x)
        return level.mul(1 - level).mul_(self.slope)

    def smooth(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.smooth`: σ(k x)."""
        return torch.sigmoid(self.slope * x)


@dataclass(frozen=True)
class Triangle(Surrogate):
    """S'(x) = max(0, 1 − |x| / w) / w (Esser et al. 2016; Bellec et al. 2018).

    Args:
        width: w, half of the triangle's base, in the unit of the potential.

    Raises:
        ValueError: if it is not above 0.
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        _check("width", self.width)

    def derivative(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.derivative`."""
        return x.abs().mul_(-1 / self.width**2).add_(1 / self.width).clamp_(min=0)

    def smooth(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.smooth`: the triangle's area left of x, minus a half."""
        part = (x / self.width).clamp(-1, 1)
        return part - part * part.abs() / 2


@dataclass(frozen=True)
class Rectangle(Surrogate):
    """S'(x) = 1 / (2 w) where |x| < w, else 0 (Wu et al. 2018, STBP, equation 26).

    Args:
        width: w, half of the rectangle's base, in the unit of the potential.

    Raises:
        ValueError: if it is not above 0.
    """

    width: float = 0.5

    def __post_init__(self) -> None:
        _check("width", self.width)

    def derivative(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.derivative`."""
        return (x.abs() < self.width).to(x.dtype).mul_(1 / (2 * self.width))

    def smooth(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """See `Surrogate.smooth`: a ramp from −1/2 to 1/2."""
        return (x / (2 * self.width)).clamp(-0.5, 0.5)
