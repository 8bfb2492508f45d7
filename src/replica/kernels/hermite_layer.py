"""Wide layers of any activation, by Hermite expansion at each input's own scale."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from .dual_activations import Activation
from .hermite import gaussian_nodes
from .layer_moments import WideLayer, standard_deviation

# Hermite degrees tried for an activation without a closed form, and the share of E[φ²] that may be left out.
_DEGREES = (32, 64, 128, 256)
_RESIDUAL = 1e-9
# Values of φ held at once while its coefficients are found: 16 MiB.
_NODE_ENTRIES = 2**21


class HermiteLayer(WideLayer):
    """Any other φ, by its Hermite expansion at each input's own scale.

        E[φ(u) φ(v)] = Σ_k a_k(k(x,x)) a_k(k(z,z)) cᵏ,  a_k(q) = E[φ(√q ζ) h_k(ζ)],

    and the same for φ', which autograd gives (Mehler's formula). The degree is doubled from 32 until at most 1e-9 of
    E[φ²] and E[φ'²] is left out, or 256 is reached: smooth activations get there, one with a kink keeps 1e-4 at c = 1.

    Args:
        activation: φ, elementwise and differentiable by autograd.
    """

    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    def features(self, variance: Float[Tensor, "..."]) -> Float[Tensor, "features ..."]:
        """√q, then a_k of φ, then those of φ'."""
        z, weights, polynomials = (one.to(variance) for one in _quadrature())
        parts, degree = [], _DEGREES[0]
        for rows in standard_deviation(variance).reshape(-1, 1).split(max(1, _NODE_ENTRIES // len(z))):
            values = self._evaluate(rows * z)
            found = torch.stack([value @ polynomials for value in values])
            moments = torch.stack([value.square() @ weights for value in values])
            kept = found.detach().square().cumsum(-1)
            enough = [bool((moments - kept[..., d] <= _RESIDUAL * moments).all()) for d in _DEGREES[:-1]]
            degree = max(degree, _DEGREES[enough.index(True) if True in enough else -1])
            parts.append(found)
        both = torch.cat(parts, 1)[..., : degree + 1].movedim(-1, 1).reshape(2 * (degree + 1), *variance.shape)
        return torch.cat([standard_deviation(variance)[None], both])

    def combine(
        self,
        left: Float[Tensor, "features ..."],
        kxz: Float[Tensor, "..."],
        right: Float[Tensor, "features ..."],
        *,
        slope: bool = True,
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."] | None]:
        """See `WideLayer.combine`."""
        correlation = (kxz / (left[0] * right[0])).clamp(-1, 1)
        (values, slopes), (others, other_slopes) = left[1:].chunk(2), right[1:].chunk(2)
        value = _mehler(values, others, correlation)
        return value, _mehler(slopes, other_slopes, correlation) if slope else None

    def own_moments(self, variance: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """See `WideLayer.own_moments`.

        Raises:
            ValueError: if φ is not elementwise or E[φ²] is not finite.
        """
        z, weights = (one.to(variance) for one in _quadrature()[:2])
        value, slope = self._evaluate(standard_deviation(variance).reshape(-1, 1) * z)
        moments = [(one.square() @ weights).view_as(variance) for one in (value, slope)]
        if not bool(torch.isfinite(torch.stack(moments)).all()):
            raise ValueError("activation: got an infinite second moment under the Gaussian, want a finite one")
        return moments[0], moments[1]

    def _evaluate(self, values: Tensor) -> tuple[Tensor, Tensor]:
        tracked = torch.is_grad_enabled() and values.requires_grad
        with torch.enable_grad():
            inside = values if tracked else values.detach().requires_grad_()
            out = self.activation(inside)
            if not isinstance(out, Tensor) or out.shape != values.shape:
                raise ValueError(
                    f"activation: got {tuple(getattr(out, 'shape', ()))} for {tuple(values.shape)}, want an elementwise function"
                )
            (slope,) = torch.autograd.grad(out.sum(), inside, create_graph=tracked)
        return (out, slope) if tracked else (out.detach(), slope)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[Tensor, Tensor, Tensor]:
    """Nodes, weights, and weights times Hermite polynomials at the nodes, shape (nodes, degrees)."""
    z, weights = gaussian_nodes()
    rows = [torch.ones_like(z), z]
    for k in range(1, _DEGREES[-1]):
        rows.append((z * rows[k] - math.sqrt(k) * rows[k - 1]) / math.sqrt(k + 1))
    return z, weights, (torch.stack(rows) * weights).T.contiguous()


def _mehler(left: Tensor, right: Tensor, correlation: Tensor) -> Tensor:
    # By Horner's rule; degrees that only one side has are zero on the other.
    terms = min(len(left), len(right))
    total = torch.zeros_like(correlation)
    tracked = torch.is_grad_enabled() and any(one.requires_grad for one in (left, right, correlation))
    for one, two in zip(left[:terms].flip(0), right[:terms].flip(0), strict=True):
        total = torch.addcmul(total * correlation, one, two) if tracked else total.mul_(correlation).addcmul_(one, two)
    return total
