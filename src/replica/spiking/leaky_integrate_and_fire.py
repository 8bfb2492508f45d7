"""Leaky integrate-and-fire neurons over whole sequences, forward and backward each in one loop without a graph."""

from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .surrogates import FastSigmoid, Surrogate

Reset = Literal["subtract", "zero", "none"]


class LeakyIntegrateAndFire(nn.Module):
    """Neurons that add up their input, leak, and send a spike where they reach their threshold.

    With input current x_t, decay β, threshold θ and potential v_0 = 0:

        u_t = β v_{t−1} + x_t,   s_t = H(u_t − θ),   v_t = u_t − θ s_t  (subtract),  u_t (1 − s_t)  (zero),  u_t  (none).

    Backward H counts as the surrogate (its derivative S'); the reset passes its gradient too unless `detach_reset`. The
    whole sequence is one node of the autograd graph that keeps u alone: memory is one tensor of the input's size, and time
    that of a few operations a step in place. Gradients of gradients are not available.

    Args:
        units: Number of units (the last axis) if each has a decay of its own to be learned, else None.
        decay: β in [0, 1], of one step; where learned, the start.
        threshold: θ, above 0.
        reset: What a spike does to the potential.
        surrogate: Stands in for the derivative of a spike.
        detach_reset: Whether gradients pass by the reset.
        learn_decay: Whether the decay is a parameter (kept in (0, 1) by a logistic function).

    Raises:
        ValueError: if an argument is out of range.

    Source: Gerstner et al. 2014, Neuronal Dynamics, section 1.3; Neftci, Mostafa and Zenke 2019, section II.

    Example:
        >>> neurons = LeakyIntegrateAndFire(decay=0.9)
        >>> neurons(torch.full((8, 1, 1), 0.4)).flatten()
        tensor([0., 0., 1., 0., 0., 1., 0., 0.])
    """

    fixed_decay: Tensor

    def __init__(
        self,
        units: int | None = None,
        *,
        decay: float = 0.9,
        threshold: float = 1.0,
        reset: Reset = "subtract",
        surrogate: Surrogate | None = None,
        detach_reset: bool = False,
        learn_decay: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= decay <= 1 or (learn_decay and not 0 < decay < 1):
            raise ValueError(f"decay: got {decay}, want from 0 to 1, and between them where it is learned")
        if not threshold > 0:
            raise ValueError(f"threshold: got {threshold}, want more than 0")
        if reset not in get_args(Reset):
            raise ValueError(f"reset: got {reset!r}, want one of {', '.join(get_args(Reset))}")
        if units is not None and units < 1:
            raise ValueError(f"units: got {units}, want 1 or more")
        self.units, self.threshold, self.reset, self.detach_reset = units, float(threshold), reset, detach_reset
        self.surrogate = surrogate or FastSigmoid()
        self.learn_decay = learn_decay
        start = torch.full((units,) if units is not None else (), float(decay))
        if learn_decay:
            self.decay_logit = nn.Parameter(torch.logit(start))
        else:
            self.register_buffer("fixed_decay", start)

    @property
    def decay(self) -> Float[Tensor, "*units"]:
        """β, of all units or of each."""
        return torch.sigmoid(self.decay_logit) if self.learn_decay else self.fixed_decay

    def forward(self, currents: Float[Tensor, "time batch *units"]) -> Float[Tensor, "time batch *units"]:
        """Spikes (0 or 1) for a sequence of input currents, from rest.

        Raises:
            ValueError: if the last axis is not the number of units.
        """
        self._check(currents)
        spikes, _ = _Integrate.apply(currents, self.decay.to(currents.dtype), self._settings())
        return spikes

    def run(
        self, currents: Float[Tensor, "time batch *units"], potential: Float[Tensor, "batch *units"] | None = None
    ) -> tuple[Float[Tensor, "time batch *units"], Float[Tensor, "time batch *units"]]:
        """Spikes and the potentials u_t before the reset, from a given potential v_0; no gradient reaches either.

        Raises:
            ValueError: if the last axis is not the number of units.
        """
        self._check(currents)
        with torch.no_grad():
            return _forward(currents, self.decay.to(currents.dtype), self._settings(), potential)

    def step(
        self, current: Float[Tensor, "batch *units"], potential: Float[Tensor, "batch *units"] | None = None
    ) -> tuple[Float[Tensor, "batch *units"], Float[Tensor, "batch *units"]]:
        """One step, for streams: the spikes and the potential v_t after the reset. Same numbers as the whole sequence.

        Raises:
            ValueError: if the last axis is not the number of units.
        """
        self._check(current)
        before = current if potential is None else self.decay.to(current.dtype) * potential + current
        spikes = self.surrogate(before - self.threshold)
        passed = spikes.detach() if self.detach_reset else spikes
        if self.reset == "subtract":
            return spikes, before - self.threshold * passed
        return spikes, before * (1 - passed) if self.reset == "zero" else before

    def _settings(self) -> "_Settings":
        return _Settings(self.threshold, self.reset, self.surrogate, self.detach_reset)

    def _check(self, currents: Tensor) -> None:
        if self.units is not None and (currents.ndim < 1 or currents.shape[-1] != self.units):
            raise ValueError(f"currents: got shape {tuple(currents.shape)}, want {self.units} units last")

    def extra_repr(self) -> str:
        """What is shown of it."""
        return f"units={self.units}, threshold={self.threshold:g}, reset={self.reset}, surrogate={self.surrogate}"


class LeakyIntegrator(nn.Module):
    """Units that leak and never spike: v_t = β v_{t−1} + (1 − β) x_t, a running mean of their input; a read-out.

    Args:
        decay: β in [0, 1).

    Raises:
        ValueError: if it is out of range.

    Example:
        >>> LeakyIntegrator(decay=0.5)(torch.ones(3, 1, 1)).flatten()
        tensor([0.5000, 0.7500, 0.8750])
    """

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay: got {decay}, want 0 or more and less than 1")
        self.decay = float(decay)
        self._neurons = LeakyIntegrateAndFire(decay=decay, reset="none")

    def forward(self, currents: Float[Tensor, "time batch *units"]) -> Float[Tensor, "time batch *units"]:
        """Potentials for a sequence of input currents, from rest."""
        scaled = currents * (1 - self.decay)
        return _Leak.apply(scaled, self.decay)


class _Settings(NamedTuple):
    threshold: float
    reset: Reset
    surrogate: Surrogate
    detach_reset: bool


def _forward(currents: Tensor, decay: Tensor, settings: _Settings, potential: Tensor | None) -> tuple[Tensor, Tensor]:
    """Spikes and potentials u before the reset; every step works in place on one row of each."""
    threshold, reset, _, _ = settings
    currents, decay = (
        currents.detach(),
        decay.detach(),
    )  # torch.export runs this with gradients, where `out=` is refused
    before = torch.empty_like(currents, memory_format=torch.contiguous_format)
    spikes = torch.empty_like(before)
    carried = potential
    for current, u, s in zip(currents.unbind(0), before.unbind(0), spikes.unbind(0), strict=True):
        if carried is None:
            u.copy_(current)
        else:
            torch.addcmul(current, carried, decay, out=u)
        torch.ge(u, threshold, out=s)
        carried = after_reset(u, s, threshold, reset)
    return spikes, before


def after_reset(before: Tensor, spikes: Tensor, threshold: float, reset: Reset) -> Tensor:
    """v_t of u_t and s_t, one operation, no gradient."""
    if reset == "subtract":
        return torch.sub(before, spikes, alpha=threshold)
    return torch.addcmul(before, before, spikes, value=-1) if reset == "zero" else before


class _Integrate(torch.autograd.Function):
    """The whole sequence as one node; keeps u (and the decay), from which spikes and v follow."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, decay: Tensor, settings: _Settings) -> tuple[Tensor, Tensor]:
        spikes, before = _forward(currents, decay, settings, None)
        ctx.save_for_backward(before, decay)
        ctx.settings = settings
        ctx.mark_non_differentiable(before)
        return spikes, before

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        before, decay = ctx.saved_tensors
        threshold, reset, surrogate, detach = ctx.settings
        # In one sweep over all steps: the spikes' derivatives, which no recursion needs.
        slopes = surrogate.derivative_over_time(before - threshold)
        grads = grad_spikes * slopes
        # What remains of a gradient of v_t in u_t: k_t = ∂v_t/∂u_t.
        through: Tensor | None = None
        if reset == "subtract":
            through = None if detach else slopes.mul_(-threshold).add_(1)
        elif reset == "zero":
            kept = (before < threshold).to(before.dtype)
            through = kept if detach else kept.sub_(slopes.mul_(before))
        # In place from the end: g_t = grad_t + β k_t g_{t+1}, since v_t reaches u_{t+1} alone.
        rows = grads.unbind(0)
        factors = None if through is None else through.mul_(decay).unbind(0)
        for t in range(len(rows) - 2, -1, -1):
            if factors is not None:
                rows[t].addcmul_(rows[t + 1], factors[t])
            else:
                rows[t].addcmul_(rows[t + 1], decay)
        grad_decay = None
        if ctx.needs_input_grad[1]:
            after = before[:-1]
            if reset == "subtract":
                after = after - threshold * (after >= threshold)
            elif reset == "zero":
                after = after * (after < threshold)
            product = grads[1:] * after
            grad_decay = product.sum() if decay.ndim == 0 else product.flatten(0, -2).sum(0)
        return grads, grad_decay, None


class _Leak(torch.autograd.Function):
    """v_t = β v_{t−1} + x_t and its adjoint, the same recursion backwards in time."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, decay: float) -> Tensor:
        ctx.decay = decay
        potentials = currents.detach().clone(memory_format=torch.contiguous_format)
        rows = potentials.unbind(0)
        for earlier, later in pairwise(rows):
            later.add_(earlier, alpha=decay)
        return potentials

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Leak.apply(grad.flip(0), ctx.decay).flip(0), None
