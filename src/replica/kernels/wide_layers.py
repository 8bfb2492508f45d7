"""Wide layers whose moments are known in closed form, and the choice of a layer by its activation."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .activations import SineActivation
from .dual_activations import Activation, DualActivation, ReluDual
from .hermite_layer import HermiteLayer
from .layer_moments import WideLayer, standard_deviation


class _ArcCosine(torch.autograd.Function):
    # κ and κ' of ReLU with finite gradients where the correlation is ±1: dκ = κ', and κ'' there as one rounding inside.

    @staticmethod
    def forward(correlation: Tensor) -> tuple[Tensor, Tensor]:
        return ReluDual().value_and_slope(correlation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], output[1])

    @staticmethod
    def backward(ctx: Any, by_value: Tensor, by_slope: Tensor) -> Tensor:
        correlation, slope = ctx.saved_tensors
        epsilon = torch.finfo(correlation.dtype).eps
        curve = (1 - correlation.square()).clamp_min(epsilon).rsqrt() / math.pi
        return by_value * slope + by_slope * curve


class PiecewiseLinearLayer(WideLayer):
    """φ(z) = a₊ z for z > 0, a₋ z below: ReLU (0, 1), leaky ReLU, absolute value (−1, 1), identity (1, 1).

        E[φ(u) φ(v)] = a₋ a₊ k(x,z) + ½ (a₊ − a₋)² √(k(x,x) k(z,z)) κ(c),  κ the dual of ReLU, c the correlation.

    Args:
        below: a₋.
        above: a₊.

    Source: Cho, Saul 2009, "Kernel Methods for Deep Learning", Eq. 6 and 9.
    """

    def __init__(self, below: float, above: float) -> None:
        self.linear = below * above
        self.bent = (above - below) ** 2 / 2

    def features(self, variance: Float[Tensor, "..."]) -> Float[Tensor, "features ..."]:
        """√E[u²]."""
        return standard_deviation(variance)[None]

    def combine(
        self,
        left: Float[Tensor, "features ..."],
        kxz: Float[Tensor, "..."],
        right: Float[Tensor, "features ..."],
        *,
        slope: bool = True,
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."] | None]:
        """See `WideLayer.combine`."""
        if not self.bent:
            return self.linear * kxz, torch.full_like(kxz, self.linear) if slope else None
        left, right = left[0], right[0]
        # Rounded up by a hair, so that equal inputs have the correlation 1 and not an angle of 1e-8.
        near = 1 + 4 * torch.finfo(kxz.dtype).eps
        correlation = (kxz * (near / left)).mul_(1 / right).clamp_(-1, 1)
        if torch.is_grad_enabled() and correlation.requires_grad:
            value, bend = _ArcCosine.apply(correlation)
            value, bend = value.clone(), bend.clone()  # what a function of autograd gives is not written over
        else:
            value, bend = ReluDual().value_and_slope(correlation)
        value.mul_(self.bent * left).mul_(right)
        bend.mul_(self.bent)
        if self.linear:
            value.add_(kxz, alpha=self.linear)
            bend.add_(self.linear)
        return value, bend if slope else None

    def own_moments(self, variance: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """See `WideLayer.own_moments`."""
        both = self.linear + self.bent
        return both * variance, torch.full_like(variance, both)


class ErfLayer(WideLayer):
    """φ = erf: with D = (1 + 2 k(x,x)) (1 + 2 k(z,z)) − 4 k(x,z)², the moments are (2/π) atan(2 k(x,z) / √D) and (4/π) / √D.

    Source: Williams 1997, "Computing with Infinite Networks", Eq. 11 (there as an arcsine).
    """

    def features(self, variance: Float[Tensor, "..."]) -> Float[Tensor, "features ..."]:
        """1 + 2 E[u²]."""
        return (1 + 2 * variance)[None]

    def combine(
        self,
        left: Float[Tensor, "features ..."],
        kxz: Float[Tensor, "..."],
        right: Float[Tensor, "features ..."],
        *,
        slope: bool = True,
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."] | None]:
        """See `WideLayer.combine`."""
        left, right = left[0], right[0]
        # k(x,z)² ≤ k(x,x) k(z,z) bounds D from below, which large covariances would otherwise round to nothing.
        root = (left * right).addcmul_(kxz, kxz, value=-4).clamp_(min=left + (right - 1)).rsqrt_()
        value = (kxz * root).mul_(2).atan_().mul_(2 / math.pi)
        if not slope:
            return value, None
        return value, root * (4 / math.pi) if root.requires_grad else root.mul_(4 / math.pi)

    def own_moments(self, variance: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """See `WideLayer.own_moments`."""
        root = (1 + 4 * variance).rsqrt()
        return (2 * variance * root).atan() * (2 / math.pi), root * (4 / math.pi)


class SineLayer(WideLayer):
    """φ(z) = A sin(f z), or A cos(f z): E[sin u sin v] = e^(−(k(x,x) + k(z,z))/2) sinh k(x,z), and cosh for the cosine.

    Args:
        frequency: f.
        amplitude: A.
        cosine: whether φ is the cosine.
    """

    def __init__(self, frequency: float = 1.0, amplitude: float = 1.0, *, cosine: bool = False) -> None:
        self.square = frequency**2
        self.power = amplitude**2
        self.cosine = cosine

    def features(self, variance: Float[Tensor, "..."]) -> Float[Tensor, "features ..."]:
        """E[u²]."""
        return variance[None]

    def combine(
        self,
        left: Float[Tensor, "features ..."],
        kxz: Float[Tensor, "..."],
        right: Float[Tensor, "features ..."],
        *,
        slope: bool = True,
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."] | None]:
        """See `WideLayer.combine`."""
        mean = (left[0] + right[0]) / 2
        near, far = torch.exp(self.square * (kxz - mean)), torch.exp(-self.square * (kxz + mean))
        odd, even = (near - far) * (self.power / 2), (near + far) * (self.power / 2)
        value, other = (even, odd) if self.cosine else (odd, even)
        return value, other * self.square if slope else None

    def own_moments(self, variance: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """See `WideLayer.own_moments`."""
        odd = -torch.expm1(-2 * self.square * variance) * (self.power / 2)
        even = self.power - odd
        value, other = (even, odd) if self.cosine else (odd, even)
        return value, other * self.square


class GeluLayer(WideLayer):
    """φ(z) = z Φ(z), Φ the normal distribution function.

    With Δ = (1 + k(x,x)) (1 + k(z,z)) − k(x,z)² and P = 1 / (2π √Δ), integration by parts gives

        E[φ(u) φ(v)] = P (k(x,x) k(z,z) − s k(x,z)²) + k(x,z) (¼ + atan(k(x,z) / √Δ) / 2π),
        s = 1 − 1/(1 + k(x,x)) − 1/(1 + k(z,z)).
    """

    def features(self, variance: Float[Tensor, "..."]) -> Float[Tensor, "features ..."]:
        """E[u²]."""
        return variance[None]

    def combine(
        self,
        left: Float[Tensor, "features ..."],
        kxz: Float[Tensor, "..."],
        right: Float[Tensor, "features ..."],
        *,
        slope: bool = True,
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."] | None]:
        """See `WideLayer.combine`."""
        kxx, kzz = left[0], right[0]
        square = kxz.square()
        # (1 + k(x,x)) (1 + k(z,z)) − k(x,z)² ≥ 1 + k(x,x) + k(z,z).
        root = ((1 + kxx) * (1 + kzz) - square).maximum(1 + kxx + kzz).rsqrt()
        density = root / (2 * math.pi)
        share = 1 - 1 / (1 + kxx) - 1 / (1 + kzz)
        rest = torch.addcmul(kxx * kzz, share, square, value=-1)
        both = 0.25 + (kxz * root).atan() / (2 * math.pi)
        value = density * rest + kxz * both
        if not slope:
            return value, None
        return value, density * kxz * (rest * root.square() + 1 - 2 * share) + both

    def own_moments(self, variance: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """See `WideLayer.own_moments`."""
        return self.moments(variance, variance, variance)


def wide_layer(activation: "Activation | WideLayer") -> WideLayer:
    """The layer of an activation: closed where a form is known, else its Hermite expansion.

    Closed for the identity (`nn.Identity()`), ReLU, leaky ReLU, the absolute value, erf, sine, cosine, `SineActivation` and GELU.

    Args:
        activation: φ, a function or module from tensor to tensor, elementwise; a `WideLayer` is returned as it is.

    Raises:
        ValueError: if it is a `DualActivation`, which knows unit variance only.

    Example:
        >>> import torch
        >>> from replica.kernels import wide_layer
        >>> one, half = torch.tensor(1.0), torch.tensor(0.5)
        >>> value, slope = wide_layer(torch.relu).moments(2 * one, half, one)
        >>> round(float(value), 4), round(float(slope), 4)
        (0.3643, 0.3075)
    """
    if isinstance(activation, WideLayer):
        return activation
    if isinstance(activation, DualActivation):
        raise ValueError(
            "activation: got a dual activation, which knows unit variance only; want the activation itself"
        )
    if isinstance(activation, SineActivation):
        return SineLayer(activation.frequency, math.sqrt(-2 / math.expm1(-2 * activation.frequency**2)))
    if isinstance(activation, nn.LeakyReLU):
        return PiecewiseLinearLayer(activation.negative_slope, 1.0)
    if isinstance(activation, nn.Identity):
        return PiecewiseLinearLayer(1.0, 1.0)
    if isinstance(activation, nn.ReLU) or activation in (torch.relu, nn.functional.relu):
        return PiecewiseLinearLayer(0.0, 1.0)
    if activation is torch.abs:
        return PiecewiseLinearLayer(-1.0, 1.0)
    if activation is torch.erf:
        return ErfLayer()
    if activation in (torch.sin, torch.cos):
        return SineLayer(cosine=activation is torch.cos)
    if (isinstance(activation, nn.GELU) and activation.approximate == "none") or activation is nn.functional.gelu:
        return GeluLayer()
    return HermiteLayer(activation)
