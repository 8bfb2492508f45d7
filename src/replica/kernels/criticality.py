"""Critical starts: variances of weights and biases at which signals neither grow nor fade with depth, by activation.

A start is critical where both susceptibilities are 1 at a fixed point K* of the kernel, χ∥ = χ⊥ = 1 and K* = C_b + C_W ⟨φ²⟩_K*
(see `kernel_recursion`). From χ∥ = χ⊥ alone K* follows, from χ⊥ = 1 then C_W, from the fixed point C_b.

Roberts, Yaida, Hanin 2022, "The Principles of Deep Learning Theory", chapter 5, arXiv 2106.10165.
"""

import math
from typing import Literal, NamedTuple

import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from .dual_activations import Activation
from .finite_width import gaussian_means

Universality = Literal["scale-invariant", "zero", "half-stable", "none"]

# Kernels searched for a fixed point; beyond the last one activations of use are scale-invariant.
_SEARCHED = torch.logspace(-3, 3, 121, dtype=torch.float64).tolist()
_NEAR_ZERO = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
_TOLERANCE = 1e-9


class CriticalInitialization(NamedTuple):
    """A critical start.

    Attributes:
        kernel: K*, the variance of preactivations that is kept; 0 where it falls as 1 / depth, NaN where any is kept.
        weight_variance: C_W; a weight has the variance C_W / fan_in.
        bias_variance: C_b.
    """

    kernel: float
    weight_variance: float
    bias_variance: float


def universality_class(activation: Activation) -> Universality:
    """The class of an activation, which decides how deep networks behave at their critical start.

    - ``"scale-invariant"``: φ has one slope above 0 and one below (ReLU, leaky ReLU, identity): any kernel is kept.
    - ``"zero"``: φ(0) = 0, and K* = 0 is stable (tanh, sin, erf): the kernel falls as 1 / (−a₁ depth) where φ is smooth, with
      a₁ = φ'''/φ' + ¾ (φ''/φ')² < 0 at 0, the same power for all of them.
    - ``"half-stable"``: a K* > 0, stable from one side only (GELU, SiLU).
    - ``"none"``: no critical start (sigmoid, softplus).

    Args:
        activation: φ, elementwise, differentiable by autograd; it may have a kink at 0.

    Raises:
        ValueError: if φ is not elementwise or not finite.

    Example:
        >>> import torch
        >>> from replica.kernels import universality_class
        >>> [universality_class(each) for each in (torch.relu, torch.tanh, torch.nn.functional.silu, torch.sigmoid)]
        ['scale-invariant', 'zero', 'half-stable', 'none']
    """
    if _slopes(activation)[2]:
        return "scale-invariant"
    if _critical_at_zero(activation) is not None:
        return "zero"
    return "none" if _fixed_point(activation) is None else "half-stable"


def critical_initialization(activation: Activation) -> CriticalInitialization:
    """The critical start of an activation: C_W = 2 and C_b = 0 for ReLU, 1 and 0 for tanh, solved for where K* is above 0.

    Args:
        activation: φ, elementwise, differentiable by autograd; it may have a kink at 0.

    Raises:
        ValueError: if it has none; or is not elementwise or not finite.

    Example:
        >>> import torch
        >>> from replica.kernels import critical_initialization
        >>> start = critical_initialization(torch.nn.functional.gelu)
        >>> round(start.kernel, 5), round(start.weight_variance, 5), round(start.bias_variance, 5)
        (3.56155, 1.98306, 0.17292)
    """
    below, above, straight = _slopes(activation)
    if straight:
        return CriticalInitialization(math.nan, 2 / (below**2 + above**2), 0.0)
    at_zero = _critical_at_zero(activation)
    if at_zero is not None:
        return CriticalInitialization(0.0, at_zero, 0.0)
    kernel = _fixed_point(activation)
    if kernel is None:
        raise ValueError("activation: got one without a critical start, such as sigmoid or softplus; want another")
    means = gaussian_means(activation, kernel)
    weight_variance = 1 / means.slope_square
    return CriticalInitialization(kernel, weight_variance, kernel - weight_variance * means.square)


