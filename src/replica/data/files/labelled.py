"""The user's own labelled data: tables with a column of labels, ``.npz`` files, folders of images by class."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.arrays import Arrays, open_arrays
from replica.data.files.images import read_images
from replica.data.files.sources import in_memory, user_file
from replica.data.files.tables import TABLES, Table, is_table, left_out, read_table
from replica.data.sets.labelled import Labelled, encode_labels
from replica.data.sets.patterns import check_shape, refuse, shown

if TYPE_CHECKING:
    import pandas as pd

LABELLED_FORMATS: tuple[str, ...] = (*TABLES, ".npz", "folder of images by class")
"""What `read_labelled` reads."""

TARGET_NAMES = ("target", "label", "class", "y")
"""Columns that are taken for the labels where the user names none."""

_ARCHIVE = "wanted a file written by numpy.savez with arrays 'X' (one row a sample) and 'y' (one label a row)"


def read_labelled(
    source: str | os.PathLike[str] | Any,
    target: str = "",
    *,
    groups: str = "",
    keep: Collection[str] = (),
    drop: Collection[str] = (),
    colour: bool = False,
) -> Labelled:
    """Read labelled data from a file, a folder or memory.

    - Tables of text or Parquet (see `replica.data.files.tables.read_table`): one row a sample. Columns become numbers or
      categories (see `replica.data.files.column_types.typed`); cells may be missing. A column that is the same in every row,
      one that only counts or names the rows (an Id), and one of words nearly all different tell nothing and are left out.
    - ``.npz``: arrays ``X`` (``(count, features)``, or images or signals with more axes) and ``y``.
    - A folder whose sub-folders are the classes, with images of one size in each.

    Rows without a label and classes with one row are left out. All of this is said in the notes.

    Args:
        source: The file or folder (``~`` is the home folder); or a data frame, arrays by name, or a pair ``(X, y)``.
        target: The column of the labels, by name or by number from 1; where empty, one called target, label, class or y.
        groups: A column or array that names the group of each row, such as its domain; it is no feature.
        keep: Columns that stay although they seem to tell nothing.
        drop: Columns that are left out.
        colour: Keep the colours of images, channels first.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    data = user_file(source, LABELLED_FORMATS) if isinstance(source, str | os.PathLike) else in_memory(source)
    if isinstance(data, Path) and data.is_dir():
        for option, value in (("target", target), ("groups", groups)):
            _refuse_option(data, option, value, "its folders' names are the labels")
        return _read_folder(data, colour)
    if is_table(data):
        return _from_table(read_table(data), target, groups, keep, drop)
    arrays = open_arrays(data, _ARCHIVE)
    _refuse_option(arrays.source, "target", target, "its array 'y' holds the labels")
    return _from_arrays(arrays, groups)


def _refuse_option(path: Path | str, option: str, value: str, reason: str) -> None:
    if value:
        raise refuse(path, f"takes no column for the {option}, but got {shown(value)!r:.60}", f"leave it out: {reason}")


def _from_table(table: Table, target: str, groups: str, keep: Collection[str], drop: Collection[str]) -> Labelled:
    import pandas as pd

    name = _target_column(table, target)
    group = table.find(groups) if groups else ""
    dropped, kept = [table.find(each) for each in drop], [table.find(each) for each in keep]
    counters = [other for other in table.counters((name, group, *kept)) if other not in dropped]
    codes, classes, notes = encode_labels(table.source, _labels(table, name), f"column {shown(name)!r:.60}")
    rows = np.flatnonzero(codes >= 0)
    frame, seen = table.frame.iloc[rows].reset_index(drop=True), table.place
    part = Table(
        table.source, frame, table.nameless, table.index, table.decimal, (), lambda row, of: seen(int(rows[row]), of)
    )
    columns: dict[str, pd.Series] = {}
    out: dict[str, list[str]] = {"only counts or names the rows": counters}
    for other in frame.columns:
        if other in (name, group) or other in dropped or other in counters:
            continue
        made, note = part.typed(other)
        why = "" if other in kept else _tells_nothing(made[other])
        if why:
            out.setdefault(why, []).append(other)
        else:
            columns |= made
            notes += [note] * bool(note)
    notes += [left_out(why, names) for why, names in out.items() if names]
    if not columns:
        wrong = f"holds no column to learn from beside {shown(name)!r:.60}"
        raise refuse(table.source, wrong, "wanted numbers or categories that vary" + "; ".join(["", *notes]))
    missing = int(sum(column.isna().sum() for column in columns.values()))
    notes += [f"{missing:,} cells missing"] * bool(missing)
    found = Labelled(pd.DataFrame(columns), codes[rows], classes, (*table.notes, *notes))
    return found if not group else found.grouped(*_group(table.source, _labels(part, group), shown(group)))


