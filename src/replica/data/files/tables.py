"""The one reader of tables: text of every kind, Parquet, and data frames in memory."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from replica.data.files.column_types import as_numbers, first_word, typed, words
from replica.data.files.sources import MEMORY, check_bytes, ending, reading
from replica.data.files.text_tables import read_text
from replica.data.sets.patterns import check_shape, refuse, shown

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".tsv", ".txt", ".data", ".parquet")
"""Endings of tables; those of text may be packed (``.csv.gz``)."""

_ROW_NAME = re.compile(r"(^|[\W_])(id|nr|no|index|idx|row|uuid|guid|row ?number)$|^unnamed: 0$", re.IGNORECASE)
_ROW_NAME_JOINED = re.compile(r"[a-z](Id|ID)$|RowNumber$")
_MANY = 20
"""Rows from which a column that goes up by one counts them, whatever it is called."""


@dataclass(frozen=True)
class Table:
    """A table's columns as they were read, by name.

    ``nameless`` columns came without a name, as row names do; ``index`` ones were a data frame's index. ``place`` says where a
    cell stands.
    """

    source: Path | str
    frame: pd.DataFrame = field(repr=False)
    nameless: frozenset[str] = frozenset()
    index: frozenset[str] = frozenset()
    decimal: str = "."
    notes: tuple[str, ...] = ()
    place: Callable[[int, str], str] = field(default=lambda row, name: f"row {row + 1}, column {shown(name)!r:.60}")

    def find(self, name: str) -> str:
        """The column that the user means by a name, or by a number from 1."""
        names = list(self.frame.columns)
        if name in names:
            return name
        if name.isdecimal() and len(name) < 9 and 1 <= int(name) <= len(names):
            return str(names[int(name) - 1])
        near = difflib.get_close_matches(name[:300], names, n=1, cutoff=0.5)
        hint = f"did you mean {shown(near[0])}?" if near else f"it has {self.listed()}"
        raise refuse(self.source, f"has no column {shown(name)!r:.60}", hint)

    def listed(self) -> str:
        """The first of the columns' names, for messages."""
        return ", ".join(map(shown, self.frame.columns[:12])) + " …" * (len(self.frame.columns) > 12)

    def counters(self, keep: Collection[str] = ()) -> list[str]:
        """Columns that only count the rows or name them: row names, an index, an Id; never those to keep."""
        return [name for name in self.frame.columns if name not in keep and self._names_rows(name)]

    def _names_rows(self, name: str) -> bool:
        import pandas as pd

        column = self.frame[name]
        if name in self.index or (
            name in self.nameless and column.isna().all()
        ):  # empty: each row ends with a delimiter
            return True
        called = name in self.nameless or bool(_ROW_NAME.search(name) or _ROW_NAME_JOINED.search(name))
        if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
            return called and self.text(name).is_unique and not column.isna().any()
        values = column.to_numpy(np.float64, na_value=np.nan)
        if not np.isfinite(values).all() or (values != np.round(values)).any():
            return False
        if len(values) > 1 and (np.diff(values) == 1).all():
            return called or len(values) >= _MANY
        return called and len(values) > 1 and len(np.unique(values)) == len(values)

    def _column(self, name: str) -> AbstractContextManager[None]:
        return reading(
            self.source, "wanted one value a cell: leave that column out (--drop)", f"column {shown(name)!r:.60} is odd"
        )

    def text(self, name: str) -> pd.Series:
        """A column's cells as texts, missing where they are."""
        with self._column(name):
            return words(self.frame[name])

    def typed(self, name: str) -> tuple[dict[str, pd.Series], str]:
        """A column as columns of finite numbers or categories, and a note; see `replica.data.files.column_types.typed`."""
        with self._column(name):
            columns, note = typed(self.frame[name], name, self.decimal)
        for column in columns.values():
            infinite = np.isinf(column.to_numpy()) if column.dtype == np.float64 else np.zeros(1, bool)
            if infinite.any():
                where = self.place(int(infinite.argmax()), name)
                raise refuse(self.source, f"{where} is infinite", "wanted finite numbers, or an empty cell")
        return columns, note

    def numbers(
        self, keep: Collection[str] = (), drop: Collection[str] = ()
    ) -> tuple[NDArray[np.float64], list[str], list[str]]:
        """All columns as numbers ``(rows, columns)`` without those that count or name the rows, the columns' names, and notes.

        The first cell that is a word, a date or a list is refused.
        """
        dropped = [self.find(name) for name in drop]
        counters = [name for name in self.counters([self.find(name) for name in keep]) if name not in dropped]
        names = [name for name in self.frame.columns if name not in dropped and name not in counters]
        notes = [left_out("only counts or names the rows", counters)] * bool(counters)
        check_shape(Path(self.source), (len(self.frame), len(names)), np.dtype(np.float64), "the table")
        values = np.empty((len(self.frame), len(names)))
        for place, name in enumerate(names):
            with self._column(name):
                column, note = as_numbers(self.frame[name], self.decimal)
            if column is None:
                row, cell = first_word(self.frame[name]) or (0, "")
                raise refuse(
                    self.source,
                    f"{self.place(row, name)} is {shown(cell)!r:.60}, no number",
                    "wanted numbers in every cell",
                )
            values[:, place] = column
            notes += [f"{shown(name)}: {note}"] * bool(note)
        return values, names, notes


