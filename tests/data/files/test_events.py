"""The user's own events: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from replica.data import read_events
from replica.errors import ReplicaError

FILE = {
    "time": np.array([0.0, 10.0, 2.5, 9.9, 9.9, 0.0, 5.0, 5.0]),
    "unit": np.array([0, 2, 1, 2, 2, 0, 1, 0]),
    "sample": np.array([0, 0, 1, 1, 1, 3, 3, 2]),
    "label": np.array(["up", "down", "up", "down"]),
}


def saved(folder: Path, **changed: Any) -> Path:
    arrays = {name: array for name, array in (FILE | changed).items() if array is not None}
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def test_files_of_events(tmp_path: Path) -> None:
    found = read_events(saved(tmp_path), steps=4)
    assert (found.events.shape, found.shape, found.classes) == ((4, 4, 3), (3,), ("down", "up"))
    assert found.labels.tolist() == [1, 0, 1, 0]
    wanted = np.zeros((4, 4, 3))
    for sample, step, unit in ((0, 0, 0), (0, 3, 2), (1, 1, 1), (1, 3, 2), (1, 3, 2), (3, 0, 0), (3, 2, 1), (2, 2, 0)):
        wanted[sample, step, unit] += 1
    np.testing.assert_array_equal(found.events, wanted)
    each = read_events(saved(tmp_path, label=FILE["label"][FILE["sample"]]), steps=4)
    np.testing.assert_array_equal(each.labels, found.labels)
    sides = read_events(saved(tmp_path, polarity=np.array([1, -1, 1, 1, -1, -1, 1, 1])), steps=4)
    assert sides.shape == (2, 3)
    np.testing.assert_array_equal(sides.events.reshape(4, 4, 2, 3).sum(axis=2), wanted)
    assert sides.events[0].nonzero()[1].tolist() == [3 + 0, 2]
    more = read_events(saved(tmp_path, label=np.array([3, 4, 3, 4, 4])))
    assert more.notes == ("1 recordings without an event",)
    assert more.events.shape == (5, 50, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unit": None}, "but no 'unit'"),
        ({"time": np.zeros((2, 2))}, "array 'time' has shape (2, 2)"),
        ({"time": np.array(["a"] * 8)}, "array 'time' holds <U1; wanted real numbers"),
        ({"label": np.array(["a", 1, "b", "b"], object)}, "array 'label' holds Python objects"),
        ({"unit": np.arange(5)}, "there are 8 times and 5 values of 'unit'"),
        ({"unit": FILE["unit"] - 1}, "'unit' of event 0 (from 0) is -1; wanted whole numbers from 0"),
        ({"sample": FILE["sample"] + 0.5}, "'sample' of event 0 (from 0) is 0.5"),
        ({"time": np.array([0, np.nan, *range(6)])}, "the time of event 1 (from 0) is nan"),
        ({"time": np.ones(8)}, "all times are 1"),
        ({"label": np.array([0, 1])}, "there are 2 labels, but 'sample' numbers 4 recordings (0 to 3)"),
        ({"label": np.arange(8) % 2}, "recording 0 has labels 0 and 1"),
        ({"label": np.array([0, 0, 0, 0])}, "wanted two classes or more"),
        ({"label": np.array([0, 1, 1, 1])}, "holds 1 in every row and class 0 of array 'label' left out"),
        ({"label": np.array([0.5, 1, 1, 1])}, "holds numbers such as 0.5"),
        ({"polarity": np.arange(8)}, "'polarity' has 8 different values"),
        ({"polarity": np.ones(3)}, "8 times and 3 values of 'polarity'"),
        ({"unit": FILE["unit"] * 10**8}, "GiB; wanted at most 2 GiB"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = saved(tmp_path, **changed)
    with pytest.raises(ReplicaError) as caught:
        read_events(path)
    assert said in str(caught.value)
    assert "mine.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def recordings(
    count: int = 12, events: int = 30, seed: int = 0
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Times from each recording's first event, in whole microseconds up to 1 s; units; and recordings."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, 10**6, (count, events)), axis=1)
    time[:, 0], time[:, -1] = 0, 10**6
    return time.ravel(), rng.integers(0, 5, count * events), np.repeat(np.arange(count), events)


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(-(2**62), 2**62),
    pause=st.integers(1, 10**9),
    kind=st.sampled_from([np.int64, np.uint64]),
    shuffled=st.booleans(),
)
def test_time_starts_at_each_recording_of_a_running_clock(start: int, pause: int, kind: Any, shuffled: bool) -> None:
    time, unit, sample = recordings()
    label = np.arange(12) % 2
    alone = read_events({"time": time, "unit": unit, "sample": sample, "label": label}, 20)
    assert alone.notes == ()
    clock = (np.int64(start) + time + sample * (10**6 + pause)).astype(np.int64)
    if kind is np.uint64:
        clock = clock.view(np.uint64) ^ np.uint64(2**63)
    order = np.random.default_rng(1).permutation(12) if shuffled else np.arange(12)
    running_file = {"t": clock, "unit": unit, "sample": order[sample], "label": label[np.argsort(order)]}
    running = read_events(running_file, 20)
    assert running.notes == ("time runs on over the recordings; each starts at its first event",)
    np.testing.assert_array_equal(running.events[order], alone.events)
    np.testing.assert_array_equal(running.labels[order], alone.labels)


def test_short_bursts_that_overlap_keep_their_place_and_are_told() -> None:
    rng = np.random.default_rng(0)
    sample = np.repeat(np.arange(80), 5)
    time = (rng.random(80)[sample] + 0.02 * rng.random(400)) / 1.02
    found = read_events({"time": time, "unit": sample % 3, "sample": sample, "label": np.arange(80) % 2})
    assert found.notes == ("half of the recordings reach over 2 of the 50 time bins or fewer",)
    np.testing.assert_array_equal(found.events.any(axis=(0, 2)).nonzero()[0][[0, -1]], [0, 49])


def test_pixels_are_units() -> None:
    time, unit, sample = recordings()
    x, y, p = unit % 2, unit // 2, unit % 2
    given = {"t": time, "x": x, "y": y, "p": p, "sample": sample, "label": np.arange(12) % 2}
    found = read_events(given, 10)
    assert found.shape == (2, 3, 2)
    counts = found.events.reshape(12, 10, 2, 3, 2).sum(axis=(0, 1))
    for side, row, column in np.ndindex(2, 3, 2):
        assert counts[side, row, column] == ((p == side) & (y == row) & (x == column)).sum()
    assert "pixels of 2 columns (x) and 3 rows (y)" in found.notes


def test_labels_of_events_need_events(tmp_path: Path) -> None:
    sample = np.array([0, 0, 1, 1, 1, 3, 3, 3])
    with pytest.raises(ReplicaError, match="recording 2 has no event to carry its label"):
        read_events(saved(tmp_path, sample=sample, label=sample % 2))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("time,unit\n")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    for name, said in (
        ("mine.csv", "the ending '.csv' is not known"),
        ("broken.npz", "cannot be read"),
        ("mime.npz", "does not exist"),
    ):
        with pytest.raises(ReplicaError, match=said):
            read_events(tmp_path / name)
