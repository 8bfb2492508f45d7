"""Spiking neurons with the potential-dependent surrogate: the fused loop beside the authors' form.

That form stacks all potentials so far at each step to take their standard deviation, so that its time and memory grow with
the square of the steps.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from replica.spiking import LeakyIntegrateAndFire, PotentialDependent

from .case import Case

SIZES = ((10, 64, 512), (50, 64, 512))


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sigma: Tensor) -> Tensor:
        ctx.save_for_backward(x, sigma)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, sigma = ctx.saved_tensors
        bell = torch.exp(-((x / sigma - 0.5).square()) / 2) / (sigma * math.sqrt(2 * math.pi))
        return grad * bell, None


def written_out(currents: Tensor, decay: float) -> Tensor:
    """The neurons step by step under autograd, with the definition of the standard deviation."""
    potential, past, spikes = torch.zeros_like(currents[0]), [], []
    for current in currents:
        before = decay * potential + current
        past.append(before.detach())
        sigma = torch.stack(past).std((0, 1))
        spike: Tensor = _Spike.apply(before - 1, torch.where(sigma > 0, sigma, 1))  # type: ignore[no-untyped-call]
        potential = before * (1 - spike)
        spikes.append(spike)
    return torch.stack(spikes)


def step(neurons: Callable[[Tensor], Tensor], currents: Tensor) -> None:
    """Forward and backward."""
    given = currents.detach().requires_grad_()
    torch.autograd.backward(neurons(given).sum())


def cases(device: str = "cpu") -> Iterator[Case]:
    """The paper's ten frames, and five times as many."""
    for steps, batch, units in SIZES:
        currents = torch.randn(steps, batch, units, generator=torch.Generator(device).manual_seed(0), device=device)
        fused = LeakyIntegrateAndFire(decay=0.5, reset="zero", surrogate=PotentialDependent()).to(device)
        # Forward three operations a number, backward about twenty with the bell and its width.
        yield Case(
            f"potential-dependent surrogate, beside the authors' form ({steps} steps × {batch} × {units})",
            partial(step, fused, currents),
            partial(step, partial(written_out, decay=0.5), currents),
            23.0 * steps * batch * units,
            1.0,
        )
