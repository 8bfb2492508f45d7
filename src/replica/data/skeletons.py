"""Strokes thinned to lines."""

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional


def skeletons(images: Bool[Tensor, "count height width"]) -> Bool[Tensor, "count height width"]:
    """Thin strokes to lines of one pixel that keep their connections (Zhang and Suen 1984), all images at once.

    Example:
        >>> import torch
        >>> bar = torch.zeros(1, 5, 7, dtype=torch.bool)
        >>> bar[0, 1:4, 1:6] = True
        >>> int(bar.sum()), int(skeletons(bar)[0, 2].sum()), int(skeletons(bar).sum())
        (15, 2, 2)
    """
    strokes = functional.pad(images, (1, 1, 1, 1))
    steps = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))  # from north, clockwise
    while True:
        before = strokes
        for first in (True, False):
            around = [strokes.roll(step, (1, 2)) for step in steps]
            neighbours = torch.stack(around).sum(0)
            crossings = sum((~around[i] & around[(i + 1) % 8]).int() for i in range(8))
            north, _, east, _, south, _, west, _ = around
            open_side = (
                ~(north & east & south) & ~(east & south & west)
                if first
                else ~(north & east & west) & ~(north & south & west)
            )
            strokes = strokes & ~((neighbours >= 2) & (neighbours <= 6) & (crossings == 1) & open_side)
        if torch.equal(strokes, before):
            return strokes[:, 1:-1, 1:-1]
