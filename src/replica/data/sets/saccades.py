"""Images as an event camera sees them: the eye moves, and each pixel tells where its light changes."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.digits import digits
from replica.data.sets.events import EventSet
from replica.data.sets.mnist import mnist

STEPS = 30
"""Three saccades of ten steps."""
MNIST_IMAGES = 3000
_DARK = 0.1
_THRESHOLD = 0.4
# Corners of the triangle that the eye follows, after the three saccades of Orchard et al. (2015), in units of the reach.
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.5], [0.0, 1.0], [0.0, 0.0]])


def saccade_events(
    images: NDArray[np.float32], *, reach: float, pool: int = 1, steps: int = STEPS, threshold: float = _THRESHOLD
) -> NDArray[np.uint8]:
    """Move the eye over images in three saccades along a triangle, and give the events of a change detector.

    The light of a pixel is L = log(0.1 + brightness), by bilinear interpolation, dark outside of the image. Each pixel keeps
    the level of its last event and sends ON or OFF when L has moved from it by the threshold or more; the level then is L
    (Lichtsteiner, Posch and Delbruck, 2008).

    Args:
        images: Brightness in [0, 1], shape ``(count, height, width)``.
        reach: How far the eye moves, in pixels of the image.
        pool: Pixels of the image a side that one detector sees.
        steps: Time steps of the three saccades.
        threshold: Of a change of L.

    Returns:
        Shape ``(count, steps, 2, height // pool, width // pool)``: ON, then OFF. Nothing at step 0.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> events = saccade_events(np.ones((1, 4, 4), np.float32), reach=2.0)
        >>> events.shape, int(events[:, 0].sum()), bool(events.any())
        ((1, 30, 2, 4, 4), 0, True)
    """
    for name, value, fits, wanted in (
        ("reach", reach, reach > 0, "more than 0"),
        ("pool", pool, 1 <= pool <= min(images.shape[1:]), "from 1 to the image's side"),
        ("steps", steps, steps >= 4, "4 or more"),
        ("threshold", threshold, threshold > 0, "more than 0"),
    ):
        if not fits:
            raise ValueError(f"{name}: got {value}, want {wanted}")
    places = np.linspace(0, 3, steps)
    path = reach * np.stack([np.interp(places, range(4), _CORNERS[:, axis]) for axis in (0, 1)], axis=1)
    height, width = (size // pool for size in images.shape[1:])
    events = np.zeros((len(images), steps, 2, height, width), np.uint8)
    level = _light(images, path[0], pool)
    for step in range(1, steps):
        light = _light(images, path[step], pool)
        on, off = light - level >= threshold, level - light >= threshold
        events[:, step, 0], events[:, step, 1] = on, off
        level = np.where(on | off, light, level)
    return events


def _light(images: NDArray[np.float32], offset: NDArray[np.float64], pool: int) -> NDArray[np.float32]:
    """What the detectors see with the eye moved down and right by an offset."""
    moved = images
    for axis, distance in zip((1, 2), offset, strict=True):
        whole = int(np.floor(distance))
        share = np.float32(distance - whole)
        size = images.shape[axis]
        padding = [(0, 0)] * 3
        padding[axis] = (0, whole + 1)
        padded = np.moveaxis(np.pad(moved, padding), axis, 0)
        moved = np.moveaxis(
            (1 - share) * padded[whole : whole + size] + share * padded[whole + 1 : whole + 1 + size], 0, axis
        )
    count, height, width = len(images), images.shape[1] // pool, images.shape[2] // pool
    blocks = moved[:, : height * pool, : width * pool].reshape(count, height, pool, width, pool)
    light: NDArray[np.float32] = np.log(np.float32(_DARK) + blocks.mean(axis=(2, 4)))
    return light


@cache
def saccade_digits() -> EventSet:
    """Show the 1,797 digits of 8 × 8 pixels to a moving eye: 30 steps, 2 × 8 × 8 units.

    Example:
        >>> saccade_digits().events.shape
        (1797, 30, 128)
    """
    images = digits()
    return _recorded(saccade_events(images.values, reach=2.0), images.labels)


@cache
def saccade_mnist() -> EventSet:
    """Show the first 3,000 of MNIST's test digits to a moving eye of 14 × 14 detectors: 30 steps, 2 × 14 × 14 units.

    Raises:
        ReplicaError: If MNIST is not at hand; see `mnist`.
    """
    images = mnist("test")
    events = saccade_events(images.values[:MNIST_IMAGES], reach=6.0, pool=2)
    return _recorded(events, images.labels[:MNIST_IMAGES])


def _recorded(events: NDArray[np.uint8], labels: NDArray[np.int64]) -> EventSet:
    shape = events.shape[2:]
    return EventSet(events.reshape(*events.shape[:2], -1), labels, tuple(map(str, range(10))), shape)
