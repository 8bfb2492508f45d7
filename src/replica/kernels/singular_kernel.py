"""The singular kernel that the tangent kernel of an infinitely deep network becomes.

Where A = 0 and A' ≠ 0, both Σ_L / A'^(2L) and K_L / ((L + 1) A'^(2L)) tend to the same function of the correlation:
the Koenigs linearisation h of κ at its fixed point 0, the solution of h(κ(ξ)) = A'² h(ξ) with h'(0) = 1. At ξ = 1,
where κ repels with slope B', it has a pole:

    h = R(r) / r^α,  r = ‖x − z‖ = √(2 (1 − ξ)),  α = −4 log|A'| / log B',

with R bounded, bounded away from 0 near r = 0, and there a periodic function of log r with period ½ log B'.
Radhakrishnan, Belkin, Uhler 2022, arXiv 2204.14126 (limit and exponent); Koenigs' theorem, Carleson, Gamelin 1993,
"Complex Dynamics", II.2.
"""

import math
import warnings
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from replica.training.mixed_precision import at_least_single

from .dual_activations import Activation, DualActivation, dual_activation
from .limit_types import LimitKind, limit_classifier_type

# The grid of ln(δ/ξ): from δ = 1e-15 to ξ = 1e-25.
_NODES = 2**14
_FIRST, _LAST = -34.5, 57.5
_TOLERANCE, _MOST_LAYERS = 1e-13, 10_000


class LimitKernel(NamedTuple):
    """The limit of infinite depth at some points, and how near the iteration came to it.

    Attributes:
        log_value: ln h, shape (...); +∞ at gap 0.
        residual: bound on what further layers would change in ln h, shape (...).
        layers: layers that were iterated.
        converged: whether the residual is within the tolerance, shape (...).
    """

    log_value: Float[Tensor, "..."]
    residual: Float[Tensor, "..."]
    layers: int
    converged: Bool[Tensor, "..."]


def limit_kernel(
    gap: Float[Tensor, "..."],
    activation: Activation | DualActivation,
    *,
    tolerance: float = 1e-13,
    most_layers: int = 10_000,
) -> LimitKernel:
    """Logarithm of h(1 − δ) by iterating layers until it stands still.

    ln h = ln ξ + Σ_l ln(g(Σ_l) / A'²), where κ(ξ) = ξ g(ξ): every factor is at least 1 for κ with non-negative powers,
    and nothing overflows. Near ξ = 1 the iteration runs on 1 − Σ_l, so that δ may be as small as the dtype allows.

    Args:
        gap: δ = 1 − ξ = ‖x − z‖²/2 in [0, 1), any shape. Use float64 for the stated tolerance.
        activation: one of singular type.
        tolerance: on the residual.
        most_layers: limit of the iteration.

    Raises:
        ValueError: if a gap is not in [0, 1) or the activation's limit is no singular kernel.

    Example:
        >>> import torch
        >>> from replica.kernels import limit_kernel, optimal_activation
        >>> found = limit_kernel(torch.tensor([1e-12, 0.5], dtype=torch.float64), optimal_activation(2))
        >>> round(float(found.log_value[1].exp()), 12), bool(found.converged.all())
        (0.713599128289, True)
    """
    dual = _singular(activation)
    low, high = (float(end) for end in torch.aminmax(gap.detach())) if gap.numel() else (0.0, 0.0)
    if not (low >= 0 and high < 1):
        raise ValueError(f"gap: got values from {low:g} to {high:g}, want them in [0, 1)")
    here = gap > 0
    gap = torch.where(here, gap, torch.full_like(gap, 0.5))
    ratio, residual, layers = _log_ratio(gap, 1 - gap, dual, tolerance, most_layers)
    residual = torch.where(here, residual, 0.0)
    return LimitKernel(torch.where(here, ratio + torch.log1p(-gap), math.inf), residual, layers, residual <= tolerance)


def _log_ratio(
    gap: Tensor, sigma: Tensor, dual: DualActivation, tolerance: float, most_layers: int
) -> tuple[Tensor, Tensor, int]:
    """Logarithm of h(ξ)/ξ from δ and ξ, each given without cancellation; its residual; the layers it took."""
    total = torch.zeros_like(gap)
    residual = torch.full_like(gap, math.inf)
    layers = 0
    while layers < most_layers:
        ratio = dual.reduced(sigma)[0]
        factor = torch.log(ratio / dual.slope_at_zero)
        total = total + factor
        # The factors fall at least as fast as Σ_l, by κ(ξ)/ξ: what is left is below a geometric sum.
        left = ratio.detach()
        residual = torch.where(left < 0.999, factor.detach().abs() * left / (1 - left), math.inf)
        layers += 1
        if bool((residual <= tolerance).all()):
            break
        near = gap < 0.5
        below, value = dual.complement(gap), dual.value(sigma)
        gap = torch.where(near, below, 1 - value).clamp(0, 1)
        sigma = torch.where(near, 1 - below, value)
    return total, residual, layers


