"""Data of the problem pretext: images of named sets, and the user's own, with labels or without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replica.data import Labelled, digits, mnist, omniglot, read_labelled
from replica.data.files.arrays import open_arrays
from replica.data.files.images import read_images
from replica.data.files.sources import user_file
from replica.data.sets.patterns import check_shape, refuse

FORMATS = (".npz", ".npy", "folder of images")
SIDE = 14
"""Pixels a side of MNIST and Omniglot here."""
_WANTED = (
    "wanted images in an array 'X', one an item, of shape (count, height, width) or with colours before or after, and "
    "labels in 'y' where there are any"
)


def named(name: str) -> Labelled:
    """The content of a named set."""
    if name == "omniglot":
        characters = omniglot(SIDE)
        return Labelled(characters.values, characters.labels, characters.characters)
    images = digits() if name == "digits" else mnist(split="test")
    values = images.values
    if name == "mnist":
        values = values.reshape(len(values), SIDE, 2, SIDE, 2).mean(axis=(2, 4), dtype=np.float32)
    return Labelled(values, images.labels, tuple(map(str, range(10))))


def read(path: Path, colour: bool) -> Labelled:
    """Read the user's images; where they have no labels, there are no classes.

    A folder of images has none; one whose sub-folders hold images has their names. An ``.npz`` file has labels where it has
    an array ``y``.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    path = user_file(path, FORMATS, _WANTED)
    if path.is_dir():
        if any(part.is_dir() and not part.name.startswith(".") for part in path.iterdir()):
            return _images(path, read_labelled(path, colour=colour))
        found = read_images(path, colour=colour)
        return _images(path, _unlabelled((found.values / 255).astype(np.float32), found.notes))
    arrays = open_arrays(path, _WANTED)
    if "y" in arrays.headers:
        return _images(path, read_labelled(path))
    name = next(iter(arrays.headers), "") if len(arrays.headers) == 1 else "X"
    arrays.need([name], _WANTED)
    check_shape(path, arrays.headers[name][0], arrays.headers[name][1], arrays.called(name))
    return _images(path, _unlabelled(arrays.read([name])[name].astype(np.float32)))


def _unlabelled(values: NDArray[np.float32], notes: tuple[str, ...] = ()) -> Labelled:
    return Labelled(values, np.zeros(len(values), np.int64), (), notes=(*notes, "without labels"))


def _images(path: Path, content: Labelled) -> Labelled:
    from replica.training.small_net import SMALLEST_SIDE, image_shape  # which import torch

    if image_shape(content.shape) is None:
        shape = f"items of shape {content.shape}" if content.shape else "a table"
        raise refuse(path, f"holds {shape}", f"{_WANTED}, {SMALLEST_SIDE} pixels a side or more")
    values = content.features
    assert isinstance(values, np.ndarray)
    if not np.isfinite(values).all():
        raise refuse(path, f"image {int(np.argwhere(~np.isfinite(values))[0][0])} (from 0) holds a number that is not finite",
                     "wanted finite numbers")  # fmt: skip
    return content
