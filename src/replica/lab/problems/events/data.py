"""Data of the problem events, by name or from the user's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from replica.data import (
    EventSet,
    delayed_coincidences,
    latency_digits,
    mnist_1d_events,
    read_events,
    saccade_digits,
    saccade_mnist,
    split_seed,
)
from replica.data.files.events import STEPS
from replica.errors import ReplicaError
from replica.lab.problems.data_sources import digest, user_path
from replica.lab.problems.problem import Dataset

NAMED: Mapping[str, str] = {
    "mnist-1d": "MNIST-1D's 5,000 signals as crossings of 12 levels: 40 steps, 24 units, 10 classes (made on the spot)",
    "latency-digits": "1,797 digits, each pixel firing once, the sooner the more ink: 17 steps, 64 units, 10 classes",
    "coincidences": "2,000 recordings, 10 classes that differ in delays alone: 60 steps, 20 units (made on the spot)",
    "saccade-digits": "1,797 digits before a moving event camera: 30 steps, 2 × 8 × 8 units, 10 classes",
    "saccade-mnist": "3,000 MNIST digits before such a camera: 30 steps, 2 × 14 × 14 units (11 MB, downloaded once)",
}
_MAKE: Mapping[str, Callable[[], EventSet]] = {
    "mnist-1d": mnist_1d_events,
    "latency-digits": latency_digits,
    "coincidences": delayed_coincidences,
    "saccade-digits": saccade_digits,
    "saccade-mnist": saccade_mnist,
}
MADE: Mapping[str, Callable[..., EventSet]] = {"mnist-1d": mnist_1d_events, "coincidences": delayed_coincidences}
"""Those that take a seed behind their name, as in ``mnist-1d:7``."""


def load(source: str, steps: int) -> Dataset:
    """Make a named data set, or read the user's file into ``steps`` time bins (0: `replica.data.files.events.STEPS`).

    Raises:
        ReplicaError: If there is no such data, or it is refused; see `replica.data.read_events`.
    """
    name, seed = split_seed(source, MADE)
    if name in NAMED:
        if steps:
            raise ReplicaError(f"Data {source} has its time steps set; leave --steps out.")
        if seed is not None:
            return _dataset(source, f"{NAMED[name]}, drawn with seed {seed}", MADE[name](seed=seed))
        return _dataset(source, NAMED[name], _MAKE[name]())
    path = user_path(source, NAMED, "an .npz file of events")
    found = read_events(path, steps or STEPS)
    many = " × ".join(map(str, found.shape))
    count = (
        f"{len(found):,} recordings of {int(found.events.sum(dtype=np.int64)):,} events in {found.events.shape[1]} steps, "
        f"{many} units, {len(found.classes)} classes, from {path.name}"
    )
    return _dataset(source, "; ".join((count, *found.notes)), found)


def _dataset(name: str, description: str, content: EventSet) -> Dataset:
    hashed = digest((content.events.shape, content.shape, content.classes), content.labels, content.events)
    return Dataset(name=name, description=description, content=content, digest=hashed, shape=content.shape)
