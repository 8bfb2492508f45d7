"""The user's own events, from ``.npz`` files or memory, without ever unpickling."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.arrays import Arrays, named_arrays
from replica.data.files.sources import check_bytes
from replica.data.sets.events import EventSet
from replica.data.sets.labelled import encode_labels
from replica.data.sets.patterns import refuse, shown

STEPS = 50
"""Time bins where the user asks for no other number."""

EVENT_FORMATS = (".npz",)
"""What `read_events` reads."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "t", "times"),
    "unit": ("unit", "units"),
    "x": ("x",),
    "y": ("y",),
    "sample": ("sample", "recording"),
    "label": ("label", "labels"),
    "polarity": ("polarity", "p"),
}
_WANTED = "wanted a file written by numpy.savez with arrays 'time', 'unit' (or 'x' and 'y'), 'sample' and 'label'"
_MOST = 255
_FEW = 0.25
"""The share of the bins below which recordings are told to fill few."""


def read_events(source: str | os.PathLike[str] | Any, steps: int = STEPS) -> EventSet:
    """Read recordings of events from an ``.npz`` file and count them in equal time bins.

    One number for each event, all recordings after another, in any order:

    - ``time`` (or ``t``): when, in any unit;
    - ``unit``: where, a whole number from 0; or ``x`` and ``y``, the column and the row of a pixel;
    - ``sample``: of which recording, a whole number from 0;
    - ``polarity`` (or ``p``), which may be missing: one of two values, such as −1 and 1 or 0 and 1.

    And ``label``, words or whole numbers: one for each recording, in the order of their numbers, or one for each event.
    Bins go from the least to the greatest time of the file. Where the time of a clock runs on over the recordings, so that
    each begins after another has ended, each recording's time starts at its first event instead, and bins go to the end of the
    longest; this is noted, and so is where recordings fill few bins. With a polarity there are twice as many units: those of
    the lesser value, then those of the greater. Recordings of a class with one recording are left out.

    Or events counted already: ``X`` of shape ``(recordings, time, units)``, or with more axes of units, and ``y``, a label for
    each recording. Their time steps are kept.

    Args:
        source: The file (``~`` is the home folder), or arrays by name.
        steps: Time bins.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    opened = named_arrays(source, EVENT_FORMATS, _WANTED)
    if {"X", "y"} <= opened.headers.keys() and opened.headers.keys().isdisjoint(_NAMES["time"]):
        return _counted(opened)
    file, arrays = _read(opened)
    time, sample, label = arrays["time"], _whole(file, "sample", arrays["sample"]), arrays["label"]
    recordings = int(sample.max()) + 1
    if len(label) == len(time):
        label = _one_each(file, sample, label, recordings)
    elif len(label) < recordings:
        numbered = (
            f"there are {len(label):,} labels, but 'sample' numbers {recordings:,} recordings (0 to {recordings - 1})"
        )
        raise refuse(file, numbered, "wanted a label for each recording or for each event")
    unit, shape, notes = _units(file, arrays)
    empty = len(label) - len(np.unique(sample))
    notes += [f"{empty:,} recordings without an event"] * bool(empty)
    labels, classes, told = _encoded(file, label)
    size = len(label) * steps * math.prod(shape)
    many = f"{len(label):,} recordings × {steps} steps × {math.prod(shape):,} units, counted,"
    check_bytes(file, 8 * size, many)
    step, more = _binned(file, time, sample, steps)
    counts = np.bincount((sample * steps + step) * math.prod(shape) + unit, minlength=size)
    notes += [f"more than {_MOST} events of a unit in a step count as {_MOST}"] * bool(counts.max() > _MOST)
    events = np.minimum(counts, _MOST).astype(np.uint8).reshape(len(label), steps, -1)
    return EventSet(events[labels >= 0], labels[labels >= 0], classes, shape, notes=(*notes, *told, *more))


def _counted(arrays: Arrays) -> EventSet:
    """Events that the user has counted already, in time steps of their own."""
    file = arrays.source
    events, label = arrays.read(["X"])["X"], arrays.read(["y"], "buifUS", "words or whole numbers")["y"]
    if events.ndim < 3 or not events.size or label.shape != events.shape[:1]:
        wrong = f"X has shape {events.shape} and y has shape {label.shape}"
        raise refuse(file, wrong, "wanted counts of shape (recordings, time, units), and a label for each recording")
    fine = (events >= 0) & (events <= _MOST) & (events == np.floor(events))
    if not fine.all():
        wrong = f"X holds {events[~fine][0]:g}"
        raise refuse(file, wrong, f"wanted the number of events of a unit in a step, from 0 to {_MOST}")
    labels, classes, notes = _encoded(file, label)
    counts = events.astype(np.uint8).reshape(*events.shape[:2], -1)
    told = f"counted in {events.shape[1]} steps of their own"
    return EventSet(counts[labels >= 0], labels[labels >= 0], classes, events.shape[2:], notes=(told, *notes))


def _read(arrays: Arrays) -> tuple[Path | str, dict[str, NDArray[Any]]]:
    """The arrays under the names that this reader gives them."""
    names = {ours: next((name for name in known if name in arrays.headers), ours) for ours, known in _NAMES.items()}
    pixels = names["unit"] not in arrays.headers and names["x"] in arrays.headers
    needed = ["time", *(("x", "y") if pixels else ("unit",)), "sample", "label"]
    arrays.need([names[name] for name in needed], _WANTED)
    numbers = [name for name in (*needed, "polarity") if name != "label" and names[name] in arrays.headers]
    for name in (*numbers, "label"):
        shape = arrays.headers[names[name]][0]
        if len(shape) != 1 or not shape[0]:
            raise refuse(
                arrays.source, f"array {names[name]!r} has shape {shape}", "wanted one axis, one number an event"
            )
        if name != "label" and shape != arrays.headers[names["time"]][0]:
            length = arrays.headers[names["time"]][0][0]
            wrong = f"there are {length:,} times and {shape[0]:,} values of {names[name]!r}"
            raise refuse(arrays.source, wrong, "wanted one an event")
    found = arrays.read([names[name] for name in numbers])
    found |= arrays.read([names["label"]], "buifUS", "words or whole numbers")
    return arrays.source, {name: found[names[name]] for name in (*numbers, "label")}


def _encoded(file: Path | str, label: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...], list[str]]:
    import pandas as pd

    if label.dtype.kind == "f" and not np.isfinite(label).all():
        raise refuse(file, "a label is not a finite number", "wanted words or whole numbers")
    return encode_labels(file, pd.Series(label), "array 'label'")


def _units(
    file: Path | str, arrays: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], tuple[int, ...], list[str]]:
    """The unit of each event, how units are arranged, and notes."""
    notes = []
    if "unit" in arrays:
        unit = _whole(file, "unit", arrays["unit"])
        shape: tuple[int, ...] = (int(unit.max()) + 1,)
    else:
        x, y = _whole(file, "x", arrays["x"]), _whole(file, "y", arrays["y"])
        shape = (int(y.max()) + 1, int(x.max()) + 1)
        unit = y * shape[1] + x
        notes.append(f"pixels of {shape[1]} columns (x) and {shape[0]} rows (y)")
    if "polarity" in arrays:
        values, side = np.unique(arrays["polarity"], return_inverse=True)
        if len(values) > 2:
            raise refuse(file, f"'polarity' has {len(values):,} different values", "wanted two, such as -1 and 1")
        unit, shape = unit + math.prod(shape) * side, (2, *shape)
    return unit, shape, notes


def _binned(
    file: Path | str, time: NDArray[Any], sample: NDArray[np.int64], steps: int
) -> tuple[NDArray[np.int64], list[str]]:
    """The bin of each event, and notes."""
    import pandas as pd

    if not np.isfinite(time).all():
        place = int(np.argmin(np.isfinite(time)))
        raise refuse(file, f"the time of event {place} (from 0) is {time[place]}", "wanted finite numbers")
    if time.dtype.kind == "b":
        time = time.astype(np.int64)
    recordings = pd.Series(time).groupby(sample)
    reach = recordings.agg(["min", "max"]).sort_values("min")
    first, last = reach["min"].to_numpy(), reach["max"].to_numpy()
    runs_on = len(first) > 3 and bool((last > first).any() and (first[1:] >= last[:-1]).mean() >= 0.95)
    notes = ["time runs on over the recordings; each starts at its first event"] * runs_on
    past = _since(time, recordings.transform("min").to_numpy() if runs_on else time.min())
    end = float(past.max())
    if not end > 0:
        raise refuse(file, f"all times are {float(time.min()):g}", "wanted events at different times")
    step = np.minimum((past / end * steps).astype(np.int64), steps - 1)
    steps_taken = pd.Series(step).groupby(sample).agg(["min", "max"])
    typical = int((steps_taken["max"] - steps_taken["min"] + 1).median())
    if typical <= _FEW * steps:
        notes.append(f"half of the recordings reach over {typical} of the {steps} time bins or fewer")
    return step, notes


def _since(time: NDArray[Any], start: Any) -> NDArray[np.float64]:
    """The time since a start, exact where integers near the ends of their range would overflow or round."""
    if time.dtype.kind == "f":
        return np.asarray(time.astype(np.float64) - np.asarray(start, np.float64))
    whole = np.uint64 if time.dtype.kind == "u" else np.int64
    return np.asarray(time.astype(whole).view(np.uint64) - np.asarray(start, whole).view(np.uint64)).astype(np.float64)


def _whole(file: Path | str, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """See that values number something from 0."""
    fine = (values >= 0) & (values < 2**31)
    if values.dtype.kind == "f":
        fine &= values == np.floor(values)
    if not fine.all():
        place = int(np.argmin(fine))
        wrong = f"{name!r} of event {place} (from 0) is {values[place]}"
        raise refuse(file, wrong, "wanted whole numbers from 0, below 2^31")
    return values.astype(np.int64)


def _one_each(file: Path | str, sample: NDArray[np.int64], label: NDArray[Any], recordings: int) -> NDArray[Any]:
    """The label of each recording, from those of its events."""
    numbers, first = np.unique(sample, return_index=True)
    if len(numbers) < recordings:
        absent = int(np.setdiff1d(np.arange(recordings), numbers)[0])
        wrong = f"recording {absent} has no event to carry its label"
        raise refuse(file, wrong, "wanted one label for each recording instead")
    each = label[first]
    wrong_at = each[sample] != label
    if wrong_at.any():
        place = int(np.argmax(wrong_at))
        told = f"recording {sample[place]} has labels {shown(each[sample[place]])} and {shown(label[place])}"
        raise refuse(file, told, "wanted one label a recording")
    return each
