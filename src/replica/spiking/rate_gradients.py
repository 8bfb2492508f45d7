"""The rate gradient approximation: a spiking network's gradient as if neurons sent their firing rates alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .leaky_integrate_and_fire import LeakyIntegrateAndFire


@contextmanager
def rate_gradients(module: nn.Module, *, low_slope: float = 0.2) -> Iterator[None]:
    """Lets gradients pass a network's neurons by the slope of their firing rate, for as long as the context lasts (RGA).

    With x̄ the mean over time of a neuron's input current in units of its threshold and β its decay, ∂s_t/∂x_t counts as

        γ for 0 ≤ x̄ < 1 − β,   (1 − γ (1 − β)) / (1 + β) for 1 − β ≤ x̄ ≤ 2,   0 elsewhere,

    over the threshold, and ∂s_t/∂x_r as 0 for other steps: a rate that rises in two straight pieces to 1. Outputs stay what
    they were.

    Args:
        module: Any module with `LeakyIntegrateAndFire` inside.
        low_slope: γ in [0, 1].

    Raises:
        ValueError: if there are no such neurons, or an argument is out of range.

    Source: Bu et al. 2023, Rate gradient approximation attack; constants as in the code of Hao et al. 2024 (HART).

    Example:
        >>> net = nn.Sequential(LeakyIntegrateAndFire(decay=0.5))
        >>> currents = torch.tensor([[[0.2, 0.8, 3.0]]], requires_grad=True)
        >>> with rate_gradients(net):
        ...     net(currents).sum().backward()
        >>> currents.grad.flatten()
        tensor([0.2000, 0.6000, 0.0000])
    """
    if not 0 <= low_slope <= 1:
        raise ValueError(f"low_slope: got {low_slope}, want from 0 to 1")
    neurons = [part for part in module.modules() if isinstance(part, LeakyIntegrateAndFire)]
    if not neurons:
        raise ValueError("module: got one without leaky integrate-and-fire neurons, want at least one layer of them")

    def by_rate(part: nn.Module, inputs: tuple[Tensor, ...], spikes: Tensor) -> Tensor:
        assert isinstance(part, LeakyIntegrateAndFire)
        slope = _rate_slope(inputs[0].detach().mean(0) / part.threshold, part.decay.detach(), low_slope)
        return _ByRate.apply(inputs[0], spikes.detach(), slope / part.threshold)

    handles = [part.register_forward_hook(by_rate) for part in neurons]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rate_slope(
    mean: Float[Tensor, "batch *units"], decay: Float[Tensor, "*units"], low_slope: float
) -> Float[Tensor, "batch *units"]:
    decay = decay.to(mean.dtype)
    high = (1 - low_slope * (1 - decay)) / (1 + decay)
    slope = torch.where(mean < 1 - decay, low_slope, high)
    return torch.where((mean >= 0) & (mean <= 2), slope, 0)


class _ByRate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, spikes: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return spikes.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.saved_tensors[0], None, None
