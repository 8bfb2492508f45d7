"""Delayed coincidences: classes that differ in nothing but the delays between units, which are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.events import EventSet


def delayed_coincidences(
    count: int = 2000,
    *,
    units: int = 20,
    classes: int = 10,
    steps: int = 60,
    longest: int = 20,
    jitter: int = 1,
    lost: float = 0.2,
    noise: float = 0.02,
    seed: int = 0,
) -> EventSet:
    """Make recordings in which unit i fires d_ci steps after a hidden start, and c is the class.

    The start is uniform over all steps that leave room for the longest delay; each event is moved by up to ``jitter`` steps and
    lost with probability ``lost``; noise comes on top, independent in every step. Counts of events have one law in all classes.

    Args:
        count: Recordings.
        units: Units.
        classes: Equally frequent.
        steps: Length of a recording.
        longest: Delays are uniform in 0 … longest − 1.
        jitter: Steps.
        lost: Probability that an event of the pattern is missing.
        noise: Probability of a noise event a unit and step.
        seed: Of everything random, the planted delays first.

    The recordings hold d as `EventSet.delays`.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> made = delayed_coincidences(50)
        >>> made.events.shape, made.delays.shape
        ((50, 60, 20), (10, 20))
    """
    for name, value, fits, wanted in (
        ("count", count, count >= classes, f"{classes} or more, one a class"),
        ("units", units, units >= 2, "2 or more"),
        ("classes", classes, classes >= 2, "2 or more"),
        ("steps", steps, steps >= longest + 2 * jitter, f"{longest + 2 * jitter} or more, for delays and jitter"),
        ("longest", longest, longest >= 2, "2 or more"),
        ("jitter", jitter, jitter >= 0, "0 or more"),
        ("lost", lost, 0 <= lost < 1, "from 0 to below 1"),
        ("noise", noise, 0 <= noise < 1, "from 0 to below 1"),
    ):
        if not fits:
            raise ValueError(f"{name}: got {value}, want {wanted}")
    rng = np.random.default_rng(seed)
    delays = rng.integers(longest, size=(classes, units))
    labels = rng.permutation(np.arange(count) % classes)
    starts = rng.integers(jitter, steps - longest - jitter, size=(count, 1), endpoint=True)
    times = starts + delays[labels] + rng.integers(-jitter, jitter, size=(count, units), endpoint=True)
    kept = rng.random((count, units)) >= lost
    events = rng.random((count, steps, units)) < noise
    rows, places = np.nonzero(kept)
    events[rows, times[rows, places], places] = True
    return EventSet(events.astype(np.uint8), labels.astype(np.int64), tuple(map(str, range(classes))), (units,), delays)


def coincidence_scores(events: NDArray[np.uint8], delays: NDArray[np.int64], jitter: int = 1) -> NDArray[np.int64]:
    """Count the units that fire with each class's delays after the best common start: the answer that is known.

    max over s of Σ_i max_{|j| ≤ jitter} x[s + d_ci + j, i].

    Args:
        events: x, shape ``(count, time, units)``.
        delays: d, shape ``(classes, units)``.
        jitter: How far an event may lie from its place, in steps.

    Returns:
        Shape ``(count, classes)``; the greatest tells the class.

    Example:
        >>> made = delayed_coincidences(200, seed=1)
        >>> float((coincidence_scores(made.events, made.delays).argmax(axis=1) == made.labels).mean())
        1.0
    """
    around = int(delays.max()) + jitter
    present = np.pad(events > 0, ((0, 0), (jitter, around), (0, 0)))
    length = events.shape[1] + around - jitter
    near = np.any([present[:, j : j + length] for j in range(2 * jitter + 1)], axis=0)
    shifts = np.arange(events.shape[1])[:, None]
    found = [
        near[:, np.minimum(shifts + delay, length - 1), np.arange(len(delay))].sum(axis=2).max(axis=1)
        for delay in delays
    ]
    return np.stack(found, axis=1)
