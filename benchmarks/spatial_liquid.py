"""A liquid with plasticity beside the same rules written out with dense matrices, and the static liquid beside the events.

Arithmetic limit: every spike acts through each synapse that it leaves by and changes it, and changes each synapse by which its
neuron is reached: two operations each.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from replica.spiking import Astrocyte, SpatialLiquid, SpikeTimingPlasticity

from .case import Case

STEPS, BATCH, INPUTS = 50, 20, 64


def cases() -> Iterator[Case]:
    """Recordings of Poisson spikes; weights from 0.8, where the liquid is near critical."""
    draw = torch.Generator().manual_seed(0)
    for side in (6, 8):
        liquid = SpatialLiquid(INPUTS, (side, side, side), weight=0.8, input_density=0.7, generator=draw)
        events = (torch.rand(STEPS, BATCH, INPUTS, generator=draw) < 0.022 * liquid.neurons / INPUTS).float()
        rule = SpikeTimingPlasticity(astrocyte=Astrocyte(15 / liquid.neurons), rate_decay=0.99)
        ours = liquid.adapt(events, rule)
        torch.testing.assert_close(ours.spikes.mean(), dense(liquid, events, rule).mean(), rtol=0.05, atol=0)
        out, back = liquid.connected.sum(0).float(), liquid.connected.sum(1).float()
        n = liquid.neurons
        touched = (events.sum((0, 1)) @ out[n:] + ours.spikes.sum((0, 1)) @ out[:n]) * 2
        operations = 2 * float(touched + ours.spikes.sum((0, 1)) @ back)
        size = f"{n} neurons, {int(liquid.connected.sum()):,} synapses, {BATCH} recordings of {STEPS} steps"
        yield Case(
            f"plastic liquid, {size}, beside dense matrices",
            lambda liquid=liquid, events=events, rule=rule: liquid.adapt(events, rule),  # type: ignore[misc]
            lambda liquid=liquid, events=events, rule=rule: dense(liquid, events, rule),  # type: ignore[misc]
            operations,
            1.0,
        )
        still = SpikeTimingPlasticity(0.0, 0.0)
        yield Case(
            f"static liquid, {size}, beside the plastic one with rates of 0",
            lambda liquid=liquid, events=events: liquid(events),  # type: ignore[misc]
            lambda liquid=liquid, events=events, rule=still: liquid.adapt(events, rule),  # type: ignore[misc]
            operations / 3,
            1.0,
        )


def dense(liquid: SpatialLiquid, events: Tensor, rule: SpikeTimingPlasticity) -> Tensor:
    """Spikes of the plastic liquid, all weights of all recordings touched at each step, as one writes it first."""
    assert rule.astrocyte is not None
    n, batch = liquid.neurons, events.shape[1]
    mask = liquid.connected.float()
    sender = torch.arange(n + liquid.inputs)
    inhibitory = (sender >= liquid.excitatory) & (sender < n)
    lower = mask * torch.where(sender < liquid.excitatory, 0.0, -liquid.largest)
    upper = mask * torch.where(inhibitory, 0.0, liquid.largest)
    weights = liquid.weight.expand(batch, -1, -1).clone()
    v, c, waiting = (torch.zeros(batch, n) for _ in range(3))
    trace = torch.zeros(batch, n + liquid.inputs)
    gain, loss = rule.start(batch, events)
    share, spikes = 1.0, []
    for given in events:
        sent = ((v >= liquid.threshold) & (waiting <= 0)).float()
        v = v * (1 - sent)
        both = torch.cat([sent, given], 1)
        c = c * math.exp(-1 / liquid.synaptic_time) + torch.bmm(weights, both[..., None])[..., 0] / liquid.synaptic_time
        v = v * (1 - 1 / liquid.membrane_time) + c
        waiting = torch.where(sent > 0, liquid.refractory, waiting - 1)
        up, down = gain[:, None], loss[:, None]
        before = torch.where(inhibitory, up, -down) * both
        after = torch.where(inhibitory, -down, up) * trace
        change = trace[:, :n, None] * before[:, None] + sent[:, :, None] * after[:, None]
        weights = torch.clamp(weights + mask * change, lower, upper)
        trace = (trace + rule.trace_step * both) * math.exp(-1 / rule.trace_time)
        loss = rule.astrocyte.step(loss, sent.sum(1), given.sum(1), share) * rule.rate_decay
        gain, share = gain * rule.rate_decay, share * rule.rate_decay
        spikes.append(sent)
    return torch.stack(spikes)
