"""Hermite polynomials normalised under the standard Gaussian, and expansions of activations in them.

h_k = He_k / √k! with E[h_j(z) h_k(z)] = 1 if j = k, else 0, for z ~ N(0, 1).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# Gauss–Legendre panels over [−REACH, REACH], an edge at 0: unlike Gauss–Hermite nodes they see a kink at 0 exactly.
_REACH = 14.0
_PANELS = 112
_NODES = 16


def hermite_series(values: Float[Tensor, "..."], coefficients: Sequence[float]) -> Float[Tensor, "..."]:
    """Σ_k c_k h_k(z), by the recurrence √(k+1) h_{k+1} = z h_k − √k h_{k−1}.

    Args:
        values: z, any shape.
        coefficients: c_0, c_1, ...; at least one.

    Example:
        >>> import torch
        >>> from replica.kernels.hermite import hermite_series
        >>> hermite_series(torch.tensor([3.0]), (1.0, 2.0))
        tensor([7.])
    """
    before, now = torch.zeros_like(values), torch.ones_like(values)
    total = coefficients[0] * now
    for degree, coefficient in enumerate(coefficients[1:]):
        before, now = now, (values * now - math.sqrt(degree) * before) / math.sqrt(degree + 1)
        if coefficient:
            total = total + coefficient * now
    return total


def gaussian_nodes() -> tuple[Float[Tensor, " nodes"], Float[Tensor, " nodes"]]:
    """Nodes z and weights w with Σ w f(z) = E[f(z)] for z ~ N(0, 1), in float64; f may have a kink at 0."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    edges = np.linspace(-_REACH, _REACH, _PANELS + 1)
    half = (edges[1] - edges[0]) / 2
    z = (edges[:-1, None] + half * (1 + nodes)).ravel()
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return torch.from_numpy(z), torch.from_numpy(np.tile(half * weights, _PANELS) * density)


def hermite_coefficients(
    function: Callable[[Float[Tensor, " nodes"]], Float[Tensor, " nodes"]], degree: int
) -> tuple[Float[Tensor, " terms"], float]:
    """Coefficients c_k = E[φ(z) h_k(z)], k = 0 to `degree`, and the second moment E[φ(z)²].

    Args:
        function: φ, elementwise on a float64 tensor; smooth but for a kink at 0, growing no faster than a power.
        degree: of the last coefficient, 0 or more.

    Raises:
        ValueError: if `degree` is negative, or φ is not elementwise, not finite, or zero.

    Example:
        >>> import torch
        >>> from replica.kernels.hermite import hermite_coefficients
        >>> coefficients, moment = hermite_coefficients(torch.relu, 2)
        >>> [round(float(c), 4) for c in coefficients], round(moment, 4)
        ([0.3989, 0.5, 0.2821], 0.5)
    """
    if degree < 0:
        raise ValueError(f"degree: got {degree}, want 0 or more")
    z, weights = gaussian_nodes()
    with torch.no_grad():
        value = function(z)
    if not isinstance(value, Tensor) or value.shape != z.shape:
        raise ValueError(
            f"activation: got {getattr(value, 'shape', type(value).__name__)} for {tuple(z.shape)}, want an elementwise function"
        )
    value = value.double()
    moment = float((weights * value.square()).sum())
    if not math.isfinite(moment) or moment <= 0:
        raise ValueError(f"activation: got second moment {moment} under the Gaussian, want a finite number above 0")
    coefficients = []
    before, now = torch.zeros_like(z), torch.ones_like(z)
    for k in range(degree + 1):
        coefficients.append((weights * value * now).sum())
        before, now = now, (z * now - math.sqrt(k) * before) / math.sqrt(k + 1)
    return torch.stack(coefficients), moment
