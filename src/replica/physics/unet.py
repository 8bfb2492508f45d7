"""A U-Net on grids: the rival of every neural operator."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """A small U-Net (Ronneberger, Fischer and Brox, 2015) in one or two dimensions, for grids of any size.

    Coarser grids take every second node, so that both ends of the domain stay nodes; the way back interpolates to the
    finer grid's own nodes. The nodes' positions are further input channels.

    Args:
        in_channels: Channels of the inputs.
        out_channels: Channels of the outputs.
        dimensions: 1 or 2.
        width: Channels on the finest grid; doubled on each coarser one.
        levels: Coarser grids.

    Raises:
        ValueError: If ``dimensions`` is neither 1 nor 2.
    """

    def __init__(
        self, in_channels: int, out_channels: int, dimensions: int, *, width: int = 16, levels: int = 3
    ) -> None:
        super().__init__()
        if dimensions not in (1, 2):
            raise ValueError(f"UNet: dimensions is {dimensions!r}; want 1 or 2.")
        convolution = nn.Conv1d if dimensions == 1 else nn.Conv2d
        widths = [width * 2**level for level in range(levels + 1)]

        def block(inside: int, outside: int, stride: int = 1) -> nn.Module:
            return nn.Sequential(
                convolution(inside, outside, 3, stride, padding=1, bias=False),
                nn.GroupNorm(4 if outside % 4 == 0 else 1, outside),
                nn.GELU(),
                convolution(outside, outside, 3, padding=1),
                nn.GELU(),
            )

        self.first = block(in_channels + dimensions, width)
        self.down = nn.ModuleList(block(a, b, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(block(a + b, a) for a, b in pairwise(widths))
        self.last = convolution(width, out_channels, 1)
        self.interpolation = "linear" if dimensions == 1 else "bilinear"

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``."""
        axes = [torch.linspace(-1, 1, nodes, device=inputs.device, dtype=inputs.dtype) for nodes in inputs.shape[2:]]
        positions = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        states = [self.first(torch.cat([inputs, positions.expand(len(inputs), *positions.shape)], dim=1))]
        for down in self.down:
            states.append(down(states[-1]))
        state = states.pop()
        for up, finer in zip(reversed(self.up), reversed(states), strict=True):
            state = functional.interpolate(state, size=finer.shape[2:], mode=self.interpolation, align_corners=True)
            state = up(torch.cat([finer, state], dim=1))
        result: Tensor = self.last(state)
        return result
