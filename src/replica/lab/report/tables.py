"""Tables of plain text, the same for the terminal and for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table

FAILED = "failed"


class Column(NamedTuple):
    """A column of plain text: its head, and in each row a value with what is said beside it, such as its interval."""

    head: str
    cells: list[tuple[str, str]]
    is_text: bool = False
    label: str = ""
    """What a note calls it where there is no room for it; such columns can be left out."""


def rich_table(columns: Sequence[Column], *, wraps: bool = False) -> Table:
    """A table for the terminal; where it has no room, cells are wrapped or cut short."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0) if wraps else (0, 1))
    for column in columns:
        table.add_column(
            column.head, justify="left" if column.is_text else "right", no_wrap=not wraps, vertical="top",
            overflow="fold" if wraps else "ellipsis", style={"": "green", "method": "bold"}.get(column.head, ""),
        )  # fmt: skip
    for row in zip(*(column.cells for column in columns), strict=True):
        cells = []
        for (value, beside), column in zip(row, columns, strict=True):
            style = "red" if value == FAILED and not column.is_text else ""
            cells.append(Text.assemble((value, style), (f" ({beside})" if beside else "", "dim")))
        table.add_row(*cells)
    return table


def html_table(columns: Sequence[Column]) -> str:
    """A table for a notebook's page, light or dark."""
    sides = ["left" if column.is_text else "right" for column in columns]
    align = [f"text-align: {side}; white-space: pre; padding: 2px 8px" for side in sides]
    head = "".join(
        f'<th style="{style}">{escape(column.head)}</th>' for column, style in zip(columns, align, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{style}">{_cell(*cell)}</td>' for cell, style in zip(row, align, strict=True))
        + "</tr>"
        for row in zip(*(column.cells for column in columns), strict=True)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def faint(text: str) -> str:
    """Fainter than the page's own ink, whichever that is."""
    return f'<span style="opacity: 0.7">{escape(text)}</span>'


def _cell(value: str, beside: str) -> str:
    return escape(value) + (faint(f" ({beside})") if beside else "")
