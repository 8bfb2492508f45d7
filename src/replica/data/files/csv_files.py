"""Patterns from text tables: ``.csv`` and ``.tsv`` as spreadsheets, pandas, R and NumPy write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replica.data.sets import patterns as limits
from replica.data.sets.patterns import Patterns, check_shape, refuse, shown, to_patterns

if TYPE_CHECKING:
    import pandas as pd

_BLANKS = r"\s+"
_NOT_THERE = frozenset({"", "na", "n/a", "nan", "null", "none", "inf", "-inf", "+inf", "infinity", "true", "false"})
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


@dataclass(frozen=True)
class _Layout:
    """How a text table is laid out, found before any number is read."""

    delimiter: str
    decimal: str
    columns: tuple[str, ...]
    named: bool
    """Whether ``columns`` are names from the file's first line, or only numbers counted from 1."""
    lines_before: int
    """Lines before the first row of numbers: comments, blank ones, the column names."""
    rows: int


def read_csv(path: Path) -> Patterns:
    """Read a text table of numbers, one pattern a row.

    Cells may be parted by commas, semicolons (then with decimal commas too), tabs, bars or blanks. Whether
    the first line holds column names is seen from its cells: text above numbers, or 0, 1, 2, … as pandas
    names columns. Lines that start with ``#`` before the table are passed over, and so is a column without a
    name that only counts the rows.

    Raises:
        ReplicaError: If it is no such table, is too large once decoded, has rows of different lengths, or
            cells of anything but finite numbers (named by line and column).
    """
    import pandas as pd

    size = path.stat().st_size
    if size > limits.LIMIT_BYTES:
        raise refuse(
            path,
            f"has {size / 2**30:.1f} GiB",
            f"wanted at most {limits.LIMIT_BYTES / 2**30:g} GiB: bring fewer rows",
        )
    try:
        layout = _scan(path)
    except csv.Error as error:
        raise refuse(path, f"cannot be read as a table ({error})", "wanted numbers in UTF-8 text") from error
    check_shape(path, (layout.rows, len(layout.columns)), np.dtype(np.float64), "the table")
    try:
        frame = pd.read_csv(
            path,
            sep=layout.delimiter,
            decimal=layout.decimal,
            header=None,
            names=list(range(len(layout.columns))),
            index_col=False,
            skiprows=layout.lines_before,
            skipinitialspace=True,
            low_memory=False,
            encoding="utf-8-sig",
        )
    except (ValueError, OverflowError) as error:  # pandas' and Unicode's own errors are ValueErrors
        raise refuse(path, f"cannot be read as a table ({error})", "wanted numbers in UTF-8 text") from error
    if len(frame) != layout.rows:
        raise refuse(path, "a cell goes on over the end of its line", "wanted plain numbers")

    def locate(row: int, rest: Sequence[int]) -> str:
        return f"line {_line_number(path, layout, row)}, column {_column(layout, rest[0])}"

    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            row = _first_text(frame[column], layout.decimal)
            if row is not None:
                raise refuse(
                    path,
                    f"{locate(row, (int(column),))} is {shown(frame[column].iloc[row])!r:.60}, no number",
                    "wanted numbers in every cell",
                )
            frame[column] = pd.to_numeric(frame[column], errors="coerce")
    values = frame.to_numpy(np.float64)
    notes = ["the first line read as column names"] if layout.named else []
    first = 0
    if layout.named and layout.columns[0] in ("", "Unnamed: 0") and _counts_rows(values[:, 0]):
        first = 1
        notes.append("the column that counts the rows left out")
        check_shape(path, (layout.rows, len(layout.columns) - 1), np.dtype(np.float64), "the table")
    return to_patterns(
        path, values[:, first:], notes=tuple(notes), locate=lambda row, rest: locate(row, (rest[0] + first,))
    )


