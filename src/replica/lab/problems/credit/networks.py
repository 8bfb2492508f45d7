"""The networks of the problem credit: plain stacks of equal layers that every rule can take apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

FORMS = ("mlp", "conv", "recurrent")
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class Recurrence(nn.Module):
    """An Elman layer, ``(batch, time, inputs)`` to ``(batch, time, units)``: h_t = tanh(W x_t + U h_{t−1} + b), from h_0 = 0."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, units)
        self.recurrent = nn.Linear(units, units, bias=False)

    def forward(self, sequence: Tensor) -> Tensor:
        """Run over all steps."""
        driven = self.input(sequence)
        state = driven.new_zeros(driven.shape[0], driven.shape[2])
        states = []
        for drive in driven.unbind(dim=1):
            state = torch.tanh(drive + self.recurrent(state))
            states.append(state)
        return torch.stack(states, dim=1)


class LastStep(nn.Module):
    """The last step of a sequence: ``(batch, time, units)`` to ``(batch, units)``."""

    def forward(self, sequence: Tensor) -> Tensor:
        """Take it."""
        return sequence[:, -1]


def network(
    form: str,
    shape: Sequence[int],
    classes: int,
    *,
    depth: int,
    width: int,
    generator: torch.Generator,
    activation: str = "relu",
) -> nn.Sequential:
    """Build one: ``depth`` hidden layers called ``layer1``, ``layer2``, … and a linear ``head``, each a module of its own.

    - ``mlp``: layers of ``width`` units.
    - ``conv``: 3-wide convolutions of ``width`` channels; images and signals are halved twice, after a third and
      two thirds of the layers, as long as four values a side remain. The head sees the mean over positions.
    - ``recurrent``: Elman layers of ``width`` tanh units over the rows of an image or the values of a signal; the head
      sees the last step.

    Weights start normal with variance 2 / inputs before a ReLU and 1 / inputs elsewhere (orthogonal from state to state),
    biases at 0. The ``shape`` is of one input as `arrange` gives it.

    Example:
        >>> net = network("mlp", (64,), 10, depth=2, width=16, generator=torch.Generator().manual_seed(0))
        >>> [name for name, _ in net.named_children()], net(torch.zeros(5, 64)).shape
        (['layer1', 'layer2', 'head'], torch.Size([5, 10]))
    """
    net = nn.Sequential()
    size = shape[0]
    sides = list(shape[1:])
    halved_after = {math.ceil(depth / 3), math.ceil(2 * depth / 3)} if depth > 2 else set()
    for number in range(1, depth + 1):
        if form == "mlp":
            layer: nn.Module = nn.Sequential(nn.Linear(size, width), ACTIVATIONS[activation]())
        elif form == "conv":
            kind = nn.Conv1d if len(sides) == 1 else nn.Conv2d
            halve = number in halved_after and min(sides) >= 8
            layer = nn.Sequential(kind(size, width, 3, padding=1, stride=2 if halve else 1), ACTIVATIONS[activation]())
            sides = [-(-side // 2) for side in sides] if halve else sides
        else:
            layer = Recurrence(shape[-1] if number == 1 else width, width)
        net.add_module(f"layer{number}", layer)
        size = width
    pooled: list[nn.Module] = []
    if form == "conv":
        pooled = [(nn.AdaptiveAvgPool1d if len(sides) == 1 else nn.AdaptiveAvgPool2d)(1), nn.Flatten()]
    elif form == "recurrent":
        pooled = [LastStep()]
    net.add_module("head", nn.Sequential(*pooled, nn.Linear(size, classes)))
    _start(net, generator, 2.0 if activation == "relu" else 1.0)
    return net.to(generator.device)


def _start(net: nn.Sequential, generator: torch.Generator, hidden_gain: float) -> None:
    with torch.no_grad():
        for name, module in net.named_modules():
            if not isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                continue
            fan_in = module.weight[0].numel()
            feedforward = not name.startswith("head") and not name.endswith(("input", "recurrent"))
            gain = hidden_gain if feedforward else 1.0
            drawn = torch.empty(module.weight.shape, device=generator.device)
            drawn.normal_(0.0, math.sqrt(gain / fan_in), generator=generator)
            if name.endswith("recurrent"):
                drawn, _ = torch.linalg.qr(drawn)
            module.weight.copy_(drawn)
            if module.bias is not None:
                module.bias.zero_()


def arrange(values: Tensor, form: str) -> Tensor:
    """Give rows, signals or grey images the shape that a form of network takes.

    That is ``(count, features)`` for ``mlp``, ``(count, 1, *grid)`` for ``conv``, ``(count, time, values)`` for ``recurrent``.
    """
    if form == "mlp":
        return values.flatten(1)
    if form == "conv":
        return values[:, None]
    return values[..., None] if values.ndim == 2 else values
