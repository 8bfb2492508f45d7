"""The user's own events, from ``.npz`` files, without ever unpickling."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets import patterns as limits
from replica.data.sets.events import EventSet
from replica.data.sets.labelled import encode_labels
from replica.data.files.numpy_files import DAMAGED, check_kind, read_array, read_header
from replica.data.sets.patterns import refuse, shown
from replica.data.files.user_files import missing_file

STEPS = 50
"""Time bins where the user asks for no other number."""
_NEEDED = ("time", "unit", "sample", "label")
_WANTED = "wanted a file written by numpy.savez with arrays 'time', 'unit', 'sample' and 'label'"
_MOST = 255


def read_events(path: str | os.PathLike[str], steps: int = STEPS) -> EventSet:
    """Read recordings of events from an ``.npz`` file and count them in equal time bins.

    One number for each event, all recordings after another, in any order:

    - ``time``: when, in any unit, from the start of its recording;
    - ``unit``: where, a whole number from 0;
    - ``sample``: of which recording, a whole number from 0;
    - ``polarity``, which may be missing: one of two values, such as −1 and 1 or 0 and 1.

    And ``label``, words or whole numbers: one for each recording, in the order of their numbers, or one for each event. Bins go
    from the least to the greatest time of the file. With a polarity there are twice as many units: those of the lesser
    value, then those of the greater.

    Args:
        path: The file; ``~`` is the home folder.
        steps: Time bins.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    file = Path(path).expanduser()
    try:
        if not file.exists():
            raise refuse(file, *missing_file(file))
        if not file.is_file():
            raise refuse(file, "is no file", _WANTED)
        if file.suffix.lower() != ".npz":
            raise refuse(file, f"the ending {file.suffix!r} is not known", _WANTED)
        check_kind(file, b"PK", _WANTED)
        arrays = _read(file)
    except DAMAGED as error:  # a name no file can have, no right to read it, a broken archive
        raise refuse(file, f"cannot be read as a NumPy archive ({error})", _WANTED) from error
    return _to_events(file, arrays, steps)


def _read(file: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        held = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        missing = [name for name in _NEEDED if name not in held]
        if missing:
            listed = ", ".join(map(repr, held[:6])) or "nothing"
            raise refuse(file, f"holds {listed}, but no {' and no '.join(map(repr, missing))}", _WANTED)
        names = [name for name in (*_NEEDED, "polarity") if name in held]
        total = 0
        for name in names:
            with archive.open(f"{name}.npy") as stream:
                shape, dtype = read_header(file, stream)
            kinds = "buifUS" if name == "label" else "buif"
            if dtype.hasobject or dtype.kind not in kinds:
                wanted = "words or whole numbers" if name == "label" else "real numbers"
                raise refuse(file, f"array {name!r} holds {shown(dtype)}", f"wanted {wanted}")
            if len(shape) != 1 or not shape[0]:
                raise refuse(file, f"array {name!r} has shape {shape}", "wanted one axis, with one number an event")
            total += math.prod(shape) * dtype.itemsize
        if total > limits.LIMIT_BYTES:
            raise refuse(
                file,
                f"its events need {total / 2**30:.1f} GiB",
                f"wanted at most {limits.LIMIT_BYTES / 2**30:g} GiB: bring fewer recordings",
            )
        arrays = {}
        for name in names:
            with archive.open(f"{name}.npy") as stream:
                arrays[name] = read_array(file, stream)
    return arrays


def _to_events(file: Path, arrays: dict[str, NDArray[Any]], steps: int) -> EventSet:
    import pandas as pd

    time = arrays["time"]
    for name in ("unit", "sample", "polarity"):
        if name in arrays and len(arrays[name]) != len(time):
            raise refuse(
                file,
                f"there are {len(time):,} times and {len(arrays[name]):,} values of {name!r}",
                "wanted one an event",
            )
    if not np.isfinite(time).all():
        place = int(np.argmin(np.isfinite(time)))
        raise refuse(file, f"the time of event {place} (from 0) is {time[place]}", "wanted finite numbers")
    unit, sample = (_whole(file, name, arrays[name]) for name in ("unit", "sample"))
    label, recordings, notes = arrays["label"], int(sample.max()) + 1, []
    if len(label) == len(time):
        label = _one_each(file, sample, label, recordings)
    elif len(label) < recordings:
        raise refuse(
            file,
            f"there are {len(label):,} labels, but 'sample' numbers {recordings:,} recordings (0 to {recordings - 1})",
            "wanted a label for each recording or for each event",
        )
    empty = len(label) - len(np.unique(sample))
    if empty:
        notes.append(f"{empty:,} recordings without an event")
    if label.dtype.kind == "f" and not np.isfinite(label).all():
        raise refuse(file, "a label is not a finite number", "wanted words or whole numbers")
    labels, classes = encode_labels(file, pd.Series(label), "array 'label'")
    units = int(unit.max()) + 1
    shape: tuple[int, ...] = (units,)
    if "polarity" in arrays:
        values, side = np.unique(arrays["polarity"], return_inverse=True)
        if len(values) > 2:
            raise refuse(file, f"'polarity' has {len(values):,} different values", "wanted two, such as -1 and 1")
        unit, shape = unit + units * side, (2, units)
    size = len(label) * steps * math.prod(shape)
    if 8 * size > limits.LIMIT_BYTES:  # as they are counted
        raise refuse(
            file,
            f"{len(label):,} recordings × {steps} steps × {math.prod(shape):,} units need {8 * size / 2**30:.1f} GiB",
            f"wanted at most {limits.LIMIT_BYTES / 2**30:g} GiB: fewer --steps, recordings or units",
        )
    begin, end = float(time.min()), float(time.max())
    if not end > begin:
        raise refuse(file, f"all times are {begin:g}", "wanted events at different times")
    step = np.minimum(((time.astype(np.float64) - begin) / (end - begin) * steps).astype(np.int64), steps - 1)
    counts = np.bincount((sample * steps + step) * math.prod(shape) + unit, minlength=size)
    if counts.max() > _MOST:
        notes.append(f"more than {_MOST} events of a unit in a step count as {_MOST}")
    events = np.minimum(counts, _MOST).astype(np.uint8).reshape(len(label), steps, -1)
    return EventSet(events, labels, classes, shape, notes=tuple(notes))


def _whole(file: Path, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """See that values number something from 0."""
    fine = (values >= 0) & (values < 2**31)
    if values.dtype.kind == "f":
        fine &= values == np.floor(values)
    if not fine.all():
        place = int(np.argmin(fine))
        raise refuse(
            file, f"{name!r} of event {place} (from 0) is {values[place]}", "wanted whole numbers from 0, below 2^31"
        )
    return values.astype(np.int64)


def _one_each(file: Path, sample: NDArray[np.int64], label: NDArray[Any], recordings: int) -> NDArray[Any]:
    """The label of each recording, from those of its events."""
    numbers, first = np.unique(sample, return_index=True)
    if len(numbers) < recordings:
        absent = int(np.setdiff1d(np.arange(recordings), numbers)[0])
        raise refuse(
            file, f"recording {absent} has no event to carry its label", "wanted one label for each recording instead"
        )
    each = label[first]
    wrong = each[sample] != label
    if wrong.any():
        place = int(np.argmax(wrong))
        raise refuse(
            file,
            f"recording {sample[place]} has labels {shown(each[sample[place]])} and {shown(label[place])}",
            "wanted one label a recording",
        )
    return each
