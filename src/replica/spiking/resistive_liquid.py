"""A liquid of spiking neurons whose random weights are conductances of resistive memory and stay as they are."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .leaky_integrate_and_fire import LeakyIntegrateAndFire
from .recurrent_neurons import _IntegrateRecurrent
from .resistive_memory import ResistiveCells, ResistiveLinear


class ResistiveLiquid(nn.Module):
    """A fixed random recurrent network of leaky integrate-and-fire neurons that turns events into spike rates.

    With events x_t and the spikes s_{t−1} of a step before, read from two arrays of resistive cells:

        u_t = β v_{t−1} + W_in x_t + W_rec s_{t−1},   s_t = H(u_t − θ),   v_t = u_t (1 − s_t),   r = Σ_t s_t / T.

    The rates r (the paper's counters, over the time window) are what a trained read-out or projection gets. Nothing here is
    learned; gradients pass through the spikes' surrogate to the events.

    Args:
        inputs: Units of the recordings.
        units: Neurons.
        cells: Kind of cells of both arrays.
        input_gain: Root mean square of W_in times √inputs, in thresholds of 1.
        recurrent_gain: Root mean square of W_rec times √units: near the radius of its spectrum; 0 for no recurrence.
        decay: β in [0, 1], of one step.
        threshold: θ, above 0.
        weights: (W_in, W_rec) to be written in the cells. Without them the cells are formed.
        generator: Source of all conductances.

    Raises:
        ValueError: if an argument is out of range.

    Source: Lin et al. 2023. The neuron with its reset to zero and the division by the time window are those of the same
    group's later code (MrLinNing/RMAdaptiveMachine).

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> liquid = ResistiveLiquid(10, 50, input_gain=3.0, generator=generator)
        >>> rates = liquid((torch.rand(20, 4, 10, generator=generator) < 0.3).float())
        >>> rates.shape, bool(((rates >= 0) & (rates <= 1)).all()), bool(rates.any())
        (torch.Size([4, 50]), True, True)
    """

    def __init__(
        self,
        inputs: int,
        units: int = 200,
        *,
        cells: ResistiveCells | None = None,
        input_gain: float = 1.0,
        recurrent_gain: float = 1.0,
        decay: float = 0.9,
        threshold: float = 1.0,
        weights: tuple[Float[Tensor, "units inputs"], Float[Tensor, "units units"]] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("inputs", inputs), ("units", units)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        if not input_gain > 0:
            raise ValueError(f"input_gain: got {input_gain}, want more than 0")
        if not recurrent_gain >= 0:
            raise ValueError(f"recurrent_gain: got {recurrent_gain}, want 0 or more")
        into, back = weights or (None, None)
        made = [
            ResistiveLinear(fan_in, units, cells=cells, weight=weight, generator=generator)
            for fan_in, weight in ((inputs, into), (units, back))
        ]
        self.input = made[0].amplify(input_gain / math.sqrt(inputs))
        self.recurrent = made[1].amplify(recurrent_gain / math.sqrt(units))
        self.neurons = LeakyIntegrateAndFire(decay=decay, threshold=threshold, reset="zero")

    def forward(
        self, events: Float[Tensor, "time batch inputs"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch units"]:
        """Spikes a step of each neuron, from rest; see `spikes`."""
        return self.spikes(events, generator=generator).mean(dim=0)

    def spikes(
        self, events: Float[Tensor, "time batch inputs"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "time batch units"]:
        """Spikes (0 or 1) for recordings of events.

        Args:
            events: How many events each unit had in each step.
            generator: Source of the read noise, anew in every step and recording; without one, PyTorch's own.

        Raises:
            ValueError: if the shape is another.
        """
        if events.ndim != 3 or events.shape[-1] != self.input.inputs:
            raise ValueError(f"events: got shape {tuple(events.shape)}, want (time, batch, {self.input.inputs})")
        currents = self.input(events, generator=generator)
        weight = self.recurrent.weight
        if not self.recurrent.cells.read_noise:
            return _IntegrateRecurrent.apply(currents, weight.to(currents.dtype), self.neurons)
        potential, last, found = None, None, []
        for current in currents:
            if last is not None:
                current = current + self.recurrent.read(last, weight, generator)
            last, potential = self.neurons.step(current, potential)
            found.append(last)
        return torch.stack(found)
