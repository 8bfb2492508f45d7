"""Leaky integrate-and-fire neurons that send their spikes to each other, forward and backward each in one loop."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .leaky_integrate_and_fire import LeakyIntegrateAndFire, Reset, after_reset
from .surrogates import Surrogate


class RecurrentLeakyIntegrateAndFire(nn.Module):
    """Leaky integrate-and-fire neurons whose spikes come back one step later through trained weights W.

    With input current x_t:  u_t = β v_{t−1} + x_t + W s_{t−1},  s_t = H(u_t − θ),  v_t as in `LeakyIntegrateAndFire`.

    Args:
        units: Number of units.
        decay: β in [0, 1], of one step.
        threshold: θ, above 0.
        reset: What a spike does to the potential.
        surrogate: Stands in for the derivative of a spike.
        detach_reset: Whether gradients pass by the reset.
        generator: Source of W's start, uniform in ±1/√units.

    Raises:
        ValueError: if an argument is out of range.

    Source: Neftci, Mostafa and Zenke 2019, section II, equations 4 and 5.

    Example:
        >>> neurons = RecurrentLeakyIntegrateAndFire(3, generator=torch.Generator().manual_seed(0))
        >>> neurons(torch.ones(5, 2, 3)).shape
        torch.Size([5, 2, 3])
    """

    def __init__(
        self,
        units: int,
        *,
        decay: float = 0.9,
        threshold: float = 1.0,
        reset: Reset = "subtract",
        surrogate: Surrogate | None = None,
        detach_reset: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if units < 1:
            raise ValueError(f"units: got {units}, want 1 or more")
        self.neurons = LeakyIntegrateAndFire(
            decay=decay, threshold=threshold, reset=reset, surrogate=surrogate, detach_reset=detach_reset
        )
        self.units = units
        bound = 1 / math.sqrt(units)
        drawn = torch.empty(units, units, device=generator.device if generator is not None else None)
        self.weight = nn.Parameter(drawn.uniform_(-bound, bound, generator=generator))

    def forward(self, currents: Float[Tensor, "time batch units"]) -> Float[Tensor, "time batch units"]:
        """Spikes (0 or 1) for a sequence of input currents, from rest.

        Raises:
            ValueError: if the shape is another.
        """
        if currents.ndim != 3 or currents.shape[-1] != self.units:
            raise ValueError(f"currents: got shape {tuple(currents.shape)}, want (time, batch, {self.units})")
        return _IntegrateRecurrent.apply(currents, self.weight.to(currents.dtype), self.neurons)

    def step(
        self,
        current: Float[Tensor, "batch units"],
        state: tuple[Float[Tensor, "batch units"], Float[Tensor, "batch units"]] | None = None,
    ) -> tuple[Float[Tensor, "batch units"], tuple[Float[Tensor, "batch units"], Float[Tensor, "batch units"]]]:
        """One step, for streams: the spikes, and the state (spikes, potential) to hand to the next step."""
        potential = None
        if state is not None:
            spikes, potential = state
            current = current + spikes @ self.weight.to(current.dtype).T
        spikes, potential = self.neurons.step(current, potential)
        return spikes, (spikes, potential)


class _IntegrateRecurrent(torch.autograd.Function):
    """The whole sequence as one node; keeps u and the spikes."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, weight: Tensor, neurons: LeakyIntegrateAndFire) -> Tensor:
        threshold, reset, decay = neurons.threshold, neurons.reset, neurons.decay.to(currents.dtype)
        currents, weight, decay = (
            currents.detach(),
            weight.detach(),
            decay.detach(),
        )  # torch.export has gradients on here
        before = currents.clone(memory_format=torch.contiguous_format)
        spikes = torch.empty_like(before)
        carried, last = None, None
        for u, s in zip(before.unbind(0), spikes.unbind(0), strict=True):
            if carried is not None and last is not None:
                u.addmm_(last, weight.T).addcmul_(carried, decay)
            torch.ge(u, threshold, out=s)
            carried, last = after_reset(u, s, threshold, reset), s
        ctx.save_for_backward(before, spikes, weight)
        ctx.neurons, ctx.decay, ctx.surrogate = neurons, decay, neurons.surrogate
        return spikes

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, Tensor | None, None]:
        before, spikes, weight = ctx.saved_tensors
        neurons, decay = ctx.neurons, float(ctx.decay)
        slopes = ctx.surrogate.derivative_over_time(before - neurons.threshold)
        grads = grad_spikes.clone(memory_format=torch.contiguous_format)
        factors: Tensor | None = None
        if neurons.reset == "subtract":
            factors = None if neurons.detach_reset else 1 - neurons.threshold * slopes
        elif neurons.reset == "zero":
            factors = 1 - spikes if neurons.detach_reset else 1 - spikes - slopes * before
        rows = grads.unbind(0)
        for t in range(len(rows) - 1, -1, -1):
            if t + 1 < len(rows):
                rows[t].addmm_(rows[t + 1], weight)  # through the spikes to every unit's next current
            rows[t].mul_(slopes[t])
            if t + 1 < len(rows):
                if factors is None:
                    rows[t].add_(rows[t + 1], alpha=decay)
                else:
                    rows[t].addcmul_(rows[t + 1], factors[t], value=decay)
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = grads[1:].flatten(0, 1).T @ spikes[:-1].flatten(0, 1)
        return grads, grad_weight, None
