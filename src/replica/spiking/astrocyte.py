"""Plasticity that depends on the times of pairs of spikes, and an astrocyte that sets how much of it is depression."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

PerNetwork = float | Float[Tensor, " batch"]
"""One number for all networks that run side by side, or one for each."""


@dataclass(frozen=True, eq=False)
class Astrocyte:
    """A leaky integrator of how many more spikes a liquid sends than it receives.

    A ← A + (w (Σ s_liquid − Σ s_input) + b − A) / τ, one step at a time. A liquid that sends more than it gets lifts A, the
    amplitude of depression, and is weakened; a quiet one is strengthened.

    Args:
        coupling: w, of one spike. The authors take 0.015 for 1,000 neurons; sums of spikes grow with the liquid.
        rest: b, and where A starts.
        time: τ, steps, 1 or more.

    Raises:
        ValueError: if `time` is less than 1.

    Source: Ivanov and Michmizos 2021, with the constants of the authors' code.

    Example:
        >>> cell = Astrocyte(coupling=0.1, rest=0.2, time=10.0)
        >>> cell.step(torch.tensor([0.2]), torch.tensor([6.0]), torch.tensor([1.0]))
        tensor([0.2500])
    """

    coupling: PerNetwork = 0.015
    rest: PerNetwork = 0.15
    time: float = 100.0

    def __post_init__(self) -> None:
        if not self.time >= 1:
            raise ValueError(f"time: got {self.time}, want 1 or more")

    def step(
        self,
        level: Float[Tensor, " batch"],
        liquid: Float[Tensor, " batch"],
        inputs: Float[Tensor, " batch"],
        share: float = 1.0,
    ) -> Float[Tensor, " batch"]:
        """A after one step with these numbers of spikes; `share` scales w and b, where all rates decay together."""
        return level + (share * (self.coupling * (liquid - inputs) + self.rest) - level) / self.time


@dataclass(frozen=True, eq=False)
class SpikeTimingPlasticity:
    """Spike-timing-dependent plasticity from traces of spikes, its depression fixed or set by an astrocyte.

    Each spike adds `trace_step` to its neuron's trace x, which decays as exp(−1 / `trace_time`) a step. A signed weight of an
    excitatory neuron or an input gains A₊ x_pre where the receiver fires and loses A₋ x_post where the sender does; that of an
    inhibitory neuron loses A₋ x_pre and gains A₊ x_post. Spikes of the same step are no pair. Weights stay within bounds.

    Args:
        potentiation: A₊.
        depression: A₋, where there is no astrocyte.
        astrocyte: Whose level is A₋.
        trace_time: Steps, above 0.
        trace_step: What a spike adds to a trace.
        rate_decay: Factor a step on A₊ and A₋ (and on what moves the astrocyte), in (0, 1]: the authors settle a liquid with
            1 and read recordings with 0.99.

    Raises:
        ValueError: if `trace_time` or `rate_decay` is out of range.

    Source: Ivanov and Michmizos 2021, with the signs and constants of the authors' code.

    Example:
        >>> SpikeTimingPlasticity(astrocyte=Astrocyte()).fixed
        False
    """

    potentiation: PerNetwork = 0.15
    depression: PerNetwork = 0.15
    astrocyte: Astrocyte | None = None
    trace_time: float = 10.0
    trace_step: float = 0.1
    rate_decay: float = 1.0

    def __post_init__(self) -> None:
        if not self.trace_time > 0:
            raise ValueError(f"trace_time: got {self.trace_time}, want above 0")
        if not 0 < self.rate_decay <= 1:
            raise ValueError(f"rate_decay: got {self.rate_decay}, want in (0, 1]")

    @property
    def fixed(self) -> bool:
        """Whether depression has a fixed amplitude."""
        return self.astrocyte is None

    def start(self, batch: int, like: Tensor) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """A₊ and A₋ of each network before the first step."""
        rest = self.depression if self.astrocyte is None else self.astrocyte.rest
        gain, loss = (torch.as_tensor(value).to(like).expand(batch) for value in (self.potentiation, rest))
        return gain, loss
