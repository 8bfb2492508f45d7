"""An ensemble of competitive networks that learn side by side, beside the same networks one at a time.

Arithmetic limit: a presentation of T steps to M modules of N units with I inputs multiplies T I N M numbers twice, once for
currents and once for what is learned.
"""

from collections.abc import Iterator
from functools import partial

import torch

from replica.spiking import WinnerTakeAllNetwork

from .case import Case

INPUTS, STEPS = 784, 35
SIZES = ((10, 50), (10, 100), (40, 25), (100, 25))


def cases() -> Iterator[Case]:
    """One presentation to each module, and one image that all modules answer."""
    for modules, units in SIZES:
        draw = torch.Generator().manual_seed(0)
        spikes = (torch.rand(STEPS, modules, INPUTS, generator=draw) < 0.3).float()
        together = WinnerTakeAllNetwork(INPUTS, units, modules, generator=draw)
        alone = [WinnerTakeAllNetwork(INPUTS, units, generator=draw) for _ in range(modules)]
        size = f"{modules} modules of {units} units, {INPUTS} inputs, {STEPS} steps"
        yield Case(
            f"learning, {size}, beside one module at a time",
            partial(together.learn, spikes),
            partial(learn_in_turn, alone, spikes),
            4.0 * STEPS * modules * INPUTS * units,
            1.0,
        )
        yield Case(
            f"answering one image, {size}, beside one module at a time",
            partial(together, spikes[:, :1]),
            partial(answer_in_turn, alone, spikes[:, :1]),
            2.0 * STEPS * modules * INPUTS * units,
            1.0,
        )


def learn_in_turn(networks: list[WinnerTakeAllNetwork], spikes: torch.Tensor) -> None:
    """One network after the other."""
    for module, network in enumerate(networks):
        network.learn(spikes[:, module : module + 1])


def answer_in_turn(networks: list[WinnerTakeAllNetwork], spikes: torch.Tensor) -> torch.Tensor:
    """One network after the other."""
    return torch.cat([network(spikes) for network in networks], dim=1)
