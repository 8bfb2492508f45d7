"""Omniglot's two small background sets: handwritten characters of eight alphabets."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.images import Images
from replica.data.sets.public_files import PublicFile
from replica.errors import ReplicaError

SIDE = 105
"""Pixels a side of the drawings as they are published."""

_DRAWINGS = 4840
_HOME = "https://github.com/brendenlake/omniglot/raw/master/python/"
_FILES = tuple(
    PublicFile("Omniglot", "omniglot", name, sha256, (_HOME + name,))
    for name, sha256 in (
        ("images_background_small1.zip", "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4"),
        ("images_background_small2.zip", "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f"),
    )
)


@dataclass(frozen=True)
class Characters(Images):
    """Handwritten characters; each is a class of its own.

    Args:
        values: Ink in [0, 1] (1 where the pen was), float32, shape ``(count, side, side)``.
        labels: Number of the character, int64, shape ``(count,)``; characters of one alphabet are neighbours.
        alphabets: Number of the character's alphabet, int64, shape ``(count,)``.
        drawers: Which of the twenty people drew it, from 0, int64, shape ``(count,)``.
        characters: What each character is called, such as ``"Greek 3"``.
        alphabet_names: What each alphabet is called.
    """

    alphabets: NDArray[np.int64] = field(repr=False)
    drawers: NDArray[np.int64] = field(repr=False)
    characters: tuple[str, ...] = field(repr=False)
    alphabet_names: tuple[str, ...]


def omniglot(side: int = 28) -> Characters:
    """Read the characters of Omniglot's two small background sets (Lake, Salakhutdinov and Tenenbaum, 2015; MIT licence).

    Both sets together hold 242 characters of 8 alphabets (Greek and Latin are in both and count once), drawn by
    20 people each: 4,840 drawings, in the order of alphabet, character, drawer. The files are taken from
    ``$REPLICA_DATA/omniglot/`` if they are there, else from the cache, else they are downloaded and checked.

    Args:
        side: Pixels a side to which the drawings of 105 × 105 pixels are shrunk, by the mean over areas.

    Raises:
        ReplicaError: If neither the folder nor the network has the files, or a file is damaged.
        ValueError: If ``side`` is not from 1 to 105.
    """
    if not 1 <= side <= SIDE:
        raise ValueError(f"omniglot: side must be from 1 to {SIDE}, not {side}.")
    drawings: dict[tuple[str, str, int], NDArray[np.float32]] = {}
    for file in _FILES:
        drawings |= _read(file.find(), side)
    if len(drawings) != _DRAWINGS:
        raise ReplicaError(
            f"Omniglot: {len(drawings):,} drawings instead of {_DRAWINGS:,}; delete its files to download them again."
        )
    keys = sorted(drawings)
    characters = sorted({key[:2] for key in keys})
    alphabets = sorted({alphabet for alphabet, _ in characters})
    number = {character: i for i, character in enumerate(characters)}
    return Characters(
        values=np.stack([drawings[key] for key in keys]),
        labels=np.array([number[key[:2]] for key in keys], np.int64),
        alphabets=np.array([alphabets.index(key[0]) for key in keys], np.int64),
        drawers=np.array([key[2] for key in keys], np.int64),
        characters=tuple(f"{_plain(alphabet)} {int(name.removeprefix('character'))}" for alphabet, name in characters),
        alphabet_names=tuple(map(_plain, alphabets)),
    )


def _plain(alphabet: str) -> str:
    return alphabet.replace("_", " ")


def _read(path: Path, side: int) -> dict[tuple[str, str, int], NDArray[np.float32]]:
    """Drawings of one archive by alphabet, character and drawer.

    The archive's files are called ``set/alphabet/character07/0123_04.png``: character 7 of its alphabet, drawer 4.
    """
    from PIL import Image

    drawings = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                parts = name.split("/")
                if len(parts) != 4 or not parts[3].endswith(".png"):
                    continue
                with Image.open(io.BytesIO(archive.read(name))) as image:
                    if image.size != (SIDE, SIDE):
                        raise ReplicaError(f"{path}: {name} has {image.size} pixels; delete it to download it again.")
                    # The pen's pixels are black in the file. BOX is the mean over areas.
                    shrunk = image.convert("F").resize((side, side), Image.Resampling.BOX)
                ink = 1 - np.asarray(shrunk, np.float32) / np.float32(255)
                drawings[parts[1], parts[2], int(parts[3][:-4].split("_")[1]) - 1] = ink
    except (OSError, zipfile.BadZipFile, ValueError, IndexError, EOFError) as error:
        raise ReplicaError(
            f"{path}: cannot be read as Omniglot ({type(error).__name__}); delete it to download it again."
        ) from error
    return drawings