def initialize_critically(
    module: nn.Module, activation: Activation, *, generator: torch.Generator | None = None
) -> CriticalInitialization:
    """Draw all weights and biases of linear layers and convolutions anew from an activation's critical start, in place.

    Weights are normal with variance C_W / fan_in, biases with C_b. Where there is a K* > 0, the first layer's weights have
    the variance (K* − C_b) / fan_in: inputs of mean square 1 then start at the fixed point.

    Args:
        module: has `nn.Linear`, `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d` in it; the first in order takes the inputs.
        activation: φ, between all of them.
        generator: source of randomness.

    Returns:
        The critical start.

    Raises:
        ValueError: if the module has no such layer, or φ no critical start.

    Example:
        >>> import torch
        >>> from replica.kernels import initialize_critically
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 500), torch.nn.GELU(), torch.nn.Linear(500, 500))
        >>> _ = initialize_critically(net, torch.nn.functional.gelu, generator=torch.Generator().manual_seed(0))
        >>> round(float(500 * net[2].weight.detach().var()), 1)
        2.0
    """
    layers = [each for each in module.modules() if isinstance(each, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))]
    if not layers:
        raise ValueError(f"module: got {type(module).__name__}, want one with linear layers or convolutions")
    start = critical_initialization(activation)
    with torch.no_grad():
        for number, layer in enumerate(layers):
            variance = start.weight_variance
            if number == 0 and start.kernel > 0:
                variance = start.kernel - start.bias_variance
            layer.weight.normal_(0.0, math.sqrt(variance / layer.weight[0].numel()), generator=generator)
            if layer.bias is not None:
                layer.bias.normal_(0.0, math.sqrt(start.bias_variance), generator=generator)
    return start


def _slopes(activation: Activation) -> tuple[float, float, bool]:
    """The slopes just below and above 0, and whether φ is these two lines everywhere."""
    points = torch.tensor([-1e3, -1.0, -1e-3, -1e-12, 1e-12, 1e-3, 1.0, 1e3], dtype=torch.float64)
    with torch.enable_grad():
        inputs = points.clone().requires_grad_()
        values = activation(inputs)
        if not isinstance(values, Tensor) or values.shape != points.shape:
            got = getattr(values, "shape", type(values).__name__)
            raise ValueError(f"activation: got {got} for {tuple(points.shape)}, want an elementwise function")
        (slopes,) = torch.autograd.grad(values.sum(), inputs)
    below, above = float(slopes[3]), float(slopes[4])
    lines = torch.tensor([below] * 4 + [above] * 4, dtype=torch.float64) * points
    straight = torch.allclose(values.detach(), lines, rtol=_TOLERANCE, atol=0.0) and max(abs(below), abs(above)) > 0
    return below, above, straight


def _critical_at_zero(activation: Activation) -> float | None:
    """C_W of the critical start at K* = 0, where that is stable: where the kernel falls from near 0 on."""
    below, above, _ = _slopes(activation)
    moment = (below**2 + above**2) / 2
    at_zero = float(activation(torch.zeros((), dtype=torch.float64)))
    if abs(at_zero) > _TOLERANCE or moment < _TOLERANCE:
        return None
    for kernel in _NEAR_ZERO:
        growth = gaussian_means(activation, kernel).square / (moment * kernel) - 1
        if abs(growth) > _TOLERANCE:
            return 1 / moment if growth < 0 else None
    return None


def _fixed_point(activation: Activation) -> float | None:
    """The least K with χ∥ = χ⊥ of which C_b is not negative."""

    def gap(kernel: float) -> float:
        try:
            means = gaussian_means(activation, kernel)
        except ValueError:  # it overflows
            return math.nan
        return (means.growth - means.slope_square) / means.slope_square

    gaps = [gap(kernel) for kernel in _SEARCHED]
    for low, high, before, after in zip(_SEARCHED, _SEARCHED[1:], gaps, gaps[1:], strict=False):
        if before * after < 0:
            kernel = float(brentq(gap, low, high, xtol=1e-14, rtol=1e-13))
            means = gaussian_means(activation, kernel)
            if kernel - means.square / means.slope_square >= 0:
                return kernel
    return None