def _scan(path: Path) -> _Layout:
    """Go through the file once: find the layout, count the rows, see that they are equally long."""
    lines = _table_lines(path)
    start: list[tuple[int, bytes]] = []
    for numbered in lines:
        start.append(numbered)
        if len(start) == 2:
            break
    if not start:
        raise refuse(path, "holds no line of numbers", "wanted one pattern a row")
    try:
        texts = [line.decode("utf-8-sig").strip("\r\n") for _, line in start]
    except UnicodeDecodeError as error:
        raise refuse(path, f"is not UTF-8 text ({error.reason})", "save it as UTF-8") from error

    delimiter = _delimiter(texts[0])
    first, second = (_cells(text, delimiter) for text in (texts[0], texts[-1]))
    decimal = "," if delimiter != "," and any(_DECIMAL_COMMA.fullmatch(cell) for cell in second) else "."
    named = _is_header(first, second if len(start) == 2 else None, decimal)
    width = len(first)
    rows = 0
    for number, line in (*start, *lines):
        found = _count_cells(line, delimiter)
        if found != width:
            raise refuse(
                path,
                f"line {number} has {found} cell{'s' * (found != 1)}, line {start[0][0]} has {width}",
                "wanted equally many in every line",
            )
        rows += 1
    if named and rows == 1:
        raise refuse(path, "holds column names but no row of numbers", "wanted one pattern a row")
    return _Layout(
        delimiter=delimiter,
        decimal=decimal,
        columns=tuple(first) if named else tuple(str(i + 1) for i in range(width)),
        named=named,
        lines_before=start[0][0] if named else start[0][0] - 1,
        rows=rows - named,
    )


def _table_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of the table itself, each with its number in the file, counted from 1."""
    begun = False
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if b"\0" in line:
                raise refuse(path, f"line {number} holds bytes that are no text", "wanted plain text in UTF-8")
            content = line.removeprefix(b"\xef\xbb\xbf").strip()
            if not content or (not begun and content.startswith(b"#")):
                continue
            begun = True
            yield number, line


def _delimiter(text: str) -> str:
    bare = re.sub(r'"[^"]*"', "", text)
    for delimiter in "\t;|,":
        if delimiter in bare:
            return delimiter
    return _BLANKS if len(bare.split()) > 1 else ","


def _cells(text: str, delimiter: str) -> list[str]:
    if delimiter == _BLANKS:
        return [cell.strip('"') for cell in text.split()]
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [""])]


def _count_cells(line: bytes, delimiter: str) -> int:
    if delimiter == _BLANKS:
        return len(line.split())
    if b'"' in line:
        return len(_cells(line.decode("utf-8", "replace").strip("\r\n"), delimiter))
    return line.count(delimiter.encode()) + 1


def _is_header(first: Sequence[str], second: Sequence[str] | None, decimal: str) -> bool:
    """Whether the first line holds names.

    So it does with text above numbers, with nothing but text, or with pandas' own 0, 1, 2, ….
    """
    counted = first[1:] if first[0] == "" else first
    if len(counted) > 2 and list(counted) == [str(i) for i in range(len(counted))]:
        return True
    text = [not _is_number(cell, decimal) for cell in first]
    if second is None or len(second) != len(first):
        return any(text)
    below = [_is_number(cell, decimal) for cell in second]
    return all(text) or any(here and number for here, number in zip(text, below, strict=True))


def _is_number(cell: str, decimal: str) -> bool:
    if cell.strip().lower() in _NOT_THERE:
        return True
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return False
    return "_" not in cell


def _first_text(column: pd.Series, decimal: str) -> int | None:
    """The first row of a column that is neither a number nor missing; None if there is none."""
    import pandas as pd

    text = column.astype("string").str.replace(decimal, ".", regex=False)
    wrong = (pd.to_numeric(text, errors="coerce").isna() & column.notna()).to_numpy(bool)
    return int(np.argmax(wrong)) if wrong.any() else None


def _counts_rows(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    return bool(values[0] in (0, 1) and np.array_equal(values, np.arange(len(values)) + values[0]))


def _line_number(path: Path, layout: _Layout, row: int) -> int:
    seen = -1 - layout.named
    for number, _ in _table_lines(path):
        seen += 1
        if seen == row:
            return number
    raise AssertionError("a row outside the table")


def _column(layout: _Layout, column: int) -> str:
    name = layout.columns[column]
    return repr(name) if layout.named and name else str(column + 1)
