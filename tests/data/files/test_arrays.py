"""NumPy's files: damage of every kind ends in one line, and data in memory are read as files are."""

from __future__ import annotations

import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from replica.data import read_events, read_labelled, read_patterns, read_solution_map
from replica.data.files.arrays import open_arrays
from replica.errors import ReplicaError

READERS = (read_patterns, read_labelled, read_events, read_solution_map)
RNG = np.random.default_rng(0)
EVERYTHING = {
    "X": RNG.normal(size=(8, 6)), "y": np.arange(8) % 2, "inputs": RNG.normal(size=(8, 6)), "outputs": RNG.normal(size=(8, 6)),
    "time": np.arange(8.0), "unit": np.arange(8) % 3, "sample": np.arange(8) // 2, "label": np.array([0, 1, 0, 1]),
}  # fmt: skip


def members(compression: int) -> bytes:
    with tempfile.TemporaryFile() as stream:
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, array in EVERYTHING.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array)
        stream.seek(0)
        return stream.read()


def check_line(message: str, name: str) -> None:
    assert "\n" not in message
    assert name in message


def refused_or_read(path: Path) -> int:
    """How many readers refuse the file, each in one line."""
    refused = 0
    for reader in READERS:
        try:
            reader(path)
        except ReplicaError as error:
            check_line(str(error), path.name)
            refused += 1
    return refused


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_archives_of_every_compression(tmp_path: Path, compression: int) -> None:
    content, path = members(compression), tmp_path / "a.npz"
    path.write_bytes(content)
    assert refused_or_read(path) == 0
    refused = 0
    for at in np.linspace(0, len(content) - 1, 60).astype(int):
        broken = bytearray(content)
        broken[at : at + 4] = bytes(b ^ 0xFF for b in broken[at : at + 4])
        path.write_bytes(bytes(broken))
        refused += refused_or_read(path)
    assert refused > 60


ODD_SHAPES = st.one_of(
    st.lists(st.integers(-3, 2**70), max_size=4).map(tuple),
    st.sampled_from(["(3,)", None, 3, (3.0, 2), (True, 2), ("a",), [2, 3], {}]),
)
ODD_TYPES = st.sampled_from(
    ["<f8", ">i4", "|O", "<U5", "|V7", "<M8[s]", "<c16", "f", "nonsense", "", None, 8,
     ("<f8", (2,)), [("x", "<f4")], [("x", "|O")],
     "<U" + "9" * 30, "<f16", "|b1", "<m8[1000000000000s]", {"names": ["a"], "formats": ["<f4"]}]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    shape=ODD_SHAPES, kind=ODD_TYPES, fortran=st.sampled_from([True, False, None, "no"]), extra=st.binary(max_size=64)
)
def test_odd_headers(shape: Any, kind: Any, fortran: Any, extra: bytes) -> None:
    text = repr({"descr": kind, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + extra
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        path.write_bytes(content)
        refused_or_read(path)
        with zipfile.ZipFile(Path(folder) / "b.npz", "w") as archive:
            for name in EVERYTHING:
                archive.writestr(f"{name}.npy", content)
        refused_or_read(Path(folder) / "b.npz")


def test_all_arrays_together_share_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from replica.data.sets import patterns

    np.savez(tmp_path / "a.npz", a=np.zeros(100), b=np.zeros(100))
    arrays = open_arrays(tmp_path / "a.npz", "wanted one")
    monkeypatch.setattr(patterns, "LIMIT_BYTES", 1000)
    assert len(arrays.read(["a"])["a"]) == 100
    with pytest.raises(ReplicaError, match="array 'a' with array 'b' needs"):
        arrays.read(["a", "b"])


def test_memory_is_read_as_files_are(tmp_path: Path) -> None:
    rows, labels = RNG.normal(size=(8, 3)), np.arange(8) % 2
    np.savez(tmp_path / "a.npz", X=rows, y=labels)
    wanted = read_labelled(tmp_path / "a.npz")
    frame = pd.DataFrame(rows, columns=["feature 1", "feature 2", "feature 3"])
    for data in (
        (rows, labels),
        (torch.tensor(rows), torch.tensor(labels)),
        (rows.tolist(), list(labels)),
        {"X": rows, "y": labels},
        (frame, labels),
    ):
        found = read_labelled(data)
        np.testing.assert_array_equal(found.features, wanted.features)
        np.testing.assert_array_equal(found.labels, wanted.labels)
    for patterns in (rows, torch.tensor(rows, requires_grad=True), frame, rows.tolist(), (rows, labels)):
        np.testing.assert_array_equal(read_patterns(patterns).values, rows)
    half = read_patterns(torch.tensor(rows, dtype=torch.bfloat16))
    np.testing.assert_allclose(half.values, rows, rtol=0.01)
    pair = read_solution_map((torch.tensor(EVERYTHING["inputs"]), EVERYTHING["outputs"]))
    np.testing.assert_array_equal(pair.inputs[:, 0], EVERYTHING["inputs"].astype(np.float32))


@pytest.mark.parametrize(
    "data",
    [
        3,
        object(),
        "".join,
        {"a": {1}},
        (np.zeros(3), object()),
        torch.zeros(3, dtype=torch.complex64),
        np.array([b"a", None]),
    ],
)
def test_memory_that_is_no_data_is_refused_in_one_line(data: Any) -> None:
    for reader in READERS:
        with pytest.raises(ReplicaError, match=r"^data: ") as caught:
            reader(data)
        assert "\n" not in str(caught.value)
