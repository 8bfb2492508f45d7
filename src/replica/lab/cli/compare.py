"""`replica compare`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from replica.lab.problems.problem import Metric
    from replica.lab.report import Comparison

EXAMPLES = (
    "Examples: [bold]replica compare recall[/bold], [bold]replica compare recall --sweep damage=0.1,0.2,0.3 --stored 50[/bold], "
    "[bold]replica compare recall --data my_patterns.npy --entry my_memory.py:MyMemory[/bold]. "
    "Options of the problem itself, such as --stored, are listed by [bold]replica problems recall[/bold]."
)
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}


def compare(
    context: typer.Context,
    problem: str = typer.Argument(..., help="The problem, as replica problems names it."),
    data: str = typer.Option(None, help="A named data set of the problem, or your own file or folder."),
    entry: list[str] = typer.Option([], metavar="FILE.py:NAME", help="A method of your own; repeatable."),
    only: list[str] = typer.Option(
        [], metavar="METHOD", help="Only this method (your entries always take part); repeatable."
    ),
    sweep: str = typer.Option(None, metavar="OPTION=A,B,C", help="Run at several values of an option, for curves."),
    seeds: int = typer.Option(None, help="Trials a method and point; 5 by default, more for narrower intervals."),
    scale: str = typer.Option("laptop", help="smoke, laptop or full."),
    out: Path = typer.Option(None, help="Where the report goes.", show_default="replica-PROBLEM-DATA.html here"),
    open_report: bool = typer.Option(False, "--open", help="Open the report in the browser."),
    device: str = typer.Option("cpu", help="cpu, or a CUDA device such as cuda."),
    jobs: int = typer.Option(0, help="Worker processes; 0 for one each processor, 1 to stay in this one."),
    limit_seconds: float = typer.Option(
        None, help="A trial that runs longer is stopped and counts as an error.", show_default="120"
    ),
    limit_memory: str = typer.Option(
        None, help="A trial that allocates more, such as 500MB or 4GB, counts as an error.", show_default="8GiB"
    ),
    store: Path = typer.Option(None, help="The file that keeps finished trials.", show_default="your own"),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """Run every fitting method on the same data, budget and seeds; rank them, say who is tied with the best.

    Ends in a table, and in one HTML file with table, picture and all that is needed to repeat it. Finished trials are kept:
    the same command again only runs what is new or has changed.
    """
    from replica.lab.report import check_report_path
    from replica.lab.report import compare as run_compare

    from .limits import positive, read_bytes
    from .output import print_json

    options = _extra_options(context.args)
    path = check_report_path(out, problem, data)
    comparison = run_compare(
        problem,
        data=data,
        entries=entry,
        sweep=_read_sweep(sweep),
        only=only,
        scale=scale,  # type: ignore[arg-type]  # checked there
        seeds=seeds,
        device=device,
        workers=jobs,
        store=store,
        limit_seconds=positive("--limit-seconds", limit_seconds),
        limit_bytes=read_bytes("--limit-memory", limit_memory),
        quiet=False,
        **options,
    )
    comparison.report(path)
    if as_json:
        print_json({**comparison.plain(), "report": str(path)})
    else:
        _print(comparison)
        print(f"Report: {path}")
    if open_report:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    if comparison.results.errors:
        raise typer.Exit(1)


def _extra_options(arguments: list[str]) -> dict[str, str]:
    """The problem's own options among what the command did not know: ``--stored 50`` or ``--stored=50``."""
    from replica.lab.errors import ReplicaError

    options: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not name:
            raise ReplicaError(f"Unexpected argument {argument!r}; options of the problem are written --NAME VALUE.")
        if not equals:
            value = next(rest, "")
            if not value or value.startswith("--"):
                raise ReplicaError(f"Option --{name} needs a value, as in --{name} VALUE.")
        name = name.replace("-", "_")
        if name in options:
            raise ReplicaError(f"Option --{name} is given twice.")
        options[name] = value
    return options


def _read_sweep(text: str | None) -> dict[str, list[str]] | None:
    from replica.lab.errors import ReplicaError

    if text is None:
        return None
    name, equals, values = text.partition("=")
    parts = [value.strip() for value in values.split(",") if value.strip()]
    if not equals or not name or not parts:
        raise ReplicaError(f"--sweep must be OPTION=A,B,C, such as --sweep stored=10,30,100, not {text!r}.")
    return {name.strip(): parts}


def _print(comparison: Comparison) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from replica.lab.report.quantities import quantity

    from .output import console

    results, out = comparison.results, console()
    out.print(f"\n[bold]{escape(results.problem.question)}[/bold]")
    out.print(f"[dim]{escape(comparison.conditions)}[/dim]\n")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("method", style="bold", no_wrap=True)
    table.add_column("paper", no_wrap=True)
    for metric in results.metrics:
        arrow = "↑" if metric.better == "higher" else "↓"
        table.add_column(f"{metric.label} {arrow}", justify="right", max_width=24)
    table.add_column("a trial ↓", justify="right", no_wrap=True)
    table.add_column("peak ↓", justify="right", no_wrap=True)
    for row in results.rows:
        cells: list[Any] = [
            _cell(row["metrics"].get(m.name), m, with_interval=m is results.metrics[0]) for m in results.metrics
        ]
        mark = "[green]●[/green]" if row["tied_with_best"] and results.seeds > 1 else ""
        peak = quantity(row["peak_bytes"], "bytes") if row["peak_bytes"] is not None else ""
        table.add_row(mark, escape(row["method"]), row["paper"] or "", *cells, quantity(row["seconds"], "s"), peak)
    out.print(table)
    out.print(("[green]●[/green] " if results.seeds > 1 else "") + f"[dim]{escape(comparison.ties)}[/dim]")
    for name, reason in results.left_out.items():
        out.print(f"[dim]left out: {name} ({escape(reason)})[/dim]")
    for failed in {(error.subject, error.error): error for error in results.errors}.values():
        out.print(f"[red]{escape(failed.subject)}, seed {failed.seed}: {escape(failed.error)}[/red]", soft_wrap=True)
        last = [line for line in failed.traceback.strip().splitlines() if line.startswith("  File")][-1:]
        for line in last:
            out.print(f"[dim]{escape(line)}[/dim]", soft_wrap=True)


def _cell(measured: dict[str, Any] | None, metric: Metric, *, with_interval: bool) -> str:
    """A mean, with its interval where it ranks; the report has all intervals."""
    from replica.lab.report.quantities import quantity

    from .output import span

    if measured is None:
        return "[red]failed[/red]"
    return span(measured, metric.unit) if with_interval else quantity(measured["mean"], metric.unit)
