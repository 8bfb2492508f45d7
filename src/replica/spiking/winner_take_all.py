"""Competitive networks that learn without labels by spike timing; many side by side, each from its own input."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class WinnerTakeAllNetwork(nn.Module):
    """Integrate-and-fire units that inhibit each other, with thresholds that adapt and weights that follow spike timing.

    M networks (modules) of N units live in one set of tensors. In a step of τ ms, with input spikes s, weights W in [0, 1],
    and potentials v from rest 0 in units of the distance from rest to the first threshold:

        u_t = β v_{t−1} + g s_t W,    n* = argmax_n (u_{t,n} − 1 − θ_n)  fires where that is ≥ 0,
        v_t = u_t − κ (u_t − E) after a spike in the module (the winner: 0),   u_t without one.

    While it learns, each spike of a unit raises its threshold, θ ← θ + θ₊, and strengthens inputs that just were active
    (trace x: 1 at a spike, decays with 20 ms), if the unit had fired before (trace y, 40 ms):

        ΔW = η Σ_t x_tᵀ (spike_t ⊙ y_{t−1}),

    after which weights are cut to [0, 1] and each unit's are scaled to a mean of 0.1. Weights are moved at the end of a
    presentation, and every presentation starts from rest.

    Args:
        inputs: Input lines, I.
        units: Units of each module, N.
        modules: Networks side by side, M; they share nothing.
        step: τ, in ms.
        drive: g: what a spike adds through a weight of 1.
        membrane: Time constant of the potential in ms, β = exp(−τ / membrane).
        inhibition: κ in [0, 1]: how far a spike takes the potentials of the others in its module towards the reversal.
        reversal: E, at most 0: where inhibition takes potentials to; at 0, with κ = 1, a spike starts the race anew.
        learning_rate: η.
        threshold_step: θ₊.
        generator: Source of the first weights, uniform before scaling.

    Raises:
        ValueError: if an argument is out of range.

    The defaults suit patch-normalised images of 28 × 28 pixels at rates of up to 64 Hz; the authors' constants are about 0.05
    for the drive, 0.01 for the learning rate and 0.004 for the threshold step.

    Source: Diehl and Cook 2015, section 2 (traces, thresholds, one-to-one inhibition), in the form of Hussaini, Milford and
    Fischer 2022, section III; conductances are currents here.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> network = WinnerTakeAllNetwork(16, 4, modules=3, generator=generator)
        >>> spikes = (torch.rand(20, 3, 16, generator=generator) < 0.5).float()
        >>> network.learn(spikes).shape, network(spikes[:, :2]).shape
        (torch.Size([3, 4]), torch.Size([2, 3, 4]))
    """

    MEAN_WEIGHT = 0.1
    INPUT_TRACE_MS, BURST_TRACE_MS = 20.0, 40.0

    weights: Tensor
    thresholds: Tensor

    def __init__(
        self,
        inputs: int,
        units: int,
        modules: int = 1,
        *,
        step: float = 10.0,
        drive: float = 0.16,
        membrane: float = 100.0,
        inhibition: float = 1.0,
        reversal: float = 0.0,
        learning_rate: float = 0.03,
        threshold_step: float = 0.0003,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, count in (("inputs", inputs), ("units", units), ("modules", modules)):
            if count < 1:
                raise ValueError(f"{name}: got {count}, want 1 or more")
        for name, value in (("step", step), ("drive", drive), ("membrane", membrane)):
            if not value > 0:
                raise ValueError(f"{name}: got {value}, want more than 0")
        for name, value in (("learning_rate", learning_rate), ("threshold_step", threshold_step)):
            if not value >= 0:
                raise ValueError(f"{name}: got {value}, want 0 or more")
        if not 0 <= inhibition <= 1:
            raise ValueError(f"inhibition: got {inhibition}, want from 0 to 1")
        if not -torch.inf < reversal <= 0:
            raise ValueError(f"reversal: got {reversal}, want a finite number of at most 0")
        self.inputs, self.units, self.modules_count = inputs, units, modules
        self.reversal = reversal
        self.step, self.drive, self.membrane, self.inhibition = step, drive, membrane, inhibition
        self.learning_rate, self.threshold_step = learning_rate, threshold_step
        device = generator.device if generator is not None else None
        drawn = torch.rand(modules, inputs, units, generator=generator, device=device)
        self.register_buffer("weights", self._scaled(drawn + 0.01))
        self.register_buffer("thresholds", torch.zeros(modules, units, device=device))

    def forward(self, spikes: Float[Tensor, "time batch inputs"]) -> Float[Tensor, "batch modules units"]:
        """How often each unit of each module fires while it is shown a spike train; all modules see the same.

        Raises:
            ValueError: if the last axis is not the inputs.
        """
        self._check(spikes)
        time, batch, inputs = spikes.shape
        joined = self.weights.transpose(0, 1).reshape(inputs, -1)
        currents = (spikes.reshape(-1, inputs) @ joined).mul_(self.drive)
        counts = spikes.new_zeros(batch, self.modules_count, self.units)
        potentials = torch.zeros_like(counts)
        barrier = 1 + self.thresholds
        for current in currents.view(time, batch, self.modules_count, self.units).unbind(0):
            potentials, fired = self._advance(potentials, current, barrier)
            counts += fired
        return counts

    @torch.no_grad()
    def learn(self, spikes: Float[Tensor, "time modules inputs"]) -> Float[Tensor, "modules units"]:
        """Show each module a spike train of its own, and let it learn from it.

        Returns:
            How often each unit fired.

        Raises:
            ValueError: if the last two axes are not the modules and the inputs.
        """
        self._check(spikes)
        if spikes.ndim != 3 or spikes.shape[1] != self.modules_count:
            raise ValueError(f"spikes: got shape {tuple(spikes.shape)}, want (time, {self.modules_count}, inputs)")
        currents = torch.einsum("tmi,min->tmn", spikes, self.weights).mul_(self.drive)
        forget = math.exp(-self.step / self.BURST_TRACE_MS)
        potentials = torch.zeros_like(self.thresholds)
        counts, burst = torch.zeros_like(potentials), torch.zeros_like(potentials)
        timed = torch.empty_like(currents)
        barrier = 1 + self.thresholds
        for current, strength in zip(currents.unbind(0), timed.unbind(0), strict=True):
            potentials, fired = self._advance(potentials, current, barrier)
            torch.mul(fired, burst, out=strength)
            burst = torch.maximum(burst * forget, fired)
            counts += fired
            barrier.add_(fired, alpha=self.threshold_step)
        self.thresholds.copy_(barrier - 1)
        change = torch.einsum("tmi,tmn->min", self._input_trace(spikes), timed)
        self.weights.copy_(self._scaled(self.weights.add(change, alpha=self.learning_rate).clamp_(0, 1)))
        return counts

    def _advance(self, potentials: Tensor, current: Tensor, barrier: Tensor) -> tuple[Tensor, Tensor]:
        """One step: potentials after it, and who fired (one unit a module at most)."""
        raised = torch.add(current, potentials, alpha=math.exp(-self.step / self.membrane))
        excess, winner = (raised - barrier).max(dim=-1, keepdim=True)
        won = (excess >= 0).to(raised.dtype)
        fired = torch.zeros_like(raised).scatter_(-1, winner, won)
        raised.mul_(1 - self.inhibition * won)
        if self.reversal:
            raised.add_(won, alpha=self.inhibition * self.reversal)
        if self.inhibition < 1 or self.reversal:
            raised.mul_(1 - fired)
        return raised, fired

    def _input_trace(self, spikes: Tensor) -> Tensor:
        forget = math.exp(-self.step / self.INPUT_TRACE_MS)
        trace = spikes.clone()
        for before, now in zip(trace[:-1].unbind(0), trace[1:].unbind(0), strict=True):
            torch.maximum(now, before * forget, out=now)
        return trace

    def _scaled(self, weights: Tensor) -> Tensor:
        return weights * (self.MEAN_WEIGHT / weights.mean(dim=1, keepdim=True).clamp_min(1e-12))

    def _check(self, spikes: Tensor) -> None:
        if spikes.ndim != 3 or spikes.shape[-1] != self.inputs:
            raise ValueError(f"spikes: got shape {tuple(spikes.shape)}, want (time, batch, {self.inputs})")

    def extra_repr(self) -> str:
        """What is shown of it."""
        return f"inputs={self.inputs}, units={self.units}, modules={self.modules_count}, step={self.step:g} ms"
