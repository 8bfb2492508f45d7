"""Weights from .safetensors: what was written is read, and what is damaged is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from replica.data.files.safetensors import read_safetensors
from replica.errors import ReplicaError

TYPES = {np.dtype("float64"): "F64", np.dtype("float32"): "F32", np.dtype("float16"): "F16", np.dtype("int64"): "I64",
         np.dtype("uint8"): "U8", np.dtype("bool"): "BOOL"}  # fmt: skip


def write(path: Path, arrays: Mapping[str, NDArray[Any]], **changed: Any) -> Path:
    """Write a file as the format is described; what is ``changed`` goes into the first array's entry of the header."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, array in arrays.items():
        stop = len(body) + array.nbytes
        header[name] = {"dtype": TYPES[array.dtype], "shape": list(array.shape), "data_offsets": [len(body), stop]}
        body += array.tobytes()
    header[next(iter(arrays))] |= changed
    packed = json.dumps(header).encode()
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + body)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {str(kind): rng.normal(size=(3, 2)).astype(kind) for kind in TYPES} | {"one": np.array(4.0, np.float32)}
    found = read_safetensors(write(tmp_path / "a.safetensors", arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    found["one"][...] = 5  # it is no view of the file


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    upper = np.array([1.0, -2.5, 0.15625], np.float32)  # all exact in bfloat16
    halves = (upper.view(np.uint32) >> 16).astype("<u2").view(np.float16)
    found = read_safetensors(write(tmp_path / "a.safetensors", {"w": halves}, dtype="BF16"))
    np.testing.assert_array_equal(found["w"], upper)


def test_torchs_own_writer_is_read(tmp_path: Path) -> None:
    torch, library = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    net = torch.nn.Linear(3, 2)
    library.save_file(net.state_dict(), tmp_path / "a.safetensors")
    found = read_safetensors(tmp_path / "a.safetensors")
    assert all(np.array_equal(found[name], value.numpy()) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dtype": "F8_E4M3"}, "array 'w' holds F8_E4M3; wanted floating-point or whole numbers"),
        ({"shape": [5]}, "array 'w' is not where the header says"),
        ({"data_offsets": [0, 400]}, "array 'w' is not where the header says"),
        ({"shape": None}, "cannot be read"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ReplicaError) as caught:
        read_safetensors(write(tmp_path / "a.safetensors", {"w": np.ones(4, np.float32)}, **changed))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"12", b"\x80\x04pickle, not weights", (2**40).to_bytes(8, "little") + b"{}"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ReplicaError, match=r"wanted a file as safetensors\.torch.save_file"):
        read_safetensors(tmp_path / "a.safetensors")
