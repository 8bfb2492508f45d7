"""The user's own patterns: one a row of a table, along the first axis of an array, or an image of a folder."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from replica.data.files.arrays import Arrays, open_arrays
from replica.data.files.images import read_images
from replica.data.files.sources import in_memory, user_file
from replica.data.files.tables import TABLES, is_table, read_table
from replica.data.sets.patterns import Patterns, check_shape, refuse, shown, to_patterns

FORMATS: tuple[str, ...] = (".npy", ".npz", *TABLES, "folder of images")
"""What `read_patterns` reads."""

KEYS = ("patterns", "X")
"""The array that is read where a file holds several."""


def read_patterns(
    source: str | os.PathLike[str] | Any,
    *,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
    colour: bool = False,
) -> Patterns:
    """Read the user's patterns from a file, a folder of images, or memory.

    ``.npy`` (one pattern along the first axis), ``.npz`` (the array ``patterns`` or ``X``, or the only one
    with two axes or more), a table of text or Parquet (one pattern a row; see `replica.data.files.tables.read_table`), or a
    folder of images of one size. Nothing is unpickled, and sizes are checked before the content is read: at most 2 GiB once
    decoded.

    Args:
        source: The file or folder (``~`` is the home folder); or an array, a tensor, arrays by name, or a data frame.
        keep: Columns of a table that stay although they only count the rows.
        drop: Columns of a table that are left out.
        colour: Keep the colours of images, channels first.

    Returns:
        The patterns as the file has them.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    data = user_file(source, FORMATS) if isinstance(source, str | os.PathLike) else in_memory(source)
    if isinstance(data, Path) and data.is_dir():
        images = read_images(data, colour=colour)
        return to_patterns(
            data,
            images.values,
            notes=images.notes,
            locate=lambda row, rest: f"{images.files[row].name}, pixel {rest[-1] + 1} of line {rest[-2] + 1}",
        )
    if is_table(data):
        table = read_table(data)
        values, names, notes = table.numbers(keep, drop)
        return to_patterns(
            Path(table.source),
            values,
            notes=(*table.notes, *notes),
            locate=lambda row, rest: table.place(row, names[rest[0]]),
        )
    arrays = open_arrays(data, "wanted a file written by numpy.save or numpy.savez")
    chosen = _choose(arrays)
    shape, dtype = arrays.headers[chosen]
    if dtype.kind in "buif":
        check_shape(Path(arrays.source), shape, dtype, arrays.called(chosen))
    return to_patterns(Path(arrays.source), arrays.read([chosen])[chosen])


def _choose(arrays: Arrays) -> str:
    if "" in arrays.headers:
        return ""
    for key in KEYS:
        if key in arrays.headers:
            return key
    tables = [name for name, (shape, _) in arrays.headers.items() if len(shape) >= 2]
    if len(tables) == 1:
        return tables[0]
    wanted = f"wanted one called {' or '.join(map(repr, KEYS))}, or only one with two axes or more"
    if not arrays.headers:
        raise refuse(arrays.source, "holds no array", wanted)
    listed = ", ".join(f"{shown(name)!r:.60} {shape}" for name, (shape, _) in list(arrays.headers.items())[:6])
    raise refuse(arrays.source, f"it is not clear which array holds the patterns: {listed}", wanted)
