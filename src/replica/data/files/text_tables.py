"""Text tables as spreadsheets, pandas, R, NumPy and data archives write them: how they are laid out, and their cells."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from replica.data.files.column_types import is_value
from replica.data.files.sources import check_bytes, reading
from replica.data.sets.patterns import refuse

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})
"""Cells without a value, in small letters."""
_BLANKS = r"\s+"
_SCANNED = 1000
"""Lines from which the layout is seen."""
_LONGEST = 1 << 26
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Layout:
    """How a text table is laid out, found before any number is read.

    Lines that begin with ``#`` are comments where ``hashes`` says so. There are no ``names`` where the first line holds none, and
    ``rows`` below them. The ``decimal`` sign is a comma where semicolons part cells such as 1,5: full stops then part thousands.
    """

    path: Path
    encoding: str
    hashes: bool
    delimiter: str
    names: tuple[str, ...] = ()
    width: int = 0
    rows: int = 0
    notes: tuple[str, ...] = ()
    decimal: str = "."

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines of the table itself, each with its number in the file, from 1."""
        size = 0
        with _opened(self.path) as packed, io.TextIOWrapper(packed, self.encoding) as stream:
            for number, line in enumerate(iter(lambda: stream.readline(_LONGEST), ""), start=1):
                size += len(line)
                check_bytes(self.path, size, "the text")
                if len(line) == _LONGEST or "\0" in line:
                    raise refuse(self.path, f"line {number} is no text of a table", "wanted plain text")
                text = line.strip()
                if text and not (self.hashes and text.startswith("#")):
                    yield number, line

    def cells(self) -> Iterator[tuple[int, list[str]]]:
        """The cells of each line, with the line's number; a quoted cell may go on over several lines."""
        if self.delimiter == _BLANKS:
            for number, line in self.lines():
                yield number, [cell.strip('"') for cell in re.findall(r'"[^"]*"|\S+', line)]
            return
        at = 0

        def text() -> Iterator[str]:
            nonlocal at
            for number, line in self.lines():
                at = number
                yield line

        before = at
        for row in csv.reader(text(), delimiter=self.delimiter, skipinitialspace=True, strict=True):
            if before and at - before > 100:  # a quotation mark that nobody closed swallows the rest
                raise refuse(
                    self.path, f"a quoted cell of line {before + 1} goes on to line {at}", "wanted quotes closed"
                )
            before = at
            yield at, row

    def line_number(self, row: int) -> int:
        """The number of a row's line in the file, from 1."""
        for place, (number, _) in enumerate(self.cells()):
            if place == row + bool(self.names):
                return number
        return 0


def read_text(path: Path) -> tuple[pd.DataFrame, Layout]:
    """Read a text table: cells that are numbers throughout a column as numbers, all others as texts; see `find_layout`."""
    import pandas as pd

    with reading(path, "wanted plain text, one pattern or sample a row", "cannot be read as a table"):
        layout = find_layout(path)
        lines = layout.lines()
        if layout.names:
            next(lines)
        frame = pd.read_csv(
            cast(IO[str], _Stream(lines)),
            sep=layout.delimiter,
            header=None,
            names=list(range(layout.width)),
            index_col=False,
            skipinitialspace=True,
            na_values=["?"],
            dtype=str if layout.decimal == "," else None,
            low_memory=False,
        )
    if len(frame) != layout.rows:
        raise refuse(
            path, f"has {len(frame):,} rows read in one way and {layout.rows:,} in another", "wanted plain cells"
        )
    return frame, layout


