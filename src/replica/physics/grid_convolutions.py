"""Convolutions on grids of one or two dimensions, with weights drawn from a generator."""

import math

import torch
from torch import nn

DIMENSIONS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def grid_convolution(
    dimensions: int,
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int = 1,
    stride: int = 1,
    padding_mode: str = "zeros",
    bias: bool = True,
) -> nn.Module:
    """PyTorch's convolution for a grid of so many dimensions, its weights not yet drawn (`draw_weights`).

    An odd kernel keeps the grid, or with stride 2 every second point from the first.

    Raises:
        ValueError: if `dimensions` is neither 1 nor 2.
    """
    if dimensions not in DIMENSIONS:
        raise ValueError(f"dimensions: got {dimensions}, want 1 or 2")
    return nn.utils.skip_init(
        DIMENSIONS[dimensions],
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        padding_mode=padding_mode,
        bias=bias,
    )


def draw_weights(
    module: nn.Module,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Draws the weights of all convolutions in a module, uniform in ±1/√fan-in as PyTorch's own, and places them.

    Args:
        module: changed in place.
        generator: source of the weights.
        device: where they then live. Default the generator's device.
        dtype: their floating-point type.
    """
    if device is None and generator is not None:
        device = generator.device
    module.to(device=device, dtype=dtype)
    for part in module.modules():
        own = dict(part.named_parameters(recurse=False))
        if not own:
            continue
        bound = 1 / math.sqrt(own["weight"][0].numel())
        for parameter in own.values():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
            if parameter.dim() == 4:  # what PyTorch's convolutions on a CPU are a third faster with
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
