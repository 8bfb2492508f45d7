"""Rows of the user's own with something to predict: a column of a table, or the array ``y`` of an archive."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.arrays import Arrays, open_arrays
from replica.data.files.sources import MEMORY, in_memory, user_file
from replica.data.files.tables import Table, is_table, joined, left_out, read_table
from replica.data.sets.patterns import check_shape, refuse, shown
from replica.data.sets.rows import Rows
from replica.errors import ReplicaError

if TYPE_CHECKING:
    import pandas as pd

Encoded = tuple[NDArray[Any], NDArray[np.intp], tuple[str, ...], list[str]]
"""Values of all rows, the rows that have one, the names of classes, and notes."""


@dataclass(frozen=True)
class Target:
    """What is to be predicted, and how it is read.

    Args:
        names: Columns that are taken where the user names none.
        column: The cells of a table's column.
        encode: Turns cells into values: of the file, the cells, what they are in the user's terms, and which rows are to test.
        kinds: NumPy's letters of the kinds that an array of them may have.
        wanted: These kinds in words.
        archive: What an archive of arrays should hold.
        rows: Makes rows, of the target's name, their values and classes, and what `Rows` takes.
    """

    names: tuple[str, ...]
    column: Callable[[Table, str], pd.Series]
    encode: Callable[[Path | str, pd.Series, str, NDArray[np.bool_] | None], Encoded]
    kinds: str
    wanted: str
    archive: str
    rows: Callable[..., Rows]


def found(source: Any, formats: Collection[str]) -> Any:
    """The file, folder or data in memory that a user means."""
    if source is None:
        return None
    return user_file(source, tuple(formats)) if isinstance(source, str | os.PathLike) else in_memory(source)


def other_kind(tested: Any, wanted: str) -> ReplicaError:
    """The error of rows to test that are no such thing as the rows to learn from."""
    source = tested if isinstance(tested, Path) else MEMORY
    return refuse(source, "is of another kind than the rows to learn from", f"wanted {wanted} too")


def refuse_option(path: Path | str, option: str, value: Any, reason: str) -> None:
    """See that an option is not given."""
    if value:
        given = ", ".join(value) if isinstance(value, list | tuple) else value
        raise refuse(path, f"takes no option {option}, but got {shown(given)!r:.60}", f"leave it out: {reason}")


def read_target_rows(
    data: Any,
    tested: Any,
    target: Target,
    name: str,
    groups: str,
    keep: Collection[str],
    drop: Collection[str],
) -> Rows:
    """Read rows that were found, in a table or an archive, and those that are there to test (``tested``) below them.

    The ``name`` is the target's column; columns to ``keep`` stay although they seem to tell nothing.
    """
    if is_table(data):
        table = read_table(data)
        if tested is None:
            return _from_table(table, target, name, groups, keep, drop)
        if not is_table(tested):
            raise other_kind(tested, "a table")
        return _from_table(joined(table, read_table(tested)), target, name, groups, keep, drop, first=table)
    arrays = [open_arrays(data, target.archive)]
    for option, value in {"target": name, "keep": keep, "drop": drop}.items():
        refuse_option(arrays[0].source, option, value, "its array 'y' is predicted from 'X', which is taken whole")
    if tested is not None:
        if is_table(tested) or (isinstance(tested, Path) and tested.is_dir()):
            raise other_kind(tested, "arrays X and y")
        arrays.append(open_arrays(tested, target.archive))
    return _from_arrays(arrays, target, groups)


def cells(table: Table, name: str) -> pd.Series:
    """A column's numbers, or its cells as texts."""
    import pandas as pd

    column = table.frame[name]
    return column if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c" else table.text(name)


def _from_table(
    table: Table,
    target: Target,
    given: str,
    groups: str,
    keep: Collection[str],
    drop: Collection[str],
    first: Table | None = None,
) -> Rows:
    """Rows of a table, of which those below the ``first`` are there to test."""
    name = _target_column(table, target, given)
    group = table.find(groups) if groups else ""
    dropped, kept = [table.find(each) for each in drop], [table.find(each) for each in keep]
    if both := set(dropped) & {name, group, *kept}:
        raise refuse(table.source, f"column {shown(min(both))!r:.60} is dropped and wanted", "leave one of the two out")
    counters = [other for other in (first or table).counters((name, group, *kept)) if other not in dropped]
    tests = np.arange(len(table.frame)) >= len(first.frame) if first else None

    def features(rows: NDArray[np.intp], notes: list[str]) -> pd.DataFrame:
        frame = table.frame.iloc[rows].reset_index(drop=True)
        part = replace(table, frame=frame, place=lambda row, of: table.place(int(rows[row]), of))
        return _features(part, (name, group), dropped, counters, kept, notes)

    beside = cells(table, group) if group else None
    column = target.column(table, name)
    found = _encoded(target, table.source, column, f"column {shown(name)!r:.60}", tests, features, beside, shown(group))
    return target.rows(name, **(found | {"notes": (*table.notes, *found["notes"])}))


