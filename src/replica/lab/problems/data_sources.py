"""Where a problem's data come from: a named set, or a file of the user's."""

from __future__ import annotations

import csv
import difflib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from replica.errors import ReplicaError


def user_path(source: str, names: Iterable[str], files: str) -> Path:
    """The user's file or folder, where the source is none of the named data sets; ``files`` says what else is taken.

    Raises:
        ReplicaError: If it looks like a misspelt name instead.
    """
    path = Path(source).expanduser()
    if not path.suffix and len(path.parts) <= 1 and not path.exists():
        known = tuple(names)
        near = difflib.get_close_matches(source.lower(), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"wanted {', '.join(known)}, {files}."
        raise ReplicaError(f"{source!r} is neither a data set nor a file; {hint}")
    return path


def digest(form: Any, *arrays: Any) -> str:
    """A hash of arrays, and of what else makes the data what they are."""
    hashed = hashlib.blake2b(repr(form).encode(), digest_size=20)
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()


def column_names(text: str) -> list[str]:
    """The names of columns, parted by commas; one that holds a comma stands in double quotes.

    Example:
        >>> column_names('Id, "last, first"')
        ['Id', 'last, first']
    """
    try:
        return [name for name in next(csv.reader([text], skipinitialspace=True), []) if name]
    except csv.Error:  # a line break, or more letters than a cell may have
        raise ReplicaError(f"{text!r:.60} names no columns; wanted names parted by commas.") from None
