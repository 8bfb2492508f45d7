"""Signals in networks of finite width, layer by layer: the kernel, its susceptibilities, and the first correction to it.

A layer is z = b + W φ(z of the layer below), with weights of variance C_W / n, n the width below, and biases of variance C_b.
Given the layer below, the preactivations of one input are independent Gaussians of variance G = C_b + C_W Σ φ²/n, which
itself fluctuates from network to network. With ⟨·⟩_K the mean over z ~ N(0, K), to first order in 1/n:

    K' = C_b + C_W ⟨φ²⟩_K                                  the kernel: E[G] at infinite width,
    V' = C_W² (⟨φ⁴⟩_K − ⟨φ²⟩_K²) / n + χ∥² V               the four-point vertex: Var[G],
    D' = χ∥ D + ½ C_W ⟨φ²⟩_K'' V                           the metric's correction: E[G] − K,
    χ∥ = C_W ⟨φ²⟩_K',   χ⊥ = C_W ⟨φ'²⟩_K                   the susceptibilities.

χ∥ says by how much a change of the kernel grows from layer to layer, χ⊥ by how much the squared gradient does on its way back,
and the angle between two near inputs on its way forward.

Roberts, Yaida, Hanin 2022, "The Principles of Deep Learning Theory", chapters 4 and 5, arXiv 2106.10165. There V stands without
the 1/n, and D is G^{1} / n.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .dual_activations import Activation
from .hermite import gaussian_nodes

# Standard deviations beyond which no more than this share of ⟨φ²⟩ may lie: the quadrature ends at 14.
_TAIL, _TAIL_SHARE = 12.0, 1e-9


class GaussianMeans(NamedTuple):
    """Means over z ~ N(0, K) that a layer needs.

    Attributes:
        square: ⟨φ²⟩.
        growth: its derivative by K.
        curvature: its second derivative by K.
        fourth: ⟨φ⁴⟩.
        slope_square: ⟨φ'²⟩.
    """

    square: float
    growth: float
    curvature: float
    fourth: float
    slope_square: float


def gaussian_means(activation: Activation, kernel: float) -> GaussianMeans:
    """The means over z ~ N(0, K), by quadrature; derivatives by K from the Gaussian's own, so that φ may have a kink at 0.

    Args:
        activation: φ, elementwise, differentiable by autograd.
        kernel: K > 0.

    Raises:
        ValueError: if `kernel` is not a finite number above 0, or φ is not elementwise or grows too fast.

    Example:
        >>> import torch
        >>> from replica.kernels.finite_width import gaussian_means
        >>> means = gaussian_means(torch.relu, 2.0)
        >>> round(means.square, 6), round(means.growth, 6), round(means.slope_square, 6)
        (1.0, 0.5, 0.5)
    """
    if not (kernel > 0 and math.isfinite(kernel)):
        raise ValueError(f"kernel: got {kernel}, want a finite number above 0")
    nodes, weights = gaussian_nodes()
    with torch.enable_grad():
        inputs = (math.sqrt(kernel) * nodes).requires_grad_()
        values = activation(inputs)
        if not isinstance(values, Tensor) or values.shape != nodes.shape:
            got = getattr(values, "shape", type(values).__name__)
            raise ValueError(f"activation: got {got} for {tuple(nodes.shape)}, want an elementwise function")
        (slopes,) = torch.autograd.grad(values.sum(), inputs)
    square = values.detach().square()
    means = GaussianMeans(
        square=float(weights @ square),
        growth=float(weights @ (square * (nodes.square() - 1))) / (2 * kernel),
        curvature=float(weights @ (square * (nodes**4 - 6 * nodes**2 + 3))) / (4 * kernel**2),
        fourth=float(weights @ square.square()),
        slope_square=float(weights @ slopes.square()),
    )
    tail = float(weights @ square.where(nodes.abs() > _TAIL, 0))
    if not all(map(math.isfinite, means)) or tail > _TAIL_SHARE * means.square:
        raise ValueError(f"activation: got one that grows too fast for a mean under a Gaussian of variance {kernel:g}")
    return means


class KernelFlow(NamedTuple):
    """What infinite width makes of one input, layer by layer, float64.

    Attributes:
        kernel: K, the variance of preactivations.
        parallel: χ∥ at each layer.
        perpendicular: χ⊥ at each layer.
    """

    kernel: Float[Tensor, " depth"]
    parallel: Float[Tensor, " depth"]
    perpendicular: Float[Tensor, " depth"]


def kernel_recursion(
    activation: Activation, depth: int, *, weight_variance: float, bias_variance: float = 0.0, first: float = 1.0
) -> KernelFlow:
    """The kernel and its susceptibilities through `depth` layers.

    Args:
        activation: φ, elementwise, differentiable by autograd; it may have a kink at 0.
        depth: layers of preactivations, 1 or more.
        weight_variance: C_W, the variance of a weight times the width below.
        bias_variance: C_b.
        first: K of the first layer, C_b + C_W |x|² / inputs.

    Raises:
        ValueError: if `depth` is below 1, a variance is negative, `first` is not above 0, or a kernel is not finite.

    Example:
        >>> import torch
        >>> from replica.kernels import kernel_recursion
        >>> kernel_recursion(torch.relu, 3, weight_variance=4.0).kernel.round(decimals=6)
        tensor([1., 2., 4.], dtype=torch.float64)
    """
    if depth < 1:
        raise ValueError(f"depth: got {depth}, want 1 or more")
    _check(weight_variance, bias_variance)
    kernels, parallel, perpendicular = [float(first)], [], []
    for _ in range(depth):
        means = gaussian_means(activation, kernels[-1])
        parallel.append(weight_variance * means.growth)
        perpendicular.append(weight_variance * means.slope_square)
        kernels.append(bias_variance + weight_variance * means.square)
    return KernelFlow(*(torch.tensor(each, dtype=torch.float64) for each in (kernels[:-1], parallel, perpendicular)))


class VertexFlow(NamedTuple):
    """What finite width makes of one input, layer by layer and to first order in 1/width, float64.

    Attributes:
        kernel: K, the variance of preactivations at infinite width.
        correction: D, what finite width adds to it.
        vertex: V, the variance of a layer's metric G between networks.
    """

    kernel: Float[Tensor, " depth"]
    correction: Float[Tensor, " depth"]
    vertex: Float[Tensor, " depth"]

    @property
    def excess_kurtosis(self) -> Float[Tensor, " depth"]:
        """E[z⁴] / E[z²]² − 3 of a preactivation over networks, to first order: 3 V / K²."""
        return 3 * self.vertex / self.kernel.square()


def vertex_recursion(
    activation: Activation,
    widths: Sequence[int],
    *,
    weight_variance: float,
    bias_variance: float = 0.0,
    first: float = 1.0,
) -> VertexFlow:
    """The four-point vertex and the metric's correction through the layers that follow hidden ones of these widths.

    For φ of slopes a₊ above and a₋ below 0, at criticality and equal widths n, V / K² = (l − 1)(3 A₄ / A₂² − 1) / n with
    A_m = (a₊ᵐ + a₋ᵐ) / 2: 5 (l − 1) / n for ReLU and 2 (l − 1) / n without nonlinearity. For tanh and all of its class it
    tends to (2/3) l / n.

    Args:
        activation: φ, elementwise, differentiable by autograd; it may have a kink at 0.
        widths: units of hidden layers 1, 2, …; the flow is given for these layers and the one that follows.
        weight_variance: C_W.
        bias_variance: C_b.
        first: K of the first layer.

    Raises:
        ValueError: if a width is below 1, a variance is negative, `first` is not above 0, or a kernel is not finite.

    Example:
        >>> import torch
        >>> from replica.kernels import vertex_recursion
        >>> vertex_recursion(torch.relu, (100, 100), weight_variance=2.0).vertex
        tensor([0.0000, 0.0500, 0.1000], dtype=torch.float64)
    """
    if any(width < 1 for width in widths):
        raise ValueError(f"widths: got {tuple(widths)}, want each at least 1")
    _check(weight_variance, bias_variance)
    kernels, corrections, vertices = [float(first)], [0.0], [0.0]
    for width in widths:
        means = gaussian_means(activation, kernels[-1])
        parallel, below = weight_variance * means.growth, vertices[-1]
        spread = weight_variance**2 * (means.fourth - means.square**2)
        kernels.append(bias_variance + weight_variance * means.square)
        corrections.append(parallel * corrections[-1] + weight_variance * means.curvature * below / 2)
        vertices.append(spread / width + parallel**2 * below)
    return VertexFlow(*(torch.tensor(each, dtype=torch.float64) for each in (kernels, corrections, vertices)))


def _check(weight_variance: float, bias_variance: float) -> None:
    for name, variance in (("weight_variance", weight_variance), ("bias_variance", bias_variance)):
        if not (variance >= 0 and math.isfinite(variance)):
            raise ValueError(f"{name}: got {variance}, want a finite number of 0 or more")
