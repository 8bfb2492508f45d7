"""The handwritten digits as spike times: each pixel fires once, the sooner the more ink it has."""

from __future__ import annotations

import numpy as np

from replica.data.sets.digits import digits
from replica.data.sets.events import EventSet

STEPS = 17
"""One for each of the 17 amounts of ink, so that nothing of the image is lost."""


def latency_digits() -> EventSet:
    """Turn the 1,797 digits of 8 × 8 pixels into one event a pixel, at step 16 − ink (Thorpe et al., 2001).

    A pixel without ink fires in the last step: every unit fires exactly once in every recording, and only the time tells.

    Returns:
        Recordings of 17 steps and 64 units.

    Example:
        >>> bool((latency_digits().events.sum(axis=1) == 1).all())
        True
    """
    images = digits()
    ink = np.rint(images.values * (STEPS - 1)).astype(np.int64).reshape(len(images), -1)
    events = (STEPS - 1 - ink)[:, None] == np.arange(STEPS)[:, None]
    return EventSet(events.astype(np.uint8), images.labels, tuple(map(str, range(10))), images.values.shape[1:])
