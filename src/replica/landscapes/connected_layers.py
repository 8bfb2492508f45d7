"""Averaging of networks only in layers that no barrier parts."""

import copy
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import nn

from .net_pairs import Batch, Loss
from .paths import barrier

Net = TypeVar("Net", bound=nn.Module)


def average_connected_layers(
    model: Net, others: Sequence[nn.Module], loss: Loss, batches: Iterable[Batch], *, tolerance: float, points: int = 5
) -> tuple[Net, tuple[str, ...]]:
    """A copy of a net whose layers are the average with other nets' wherever that costs little loss.

    A layer is averaged if the barrier on the segment on which it moves alone, from the net to another, is at most the
    tolerance, mean over the others. Align the others' units first (see `weight_matching`).

    Args:
        model: the net whose other layers stay.
        others: of the same architecture. Nets are taken in the mode that the first is in.
        loss: ``loss(model, *batch)``, the mean over the batch; the model comes as a function.
        batches: tuples of tensors; each counts by its rows.
        tolerance: largest barrier, in units of the loss.
        points: of each segment.

    Returns:
        The net, and the names of the layers that are averaged.

    Raises:
        ValueError: if the tolerance is negative, there are no others, or they differ in more than numbers.

    Source: layer-wise linear connectivity, Adilova, Andriushchenko, Kamp, Fischer, Jaggi 2024; the rule is ours.

    Example:
        >>> import torch
        >>> from replica.landscapes import average_connected_layers
        >>> nets = [torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False)) for _ in range(2)]
        >>> nets[0][0].weight.data, nets[1][0].weight.data = torch.tensor([[-1.0]]), torch.tensor([[1.0]])
        >>> double_well = lambda model: (model(torch.ones(1, 1)).sum() ** 2 - 1) ** 2
        >>> average_connected_layers(nets[0], nets[1:], double_well, [()], tolerance=0.1)[1]
        ()
        >>> average_connected_layers(nets[0], nets[1:], double_well, [()], tolerance=1.5)[0][0].weight.item()
        0.0
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance: got {tolerance}, want 0 or more")
    if not others:
        raise ValueError("others: got none, want at least one")
    batches, averaged = list(batches), []
    merged = copy.deepcopy(model)
    state, states = merged.state_dict(), [model.state_dict(), *(net.state_dict() for net in others)]
    for layer, module in model.named_modules():
        if not layer or next(module.parameters(recurse=False), None) is None:
            continue
        heights = [barrier(model, net, loss, batches, points=points, layers=[layer]).height for net in others]
        if float(torch.stack(heights).mean()) > tolerance:
            continue
        averaged.append(layer)
        for name, tensor in state.items():
            if name.startswith(f"{layer}.") and tensor.is_floating_point():
                tensor.copy_(
                    torch.stack([each[name] for each in states]).mean(0)
                )  # the state's tensors are the net's own
    return merged, tuple(averaged)
