"""The user's own labelled data: tables with a column of labels, ``.npz`` files, folders of images by class."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from replica.data.files.image_classes import read_image_classes
from replica.data.files.sources import MEMORY
from replica.data.files.tables import TABLES, is_table
from replica.data.files.target_rows import Encoded, Target, cells, found, read_target_rows, refuse_option
from replica.data.sets.labelled import Labelled, encode_labels

if TYPE_CHECKING:
    import pandas as pd

LABELLED_FORMATS: tuple[str, ...] = (*TABLES, ".npz", "folder of images by class")
"""What `read_labelled` reads."""

TARGET_NAMES = ("target", "label", "class", "y")
"""Columns that are taken for the labels where the user names none."""


def read_labelled(
    source: str | os.PathLike[str] | Any,
    target: str = "",
    *,
    groups: str = "",
    keep: Collection[str] = (),
    drop: Collection[str] = (),
    colour: bool = False,
    test: str | os.PathLike[str] | Any = None,
) -> Labelled:
    """Read labelled data from a file, a folder or memory.

    - Tables of text or Parquet (see `replica.data.files.tables.read_table`): one row a sample. Columns become numbers or
      categories (see `replica.data.files.column_types.typed`); cells may be missing. A column that is the same in every row,
      one that only counts or names the rows (an Id), and one of words nearly all different tell nothing and are left out.
    - ``.npz``: arrays ``X`` (``(count, features)``, or images or signals with more axes) and ``y``.
    - A folder whose sub-folders are the classes, with images of one size in each; or whose sub-folders are ``train`` and ``test``
      and hold such folders.

    Rows without a label and classes with one row are left out. All of this is said in the notes.

    Args:
        source: The file or folder (``~`` is the home folder); or a data frame, arrays by name, or a pair ``(X, y)``.
        target: The column of the labels, by name or by number from 1; where empty, one called target, label, class or y.
        groups: A column or array that names the group of each row, such as its domain; it is no feature.
        keep: Columns that stay although they seem to tell nothing.
        drop: Columns that are left out.
        colour: Keep the colours of images, channels first.
        test: Rows of the same kind that are there to test; they come after the others, and `Labelled.tests` tells them.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    data, tested = (found(each, LABELLED_FORMATS) for each in (source, test))
    if isinstance(data, Path) and data.is_dir():
        for option in {"target": target, "groups": groups, "keep": keep, "drop": drop}.items():
            refuse_option(data, *option, "the names of its folders are the labels")
        return read_image_classes(data, tested, colour)
    source = data if isinstance(data, Path) else MEMORY
    refuse_option(source, "colour", colour, "it holds no images" if is_table(data) else "'X' is taken whole")
    return cast(Labelled, read_target_rows(data, tested, LABELS, target, groups, keep, drop))


def _encode(path: Path | str, labels: pd.Series, what: str, tests: NDArray[np.bool_] | None) -> Encoded:
    codes, classes, notes = encode_labels(path, labels, what, tests)
    return codes, np.flatnonzero(codes >= 0), classes, notes


LABELS = Target(
    TARGET_NAMES,
    cells,
    _encode,
    "buifUS",
    "classes, as whole numbers or words",
    "wanted a file written by numpy.savez with arrays 'X' (one row a sample) and 'y' (one label a row)",
    lambda name, values, **more: Labelled(labels=values, **more),
)