def joined(first: Table, second: Table) -> Table:
    """The rows of one table below those of another that has its columns; columns of the second alone are left out."""
    import pandas as pd

    names, more = list(first.frame.columns), [name for name in second.frame.columns if name not in first.frame]
    for name in names:
        if name not in second.frame:
            raise refuse(second.source, f"has no column {shown(name)!r:.60}", f"wanted those of {shown(first.source)}")
    notes = [left_out(f"in {Path(second.source).name} alone", more)] * bool(more)

    def place(row: int, name: str) -> str:
        rest = row - len(first.frame)
        return first.place(row, name) if rest < 0 else f"{second.place(rest, name)} of {shown(second.source)}"

    frame = pd.concat([first.frame, second.frame[names]], ignore_index=True)
    return replace(first, frame=frame, notes=(*first.notes, *notes), place=place)


def left_out(why: str, names: Collection[str]) -> str:
    """A note on columns that were left out."""
    return f"left out, as {why}: {', '.join(map(shown, list(names)[:3]))}{' …' * (len(names) > 3)}"


def is_table(data: Any) -> TypeGuard[Path | pd.DataFrame]:
    """Whether data that were found are a table: a file that ends like one, or a data frame."""
    return ending(data) in TABLES if isinstance(data, Path) else hasattr(data, "columns")


def read_table(source: Path | pd.DataFrame) -> Table:
    """Read a table from a file or a data frame, nothing of it left out or converted yet.

    Text (``.csv``, ``.tsv``, ``.txt``, ``.data``, each also packed as ``.gz``): cells parted by commas, semicolons, tabs, bars or
    blanks; see `replica.data.files.text_tables.find_layout` for what is seen from the file. Parquet: no metadata are believed
    but the names of pandas' index.
    """
    if not isinstance(source, Path):
        return _from_frame(source)
    check_bytes(source, source.stat().st_size)
    if ending(source) == ".parquet":
        return _from_parquet(source)
    frame, layout = read_text(source)
    check_shape(source, (layout.rows, max(layout.width, 2)), np.dtype(np.float64), "the table")
    given = layout.names or ("",) * layout.width
    frame.columns = _distinct(source, [name or f"column {i + 1}" for i, name in enumerate(given)])
    numbers = {name: str(i + 1) for i, name in enumerate(frame.columns)}

    def place(row: int, name: str) -> str:
        called = repr(shown(name)) if layout.names and given[int(numbers[name]) - 1] else numbers[name]
        return f"line {layout.line_number(row)}, column {called:.60}"

    nameless = frozenset(name for name, was in zip(frame.columns, given, strict=True) if not was and layout.names)
    return Table(source, frame, nameless, frozenset(), layout.decimal, layout.notes, place)


def _from_frame(frame: pd.DataFrame) -> Table:
    index = frozenset({str(frame.index.name)}) if frame.index.name is not None else frozenset()
    frame = frame.reset_index(drop=not index)
    frame.columns = _distinct(MEMORY, [str(name).strip() for name in frame.columns])
    check_bytes(MEMORY, 8.0 * frame.size, "the table")
    return Table(MEMORY, frame, index=index)


def _from_parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    with reading(path, "wanted a Parquet table", "cannot be read as Parquet"), path.open("rb") as stream:
        file = pq.ParquetFile(stream)
        groups = range(file.metadata.num_row_groups)
        check_bytes(path, sum(file.metadata.row_group(i).total_byte_size for i in groups), "the table")
        check_bytes(path, 8.0 * file.metadata.num_rows * len(file.schema_arrow.names), "the table")
        index = _index_columns(file.schema_arrow)
        frame = file.read().replace_schema_metadata(None).to_pandas(ignore_metadata=True, date_as_object=False)
        frame.columns = _distinct(path, [str(name).strip() for name in frame.columns])
    return Table(path, frame, index=index)


def _index_columns(schema: Any) -> frozenset[str]:
    """The columns that pandas' metadata call an index, where they say so plainly."""
    try:
        told = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    except ValueError:
        return frozenset()
    names = told.get("index_columns") if isinstance(told, Mapping) else None
    found = {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
    found &= set(schema.names)
    return frozenset(found) if len(found) < len(schema.names) else frozenset()


def _distinct(source: Path | str, names: list[str]) -> list[str]:
    name, count = Counter(names).most_common(1)[0] if names else ("", 1)
    if count > 1:
        raise refuse(source, f"{count} columns are called {shown(name)!r:.60}", "wanted a name of its own for each")
    return names
