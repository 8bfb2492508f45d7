"""A feed-forward spiking network with a delay at every synapse."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .delayed_linear import DelayedLinear
from .leaky_integrate_and_fire import LeakyIntegrateAndFire, LeakyIntegrator
from .spike_statistics import Operations
from .surrogates import ArcTangent


class DelayedSpikingNetwork(nn.Module):
    """Layers of delayed synapses, normalisation and leaky integrate-and-fire neurons; delayed synapses to leaky integrators.

    Each hidden layer is `DelayedLinear`, batch normalisation over steps and samples, `LeakyIntegrateAndFire` with a reset to
    zero that gradients pass by, and dropout of spikes. The last layer's synapses drive `LeakyIntegrator` units, whose
    potentials are the outputs. Half of `max_delay` silent steps for each layer of synapses follow the input, so that what
    comes late is still heard.

    Args:
        inputs: Input units.
        hidden: Neurons of each hidden layer.
        outputs: Output units.
        max_delay: Longest delay, in steps; with 0 a plain spiking network.
        decay: Of the potential of neurons and read-out in a step.
        learn_delays: Whether delays are learned, else they are random and whole.
        sigma: Width of taps to start with; half of `max_delay` by default.
        dropout: Share of spikes that are dropped in training.
        silence: Silent steps after the input, where not half of `max_delay` for each layer of synapses.
        generator: Of weights and delays.

    Raises:
        ValueError: if a number is out of range.

    Source: Hammouamri, Khalfaoui-Hassani and Masquelier 2024, and the configuration of their code: arc tangent surrogate of
    slope 5, threshold 1, 2 or 3 hidden layers.

    Example:
        >>> network = DelayedSpikingNetwork(20, (32, 32), 10, max_delay=12)
        >>> network(torch.zeros(50, 4, 20)).shape
        torch.Size([68, 4, 10])
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        max_delay: int,
        decay: float = 0.5,
        learn_delays: bool = True,
        sigma: float | None = None,
        dropout: float = 0.0,
        silence: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: got {dropout}, want from 0 to below 1")
        if silence is not None and silence < 0:
            raise ValueError(f"silence: got {silence}, want 0 or more")
        sizes = (inputs, *hidden, outputs)
        settings: dict[str, Any] = {"sigma": sigma, "learn_delays": learn_delays, "generator": generator}
        self.synapses = nn.ModuleList(
            DelayedLinear(sizes[i], sizes[i + 1], max_delay, **settings) for i in range(len(sizes) - 1)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in hidden)
        self.neurons = LeakyIntegrateAndFire(
            decay=decay, reset="zero", detach_reset=True, surrogate=ArcTangent(slope=5.0)
        )
        self.dropout = nn.Dropout(dropout)
        self.read_out = LeakyIntegrator(decay)
        self.max_delay = max_delay
        self.silence = (len(sizes) - 1) * (max_delay // 2) if silence is None else silence

    def forward(self, events: Float[Tensor, "time batch inputs"]) -> Float[Tensor, "steps batch outputs"]:
        """Potentials of the read-out at each step, the silent ones at the end too.

        Raises:
            ValueError: if the events have another form.
        """
        return self.run(events)[0]

    def run(
        self, events: Float[Tensor, "time batch inputs"]
    ) -> tuple[Float[Tensor, "steps batch outputs"], list[Float[Tensor, "steps batch neurons"]]]:
        """The potentials, and the spikes of each hidden layer.

        Raises:
            ValueError: if the events have another form.
        """
        if events.ndim != 3:
            raise ValueError(f"events: got shape {tuple(events.shape)}, want time, batch and inputs")
        carried = torch.cat([events, events.new_zeros(self.silence, *events.shape[1:])])
        spikes = []
        for synapses, norm in zip(self.synapses, self.norms, strict=False):  # the last synapses go to the read-out
            spikes.append(self.neurons(_normalised(norm, synapses(carried))))
            carried = self.dropout(spikes[-1])
        return self.read_out(self.synapses[-1](carried)), spikes

    def _delayed(self) -> list[DelayedLinear]:
        return [layer for layer in self.synapses if isinstance(layer, DelayedLinear)]

    def parameter_groups(self, learning_rate: float, *, delay_rate: float = 100.0) -> list[dict[str, Any]]:
        """For an optimiser: weights at a rate, and delays at one many times as high, without decay.

        Args:
            learning_rate: Of weights.
            delay_rate: How many times as high that of delays is: delays are steps, weights fractions of 1.
        """
        delays = [layer.delay for layer in self._delayed() if layer.learns_delays]
        known = {id(delay) for delay in delays}
        groups: list[dict[str, Any]] = [
            {"params": [each for each in self.parameters() if id(each) not in known], "lr": learning_rate}
        ]
        if delays:
            groups.append({"params": delays, "lr": delay_rate * learning_rate, "weight_decay": 0.0})
        return groups

    @torch.no_grad()
    def operations(self, events: Float[Tensor, "time batch inputs"]) -> Operations:
        """Additions of a batch: with delays in whole steps, a spike adds one weight to each unit that it reaches, once.

        Normalisation, a factor and an offset of each neuron, is taken as folded into weights and threshold.
        """
        spikes = self.run(events)[1]
        counts = [float(events.sum()), *(float(each.sum()) for each in spikes)]
        additions = sum(count * layer.out_features for count, layer in zip(counts, self._delayed(), strict=True))
        steps = (len(events) + self.silence) * events.shape[1]
        dense = float(steps * sum(layer.weight.numel() for layer in self._delayed()))
        return Operations(additions, 0.0, dense, sum(counts[1:]))


def _normalised(norm: Any, currents: Tensor) -> Tensor:
    rows = currents.flatten(0, 1)
    if norm.training and len(rows) == 1:  # one row has no spread to be scaled by
        return nn.functional.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias).view_as(
            currents
        )
    return norm(rows).view_as(currents)
