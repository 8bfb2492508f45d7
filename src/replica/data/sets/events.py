"""Recordings of events in time with one label each, the form in which every event data set comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EventSet:
    """Recordings of one length on the same units, one label a recording.

    Args:
        events: How many events each unit had in each time step, shape ``(count, time, units)``; whole numbers.
        labels: Class numbers from 0, int64, shape ``(count,)``.
        classes: What each class is called.
        shape: How the units are arranged: ``(units,)``, or ``(2, height, width)`` for an event camera's two polarities.
        delays: Where they were planted: in steps, shape ``(classes, units)``.
        notes: What the reader decided on its own.

    Raises:
        ValueError: If the shapes do not fit each other.

    Example:
        >>> len(EventSet(np.zeros((2, 5, 3), np.uint8), np.array([0, 1]), ("a", "b"), (3,)))
        2
    """

    events: NDArray[Any] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    delays: NDArray[np.int64] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.events.ndim != 3:
            raise ValueError(f"EventSet: events must have shape (count, time, units), not {self.events.shape}.")
        if self.labels.shape != self.events.shape[:1]:
            raise ValueError(f"EventSet: labels must have shape {self.events.shape[:1]}, not {self.labels.shape}.")
        if int(np.prod(self.shape)) != self.events.shape[2]:
            raise ValueError(
                f"EventSet: shape must arrange {self.events.shape[2]} units, not {' × '.join(map(str, self.shape))}."
            )

    def __len__(self) -> int:
        return len(self.events)