class _Stream(io.TextIOBase):
    """The table's lines as a stream that pandas reads."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines

    def read(self, size: int | None = -1) -> str:
        parts, length = [], 0
        for _, line in self._lines:
            parts.append(line if line.endswith("\n") else line + "\n")
            length += len(line)
            if size is not None and 0 <= size <= length:
                break
        return "".join(parts)

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        return (line for _, line in self._lines)


def find_layout(path: Path) -> Layout:
    """Go through the file: find encoding, comments, delimiter and names, and see that all rows are equally long.

    - Encoding: UTF-8; UTF-16 by its byte order mark or its zeros; else Latin-1, which is noted.
    - Lines that begin with ``#`` are comments, unless they are the most.
    - The first line holds names if some cell of it is a word above a number, or all are words of which none comes again
      below, or they count 0, 1, 2, … as pandas names columns. Either is noted.
    """
    encoding, notes = _encoding(path)
    head = [line for _, line in _first(Layout(path, encoding, False, ",").lines())]
    commented = sum(line.lstrip().startswith("#") for line in head)
    hashes = 0 < commented <= len(head) / 2 or 0 < commented == len(head)
    if hashes:
        notes.append("lines that begin with # left out")
    start = _first(Layout(path, encoding, hashes, ",").lines())
    if not start:
        raise refuse(path, "holds no line of numbers or words", "wanted one pattern or sample a row")
    layout = Layout(path, encoding, hashes, _delimiter([line for _, line in start]))
    top = [[cell.strip() for cell in cells] for _, cells in _first(layout.cells())]
    comma = layout.delimiter == ";" and any(re.fullmatch(r"[+-]?\d+,\d+", cell) for cells in top for cell in cells)
    decimal = "," if comma else "."
    named = _is_header(top[0], top[1:], decimal)
    names, width, rows, first, trailing = top[0], len(top[0]), 0, 0, True
    if named and len(top) > 1 and len(top[1]) == width + 1:  # R leaves the row names' column unnamed
        width += 1
    for number, cells in layout.cells():
        first = first or number
        rows += 1
        short = named and rows == 1 and len(cells) == width - 1
        if len(cells) != width and not short:
            many = f"line {number} has {len(cells)} cell{'s' * (len(cells) != 1)}, line {first} has {len(top[0])}"
            raise refuse(path, many, "wanted equally many in every line")
        trailing = trailing and (rows == 1 or not cells[-1].strip())
    if named and rows == 1:
        raise refuse(path, "holds column names but no row of numbers", "wanted one pattern or sample a row")
    if named and len(names) == width - 1:  # others end each row with a delimiter
        names = [*names, ""] if trailing else ["", *names]
    notes.append("the first line read as column names" if named else "no line of column names")
    found = tuple(names) if named else ()
    return Layout(path, encoding, hashes, layout.delimiter, found, width, rows - named, tuple(notes), decimal)


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _encoding(path: Path) -> tuple[str, list[str]]:
    with _opened(path) as stream:
        head = stream.read(1 << 16)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ["read as UTF-16"]
    if b"\0" in head:
        for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            if head[start::2].count(0) > 0.8 * len(head) / 2 and not head[1 - start :: 2].count(0):
                return encoding, ["read as UTF-16"]
        raise refuse(path, "is no text", "wanted a table in plain text")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with _opened(path) as stream:
            while chunk := stream.read(_CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        if any(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in head):
            raise refuse(path, "is no text", "wanted a table in plain text") from None
        return "latin-1", ["no UTF-8, read as Latin-1"]
    return "utf-8-sig", []


def _first(items: Iterator[tuple[int, list[str]]] | Iterator[tuple[int, str]]) -> list:  # type: ignore[type-arg]
    return [item for item, _ in zip(items, range(_SCANNED), strict=False)]


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == _BLANKS:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [""])]


def _delimiter(lines: Sequence[str]) -> str:
    """What parts the cells: a sign that every line holds equally often; where several do, the one that leaves most numbers."""
    lines = [re.sub(r'"[^"]*"', "_", line.strip("\r\n")) for line in lines[:50]]
    below = lines[1:] or lines

    def steady(counts: Sequence[int]) -> bool:
        rest = counts[1:] or counts
        return rest[0] > 0 and min(rest) == max(rest) and counts[0] in (rest[0], rest[0] - 1)

    def numbers(sign: str) -> float:
        cells = [cell for line in below for cell in _split(line, sign)]
        return sum(is_value(cell, "." if sign == "," else ",") for cell in cells) / len(cells)

    counts = {sign: [line.count(sign) for line in lines] for sign in "\t;|,"}
    found = [sign for sign in counts if steady(counts[sign])]
    if found:
        return max(found, key=numbers)
    often = [sign for sign in counts if sum(map(bool, counts[sign])) > len(lines) / 2]
    if not often and steady([len(line.split()) - 1 for line in lines]):
        return _BLANKS
    there = often or [sign for sign in counts if counts[sign][0]]
    return there[0] if there else _BLANKS if len(lines[0].split()) > 1 else ","


def _is_header(first: Sequence[str], below: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether the first line holds names."""
    counted = first[1:] if first[0] == "" else first
    if len(counted) > 2 and list(counted) == [str(i) for i in range(len(counted))]:
        return True
    words = [cell.lower() not in MISSING and not is_value(cell, decimal) for cell in first]
    offset = 1 if below and len(below[0]) == len(first) + 1 else 0  # R's row names
    columns = [[row[i + offset] for row in below if i + offset < len(row)] for i in range(len(first))]
    for word, column in zip(words, columns, strict=True):
        values = [is_value(cell, decimal) for cell in column if cell.lower() not in MISSING]
        if word and values and sum(values) > len(values) / 2:
            return True
    again = any(cell in column for cell, column in zip(first, columns, strict=True) if cell)
    named = [cell for cell in first if cell]
    return all(words) and not again and len(set(named)) == len(named) if below else any(words)
