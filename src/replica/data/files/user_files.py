"""The user's own patterns: one reader a format, chosen by the file's ending."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from replica.data.files.csv_files import read_csv
from replica.data.files.image_folders import read_image_folder
from replica.data.files.numpy_files import read_npy, read_npz
from replica.data.files.parquet_files import read_parquet
from replica.data.sets.patterns import Patterns, refuse, shown

_READERS: dict[str, Callable[[Path], Patterns]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}

FORMATS: tuple[str, ...] = (*_READERS, "folder of images")
"""What `read_patterns` reads."""


def read_patterns(path: str | os.PathLike[str]) -> Patterns:
    """Read the user's patterns from a file or a folder of images.

    ``.npy`` (one pattern along the first axis), ``.npz`` (the array ``patterns`` or ``X``, or the only one
    with two axes or more), ``.csv``, ``.tsv`` and ``.parquet`` (one pattern a row), or a folder of images of
    one size. Nothing is unpickled, and sizes are checked before the content is read: at most 2 GiB once
    decoded.

    Args:
        path: The file or folder; ``~`` is the home folder.

    Returns:
        The patterns as the file has them.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    file = Path(path).expanduser()
    try:
        if file.is_dir():
            return read_image_folder(file)
        if not file.exists():
            raise refuse(file, *missing_file(file))
        if not file.is_file():
            raise refuse(file, "is neither a file nor a folder", "wanted " + ", ".join(FORMATS))
        reader = _READERS.get(file.suffix.lower())
        if reader is None:
            raise refuse(file, f"the ending {file.suffix!r} is not known", "wanted " + ", ".join(FORMATS))
        if file.stat().st_size == 0:
            raise refuse(file, "is empty", "wanted one pattern a row")
        return reader(file)
    except (OSError, ValueError) as error:  # ValueError: a name no file can have
        raise refuse(file, f"cannot be opened ({error})", "wanted a readable file") from error


def missing_file(file: Path) -> tuple[str, str]:
    """What is wrong with a path where nothing is, and what might be meant."""
    folder = file.parent
    if not folder.is_dir():
        return (
            "does not exist, and neither does its folder",
            f"is the path right, seen from {shown(Path.cwd())}?",
        )
    near = difflib.get_close_matches(file.name, sorted(os.listdir(folder)), n=3, cutoff=0.6)
    if near:
        return "does not exist", f"did you mean {' or '.join(near)}?"
    return "does not exist", f"is the path right, seen from {shown(Path.cwd())}?"
