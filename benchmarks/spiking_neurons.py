"""A layer of spiking neurons behind a linear layer, beside snnTorch, Norse and SpikingJelly: forward and backward.

The same sizes, weights and inputs for all; each library's own leaky integrate-and-fire neuron in its fastest form for whole
sequences on a CPU. The arithmetic limit is the linear layer's: 2 · steps · batch · inputs · units, thrice with backward.
A library that is not installed is left out; ``make bench`` installs all three (the extra ``bench``, and SpikingJelly without
what its neurons do not need).
"""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from replica.spiking import LeakyIntegrateAndFire, RecurrentLeakyIntegrateAndFire

from .case import Case

DECAY = 0.9
SIZES = ((100, 32, 512), (100, 128, 128), (20, 64, 1024))


class Loop(nn.Module):
    """The neuron written out step by step under autograd, as a user would."""

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes for currents ``(time, batch, units)``."""
        neurons = LeakyIntegrateAndFire(decay=DECAY)
        potential, spikes = None, []
        for current in currents:
            spike, potential = neurons.step(current, potential)
            spikes.append(spike)
        return torch.stack(spikes)


def snntorch() -> Callable[[Tensor], Tensor]:
    """Leaky of snnTorch, called step by step as its tutorials do."""
    import snntorch

    neuron = snntorch.Leaky(beta=DECAY, reset_mechanism="subtract")

    def run(currents: Tensor) -> Tensor:
        potential, spikes = neuron.init_leaky(), []
        for current in currents:
            spike, potential = neuron(current, potential)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def spikingjelly() -> Callable[[Tensor], Tensor]:
    """SpikingJelly's LIFNode in multi-step mode."""
    from spikingjelly.activation_based import functional, neuron

    node = neuron.LIFNode(tau=1 / (1 - DECAY), decay_input=False, v_reset=None, step_mode="m")

    def run(currents: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(currents)

    return run


def norse() -> Callable[[Tensor], Tensor]:
    """Norse's LIF with box-filtered current (no synaptic state), lifted over time."""
    from norse.torch import LIFBoxCell, Lift

    cell = Lift(LIFBoxCell())

    def run(currents: Tensor) -> Tensor:
        spikes, _ = cell(currents)
        return spikes

    return run


def step(linear: nn.Linear, neurons: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    """Forward and backward."""
    linear.zero_grad()
    neurons(linear(inputs)).sum().backward()


def cases(device: str = "cpu") -> Iterator[Case]:
    """Each library at three sizes; the recurrent layer beside its own plain loop."""
    peers = {"snntorch": snntorch, "spikingjelly": spikingjelly, "norse": norse}
    for steps, batch, units in SIZES:
        generator = torch.Generator(device).manual_seed(0)
        linear = nn.Linear(units, units, device=device)
        inputs = (torch.rand(steps, batch, units, generator=generator, device=device) < 0.1).float() * 3
        arithmetic = 6.0 * steps * batch * units**2
        ours = partial(step, linear, LeakyIntegrateAndFire(decay=DECAY).to(device), inputs)
        size = f"{steps} steps × {batch} × {units}"
        for name, make in peers.items():
            if importlib.util.find_spec(name) is not None:
                yield Case(f"beside {name} ({size})", ours, partial(step, linear, make(), inputs), arithmetic, 1.0)
        yield Case(
            f"beside the loop written out ({size})", ours, partial(step, linear, Loop(), inputs), arithmetic, 1.0
        )
    steps, batch, units = SIZES[1]
    recurrent = RecurrentLeakyIntegrateAndFire(units, generator=torch.Generator().manual_seed(0)).to(device)

    def loop(currents: Tensor) -> Tensor:
        state, spikes = None, []
        for current in currents:
            spike, state = recurrent.step(current, state)
            spikes.append(spike)
        return torch.stack(spikes)

    linear = nn.Linear(units, units, device=device)
    inputs = torch.rand(steps, batch, units, device=device)
    yield Case(
        f"recurrent, beside the loop written out ({steps} steps × {batch} × {units})",
        partial(step, linear, recurrent, inputs),
        partial(step, linear, loop, inputs),
        12.0 * steps * batch * units**2,
        1.0,
    )