def _tells_nothing(column: pd.Series) -> str:
    import pandas as pd

    different = column.nunique(dropna=False)
    if different < 2:
        return "the same in every row"
    if isinstance(column.dtype, pd.CategoricalDtype) and different > 20 and column.nunique() > column.notna().sum() / 2:
        return "words nearly all different"
    return ""


def _labels(table: Table, name: str) -> pd.Series:
    import pandas as pd

    column = table.frame[name]
    return column if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c" else table.text(name)


def _group(source: Path | str, column: pd.Series, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    import pandas as pd

    if column.isna().any():
        raise refuse(
            source, f"{name!r:.60} is missing in row {int(column.isna().argmax()) + 1}", "wanted one for each row"
        )
    codes, names = pd.factorize(column, sort=True)
    return codes.astype(np.int64), tuple(map(str, names))


def _target_column(table: Table, target: str) -> str:
    if target:
        return table.find(target)
    usual = [name for wanted in TARGET_NAMES for name in table.frame.columns if name.lower() == wanted]
    if not usual:
        wrong = f"it is not clear which column to predict: {table.listed()}"
        raise refuse(table.source, wrong, "name it, as in --target COLUMN")
    return str(usual[0])


def _from_arrays(arrays: Arrays, groups: str) -> Labelled:
    import pandas as pd

    arrays.need(("X", "y", *([groups] if groups else [])), _ARCHIVE)
    source, (shape, dtype) = arrays.source, arrays.headers["X"]
    if dtype.kind in "buif":
        check_shape(Path(source), shape, dtype, "array 'X'")
    beside = ["y", *([groups] if groups else [])]
    for name in beside:
        if arrays.headers[name][0] != shape[:1]:
            wrong = f"'X' has {shape[0]:,} rows, {name!r:.60} has shape {arrays.headers[name][0]}"
            raise refuse(source, wrong, "wanted one value a row")
    features = arrays.read(["X"])["X"]
    columns = {
        name: pd.Series(a) for name, a in arrays.read(beside, "buifUS", "classes, as whole numbers or words").items()
    }
    codes, classes, notes = encode_labels(source, columns["y"], "array 'y'")
    rows = codes >= 0
    features = features[rows]
    if features.ndim > 2:
        if not np.isfinite(features).all():
            raise refuse(source, "array 'X' holds NaN or infinity", "wanted finite images or signals")
        found = Labelled(features.astype(np.float32), codes[rows], classes, tuple(notes))
    else:
        values = features.astype(np.float64)
        if np.isinf(values).any():
            raise refuse(source, "array 'X' holds infinity", "wanted finite numbers, or NaN where one is missing")
        missing = int(np.isnan(values).sum())
        notes += [f"{missing:,} values missing"] * bool(missing)
        frame = pd.DataFrame(values, columns=[f"feature {i + 1}" for i in range(values.shape[1])])
        found = Labelled(frame, codes[rows], classes, tuple(notes))
    return found if not groups else found.grouped(*_group(source, columns[groups][rows].reset_index(drop=True), groups))


def _read_folder(folder: Path, colour: bool) -> Labelled:
    import pandas as pd

    below = sorted(part for part in folder.iterdir() if part.is_dir() and not part.name.startswith("."))
    if len(below) < 2:
        many = f"has {len(below)} folder{'s' * (len(below) != 1)} in it"
        raise refuse(folder, many, "wanted one folder of images for each class, two or more")
    stacks: list[NDArray[np.float32]] = []
    names: list[str] = []
    notes: dict[str, int] = {}
    for part in below:
        found = read_images(part, colour=colour)
        if stacks and found.values.shape[1:] != stacks[0].shape[1:]:
            here, first = (" × ".join(map(str, stack.shape[1:])) for stack in (found.values, stacks[0]))
            wrong = f"images of {part.name} have {here} pixels, of {below[0].name} {first}"
            raise refuse(folder, wrong, "wanted one size")
        stacks.append((found.values / 255).astype(np.float32))
        names += [part.name] * len(found.values)
        for note in found.notes:
            count, what = note.split(" ", 1)
            notes[what] = notes.get(what, 0) + int(count.replace(",", ""))
    check_shape(folder, (len(names), *stacks[0].shape[1:]), np.dtype(np.float32), "the stack of images")
    codes, classes, more = encode_labels(folder, pd.Series(names), "the folder")
    told = (*(f"{count:,} {what}" for what, count in notes.items()), *more)
    return Labelled(np.concatenate(stacks)[codes >= 0], codes[codes >= 0], classes, told)
