"""Signals as events: one unit for each level and direction fires when the signal crosses that level."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.events import EventSet
from replica.data.sets.mnist_1d import SEED, mnist_1d

LEVELS = np.linspace(-2.0, 3.5, 12)
"""In standard deviations of the whole set."""


def level_crossings(signals: NDArray[np.floating], levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Find where signals cross levels, as an asynchronous converter sends it (Miskowicz, 2006).

    Upwards at step t where x_{t−1} < level ≤ x_t, downwards where x_{t−1} ≥ level > x_t; nothing at step 0.

    Args:
        signals: x, shape ``(count, time)``.
        levels: Shape ``(levels,)``.

    Returns:
        Shape ``(count, time, 2, levels)``: up, then down.

    Example:
        >>> level_crossings(np.array([[0.0, 1.0, 0.0]]), np.array([0.5]))[0, :, :, 0].tolist()
        [[0, 0], [1, 0], [0, 1]]
    """
    above = signals[:, :, None] >= levels
    events = np.zeros((*signals.shape, 2, len(levels)), np.uint8)
    events[:, 1:, 0] = above[:, 1:] & ~above[:, :-1]
    events[:, 1:, 1] = ~above[:, 1:] & above[:, :-1]
    return events


@cache
def mnist_1d_events(seed: int = SEED) -> EventSet:
    """Turn the 5,000 signals of `mnist_1d` into crossings of 12 levels: 40 steps, 24 units.

    Args:
        seed: Another seed, other signals.

    Example:
        >>> mnist_1d_events().events.shape
        (5000, 40, 24)
    """
    made = mnist_1d(seed)
    events = level_crossings(np.asarray(made.features), LEVELS)
    return EventSet(events.reshape(len(events), events.shape[1], -1), made.labels, made.classes, (2, len(LEVELS)))
