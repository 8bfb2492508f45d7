"""The table that `replica compare` ends in."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table

    from replica.lab.problems.problem import Metric
    from replica.lab.report import Comparison
    from replica.lab.runner import Results

HEAD_WIDTH = 13
OUTPUT_LINES = 8


class _Column(NamedTuple):
    head: str
    cells: list[str]
    justify: Literal["left", "right"] = "right"
    style: str = ""


def print_comparison(comparison: Comparison) -> None:
    """Print question, data, settings, the table, and what failed or was left out."""
    from rich.markup import escape

    from replica.lab.catalogue.printable import printable

    from .output import console

    results, out = comparison.results, console()
    out.print(f"\n[bold]{escape(results.problem.question)}[/bold]")
    out.print(f"[dim]{escape(printable(results.dataset.description, 1000))}[/dim]")
    out.print(f"[dim]{escape(comparison.settings)}[/dim]\n")
    columns = _columns(comparison)
    # What does not fit is left out whole, the least telling first; columns squeezed to nothing would tell less.
    dispensable = ["paper", "peak", "a trial", "tuning", *(metric.name for metric in reversed(results.metrics[1:]))]
    hidden: list[str] = []
    while (table := _table(columns)) is not None and _width(table) > out.width and dispensable:
        hidden.append(dispensable.pop(0))
        del columns[hidden[-1]]
    out.print(table)
    if results.seeds > 1:
        out.print(f"[green]●[/green] [dim]{escape(comparison.ties)}[/dim]")
    out.print(escape(comparison.answer))
    if hidden:
        labels = {"paper": "paper", "peak": "peak memory", "a trial": "time of a trial", "tuning": "what was tuned"}
        labels |= {metric.name: metric.label.lower() for metric in results.metrics}
        out.print(f"[dim]no room here for: {escape(', '.join(labels[name] for name in hidden))}; see the report[/dim]")
    if results.tuning:
        _print_tuning(results)
    for name, reason in results.left_out.items():
        out.print(f"[dim]left out: {escape(name)} ({escape(reason)})[/dim]")
    for failed in {(error.subject, error.error): error for error in results.errors}.values():
        said = escape(printable(failed.error, 400))
        out.print(f"[red]{escape(failed.subject)}, seed {failed.seed}: {said}[/red]", soft_wrap=True)
        last = [line for line in failed.traceback.strip().splitlines() if line.startswith("  File")][-1:]
        for line in last:
            out.print(f"[dim]{escape(line)}[/dim]", soft_wrap=True)
    for method, text in results.output.items():
        out.print(f"{escape(method)} printed, the last lines of its first trial:")
        for line in text.strip().splitlines()[-OUTPUT_LINES:]:
            out.print(f"  [dim]{escape(printable(line))}[/dim]", soft_wrap=True)


def _print_tuning(results: Results) -> None:
    from rich.markup import escape

    from replica.lab.report.tuned_settings import tuned_methods, tuning_rule, untuned

    from .output import console

    out = console()
    over = "seeds and points" if results.sweep else "seeds"
    found = f" Found, as median (range) over {over}:" if results.tuning and results.tuning.methods else ""
    out.print(f"[dim]{escape(tuning_rule(results) + found)}[/dim]")
    for method in tuned_methods(results):
        found = ", ".join(f"{each.name} {each.found}" for each in method.hyperparameters)
        cost = ", ".join(filter(None, [f"{method.trials:,} trials", method.seconds, method.troubles]))
        scores = f"validation {method.default_score} with defaults, {method.best_score} tuned"
        out.print(f"  [bold]{escape(method.name)}[/bold] [dim]{escape(f'{found}; {scores}; {cost}')}[/dim]")
    if names := untuned(results):
        out.print(f"[dim]nothing to tune, run with defaults: {escape(', '.join(names))}[/dim]")


def _columns(comparison: Comparison) -> dict[str, _Column]:
    from rich.markup import escape

    from replica.lab.report.quantities import quantity

    results = comparison.results
    rows, several = results.rows, results.seeds > 1
    columns = {
        "mark": _Column("", ["[green]●[/green]" if row["tied_with_best"] and several else "" for row in rows], "left"),
        "method": _Column("method", [escape(row["method"]) for row in rows], "left", "bold"),
        "paper": _Column("paper", [escape(row["paper"] or "") for row in rows], "left"),
    }
    for metric in results.metrics:
        ranks = metric is results.metrics[0]
        cells = [_cell(row["metrics"].get(metric.name), metric, with_interval=ranks) for row in rows]
        columns[metric.name] = _Column(_head(metric, HEAD_WIDTH if not ranks else len(metric.label) + 2), cells)
    if results.tuning:
        from replica.lab.report.tuned_settings import tuned_mark

        columns["tuning"] = _Column("tuning", [tuned_mark(results, row["method"]) for row in rows], "left")
    columns["a trial"] = _Column("a trial\u00a0↓", [quantity(row["seconds"], "s") for row in rows])
    columns["peak"] = _Column(
        "peak\u00a0↓",
        [quantity(row["peak_bytes"], "bytes") if row["peak_bytes"] is not None else "" for row in rows],
    )
    return columns


def _head(metric: Metric, width: int) -> str:
    """A column's head, broken into lines here: the table would set the arrow alone on a line."""
    arrow = "↑" if metric.better == "higher" else "↓"
    return "\n".join(textwrap.wrap(f"{metric.label}\u00a0{arrow}", width))


def _table(columns: dict[str, _Column]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns.values():
        table.add_column(column.head, justify=column.justify, style=column.style, no_wrap=True, vertical="top")
    for cells in zip(*(column.cells for column in columns.values()), strict=True):
        table.add_row(*cells)
    return table


def _width(table: Table) -> int:
    from rich.measure import Measurement

    from .output import console

    return Measurement.get(console(), console().options.update(max_width=1000), table).maximum


def _cell(measured: dict[str, Any] | None, metric: Metric, *, with_interval: bool) -> str:
    """A mean, with its interval where it ranks; the report has all intervals."""
    from replica.lab.report.quantities import quantity

    from .output import span

    if measured is None:
        return "[red]failed[/red]"
    return span(measured, metric.unit) if with_interval else quantity(measured["mean"], metric.unit)
