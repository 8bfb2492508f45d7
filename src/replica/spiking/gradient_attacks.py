"""Attacks by the gradient's sign within a cube around the input: one step (FGSM) and many (PGD)."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]
"""Maps inputs ``(batch, …)`` to scores ``(batch, classes)``."""


def fast_gradient_sign(
    model: Model,
    inputs: Float[Tensor, "batch *shape"],
    labels: Int[Tensor, " batch"],
    *,
    budget: float,
    low: float = 0.0,
    high: float = 1.0,
) -> Float[Tensor, "batch *shape"]:
    """One step along the sign of the cross-entropy's gradient: clip(x + ε sign ∇L).

    Args:
        model: Maps inputs to scores; gradients must reach its inputs.
        inputs: x.
        labels: True classes.
        budget: ε, the most that any input may move.
        low: Least value of an input.
        high: Greatest value of an input; infinity for none.

    Raises:
        ValueError: if the budget is negative, the range empty, or labels and inputs differ in count.

    Source: Goodfellow, Shlens and Szegedy 2015.

    Example:
        >>> net = nn.Linear(3, 2)
        >>> moved = fast_gradient_sign(net, torch.full((4, 3), 0.5), torch.zeros(4, dtype=torch.long), budget=0.1)
        >>> (moved - 0.5).abs().amax(1)
        tensor([0.1000, 0.1000, 0.1000, 0.1000])
    """
    _check(inputs, labels, budget, low, high)
    moved = inputs + budget * _gradient(model, inputs, labels).sign()
    return moved.clamp_(low, high)


def projected_gradient(
    model: Model,
    inputs: Float[Tensor, "batch *shape"],
    labels: Int[Tensor, " batch"],
    *,
    budget: float,
    steps: int = 10,
    step_size: float | None = None,
    low: float = 0.0,
    high: float = 1.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "batch *shape"]:
    """Steps along the sign of the cross-entropy's gradient, each brought back into the cube of half-width ε around x.

    It starts at a point drawn evenly from the cube.

    Args:
        model: Maps inputs to scores; gradients must reach its inputs.
        inputs: x.
        labels: True classes.
        budget: ε, the most that any input may move.
        steps: How many.
        step_size: Of each; ε/4 by default.
        low: Least value of an input.
        high: Greatest value of an input; infinity for none.
        generator: Source of the starting point.

    Raises:
        ValueError: if a number is out of range, or labels and inputs differ in count.

    Source: Madry et al. 2018; defaults as in Lun et al. 2025.

    Example:
        >>> net = nn.Linear(3, 2)
        >>> moved = projected_gradient(net, torch.full((4, 3), 0.5), torch.zeros(4, dtype=torch.long), budget=0.1)
        >>> bool(((moved - 0.5).abs() < 0.1001).all())
        True
    """
    _check(inputs, labels, budget, low, high)
    if steps < 1:
        raise ValueError(f"steps: got {steps}, want 1 or more")
    size = budget / 4 if step_size is None else step_size
    if not size >= 0:
        raise ValueError(f"step_size: got {step_size}, want 0 or more")
    start = torch.rand(inputs.shape, generator=generator, device=inputs.device, dtype=inputs.dtype)
    moved = (inputs + budget * (2 * start - 1)).clamp_(low, high)
    for _ in range(steps):
        moved = moved + size * _gradient(model, moved, labels).sign()
        moved = (inputs + (moved - inputs).clamp_(-budget, budget)).clamp_(low, high)
    return moved


def _gradient(model: Model, inputs: Tensor, labels: Tensor) -> Tensor:
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        # The sum, not the mean: a large batch must not push gradients below the smallest number.
        loss = nn.functional.cross_entropy(model(inputs), labels, reduction="sum")
        return torch.autograd.grad(loss, inputs)[0]


def _check(inputs: Tensor, labels: Tensor, budget: float, low: float, high: float) -> None:
    if not (budget >= 0 and math.isfinite(budget)):
        raise ValueError(f"budget: got {budget}, want 0 or more and finite")
    if not low < high:
        raise ValueError(f"low: got {low} and high {high}, want low below high")
    if len(inputs) != len(labels):
        raise ValueError(f"labels: got {len(labels)} for {len(inputs)} inputs, want one each")
