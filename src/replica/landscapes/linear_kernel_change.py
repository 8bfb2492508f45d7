"""How far the tangent kernel of a two-layer linear network turns while it learns: by gradient flow, and in closed form.

f(x) = a·Wx learns β·x; its readout a starts at 0. Its kernel is xᵀ(WᵀW + ‖a‖²)x′. The alignment of the kernel at the start
with that at the end is 1 for lazy learning, small for rich. Sources: Atanasov, Bordelon, Pehlevan 2022 (where small weights
end); Liu et al. 2024 (what follows for the rank of W at the start).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from replica.kernels import kernel_alignment

from .low_rank_initialization import effective_rank, matrix_root


def small_weight_alignment(
    first_layer: Float[Tensor, "... units inputs"],
    target: Float[Tensor, "... inputs"],
    *,
    covariance: Float[Tensor, "inputs inputs"] | None = None,
) -> Float[Tensor, "..."]:
    """Alignment of the kernels before and after learning, in the limit of small weights.

    From small weights W ends as √‖β‖ u βᵀ/‖β‖ and a as √‖β‖ u for some unit vector u, whatever the start. With M = WᵀW at the
    start, N = ββᵀ/‖β‖² + 1 and inputs of covariance Σ it is tr(Σ M Σ N) / (‖Σ^½MΣ^½‖ ‖Σ^½NΣ^½‖): the cosine of the two kernels as
    operators on functions of the input.

    Args:
        first_layer: W at the start; leading axes broadcast with those of the target.
        target: β.
        covariance: Σ, positive definite. Default 1.

    Raises:
        ValueError: if the inputs of the two differ in number, or the covariance is no such matrix.

    Example:
        >>> import torch
        >>> from replica.landscapes import small_weight_alignment
        >>> small_weight_alignment(torch.eye(6), torch.eye(6)[0]).round(decimals=4)
        tensor(0.9526)
    """
    _check(first_layer, target)
    eye = torch.eye(target.shape[-1], dtype=target.dtype, device=target.device)
    root = eye if covariance is None else matrix_root(covariance)
    direction = torch.nn.functional.normalize(target, dim=-1)
    end = direction[..., :, None] * direction[..., None, :] + eye
    return _alignment(first_layer.mT @ first_layer, end, root)


def expected_alignment(first_layer: Float[Tensor, "... units inputs"]) -> Float[Tensor, "..."]:
    """`small_weight_alignment` on white inputs, the mean over tasks of all directions alike: √R (1 + 1/d) / √(d + 3).

    R is the effective rank of W (`effective_rank`) and d the number of inputs: of the start nothing but R counts.

    Example:
        >>> import torch
        >>> from replica.landscapes import expected_alignment
        >>> expected_alignment(torch.eye(6)).round(decimals=4)
        tensor(0.9526)
    """
    inputs = first_layer.shape[-1]
    return effective_rank(first_layer).sqrt() * (1 + 1 / inputs) / math.sqrt(inputs + 3)


class LearnedLinear(NamedTuple):
    """A two-layer linear network after gradient flow.

    Attributes:
        first_layer: W, ``(..., units, inputs)``.
        readout: a, ``(..., units)``.
        alignment: of the kernel at the start with that at the end, ``(...,)``.
        loss: half the mean squared error at the end as a share of that at the start, ``(...,)``.
    """

    first_layer: Float[Tensor, "... units inputs"]
    readout: Float[Tensor, "... units"]
    alignment: Float[Tensor, "..."]
    loss: Float[Tensor, "..."]


def two_layer_flow(
    first_layer: Float[Tensor, "... units inputs"],
    target: Float[Tensor, "... inputs"],
    *,
    covariance: Float[Tensor, "inputs inputs"] | None = None,
    time: float,
    steps: int,
) -> LearnedLinear:
    """Gradient flow of half the mean squared error: Ẇ = a (Σr)ᵀ and ȧ = WΣr with r = β − Wᵀa, from a = 0.

    By the classical method of Runge and Kutta, of fourth order.

    Args:
        first_layer: W at the start, of many networks at once.
        target: β, one each.
        covariance: Σ. Default 1.
        time: how long it flows.
        steps: of equal length; the largest eigenvalue of Σ times ‖β‖ times a step should be well below 1.

    Raises:
        ValueError: if a number is out of range, or the inputs of the two differ in number.

    Example:
        >>> import torch
        >>> from replica.landscapes import two_layer_flow
        >>> end = two_layer_flow(0.01 * torch.eye(6), torch.eye(6)[0], time=20, steps=200)
        >>> (end.readout @ end.first_layer).round(decimals=3).abs(), end.alignment.round(decimals=3)
        (tensor([1., 0., 0., 0., 0., 0.]), tensor(0.9530))
    """
    _check(first_layer, target)
    if not (math.isfinite(time) and time > 0) or steps < 1:
        raise ValueError(f"time, steps: got {time} and {steps}, want a time above 0 and 1 step or more")
    eye = torch.eye(target.shape[-1], dtype=target.dtype, device=target.device)
    root = eye if covariance is None else matrix_root(covariance)
    sigma = root @ root
    lead = torch.broadcast_shapes(first_layer.shape[:-2], target.shape[:-1])
    start = first_layer.expand(*lead, *first_layer.shape[-2:])
    goal = target.expand(*lead, target.shape[-1])

    def slopes(layer: Tensor, readout: Tensor) -> tuple[Tensor, Tensor]:
        pull = (goal - (readout[..., None, :] @ layer).squeeze(-2)) @ sigma
        return readout[..., :, None] * pull[..., None, :], (layer @ pull[..., None]).squeeze(-1)

    layer, readout, step = start, torch.zeros_like(start[..., 0]), time / steps
    for _ in range(steps):
        first = slopes(layer, readout)
        second = slopes(layer + step / 2 * first[0], readout + step / 2 * first[1])
        third = slopes(layer + step / 2 * second[0], readout + step / 2 * second[1])
        fourth = slopes(layer + step * third[0], readout + step * third[1])
        layer, readout = (
            now + step / 6 * (one + 2 * two + 2 * three + four)
            for now, one, two, three, four in zip((layer, readout), first, second, third, fourth, strict=True)
        )
    end = layer.mT @ layer + readout.square().sum(-1)[..., None, None] * eye
    error = goal - (readout[..., None, :] @ layer).squeeze(-2)
    left = ((error @ sigma) * error).sum(-1) / ((goal @ sigma) * goal).sum(-1)
    return LearnedLinear(layer, readout, _alignment(start.mT @ start, end, root), left)


def _alignment(first: Tensor, second: Tensor, root: Tensor) -> Tensor:
    return kernel_alignment(root @ first @ root, root @ second @ root, centring="none")


def _check(first_layer: Tensor, target: Tensor) -> None:
    if first_layer.dim() < 2 or target.dim() < 1 or first_layer.shape[-1] != target.shape[-1]:
        shapes = tuple(first_layer.shape), tuple(target.shape)
        raise ValueError(f"first_layer, target: got shapes {shapes}, want (..., units, inputs) and (..., inputs)")
