"""The resistive liquid's read noise in one number a row, beside noise drawn for every cell at every reading."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from replica.spiking import RecurrentLeakyIntegrateAndFire, ResistiveCells, ResistiveLiquid

from .case import Case


@torch.no_grad()
def cell_by_cell(liquid: ResistiveLiquid, events: Tensor) -> Tensor:
    """The liquid with every cell read anew, as the array does it."""
    potential, last, found = None, None, []
    for event in events:
        current = sum(
            read(layer.positive, layer, given) - read(layer.negative, layer, given)
            for layer, given in ((liquid.input, event), (liquid.recurrent, last))
            if given is not None
        )
        last, potential = liquid.neurons.step(current, potential)
        found.append(last)
    return torch.stack(found).mean(0)


def read(conductances: Tensor, layer: torch.nn.Module, given: Tensor) -> Tensor:
    """One array, a reading for each row."""
    noise = layer.cells.read_noise * torch.randn(len(given), *conductances.shape, device=given.device)
    return layer.scale * torch.einsum("bi,boi->bo", given, conductances + noise)


@torch.no_grad()
def run(network: torch.nn.Module, events: Tensor) -> None:
    """Forward alone: nothing in a liquid is learned."""
    network(events)


def cases(device: str = "cpu") -> Iterator[Case]:
    """With noise beside noise of every cell; without it beside the fused recurrent layer of the same size."""
    for steps, batch, inputs, units in ((30, 16, 128, 200), (40, 8, 24, 400)):
        generator = torch.Generator(device).manual_seed(0)
        events = (torch.rand(steps, batch, inputs, generator=generator, device=device) < 0.1).float()
        liquid = ResistiveLiquid(
            inputs, units, cells=ResistiveCells(read_noise=1.0), input_gain=3.0, generator=generator
        ).to(device)
        products = 2.0 * steps * batch * units * (inputs + units)
        yield Case(
            f"read noise, beside cell by cell ({steps} steps × {batch} × {inputs}-{units})",
            partial(run, liquid, events), partial(cell_by_cell, liquid, events), products, 0.1,
        )  # fmt: skip
    quiet = ResistiveLiquid(inputs, units, input_gain=3.0, generator=generator).to(device)
    peer = RecurrentLeakyIntegrateAndFire(units, reset="zero", generator=generator).to(device)
    peer.weight.data = quiet.recurrent.weight

    def fused(given: Tensor) -> Tensor:
        return peer(given @ quiet.input.weight.T).mean(0)

    yield Case(
        f"without noise, beside the fused recurrent layer ({steps} steps × {batch} × {inputs}-{units})",
        partial(run, quiet, events), partial(run, fused, events), products, 2.0,
    )  # fmt: skip
