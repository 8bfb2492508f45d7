"""Small nets that several papers train, with initial weights from a generator."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn


def mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[], nn.Module] = nn.ReLU,
    end: Callable[[], nn.Module] | None = None,
    bias: bool = True,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """Multilayer perceptron: linear layers with an activation between them.

    Args:
        sizes: dimension of the input, of each hidden layer, and of the output.
        activation: makes the module between two layers.
        end: makes a module after the last layer. Default none.
        bias: whether layers have biases.
        generator: source of the initial weights, uniform in ±1/√inputs as PyTorch's own.
        device: where the net lives. Default the generator's device.
        dtype: its floating-point type.

    Raises:
        ValueError: with fewer than two sizes or one below 1.

    Example:
        >>> import torch
        >>> from replica.training import mlp
        >>> mlp((64, 32, 10), generator=torch.Generator().manual_seed(0))(torch.zeros(5, 64)).shape
        torch.Size([5, 10])
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes: got {tuple(sizes)}, want two or more, each at least 1")
    if device is None and generator is not None:
        device = generator.device
    layers: list[nn.Module] = []
    for ins, outs in pairwise(sizes):
        # Skipping PyTorch's own start leaves its global random state alone.
        layer = nn.utils.skip_init(nn.Linear, ins, outs, bias=bias, device=device, dtype=dtype)
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(ins), 1 / math.sqrt(ins), generator=generator)
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1], *([] if end is None else [end()]))
