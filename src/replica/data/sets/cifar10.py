"""CIFAR-10: small colour photographs of ten kinds of things, from a file of JPEGs in the user's folder; no pickle."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.public_files import FOLDER_VARIABLE
from replica.errors import ReplicaError

SIDE = 32
"""Pixels a side of the photographs as they are published."""
_NAME = "cifar10/cifar10-25k-jpeg.npz"


def cifar10(
    split: Literal["train", "test"], rows: NDArray[np.int64] | None = None, *, side: int = SIDE
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Photographs with their labels (Krizhevsky, 2009), from ``$REPLICA_DATA/cifar10/cifar10-25k-jpeg.npz``.

    The file holds 20,000 training and 5,000 test images as JPEGs: ``jpeg``, their bytes in a row; ``offsets``, where each
    begins, and the end; ``labels``; ``train``, whether an image is of the training part. JPEG changes pixels a little.

    Args:
        split: Which part.
        rows: Which images of it, by number; only these are decoded. Default all.
        side: Pixels a side to which the photographs of 32 × 32 are shrunk, by the mean over areas.

    Returns:
        Brightness in [0, 1], shape ``(count, 3, side, side)``, and class numbers.

    Raises:
        ReplicaError: If the file is not there, or is not as said.
        ValueError: If ``side`` is not from 1 to 32.
    """
    from PIL import Image

    if not 1 <= side <= SIDE:
        raise ValueError(f"cifar10: side must be from 1 to {SIDE}, not {side}.")
    folder = os.environ.get(FOLDER_VARIABLE)
    path = Path(folder or "").expanduser() / _NAME
    if not folder or not path.is_file():
        where = f"not in {folder}" if folder else f"{FOLDER_VARIABLE} is not set"
        raise ReplicaError(
            f"CIFAR-10: {_NAME} is missing ({where}): put it into a folder and set {FOLDER_VARIABLE} to that; "
            "it holds jpeg, offsets, labels and train."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            jpeg, offsets, labels, train = (file[name] for name in ("jpeg", "offsets", "labels", "train"))
    except (KeyError, ValueError, OSError) as error:
        raise ReplicaError(f"{path}: {error}; want arrays jpeg, offsets, labels and train.") from None
    numbers = np.flatnonzero(train == (split == "train"))
    chosen = numbers if rows is None else numbers[rows]
    values = np.empty((len(chosen), 3, side, side), np.float32)
    for image, number in zip(values, chosen, strict=True):
        with Image.open(io.BytesIO(jpeg[offsets[number] : offsets[number + 1]].tobytes())) as photograph:
            shrunk = photograph.convert("RGB").resize((side, side), Image.Resampling.BOX)
        image[:] = np.asarray(shrunk, np.float32).transpose(2, 0, 1) / 255
    return values, labels[chosen].astype(np.int64)
