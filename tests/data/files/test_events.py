"""The user's own events: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
