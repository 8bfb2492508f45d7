"""CIFAR-10 from a file of JPEGs in the user's folder."""

import io

import numpy as np
import pytest
from PIL import Image

from replica.data import cifar10
from replica.errors import ReplicaError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six images of one colour each, every other one for training."""
    pictures, offsets = b"", [0]
    for place in range(6):
        held = io.BytesIO()
        Image.new("RGB", (32, 32), (40 * place, 100, 255 - 40 * place)).save(held, "JPEG", quality=95)
        pictures += held.getvalue()
        offsets.append(len(pictures))
    (tmp_path / "cifar10").mkdir()
    arrays = {
        "jpeg": np.frombuffer(pictures, np.uint8),
        "offsets": np.array(offsets),
        "labels": np.arange(6, dtype=np.uint8),
    }
    np.savez(tmp_path / "cifar10" / "cifar10-25k-jpeg.npz", **arrays, train=np.arange(6) % 2 == 0)
    monkeypatch.setenv("REPLICA_DATA", str(tmp_path))
    return tmp_path


def test_parts_and_rows_are_those_asked_for(folder):
    values, labels = cifar10("train")
    assert values.shape == (3, 3, 32, 32)
    assert values.dtype == np.float32
    assert labels.tolist() == [0, 2, 4]
    np.testing.assert_allclose(values[:, :, 5, 5] * 255, [[40 * n, 100, 255 - 40 * n] for n in (0, 2, 4)], atol=4)
    values, labels = cifar10("test", np.array([2, 0]), side=16)
    assert values.shape == (2, 3, 16, 16)
    assert labels.tolist() == [5, 1]
    np.testing.assert_allclose(values[0, :, 8, 8] * 255, [200, 100, 55], atol=4)


def test_a_file_that_is_missing_or_damaged_is_named(folder, monkeypatch):
    with pytest.raises(ValueError, match="side must be from 1 to 32, not 33"):
        cifar10("train", side=33)
    np.savez(folder / "cifar10" / "cifar10-25k-jpeg.npz", labels=np.arange(6))
    with pytest.raises(ReplicaError, match="want arrays jpeg, offsets, labels and train"):
        cifar10("train")
    (folder / "cifar10" / "cifar10-25k-jpeg.npz").unlink()
    with pytest.raises(ReplicaError, match=r"cifar10-25k-jpeg\.npz is missing \(not in"):
        cifar10("test")
    monkeypatch.delenv("REPLICA_DATA")
    with pytest.raises(ReplicaError, match="REPLICA_DATA is not set"):
        cifar10("test")
