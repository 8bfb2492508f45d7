"""The user's own labelled data: tables with a column of labels, ``.npz`` files, folders of images by class."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.arrays import Arrays, open_arrays
from replica.data.files.image_classes import read_image_classes
from replica.data.files.sources import MEMORY, in_memory, user_file
from replica.data.files.tables import TABLES, Table, is_table, joined, left_out, read_table
from replica.data.sets.labelled import Labelled, encode_labels
from replica.data.sets.patterns import check_shape, refuse, shown
from replica.errors import ReplicaError

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
    data, tested = (_found(each) for each in (source, test))
    if isinstance(data, Path) and data.is_dir():
        for option in {"target": target, "groups": groups, "keep": keep, "drop": drop}.items():
            _refuse_option(data, *option, "the names of its folders are the labels")
        return read_image_classes(data, tested, colour)
    if is_table(data):
        _refuse_option(MEMORY if not isinstance(data, Path) else data, "colour", colour, "it holds no images")
        table = read_table(data)
        if tested is None:
            return _from_table(table, target, groups, keep, drop)
        if not is_table(tested):
            raise _other_kind(tested, "a table")
        both = joined(table, read_table(tested))
        return _from_table(both, target, groups, keep, drop, first=table)
    arrays = [open_arrays(data, _ARCHIVE)]
    for name, value in {"target": target, "keep": keep, "drop": drop, "colour": colour}.items():
        _refuse_option(arrays[0].source, name, value, "its array 'y' holds the labels, 'X' is taken whole")
    if tested is not None:
        if is_table(tested) or (isinstance(tested, Path) and tested.is_dir()):
            raise _other_kind(tested, "arrays X and y")
        arrays.append(open_arrays(tested, _ARCHIVE))
    return _from_arrays(arrays, groups)


def _found(source: Any) -> Any:
    if source is None:
        return None
    return user_file(source, LABELLED_FORMATS) if isinstance(source, str | os.PathLike) else in_memory(source)


def _other_kind(tested: Any, wanted: str) -> ReplicaError:
    source = tested if isinstance(tested, Path) else MEMORY
    return refuse(source, "is of another kind than the rows to learn from", f"wanted {wanted} too")


def _refuse_option(path: Path | str, option: str, value: Any, reason: str) -> None:
    if value:
        given = ", ".join(value) if isinstance(value, list | tuple) else value
        raise refuse(path, f"takes no option {option}, but got {shown(given)!r:.60}", f"leave it out: {reason}")


def _from_table(
    table: Table,
    target: str,
    groups: str,
    keep: Collection[str],
    drop: Collection[str],
    first: Table | None = None,
) -> Labelled:
    """Rows of a table, of which those below the ``first`` are there to test."""
    import pandas as pd

    name = _target_column(table, target)
    group = table.find(groups) if groups else ""
    dropped, kept = [table.find(each) for each in drop], [table.find(each) for each in keep]
    if both := set(dropped) & {name, group, *kept}:
        raise refuse(table.source, f"column {shown(min(both))!r:.60} is dropped and wanted", "leave one of the two out")
    counters = [other for other in (first or table).counters((name, group, *kept)) if other not in dropped]
    tests = np.arange(len(table.frame)) >= len(first.frame) if first else None
    codes, classes, notes = encode_labels(table.source, _labels(table, name), f"column {shown(name)!r:.60}", tests)
    rows = np.flatnonzero(codes >= 0)
    part = replace(
        table,
        frame=table.frame.iloc[rows].reset_index(drop=True),
        notes=(),
        place=lambda row, of: table.place(int(rows[row]), of),
    )
    columns: dict[str, pd.Series] = {}
    out: dict[str, list[str]] = {"told": dropped, "only counts or names the rows": counters}
    for other in part.frame.columns:
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
    found = Labelled(pd.DataFrame(columns), codes[rows], classes, (*table.notes, *notes)).tested(tests, rows)
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


def _from_arrays(archives: list[Arrays], groups: str) -> Labelled:
    """Rows of archives; those of a second one are there to test."""
    import pandas as pd

    beside, source = ["y", *([groups] if groups else [])], archives[0].source
    parts = [_read_arrays(arrays, beside, archives[0].headers.get("X", ((0,),))[0][1:]) for arrays in archives]
    values = np.concatenate([features for features, _ in parts]) if len(parts) > 1 else parts[0][0]
    columns = {name: pd.concat([part[name] for _, part in parts], ignore_index=True) for name in beside}
    tests = np.arange(len(values)) >= len(parts[0][0]) if len(parts) > 1 else None
    codes, classes, notes = encode_labels(source, columns["y"], "array 'y'", tests)
    rows = np.flatnonzero(codes >= 0)
    values = values[rows]
    features: Any = values.astype(np.float32)
    if values.ndim == 2:
        missing = int(np.isnan(values).sum())
        notes += [f"{missing:,} values missing"] * bool(missing)
        names = [f"feature {i + 1}" for i in range(values.shape[1])]
        features = pd.DataFrame(values.astype(np.float64), columns=names)
    found = Labelled(features, codes[rows], classes, tuple(notes)).tested(tests, rows)
    return found if not groups else found.grouped(*_group(source, columns[groups][rows].reset_index(drop=True), groups))


def _read_arrays(
    arrays: Arrays, beside: list[str], wanted: tuple[int, ...]
) -> tuple[NDArray[Any], dict[str, pd.Series]]:
    """The array X, checked, and what stands beside it."""
    import pandas as pd

    arrays.need(("X", *beside), _ARCHIVE)
    source, (shape, dtype) = arrays.source, arrays.headers["X"]
    if dtype.kind in "buif":
        check_shape(Path(source), shape, dtype, "array 'X'")
    if shape[1:] != wanted:
        raise refuse(source, f"a row of 'X' has shape {shape[1:]}", f"wanted {wanted}, as in the rows to learn from")
    for name in beside:
        if arrays.headers[name][0] != shape[:1]:
            wrong = f"'X' has {shape[0]:,} rows, {name!r:.60} has shape {arrays.headers[name][0]}"
            raise refuse(source, wrong, "wanted one value a row")
    features = arrays.read(["X"])["X"]
    if features.ndim > 2 and not np.isfinite(features).all():
        raise refuse(source, "array 'X' holds NaN or infinity", "wanted finite images or signals")
    if np.isinf(features).any():
        raise refuse(source, "array 'X' holds infinity", "wanted finite numbers, or NaN where one is missing")
    read = arrays.read(beside, "buifUS", "classes, as whole numbers or words")
    return features, {name: pd.Series(values) for name, values in read.items()}
