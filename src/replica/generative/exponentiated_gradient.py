"""Descent by factors: weights keep their signs, as synapses do by Dale's law, and logarithms take the steps."""

from collections.abc import Callable, Iterable
from typing import Any

import torch


class ExponentiatedGradient(torch.optim.Optimizer):
    """w ← w ∘ exp(−η m ∘ sign w), with m the gradient, or its running sum by momentum: mirror descent with an entropy.

    A weight of 0 stays there, so nets need a start without zeros, biases included, or another optimiser for those.

    Args:
        params: parameters or groups.
        lr: η, the step of ln|w| for a gradient of 1.
        momentum: β of m ← βm + ∇L.

    Raises:
        ValueError: if a number is out of range.

    Source: Kivinen, Warmuth 1997 (EG±); Shetty, Prasath, Seelamantula 2025, Sec. 2; Cornford et al. 2024.

    Example:
        >>> import torch
        >>> from replica.generative import ExponentiatedGradient
        >>> weights = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
        >>> optimiser = ExponentiatedGradient([weights], lr=0.5)
        >>> weights.sum().backward()
        >>> optimiser.step()
        >>> weights.detach().round(decimals=3)  # both go down, and neither crosses 0
        tensor([ 0.6070, -1.6490])
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, *, momentum: float = 0.0) -> None:
        if not lr > 0:
            raise ValueError(f"lr: got {lr}, want above 0")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: got {momentum}, want from 0 to below 1")
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns the closure's loss if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                slope = weights.grad
                if group["momentum"]:
                    state = self.state[weights]
                    if "sum" not in state:
                        state["sum"] = torch.zeros_like(weights)
                    slope = state["sum"].mul_(group["momentum"]).add_(slope)
                weights.mul_((slope * weights.sign()).mul_(-group["lr"]).exp_())
        return loss
