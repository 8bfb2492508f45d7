"""A liquid: a random recurrent network of spiking neurons in space, static or with plasticity while it listens."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .astrocyte import SpikeTimingPlasticity

Weights = Float[Tensor, "batch synapses"]


class LiquidRun(NamedTuple):
    """What a plastic liquid did.

    Args:
        spikes: 0 or 1.
        weights: Of each network after the last step, in the order of `SpatialLiquid.synaptic_weights`.
        depression: A₋ after each step.
    """

    spikes: Float[Tensor, "time batch neurons"]
    weights: Weights
    depression: Float[Tensor, "time batch"]


class _Synapses(NamedTuple):
    """Who sends to whom, in the order of receivers, and where each neuron's synapses stand."""

    sender: Int[Tensor, " synapses"]
    receiver: Int[Tensor, " synapses"]
    by_sender: Int[Tensor, " synapses"]
    leaving: tuple[Int[Tensor, " senders"], Int[Tensor, " senders"]]
    arriving: tuple[Int[Tensor, " neurons"], Int[Tensor, " neurons"]]
    inhibitory: Bool[Tensor, " synapses"]
    lower: Float[Tensor, " synapses"]
    upper: Float[Tensor, " synapses"]


class SpatialLiquid(nn.Module):
    """Leaky integrate-and-fire neurons on a grid in space, the nearer the likelier connected, four in five excitatory.

    A neuron at distance D from another receives from it with probability C exp(−(D / λ)²), C by the kinds of the two. Inputs
    reach neurons at random, with either sign. One step, with the spikes s of liquid and inputs:

    c ← c e^(−1/τ_u) + W s / τ_u,  v ← v (1 − 1/τ_v) + c;  s = 1 where v ≥ θ and no spike was within the last r steps, and
    then v ← 0.

    Args:
        inputs: Number of inputs.
        shape: Neurons along the three axes.
        weight: |W| of all synapses at the start.
        largest: Bound on |W| where there is plasticity; weights of liquid neurons never change sign, those of inputs may.
        input_density: Share of all pairs of input and neuron that are connected.
        connection: C of excitatory to excitatory, excitatory to inhibitory, inhibitory to excitatory, inhibitory to
            inhibitory.
        length: λ, in distances of neighbours.
        threshold: θ.
        membrane_time: τ_v, steps.
        synaptic_time: τ_u, steps.
        refractory: r, steps.
        generator: Source of all that is random.

    Raises:
        ValueError: if an argument is out of range.

    Source: Ivanov and Michmizos 2021, with the constants of the authors' code; space after Maass,
    Natschläger and Markram 2002.

    Example:
        >>> liquid = SpatialLiquid(8, (3, 3, 3), input_density=0.5, generator=torch.Generator().manual_seed(0))
        >>> liquid(torch.ones(20, 2, 8)).shape
        torch.Size([20, 2, 27])
    """

    weight: Tensor
    connected: Tensor

    def __init__(
        self,
        inputs: int,
        shape: tuple[int, int, int] = (10, 10, 10),
        *,
        weight: float = 3.0,
        largest: float = 3.0,
        input_density: float = 0.15,
        connection: tuple[float, float, float, float] = (0.2, 0.1, 0.3, 0.05),
        length: float = 3.0,
        threshold: float = 20.0,
        membrane_time: float = 64.0,
        synaptic_time: float = 1.0,
        refractory: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, value, fits in (
            ("inputs", inputs, inputs >= 1),
            ("shape", shape, len(shape) == 3 and min(shape) >= 1),
            ("weight", weight, 0 <= weight <= largest),
            ("input_density", input_density, 0 < input_density <= 1),
            ("connection", connection, len(connection) == 4 and all(0 <= each <= 1 for each in connection)),
            ("length", length, length > 0),
            ("threshold", threshold, threshold > 0),
            ("membrane_time", membrane_time, membrane_time >= 1),
            ("synaptic_time", synaptic_time, synaptic_time > 0),
            ("refractory", refractory, refractory >= 0),
        ):
            if not fits:
                raise ValueError(f"{name}: got {value}, want {_WANTED[name]}")
        self.inputs, self.shape, self.neurons = inputs, shape, math.prod(shape)
        self.excitatory = round(0.8 * self.neurons)
        self.largest, self.threshold, self.refractory = largest, threshold, refractory
        self.membrane_time, self.synaptic_time = membrane_time, synaptic_time
        device = generator.device if generator is not None else None
        axes = torch.meshgrid(*(torch.arange(size, device=device) for size in shape), indexing="ij")
        places = torch.stack(axes, -1).reshape(-1, 3).to(torch.get_default_dtype())
        places = places[torch.randperm(self.neurons, generator=generator, device=device)]
        kind = (torch.arange(self.neurons, device=device) >= self.excitatory).long()
        ee, ei, ie, ii = connection
        likely = torch.tensor([[ee, ie], [ei, ii]], device=device)[kind[:, None], kind]  # receiver, sender
        likely = likely * torch.exp(-(torch.cdist(places, places) / length).square())
        within = torch.rand(likely.shape, generator=generator, device=device) < likely.fill_diagonal_(0)
        pairs = self.neurons * inputs
        chosen = torch.randperm(pairs, generator=generator, device=device)[: max(1, int(pairs * input_density))]
        entering = torch.zeros(pairs, dtype=torch.bool, device=device)
        entering[chosen] = True
        signs = torch.randint(2, (self.neurons, inputs), generator=generator, device=device) * 2 - 1
        signs = torch.cat([(1 - 2 * kind).expand(self.neurons, -1), signs], 1)
        connected = torch.cat([within, entering.view(self.neurons, inputs)], 1)
        self.register_buffer("connected", connected)
        self.register_buffer("weight", weight * (signs * connected).to(torch.get_default_dtype()))

    @property
    def recurrent(self) -> Bool[Tensor, "neurons neurons"]:
        """Which neuron (row) receives from which (column)."""
        return self.connected[:, : self.neurons]

    def synaptic_weights(self, scale: float | None = None) -> Float[Tensor, " synapses"]:
        """Weights of the synapses that are there, row by row of `connected`; with `scale`, all of that size instead."""
        weights = self.weight[self.connected]
        return weights if scale is None else scale * weights.sign()

    def set_weights(self, weights: Float[Tensor, " synapses"]) -> None:
        """Take these as the weights of the synapses that are there."""
        self.weight[self.connected] = weights.to(self.weight)

    def forward(self, events: Float[Tensor, "time batch inputs"]) -> Float[Tensor, "time batch neurons"]:
        """Spikes of the liquid as it is, without plasticity, from rest.

        Raises:
            ValueError: if the events' shape is another.
        """
        self._check(events)
        weight = self.weight.to(events.dtype)
        within = weight[:, : self.neurons].T
        drive = events @ weight[:, self.neurons :].T
        potential, current, waiting = (drive.new_zeros(drive.shape[1:]) for _ in range(3))
        spikes = torch.empty_like(drive)
        for entering, sent in zip(drive.unbind(0), spikes.unbind(0), strict=True):
            sent.copy_((potential >= self.threshold) & (waiting <= 0))
            potential.mul_(1 - sent)
            current.mul_(math.exp(-1 / self.synaptic_time))
            current.add_(torch.addmm(entering, sent, within), alpha=1 / self.synaptic_time)
            potential.mul_(1 - 1 / self.membrane_time).add_(current)
            waiting.sub_(1).mul_(1 - sent).add_(sent, alpha=self.refractory)
        return spikes

    @torch.no_grad()
    def adapt(
        self,
        events: Float[Tensor, "time batch inputs"],
        plasticity: SpikeTimingPlasticity,
        weights: Weights | Float[Tensor, " synapses"] | None = None,
    ) -> LiquidRun:
        """Run from rest with weights that change, each recording's own; the liquid itself stays as it is.

        Only synapses whose sender or receiver fires are touched, so that a step costs what the spikes do.

        Args:
            events: Spikes or counts of the inputs.
            plasticity: The rule.
            weights: At the start, by default the liquid's own.

        Raises:
            ValueError: if a shape is another.
        """
        self._check(events)
        synapses = self._synapses(events)
        batch, count = events.shape[1], len(synapses.sender)
        start = self.synaptic_weights() if weights is None else weights
        if start.shape not in ((count,), (batch, count)):
            raise ValueError(f"weights: got shape {tuple(start.shape)}, want ({count},) or ({batch}, {count})")
        own = start.to(events).expand(batch, count).clone(memory_format=torch.contiguous_format)
        spikes, levels = self._run(events, plasticity, own, synapses)
        return LiquidRun(spikes, own, levels)

    @torch.no_grad()
    def settle(
        self,
        recordings: Float[Tensor, "count time inputs"],
        plasticity: SpikeTimingPlasticity,
        weights: Weights | None = None,
    ) -> Weights:
        """Weights after plasticity over recordings one after the other, each from rest; no labels are needed.

        Args:
            recordings: In the order in which they are heard.
            plasticity: The rule; its numbers may differ between networks.
            weights: Of one or more networks that settle side by side, by default the liquid's own. `set_weights` makes a
                row of what comes back the liquid's.

        Raises:
            ValueError: if a shape is another.
        """
        if recordings.ndim != 3 or recordings.shape[2] != self.inputs:
            raise ValueError(
                f"recordings: got shape {tuple(recordings.shape)}, want (count, time, {self.inputs}), inputs last"
            )
        synapses = self._synapses(recordings)
        count = len(synapses.sender)
        start = self.synaptic_weights()[None] if weights is None else weights
        if start.ndim != 2 or start.shape[1] != count:
            raise ValueError(f"weights: got shape {tuple(start.shape)}, want (networks, {count})")
        own = start.to(recordings).clone(memory_format=torch.contiguous_format)
        for events in recordings:
            self._run(events[:, None].expand(-1, len(own), -1), plasticity, own, synapses)
        return own

    def _run(
        self, events: Tensor, plasticity: SpikeTimingPlasticity, own: Tensor, synapses: _Synapses
    ) -> tuple[Tensor, Tensor]:
        """Change `own`, weights of shape (batch, synapses), in place; give the spikes and A₋."""
        steps, batch, _ = events.shape
        sender, receiver, by_sender, leaving, arriving, inhibitory, lower, upper = synapses
        flat, width, units = own.view(-1), own.shape[1], self.neurons + self.inputs
        potential, current, waiting = (events.new_zeros(batch, self.neurons) for _ in range(3))
        trace = events.new_zeros(batch, units)
        spikes, levels = events.new_empty(steps, batch, self.neurons), events.new_empty(steps, batch)
        gain, loss = plasticity.start(batch, events)
        active = (events != 0).to(events.dtype)
        arrivals = active.sum(-1)

        def within(weights: Tensor, which: Tensor) -> Tensor:
            return weights.clamp_(lower.index_select(0, which), upper.index_select(0, which))

        share, kept = 1.0, math.exp(-1 / plasticity.trace_time)
        for t in range(steps):
            fired = (potential >= self.threshold) & (waiting <= 0)
            sent = spikes[t].copy_(fired)
            potential.masked_fill_(fired, 0)
            # Where a sender fires, its weights act, and then change with the receivers' traces.
            amounts = torch.cat([sent, events[t]], 1)
            row, source = amounts.nonzero(as_tuple=True)
            which, place = _each(source, *leaving)
            touched, event_row = by_sender.index_select(0, place), row.index_select(0, which)
            reached = receiver.index_select(0, touched)
            at = touched + event_row * width
            weights = flat.index_select(0, at)
            arriving_now = (amounts[row, source] / self.synaptic_time).index_select(0, which).mul_(weights)
            current.mul_(math.exp(-1 / self.synaptic_time))
            target = reached + event_row * self.neurons
            current.view(-1).index_add_(0, target, arriving_now)
            potential.mul_(1 - 1 / self.membrane_time).add_(current)
            waiting.sub_(1).masked_fill_(fired, self.refractory)
            rate = torch.where((source >= self.excitatory) & (source < self.neurons), gain[row], -loss[row])
            change = rate.index_select(0, which).mul_(trace.view(-1).index_select(0, reached + event_row * units))
            # Where the receiver fires too, the bounds hold for the sum of both changes.
            both = fired.view(-1).index_select(0, target)
            weights.add_(change)
            flat.index_copy_(0, at, torch.where(both, weights, within(weights.clone(), touched)))
            # Where a receiver fires, they change with the senders' traces.
            row, target = fired.nonzero(as_tuple=True)
            which, touched = _each(target, *arriving)
            event_row = row.index_select(0, which)
            at = touched + event_row * width
            change = trace.view(-1).index_select(0, sender.index_select(0, touched) + event_row * units)
            rates = torch.stack([gain, -loss]).view(-1)
            change.mul_(rates.index_select(0, event_row + inhibitory.index_select(0, touched) * batch))
            flat.index_copy_(0, at, within(flat.index_select(0, at).add_(change), touched))
            trace.add_(torch.cat([sent, active[t]], 1), alpha=plasticity.trace_step).mul_(kept)
            if plasticity.astrocyte is not None:
                loss = plasticity.astrocyte.step(loss, sent.sum(1), arrivals[t], share)
            if plasticity.rate_decay != 1:
                gain, loss = gain * plasticity.rate_decay, loss * plasticity.rate_decay
                share *= plasticity.rate_decay
            levels[t] = loss
        return spikes, levels

    def _synapses(self, like: Tensor) -> _Synapses:
        receiver, sender = self.connected.nonzero(as_tuple=True)
        inhibitory = (sender >= self.excitatory) & (sender < self.neurons)
        lower = torch.where(sender < self.excitatory, 0.0, -self.largest)
        upper = torch.where(inhibitory, 0.0, self.largest)
        return _Synapses(
            sender,
            receiver,
            torch.argsort(sender, stable=True),
            _rows(sender, self.neurons + self.inputs),
            _rows(receiver, self.neurons),
            inhibitory,
            lower.to(like),
            upper.to(like),
        )

    def _check(self, events: Tensor) -> None:
        if events.ndim != 3 or events.shape[-1] != self.inputs:
            raise ValueError(f"events: got shape {tuple(events.shape)}, want (time, batch, {self.inputs})")


_WANTED = {
    "inputs": "1 or more",
    "shape": "three numbers of 1 or more",
    "weight": "from 0 to largest",
    "input_density": "in (0, 1]",
    "connection": "four probabilities",
    "length": "above 0",
    "threshold": "above 0",
    "membrane_time": "1 or more",
    "synaptic_time": "above 0",
    "refractory": "0 or more",
}


def _rows(owner: Tensor, owners: int) -> tuple[Tensor, Tensor]:
    """Where each owner's synapses begin, once they stand in the order of owners, and how many there are."""
    counts = torch.bincount(owner, minlength=owners)
    return counts.cumsum(0) - counts, counts


def _each(owners: Tensor, starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Every synapse of these owners, one owner after the other: whose it is (a place in `owners`), and where it stands."""
    many = counts[owners]
    which = torch.arange(len(owners), device=owners.device).repeat_interleave(many)
    first = starts[owners] - many.cumsum(0) + many
    return which, first.index_select(0, which) + torch.arange(len(which), device=owners.device)
