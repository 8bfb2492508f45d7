"""Descent on all examples at once that keeps the loss of each at every step."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def full_batch_descent(
    model: nn.Module,
    loss: Callable[..., Tensor],
    batch: tuple[Any, ...],
    *,
    optimiser: torch.optim.Optimizer,
    steps: int,
    before_step: Callable[[int, Float[Tensor, " examples"]], None] | None = None,
) -> Float[Tensor, "steps_and_one examples"]:
    """Steps down the mean loss of one batch, the whole training set, and keeps every example's loss.

    Args:
        model: left at its last weights, in the mode that it is in.
        loss: ``loss(model, *batch)`` gives one loss an example.
        batch: all that is learned from.
        optimiser: any PyTorch optimiser over the parameters to train.
        steps: gradient steps.
        before_step: called with the number of steps done, 0 to `steps`, and the examples' losses at the weights of that
            moment, the last time after the last step: to copy weights, measure the sharpness, or stop by raising.

    Returns:
        Losses before each step and after the last: ``steps`` + 1 rows.

    Raises:
        ValueError: if there are no steps, or the loss is not one number an example.
        FloatingPointError: if the mean loss is NaN or infinite; names the step.

    Example:
        >>> import torch
        >>> from replica.training import full_batch_descent
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> squared = lambda model, x, y: (model(x) - y).square().squeeze(-1)
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> descent = torch.optim.SGD(model.parameters(), 0.1)
        >>> losses = full_batch_descent(model, squared, (x, 3 * x), optimiser=descent, steps=50)
        >>> losses.shape, losses[-1] < 1e-6
        (torch.Size([51, 2]), tensor([True, True]))
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}, want 1 or more")
    kept: list[Tensor] = []
    for done in range(steps + 1):
        optimiser.zero_grad(set_to_none=True)
        with torch.set_grad_enabled(done < steps):
            each = loss(model, *batch)
        if each.dim() != 1 or not len(each):
            raise ValueError(f"loss: got shape {tuple(each.shape)}, want one loss an example")
        kept.append(each.detach())
        if not math.isfinite(float(kept[-1].mean())):
            raise FloatingPointError(
                f"mean loss is {float(kept[-1].mean())} after {done} steps: lower the learning rate"
            )
        if before_step is not None:
            before_step(done, kept[-1])
        if done < steps:
            each.mean().backward()
            optimiser.step()
    return torch.stack(kept)
