"""MNIST, read from the user's folder or downloaded with a checksum; IDX files, no pickle."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.images import Images
from replica.data.sets.public_files import PublicFile
from replica.errors import ReplicaError

# Two public homes of the same bytes; the original home refuses downloads since 2021.
_HOMES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


@dataclass(frozen=True)
class _File:
    name: str
    sha256: str
    shape: tuple[int, ...]

    def find(self) -> Path:
        homes = tuple(home + self.name for home in _HOMES)
        return PublicFile("MNIST", "mnist", self.name, self.sha256, homes).find()


_SPLITS: dict[str, tuple[_File, _File]] = {
    "test": (
        _File(
            "t10k-images-idx3-ubyte.gz",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            (10_000, 28, 28),
        ),
        _File(
            "t10k-labels-idx1-ubyte.gz",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            (10_000,),
        ),
    ),
    "train": (
        _File(
            "train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            (60_000, 28, 28),
        ),
        _File(
            "train-labels-idx1-ubyte.gz",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            (60_000,),
        ),
    ),
}


def mnist(split: Literal["test", "train"] = "test") -> Images:
    """Read MNIST (LeCun, Cortes and Burges, 1998): handwritten digits of 28 × 28 pixels.

    The files are taken from ``$REPLICA_DATA/mnist/`` if they are there, else from the cache, else they are
    downloaded into the cache and checked against their SHA-256.

    Args:
        split: ``"test"`` for the 10,000 test images, ``"train"`` for the 60,000 training images.

    Returns:
        Images with brightness in [0, 1] and labels 0 to 9, in the files' order.

    Raises:
        ReplicaError: If neither the folder nor the network has the files, or a file is damaged.
        ValueError: If ``split`` is neither of the two.
    """
    if split not in _SPLITS:
        raise ValueError(f"mnist: split must be 'test' or 'train', not {split!r}.")
    images, labels = (_read_idx(file.find(), file.shape) for file in _SPLITS[split])
    return Images(images.astype(np.float32) / np.float32(255), labels.astype(np.int64))


def _read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes whose shape is known, and never more bytes than that shape needs.

    IDX: two zero bytes, the type (8 for unsigned bytes), the number of axes, each axis as a big-endian
        32-bit integer, the bytes.
    """
    count = math.prod(shape)
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    try:
        with gzip.open(path, "rb") as stream:
            content = stream.read(len(header) + count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ReplicaError(
            f"{path}: cannot be read as gzip ({type(error).__name__}); delete it to download it again."
        ) from error
    if not content.startswith(header) or len(content) != len(header) + count:
        raise ReplicaError(
            f"{path}: is not MNIST's {' × '.join(map(str, shape))} bytes; delete it to download it again."
        )
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