def _encoded(
    target: Target,
    source: Path | str,
    column: pd.Series,
    what: str,
    tests: NDArray[np.bool_] | None,
    features: Callable[[NDArray[np.intp], list[str]], Any],
    groups: pd.Series | None,
    grouped_by: str,
) -> dict[str, Any]:
    """The rows that have something to predict, and all that is told of them."""
    values, rows, classes, notes = target.encode(source, column, what, tests)
    made = features(rows, notes)
    beside: dict[str, Any] = {} if tests is None else {"tests": tests[rows]}
    if groups is not None:
        beside["groups"], beside["group_names"] = _group(source, groups.iloc[rows].reset_index(drop=True), grouped_by)
    return {"values": values[rows], "classes": classes, "features": made, "notes": tuple(notes), **beside}


def _features(
    part: Table,
    beside: Collection[str],
    dropped: Collection[str],
    counters: Collection[str],
    kept: Collection[str],
    notes: list[str],
) -> pd.DataFrame:
    """The columns to learn from; notes on them are added to those that there are."""
    import pandas as pd

    columns: dict[str, pd.Series] = {}
    out: dict[str, list[str]] = {"told": [*dropped], "only counts or names the rows": [*counters]}
    for other in part.frame.columns:
        if other in beside or other in dropped or other in counters:
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
        wrong = f"holds no column to learn from beside {shown(next(iter(beside)))!r:.60}"
        raise refuse(part.source, wrong, "wanted numbers or categories that vary" + "; ".join(["", *notes]))
    missing = int(sum(column.isna().sum() for column in columns.values()))
    notes += [f"{missing:,} cells missing"] * bool(missing)
    return pd.DataFrame(columns)


def _tells_nothing(column: pd.Series) -> str:
    import pandas as pd

    different = column.nunique(dropna=False)
    if different < 2:
        return "the same in every row"
    if isinstance(column.dtype, pd.CategoricalDtype) and different > 20 and column.nunique() > column.notna().sum() / 2:
        return "words nearly all different"
    return ""


def _group(source: Path | str, column: pd.Series, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    import pandas as pd

    if column.isna().any():
        raise refuse(
            source, f"{name!r:.60} is missing in row {int(column.isna().argmax()) + 1}", "wanted one for each row"
        )
    codes, names = pd.factorize(column, sort=True)
    return codes.astype(np.int64), tuple(map(str, names))


def _target_column(table: Table, target: Target, given: str) -> str:
    if given:
        return table.find(given)
    usual = [name for wanted in target.names for name in table.frame.columns if name.lower() == wanted]
    if not usual:
        wrong = f"it is not clear which column to predict: {table.listed()}"
        raise refuse(table.source, wrong, "name it, as in --target COLUMN")
    return str(usual[0])


def _from_arrays(archives: list[Arrays], target: Target, groups: str) -> Rows:
    """Rows of archives; those of a second one are there to test."""
    import pandas as pd

    beside, source = ["y", *([groups] if groups else [])], archives[0].source
    first = archives[0].headers.get("X", ((0,),))[0][1:]
    parts = [_read_arrays(arrays, target, beside, first) for arrays in archives]
    values = np.concatenate([features for features, _ in parts]) if len(parts) > 1 else parts[0][0]
    columns = {name: pd.concat([part[name] for _, part in parts], ignore_index=True) for name in beside}
    tests = np.arange(len(values)) >= len(parts[0][0]) if len(parts) > 1 else None

    def features(rows: NDArray[np.intp], notes: list[str]) -> Any:
        kept = values[rows]
        if kept.ndim != 2:
            return kept.astype(np.float32)
        missing = int(np.isnan(kept).sum())
        notes += [f"{missing:,} values missing"] * bool(missing)
        return pd.DataFrame(kept.astype(np.float64), columns=[f"feature {i + 1}" for i in range(kept.shape[1])])

    found = _encoded(target, source, columns["y"], "array 'y'", tests, features, columns.get(groups), groups)
    return target.rows("y", **found)


def _read_arrays(
    arrays: Arrays, target: Target, beside: list[str], wanted: tuple[int, ...]
) -> tuple[NDArray[Any], dict[str, pd.Series]]:
    """The array X, checked, and what stands beside it."""
    import pandas as pd

    arrays.need(("X", *beside), target.archive)
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
    read = arrays.read(["y"], target.kinds, target.wanted)
    read |= arrays.read([name for name in beside if name != "y"], "buifUS", "groups, as whole numbers or words")
    return features, {name: pd.Series(read[name]) for name in beside}
