"""A comparison's table as text: what stands in its columns, for the terminal, for notebooks, and while it grows."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .quantities import quantity, span_text
from .tables import FAILED, Column, rich_table
from .tuned_settings import tuned_mark

if TYPE_CHECKING:
    from rich.table import Table

    from replica.lab.problems.problem import Metric
    from replica.lab.runner.compare import Results

HEAD_WIDTH = 13
UNTOLD = "–"
"""In place of what a method does not tell, such as how sure it is."""


def ranking_columns(results: Results) -> dict[str, Column]:
    """The columns by name. The ranking metric shows its interval; the report has those of the others, too."""
    rows, first = results.rows, results.metrics[0]

    def texts(tell: Callable[[dict[str, Any]], str]) -> list[tuple[str, str]]:
        return [(tell(row), "") for row in rows]

    columns = {
        "mark": Column("", texts(lambda row: "●" if row["tied_with_best"] and results.seeds > 1 else ""), True),
        "method": Column("method", texts(lambda row: row["method"]), True),
        "paper": Column("paper", texts(lambda row: row["paper"] or ""), True, "paper"),
    }
    for metric in results.metrics:
        ranks = metric is first
        head = _head(metric, len(metric.label) + 2 if ranks else HEAD_WIDTH)
        cells = [_measured(row, metric, with_interval=ranks) for row in rows]
        columns[metric.name] = Column(head, cells, label="" if ranks else metric.words)
    if results.tuning:
        tuned = texts(lambda row: tuned_mark(results, row["method"]))
        columns["tuning"] = Column("tuning", tuned, True, "what was tuned")
    seconds = texts(lambda row: quantity(row["seconds"], "s"))
    peaks = texts(lambda row: "" if row["peak_bytes"] is None else quantity(row["peak_bytes"], "bytes"))
    columns["a trial"] = Column("a trial\u00a0↓", seconds, label="time of a trial")
    columns["peak"] = Column("peak\u00a0↓", peaks, label="peak memory")
    return columns


def terminal_table(results: Results, width: int) -> tuple[Table, list[str]]:
    """The table for a terminal of this width, and the labels of the columns that it has no room for.

    What does not fit is left out whole, the least telling first; columns squeezed to nothing would tell less.
    """
    columns = ranking_columns(results)
    metrics = [metric.name for metric in reversed(results.metrics[1:])]
    dispensable = [name for name in ("paper", "peak", "a trial", "tuning", *metrics) if name in columns]
    hidden: list[str] = []
    while _width(table := rich_table(list(columns.values()))) > width and dispensable:
        hidden.append(columns.pop(dispensable.pop(0)).label)
    return table, hidden


def growing_table(results: Results, method: str) -> tuple[Table, str]:
    """What is known so far as a table, and the row of the method that has just finished in one line for logs."""
    columns, metric = ranking_columns(results), results.metrics[0]
    at = [name for name, _ in columns["method"].cells].index(method)
    value, interval = columns[metric.name].cells[at]
    known = f"{metric.words} {value}{interval and f' ({interval})'}"
    shown = [columns[name] for name in ("method", metric.name, "a trial")]
    return rich_table(shown), f"{method}: {known}, {columns['a trial'].cells[at][0]} a trial"


def _measured(row: dict[str, Any], metric: Metric, *, with_interval: bool) -> tuple[str, str]:
    measured = row["metrics"].get(metric.name)
    if measured is None:
        return UNTOLD if row["metrics"] else FAILED, ""
    return quantity(measured["mean"], metric.unit), span_text(measured, metric.unit) if with_interval else ""


def _head(metric: Metric, width: int) -> str:
    """A column's head, broken into lines here: the table would set the arrow alone on a line."""
    arrow = {"higher": "\u00a0↑", "lower": "\u00a0↓"}.get(metric.better, "")
    return "\n".join(textwrap.wrap(f"{metric.label}{arrow}", width))


def _width(table: Table) -> int:
    from rich.console import Console
    from rich.measure import Measurement

    wide = Console(width=1000)
    return Measurement.get(wide, wide.options, table).maximum
