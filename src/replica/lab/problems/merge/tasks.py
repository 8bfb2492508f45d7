"""Tasks of the problem merge: the same rows, seen in different ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from replica.lab.claims import Trial

TURN, SHEAR = math.radians(40), 0.7
SHIFT, STRETCH = 1 / 6, 0.5
FADED = 0.3
NOISE = 0.8
SHUFFLED = 0.35


def names(count: int, known: Sequence[str]) -> list[str]:
    """What tasks of these kinds are called: each kind once, then each again.

    Example:
        >>> names(4, ("turn", "shear"))
        ['turn', 'shear', 'turn 2', 'shear 2']
    """
    return [known[i % len(known)] + (f" {i // len(known) + 1}" if i >= len(known) else "") for i in range(count)]


@dataclass(frozen=True)
class Task:
    """A way of seeing rows. At strength 1, and in proportion otherwise:

    - ``turn``: images are turned by 40°; signals are moved around by a sixth of their length.
    - ``shear``: images are sheared by 0.7; signals are stretched by a half about their middle.
    - ``contrast``: 0.3 of it is left (0.09 at strength 2); columns of a table are each scaled by a factor that is drawn once for
      the task, log-normal.
    - ``noise``: normal noise, of 0.8 standard deviations of all values.
    - ``order``: 35 % of the values, drawn once for the task, change places.

    Every second time a kind comes it goes the other way: turned back, and what is left of the contrast with the other sign. The
    third and fourth time it goes half as far, then half as far again.

    Args:
        name: As `names` gives it.
        grid: The shape of one input; empty for a row of a table.
        strength: How far from the rows as they are.
        trial: Where what is drawn comes from.
    """

    name: str
    grid: tuple[int, ...]
    strength: float
    trial: Trial

    def __call__(self, values: Tensor, part: str) -> Tensor:
        """See float rows ``(rows, *shape)``, standardised, in this way; noise is drawn for each ``part``, such as the test."""
        kind, _, number = self.name.partition(" ")
        time = int(number or 1) - 1
        way, strength = 1 - 2 * (time % 2), self.strength * 0.5 ** (time // 2)
        if kind == "noise":
            generator = self.trial.generator(f"{self.name} {part}")
            drawn = torch.randn(values.shape, generator=generator, device=generator.device)
            return values + NOISE * strength * drawn.to(values)
        if kind == "order":
            flat = values.flatten(1)
            return flat[:, self._order(flat.shape[1], strength).to(values.device)].reshape(values.shape)
        if kind == "contrast" and not self.grid:
            drawn = torch.randn(values.shape[1], generator=self.trial.generator(self.name, "cpu"))
            return values * torch.exp(strength * drawn).to(values)
        if kind == "contrast":
            return values * float(FADED**strength * way)
        return self._moved(values, kind, way * strength)

    def _order(self, count: int, strength: float) -> Tensor:
        generator = self.trial.generator(self.name, "cpu")
        moved = torch.randperm(count, generator=generator)[: min(count, max(2, round(SHUFFLED * strength * count)))]
        order = torch.arange(count)
        order[moved] = moved.roll(1)
        return order

    def _moved(self, values: Tensor, kind: str, strength: float) -> Tensor:
        """Images or signals after an affine map of their places, read between places by linear interpolation."""
        if len(self.grid) == 1:
            if kind == "turn":
                return values.roll(round(SHIFT * strength * self.grid[0]), dims=1)
            rows = [[(1 + STRETCH) ** -strength, 0.0, 0.0], [0.0, 1.0, 0.0]]
        elif kind == "turn":
            cos, sin = math.cos(TURN * strength), math.sin(TURN * strength)
            rows = [[cos, sin, 0.0], [-sin, cos, 0.0]]
        else:
            rows = [[1.0, SHEAR * strength, 0.0], [0.0, 1.0, 0.0]]
        images = values.reshape(len(values), 1, *((1, *self.grid)[-2:]))
        places = affine_grid(torch.tensor([rows], device=values.device), [1, 1, *images.shape[2:]], align_corners=False)
        read = grid_sample(images, places.expand(len(images), -1, -1, -1), padding_mode="border", align_corners=False)
        return read.view(values.shape)
