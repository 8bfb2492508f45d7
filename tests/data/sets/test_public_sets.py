"""Data sets: what they hold, where they are looked for, and what is said when they are not there."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replica.data import (
    Characters,
    Images,
    digits,
    mnist,
    omniglot,
    shakespeare,
)
from replica.errors import ReplicaError

module = sys.modules["replica.data.sets.mnist"]


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
    path = file.find()
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
        assert hashlib.sha256(file.find().read_bytes()).hexdigest() == file.sha256


def test_nothing_heavy_is_imported_early() -> None:
    code = (
        "import sys, replica.data.files.patterns; "
        "print([m for m in ('torch', 'pandas', 'PIL', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_real_omniglot() -> None:
    characters = omniglot_or_skip()
    assert characters.values.shape == (4840, 28, 28)
    assert characters.values.dtype == np.float32
    assert characters.values.min() == 0
    assert characters.values.max() <= 1
    assert np.bincount(characters.labels).tolist() == [20] * 242
    assert len(characters.characters) == 242
    assert len(characters.alphabet_names) == 8
    # One person drew each character once, and a character belongs to one alphabet.
    assert len({*zip(characters.labels.tolist(), characters.drawers.tolist(), strict=True)}) == 4840
    assert len({*zip(characters.labels.tolist(), characters.alphabets.tolist(), strict=True)}) == 242
    assert characters.characters[0] == "Balinese 1"
    # Drawings of one character are nearer to its mean than to the mean of all.
    flat = characters.values.reshape(242, 20, -1)
    assert np.square(flat - flat.mean(1, keepdims=True)).mean() < 0.9 * flat.var(axis=(0, 1)).mean()


def omniglot_or_skip() -> Characters:
    if not (Path(os.environ.get("REPLICA_DATA", "")) / "omniglot" / "images_background_small1.zip").is_file():
        pytest.skip("REPLICA_DATA names no folder with Omniglot")
    return omniglot()


def drawing(ink: tuple[int, int]) -> bytes:
    """A white drawing of Omniglot's size with one black pixel."""
    from PIL import Image

    image = Image.new("1", (105, 105), 1)
    image.putpixel(ink, 0)
    stream = io.BytesIO()
    image.save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def small_omniglot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two archives that share a character, in which the loader believes."""
    folder = tmp_path / "omniglot"
    folder.mkdir()
    drawings = {
        "Greek/character02/0001_01.png": (0, 0),
        "Greek/character02/0001_03.png": (104, 0),
        "Old_one/character01/0002_20.png": (0, 104),
    }
    for number, names in ((1, list(drawings)[:2]), (2, list(drawings)[1:])):
        with zipfile.ZipFile(folder / f"images_background_small{number}.zip", "w") as archive:
            archive.writestr("notes.txt", "not a drawing")
            for name in names:
                archive.writestr(f"images_background_small{number}/{name}", drawing(drawings[name]))
    monkeypatch.setattr(sys.modules["replica.data.sets.omniglot"], "_DRAWINGS", 3)
    monkeypatch.setenv("REPLICA_DATA", str(tmp_path))
    return folder


def test_omniglot_is_the_union_of_its_sets(small_omniglot: Path) -> None:
    characters = omniglot(side=21)
    assert characters.labels.tolist() == [0, 0, 1]
    assert characters.alphabets.tolist() == [0, 0, 1]
    assert characters.drawers.tolist() == [0, 2, 19]
    assert characters.characters == ("Greek 2", "Old one 1")
    assert characters.alphabet_names == ("Greek", "Old one")
    for values, corner in zip(characters.values, ((0, 0), (0, 20), (20, 0)), strict=True):
        assert values[corner] == pytest.approx(1 / 25)  # one of 5 × 5 pixels
        assert values.sum() == pytest.approx(1 / 25, abs=1e-5)


def test_a_damaged_omniglot_is_named(small_omniglot: Path) -> None:
    with pytest.raises(ValueError, match="side must be from 1 to 105, not 0"):
        omniglot(0)
    second = small_omniglot / "images_background_small2.zip"
    content = second.read_bytes()
    second.write_bytes(content[: len(content) // 2])
    with pytest.raises(ReplicaError, match=r"small2\.zip: cannot be read as Omniglot"):
        omniglot()
    (small_omniglot / "images_background_small1.zip").write_bytes(content)
    second.write_bytes(content)
    with pytest.raises(ReplicaError, match="2 drawings instead of 3"):
        omniglot()


def test_shakespeare_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("REPLICA_DATA", "")
    if (Path(folder) / "text" / "tinyshakespeare.txt").is_file():
        text = shakespeare()
        assert len(text) == 1_115_394
        assert len(set(text)) == 65
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "tinyshakespeare.txt").write_text("To be")
    monkeypatch.setenv("REPLICA_DATA", str(tmp_path))
    with pytest.raises(ReplicaError, match="is not Tiny Shakespeare"):
        shakespeare()
