"""Data sets: what they hold, where they are looked for, and what is said when they are not there."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replica.lab.data import (
    Images,
    digits,
    mnist,
    mnist as _mnist,  # noqa: F401  (the function; the module is fetched below)
)
from replica.lab.errors import ReplicaError

module = sys.modules["replica.lab.data.mnist"]


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    images, reference = digits(), load_digits()
    assert images.values.shape == (1797, 8, 8)
    assert images.values.dtype == np.float32
    assert images.labels.dtype == np.int64
    assert images.values.min() == 0
    assert images.values.max() == 1
    np.testing.assert_array_equal(images.values.reshape(1797, 64) * 16, reference.data)
    np.testing.assert_array_equal(images.labels, reference.target)


def test_images_check_their_shapes() -> None:
    with pytest.raises(ValueError, match=r"values must have shape \(count, height, width\), not \(2, 64\)"):
        Images(np.zeros((2, 64), np.float32), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match=r"labels must have shape \(2,\), not \(3,\)"):
        Images(np.zeros((2, 8, 8), np.float32), np.zeros(3, np.int64))


def idx(array: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a test split of five images of 4 × 3 pixels, in which the loader believes."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    names = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    shapes = ((5, 4, 3), (5,))
    files = tuple(module._File(name, "0" * 64, shape) for name, shape in zip(names, shapes, strict=True))
    monkeypatch.setitem(module._SPLITS, "test", files)
    monkeypatch.setenv("REPLICA_DATA", str(tmp_path))
    images = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    images[0, 0, 0] = 255
    (folder / names[0]).write_bytes(gzip.compress(idx(images)))
    (folder / names[1]).write_bytes(gzip.compress(idx(np.array([7, 2, 1, 0, 4], np.uint8))))
    return folder


def test_idx_files_are_read(small_mnist: Path) -> None:
    images = mnist()
    assert images.values.shape == (5, 4, 3)
    assert images.values.dtype == np.float32
    assert images.values[0, 0, 0] == 1
    assert images.values[4, 3, 2] == np.float32(59 / 255)
    assert images.labels.tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"not gzip at all",
        gzip.compress(b"not IDX"),
        gzip.compress(idx(np.zeros((5, 3, 4), np.uint8))),
        gzip.compress(idx(np.zeros((5, 4, 3), np.uint8))[:-1]),
        gzip.compress(idx(np.zeros((5, 4, 3), np.uint8)) + b"more"),
        gzip.compress(idx(np.zeros((5, 4, 3), np.uint8)))[:-12],
        b"",
    ],
    ids=["no gzip", "no IDX", "other shape", "short", "long", "cut off", "empty"],
)
def test_a_damaged_file_is_named(small_mnist: Path, content: bytes) -> None:
    path = small_mnist / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ReplicaError, match="t10k-images") as caught:
        mnist()
    assert "\n" not in str(caught.value)
    assert "download it again" in str(caught.value)


def test_without_folder_and_network_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs
    import pooch

    asked: list[str] = []

    def no_network(url: str, **_: Any) -> str:
        asked.append(url)
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.delenv("REPLICA_DATA", raising=False)
    with pytest.raises(ReplicaError, match=r"REPLICA_DATA is not set.*ConnectionError.*put it into a folder mnist/"):
        mnist()
    assert len(asked) == 2  # both homes were tried
    monkeypatch.setenv("REPLICA_DATA", str(tmp_path))
    with pytest.raises(ReplicaError, match=r"train-images.*not in .*mnist") as caught:
        mnist("train")
    assert "\n" not in str(caught.value)


def test_a_download_is_checked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksum that is handed to pooch decides: a wrong file from the first home is not used."""
    import hashlib

    import platformdirs
    import pooch

    good = gzip.compress(idx(np.zeros((5,), np.uint8)))

    def write(url: str, output_file: str, _: Any) -> None:
        Path(output_file).write_bytes(b"evil" if "ossci" in url else good)

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: write)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.delenv("REPLICA_DATA", raising=False)
    file = module._File("labels.gz", hashlib.sha256(good).hexdigest(), (5,))
    path = module._find(file)
    assert path == tmp_path / "replica" / "mnist" / "labels.gz"
    assert module._read_idx(path, (5,)).tolist() == [0] * 5


def test_split_is_checked() -> None:
    with pytest.raises(ValueError, match="split must be 'test' or 'train', not 'val'"):
        mnist("val")  # type: ignore[arg-type]


@pytest.mark.skipif(
    not (Path(os.environ.get("REPLICA_DATA", "")) / "mnist" / "t10k-images-idx3-ubyte.gz").is_file(),
    reason="REPLICA_DATA names no folder with MNIST",
)
def test_real_mnist() -> None:
    import hashlib

    images = mnist()
    assert images.values.shape == (10_000, 28, 28)
    assert images.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(images.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for file in module._SPLITS["test"]:
        assert hashlib.sha256(module._find(file).read_bytes()).hexdigest() == file.sha256


def test_nothing_heavy_is_imported_early() -> None:
    code = (
        "import sys, replica.lab.data.user_files; "
        "print([m for m in ('torch', 'pandas', 'PIL', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
