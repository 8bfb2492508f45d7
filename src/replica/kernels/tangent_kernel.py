"""Kernels of infinitely wide fully connected networks on the unit sphere, at any finite depth.

With κ the dual activation and ξ the inner product of two unit vectors (Jacot, Gabriel, Hongler 2018, arXiv 1806.07572;
Radhakrishnan, Belkin, Uhler 2022, arXiv 2204.14126), starting from Σ_0 = K_0 = ξ:

    Σ_l = κ(Σ_{l−1})                          the Gaussian process of the network (NNGP),
    K_l = Σ_l + K_{l−1} κ'(Σ_{l−1})           its neural tangent kernel (NTK),

for networks without biases, weights N(0, 1) in the tangent parametrisation, and φ scaled to E[φ(z)²] = 1: the recursion of
`wide_kernel` with covariances that stay correlations.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .dual_activations import Activation, DualActivation, dual_activation
from .fully_connected import through_layers

# Entries taken through all layers at once: four arrays of these stay in a core's second-level cache.
_BLOCK_ENTRIES = 2**14
# Layers between looks at whether the rest of them has a closed form.
_CHECK_EVERY = 8

Step = Callable[[Tensor], Tensor]


def nngp_kernel(
    correlation: Float[Tensor, "..."], activation: Activation | DualActivation, depth: int
) -> Float[Tensor, "..."]:
    """Σ_L: correlation of the last hidden layer's features of two inputs.

    Args:
        correlation: ξ in [−1, 1], any shape, float32 or float64.
        activation: φ or its dual activation.
        depth: L, number of hidden layers, 0 or more.

    Raises:
        ValueError: if `depth` is negative or `correlation` is not floating point or leaves [−1, 1].

    Example:
        >>> import torch
        >>> from replica.kernels import nngp_kernel
        >>> nngp_kernel(torch.tensor([0.0, 1.0]), torch.relu, 1)
        tensor([0.3183, 1.0000])
    """
    dual = dual_activation(activation)
    correlation = _checked(correlation, depth)

    def layers(sigma: Tensor) -> Tensor:
        return through_layers(sigma, lambda _, below: (dual.value(below), None), depth, tangent=False)[0]

    return _over_blocks(correlation, layers)


def neural_tangent_kernel(
    correlation: Float[Tensor, "..."],
    activation: Activation | DualActivation,
    depth: int,
    *,
    log: bool = False,
    symmetric: bool = False,
) -> Float[Tensor, "..."]:
    """K_L: the neural tangent kernel of a network with L hidden layers.

    The layers run over blocks that stay in cache, so memory beyond the result does not grow with its size; under
    autograd they run over all entries at once.

    Args:
        correlation: ξ in [−1, 1], any shape, float32 or float64.
        activation: φ or its dual activation.
        depth: L, number of hidden layers, 0 or more.
        log: give ln K_L, computed in logarithms throughout; for ξ ≥ 0 only. K_L itself falls below the smallest float
            at 1,000 layers of an optimal activation, and at 12 of h_2. Any depth then costs no more than the few dozen
            layers after which the rest is a closed form, but for activations with B' = 1 (ReLU) or A' = 0.
        symmetric: `correlation` is a symmetric matrix; half of it is computed and mirrored.

    Raises:
        ValueError: if `depth` is negative, `correlation` is not floating point, leaves [−1, 1], is negative where `log`
            is set, or is no square matrix where `symmetric` is.

    Example:
        >>> import torch
        >>> from replica.kernels import neural_tangent_kernel
        >>> neural_tangent_kernel(torch.tensor([0.0, 1.0]), torch.relu, 1)
        tensor([0.3183, 2.0000])
    """
    dual = dual_activation(activation)
    correlation = _checked(correlation, depth)
    if log and bool((correlation < 0).any()):
        raise ValueError("correlation: got negative entries, want 0 or more where log=True")
    layers: Step = (lambda block: _log_layers(block, dual, depth)) if log else (lambda b: _layers(b, dual, depth))
    if not symmetric:
        return _over_blocks(correlation, layers)
    if correlation.dim() != 2 or correlation.shape[0] != correlation.shape[1]:
        raise ValueError(
            f"correlation: got shape {tuple(correlation.shape)}, want a square matrix where symmetric=True"
        )
    if correlation.requires_grad:
        return layers(correlation)
    count = correlation.shape[0]
    kernel = torch.empty_like(correlation)
    rows = max(1, count // 16)
    for start in range(0, count, rows):
        end = min(start + rows, count)
        kernel[start:end, :end] = _over_blocks(correlation[start:end, :end], layers)
        kernel[:start, start:end] = kernel[start:end, :start].T
    return kernel


def tangent_kernel_at_one(activation: Activation | DualActivation, depth: int) -> float:
    """Logarithm of K_L(x, x): ln Σ_{l=0}^{L} B'^l, with B' = κ'(1).

    Raises:
        ValueError: if `depth` is negative or B' is infinite.
    """
    slope = dual_activation(activation).slope_at_one
    if depth < 0:
        raise ValueError(f"depth: got {depth}, want 0 or more")
    if not math.isfinite(slope):
        raise ValueError(f"activation: got E[φ'(z)²] = {slope}, want a finite number")
    if slope == 1.0:
        return math.log(depth + 1)
    # ln((B'^(L+1) − 1) / (B' − 1)), from the side on which the power does not overflow.
    power = (depth + 1) * math.log(slope)
    if slope > 1:
        return power + math.log(-math.expm1(-power)) - math.log(slope - 1)
    return math.log(-math.expm1(power)) - math.log(1 - slope)


def _layers(sigma: Tensor, dual: DualActivation, depth: int) -> Tensor:
    kernel = through_layers(sigma, lambda _, below: dual.value_and_slope(below), depth)[1]
    assert kernel is not None
    return kernel


def _log_layers(correlation: Tensor, dual: DualActivation, depth: int) -> Tensor:
    # s = ln Σ. With κ(ξ) = ξᵐ g(ξ): s ← m s + ln g, and ln κ' = (m − 1) s + ln(ξ g' + m g).
    order, epsilon = dual.order, torch.finfo(correlation.dtype).eps
    # Within rounding of 1 the logarithms would stand still without being at 1.
    sigma = torch.where(correlation > 1 - 8 * epsilon, 1.0, correlation)
    log_sigma = log_kernel = torch.log(sigma)
    for layer in range(depth):
        if layer % _CHECK_EVERY == 0 and order == 1:
            rest = depth - layer
            settled = sigma < epsilon / 8 * dual.slope_at_zero
            if bool((settled | (sigma == 1)).all()):
                # From here on every layer is linear: Σ ← a Σ, K ← a (Σ + K).
                log_kernel = torch.logaddexp(log_kernel, log_sigma + math.log(rest))
                return _set_ends(log_kernel + rest * math.log(dual.slope_at_zero), sigma, dual, depth)
        reduced, slope = dual.reduced(sigma)
        log_slope = torch.log(slope)
        if order != 1:
            # At ξ = 0 exactly, 0 · (−∞) would be NaN.
            log_slope = log_slope + (order - 1) * log_sigma.clamp_min(torch.finfo(log_sigma.dtype).min / 1e8)
        log_sigma = (order * log_sigma if order else 0.0) + torch.log(reduced)
        before, log_kernel = log_kernel, torch.logaddexp(log_sigma, log_kernel + log_slope)
        sigma = torch.exp(log_sigma).clamp_max(1.0)
        if layer % _CHECK_EVERY == 0 and order == 0:
            still = (log_kernel - before).abs() <= 2 * epsilon * (1 + log_kernel.abs())
            if bool((still | (sigma == 1)).all()):
                return _set_ends(log_kernel, sigma, dual, depth)
    return log_kernel


def _set_ends(log_kernel: Tensor, sigma: Tensor, dual: DualActivation, depth: int) -> Tensor:
    return torch.where(sigma == 1, tangent_kernel_at_one(dual, depth), log_kernel)


def _over_blocks(values: Tensor, step: Step) -> Tensor:
    if values.requires_grad or values.numel() <= _BLOCK_ENTRIES:
        return step(values)
    result = torch.empty(values.shape, dtype=values.dtype, device=values.device)
    flat, out = values.reshape(-1), result.view(-1)
    size = _BLOCK_ENTRIES if values.device.type == "cpu" else 2**24
    for start in range(0, flat.numel(), size):
        out[start : start + size] = step(flat[start : start + size])
    return result


def _checked(correlation: Tensor, depth: int) -> Tensor:
    if depth < 0:
        raise ValueError(f"depth: got {depth}, want 0 or more")
    if not correlation.is_floating_point():
        raise ValueError(f"correlation: got {correlation.dtype}, want floating-point numbers")
    if correlation.numel():
        with torch.no_grad():
            low, high = (float(end) for end in torch.aminmax(correlation))
        slack = 64 * torch.finfo(correlation.dtype).eps
        if not (low >= -1 - slack and high <= 1 + slack):
            raise ValueError(f"correlation: got values from {low:g} to {high:g}, want them in [-1, 1]")
    return correlation.clamp(-1, 1)
