"""Damage to patterns: flipped entries, masked entries, Gaussian noise."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["flip", "mask", "gaussian"]


def damaged_entries(damage: float, dim: int) -> int:
    """How many of ``dim`` entries the fraction ``damage`` means, rounded to the nearest whole number."""
    return int(np.floor(damage * dim + 0.5))


def damage_patterns(
    patterns: NDArray[np.float32], kind: Kind, damage: float, *, binary: bool, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Damage each of ``(batch, dim)`` patterns on its own.

    - ``flip``: exactly `damaged_entries` entries of each, drawn without replacement, change side: v → −v for ±1, v → 1 − v for
      values in [0, 1].
    - ``mask``: as many entries become 0, which is "unknown" for ±1 and "dark" for values in [0, 1].
    - ``gaussian``: every entry gets independent normal noise whose standard deviation is ``damage`` times the values' range. The
      result is not clipped: clipping would pile noise up at the ends and no longer be Gaussian.

    The same generator damages the same entries at every ``damage``, more where it is larger: points of a sweep are paired.
    """
    if kind == "gaussian":
        noise = rng.standard_normal(patterns.shape, np.float32)
        return patterns + np.float32(damage * (2 if binary else 1)) * noise
    order = np.argsort(rng.random(patterns.shape), axis=1)
    hit = order[:, : damaged_entries(damage, patterns.shape[1])]
    result = patterns.copy()
    old = np.take_along_axis(patterns, hit, axis=1)
    new = np.zeros_like(old) if kind == "mask" else (-old if binary else 1 - old)
    np.put_along_axis(result, hit, new, axis=1)
    return result