class SingularKernel(nn.Module):
    """ln h as a function of δ = ‖x − z‖²/2, from a table: as cheap as two logarithms; within 1e-6 for α up to 8, 1e-4 at 30.

    The table holds ln h on an even grid of the logit ln(δ/ξ), and is read by straight lines. On both sides of the grid it
    goes on as the theory says: below periodically but for the power of δ, above as ξ.

    Args:
        activation: one of singular type. Or give `exponent`.
        exponent: α ≥ 1; takes `optimal_activation(exponent)`.

    Raises:
        ValueError: if not exactly one of the two is given, or the activation's limit is no singular kernel.

    Warns:
        RuntimeWarning: if the table has not converged, as for slopes A' very near to 1.

    Example:
        >>> import torch
        >>> from replica.kernels import SingularKernel
        >>> SingularKernel(exponent=2)(torch.tensor([0.5])).exp()
        tensor([0.7136])
    """

    table: Tensor

    def __init__(self, activation: Activation | DualActivation | None = None, *, exponent: float | None = None) -> None:
        super().__init__()
        if (activation is None) == (exponent is None):
            raise ValueError(f"activation, exponent: got {activation} and {exponent}, want exactly one of them")
        if exponent is not None:
            from .activations import optimal_activation

            activation = optimal_activation(exponent)
        assert activation is not None
        dual = _singular(activation)
        self.exponent = limit_classifier_type(dual).exponent
        self.period = math.log(dual.slope_at_one)
        self.step = (_LAST - _FIRST) / (_NODES - 1)
        place = _FIRST + self.step * torch.arange(_NODES, dtype=torch.float64)
        gap, sigma = torch.sigmoid(place), torch.sigmoid(-place)
        ratio, residual, layers = _log_ratio(gap, sigma, dual, _TOLERANCE, _MOST_LAYERS)
        self.register_buffer("table", ratio + sigma.log())
        self.residual = float(residual.max())
        if not self.residual <= _TOLERANCE:
            warnings.warn(
                f"SingularKernel: residual {self.residual:.1e} after {layers} layers", RuntimeWarning, stacklevel=2
            )

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"exponent={self.exponent:g}"

    def forward(self, gap: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Logarithm of h(1 − δ); δ = 0, and ξ ≤ 0 (δ ≥ 1), count as the smallest normal number.

        Args:
            gap: δ ≥ 0, any shape.

        Raises:
            ValueError: if a gap is NaN.
        """
        given, gap = gap.dtype, at_least_single(gap)  # half precision does not tell the table's places apart
        table = self.table.to(gap.dtype)
        smallest = torch.finfo(gap.dtype).tiny
        logit = torch.log(gap.clamp_min(smallest) / (1 - gap).clamp_min(smallest))
        if torch.compiler.is_compiling():  # a graph has no branches: it goes on at both sides, NaN stays NaN
            low, high = -math.inf, math.inf
        else:
            low, high = (float(end) for end in torch.aminmax(logit.detach())) if logit.numel() else (0.0, 0.0)
            if math.isnan(low):
                raise ValueError("gap: got NaN, want numbers of 0 or more")
        inside, outside = logit, None
        if low < _FIRST:
            shift = ((_FIRST - logit) / self.period).ceil().clamp_min(0).detach() * self.period
            inside, outside = logit + shift, shift * (self.exponent / 2)
        if high > _LAST:
            above = (logit - _LAST).clamp_min(0)
            outside = -above if outside is None else outside - above
        place = ((inside - _FIRST) / self.step).clamp(0, _NODES - 1)
        left = place.detach().long().clamp(0, _NODES - 2)
        flat = left.reshape(-1)  # index_select is the fastest way to read a table.
        start, rise = (part.index_select(0, flat).reshape(left.shape) for part in (table, table.diff()))
        value = torch.addcmul(start, place - left, rise)
        return (value if outside is None else value + outside).to(given)


def _singular(activation: Activation | DualActivation) -> DualActivation:
    dual = dual_activation(activation)
    kind = limit_classifier_type(dual).kind
    if kind is not LimitKind.SINGULAR:
        raise ValueError(f"activation: got one whose limit is the {kind.value}, want A = 0 and A' ≠ 0")
    return dual
