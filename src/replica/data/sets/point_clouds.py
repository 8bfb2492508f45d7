"""Clouds of points whose law is known, drawn on the spot: what generators are tried on first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class PointCloud:
    """A law of points: what it is, how many coordinates a point has, and how points are drawn."""

    description: str
    dim: int
    draw: Callable[[int, np.random.Generator], Points]


def _grid(count: int, rng: np.random.Generator) -> Points:
    return rng.integers(-2, 3, size=(count, 2)) + 0.05 * rng.standard_normal((count, 2))


def _moons(count: int, rng: np.random.Generator) -> Points:
    angle, upper = math.pi * rng.random(count), rng.random(count) < 0.5
    x, y = np.cos(angle), np.sin(angle)
    points = np.stack([np.where(upper, x, 1 - x), np.where(upper, y, 0.5 - y)], axis=1)
    return np.asarray(points + 0.05 * rng.standard_normal((count, 2)))


def _swiss_roll(count: int, rng: np.random.Generator, dim: int = 16) -> Points:
    angle = 1.5 * math.pi * (1 + 2 * rng.random(count))
    roll = np.stack([angle * np.cos(angle), 21 * rng.random(count), angle * np.sin(angle)], axis=1) / 10
    # Orthonormal columns of a cosine transform: the roll lies in no coordinate plane, and in the same way for every seed.
    columns = np.cos(math.pi / dim * np.outer(np.arange(dim) + 0.5, [1, 2, 3])) * math.sqrt(2 / dim)
    return np.asarray(roll @ columns.T + 0.02 * rng.standard_normal((count, dim)))


POINT_CLOUDS: Mapping[str, PointCloud] = {
    "25-gaussians": PointCloud("a grid of 5 × 5 Gaussians of deviation 0.05, a unit apart", 2, _grid),
    "two-moons": PointCloud("two half circles that reach into each other, with noise of deviation 0.05", 2, _moons),
    "swiss-roll": PointCloud("a rolled-up sheet in 16 dimensions, with noise of deviation 0.02", 16, _swiss_roll),
}
"""The laws by name."""


def point_cloud(name: str, count: int, rng: np.random.Generator) -> Points:
    """Draw points of a law, shape ``(count, dim)``.

    Args:
        name: One of `POINT_CLOUDS`.
        count: How many.
        rng: Source of randomness.

    Raises:
        ValueError: If there is no such law, or the count is negative.

    Example:
        >>> point_cloud("swiss-roll", 100, np.random.default_rng(0)).shape
        (100, 16)
    """
    if name not in POINT_CLOUDS:
        raise ValueError(f"name: got {name!r:.60}, want one of {', '.join(POINT_CLOUDS)}")
    if count < 0:
        raise ValueError(f"count: got {count}, want 0 or more")
    return POINT_CLOUDS[name].draw(count, rng)
