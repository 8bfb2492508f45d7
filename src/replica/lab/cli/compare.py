"""`replica compare`: the main job."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from replica.lab.problems.problem import Metric
    from replica.lab.report import Comparison
    from replica.lab.runner import Results

EXAMPLES = (
    "Examples: [bold]replica compare recall[/bold], [bold]replica compare recall --sweep damage=0.1,0.2,0.3 --stored 50[/bold], "
    "[bold]replica compare recall --data my_patterns.npy --entry my_memory.py:MyMemory[/bold], "
    "[bold]replica compare classification --data my_table.csv --target species[/bold]. "
    "Options of the problem itself, such as --stored, are listed by [bold]replica problems recall[/bold]."
)
HEAD_WIDTH = 13
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}


def compare(
    context: typer.Context,
    problem: str = typer.Argument(..., help="The problem, as replica problems names it."),
    data: str = typer.Option(None, help="A named data set of the problem, or your own file or folder."),
    entry: list[str] = typer.Option([], metavar="FILE.py:NAME", help="A method of your own; repeatable."),
    only: list[str] = typer.Option(
        [], metavar="METHOD", help="Only this method (your entries always take part); repeatable."
    ),
    sweep: list[str] = typer.Option(
        [], metavar="OPTION=A,B,C", help="Run at several values of one option, for curves."
    ),
    tune: int = typer.Option(
        0,
        help="First tune each method that has a search space in this many trials, on validation data, for each seed and point.",
        show_default="none",
    ),
    seeds: int = typer.Option(
        None, help="Trials a method and point; more for narrower intervals.", show_default="5; 1 at smoke scale"
    ),
    scale: str = typer.Option("laptop", help="smoke, laptop or full."),
    out: Path = typer.Option(None, help="Where the report goes.", show_default="replica-PROBLEM-DATA.html here"),
    figure: Path = typer.Option(None, help="Draw the picture into this .png, .svg or .pdf file, too."),
    open_report: bool = typer.Option(False, "--open", help="Open the report in the browser."),
    device: str = typer.Option("cpu", help="cpu, or a CUDA device such as cuda."),
    jobs: int = typer.Option(
        0, help="Worker processes; 0 for one each processor, 1 to stay in this one. On a cluster, trials at once."
    ),
    backend: str = typer.Option(
        "local", help="local, or ray for the Ray cluster that RAY_ADDRESS names or that runs on this machine."
    ),
    limit_seconds: float = typer.Option(
        None, help="A trial that runs longer is stopped and counts as an error.", show_default="120"
    ),
    limit_memory: str = typer.Option(
        None, help="A trial that allocates more, such as 500MB or 4GB, counts as an error.", show_default="8GiB"
    ),
    store: Path = typer.Option(None, help="The file that keeps finished trials.", show_default="your own"),
    track: str = typer.Option(None, metavar="mlflow", help="Log the results to a tracker, too."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """Run every fitting method on the same data, budget and seeds; rank them, say who is tied with the best.

    Ends in a table, and in one HTML file with table, picture and all that is needed to repeat it.

    Finished trials are kept: the same command again only runs what is new or has changed.
    """
    from replica.errors import ReplicaError
    from replica.lab.api import compare as run_compare
    from replica.lab.report import Tracker, check_figure_path, check_report_path, save_figure

    from .limits import number_of_seeds, positive, read_bytes
    from .output import print_json, standard_output_kept, working

    problem, options = _problem_and_options([problem, *context.args], {str(p.name) for p in context.command.params})
    if data == "":
        raise ReplicaError("--data is empty; give a named data set, a file or a folder.")
    path = check_report_path(out, problem, data)
    if figure is not None:
        check_figure_path(figure)
    with standard_output_kept():
        tracker = Tracker(track) if track is not None else None
        comparison = run_compare(
            problem,
            data=data,
            entries=entry,
            sweep=_read_sweep(sweep),
            only=only,
            tune=tune,
            scale=scale,  # type: ignore[arg-type]  # checked there
            seeds=number_of_seeds(seeds),
            device=device,
            workers=jobs,
            backend=backend,  # type: ignore[arg-type]  # checked there
            store=store,
            limit_seconds=positive("--limit-seconds", limit_seconds),
            limit_bytes=read_bytes("--limit-memory", limit_memory),
            quiet=False,
            **options,
        )
        with working("Drawing the report"):
            comparison.report(path)
            if figure is not None:
                save_figure(comparison.figure(), figure)
    if as_json:
        print_json({**comparison.plain(), "report": str(path)})
    else:
        _print(comparison)
        if figure is not None:
            print(f"Figure: {figure}")
        print(f"Report: {path}")
    if tracker is not None:
        with standard_output_kept(), working("Logging to the tracker"):
            place = tracker.comparison(comparison, path)
        if not as_json:
            print(f"Tracked: {place}")
    if open_report:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    if comparison.results.errors:
        raise typer.Exit(1)


def _problem_and_options(words: list[str], own: set[str]) -> tuple[str, dict[str, str]]:
    """The problem and its options among the words that the command itself did not know, in any order.

    Args:
        words: Such as ``["recall", "--stored", "50"]``; ``--stored=50`` and ``--stored 50 recall`` are the same.
        own: Names of the command's own options, to guess what a mistyped one means.
    """
    from replica.errors import ReplicaError
    from replica.lab.catalogue import nearest
    from replica.lab.problems.registry import get, names

    given: list[tuple[str, str | None]] = []
    loose: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name:
            follows = value if equals else next(rest, None)
            if follows is not None and follows.startswith("--") and not equals:
                rest = iter([follows, *rest])
                follows = None
            given.append((name.replace("-", "_"), follows or None))
        elif word.startswith("-") and len(word) > 1:
            raise ReplicaError(f"No such option: {word!r:.60}. See replica compare --help.")
        else:
            loose.append(word)
    if not loose:
        raise ReplicaError(f"Name a problem, as in replica compare PROBLEM. Problems: {', '.join(names())}.")
    problem = get(loose[0])
    known = [option.name for option in problem.options]
    options: dict[str, str] = {}
    for name, text in given:
        flag = "--" + name.replace("_", "-")
        if name not in known:
            near = nearest(name, [*known, *(other.removeprefix("as_") for other in own)])
            raise ReplicaError(
                f"No such option: {flag:.60}.{near.replace('_', '-')} Options of problem {problem.name}: --{', --'.join(known)}; "
                "for the command's own see replica compare --help."
            )
        if text is None:
            raise ReplicaError(f"Option {flag} needs a value, as in {flag} VALUE.")
        if name in options:
            raise ReplicaError(f"Option {flag} is given twice.")
        options[name] = text
    if len(loose) > 1:
        raise ReplicaError(f"Unexpected argument {loose[1]!r:.60}; options of the problem are written --NAME VALUE.")
    return problem.name, options


def _read_sweep(texts: list[str]) -> dict[str, list[str]] | None:
    from replica.errors import ReplicaError

    if not texts:
        return None
    if len(texts) > 1:
        raise ReplicaError(f"One option can be swept at a time; --sweep is given {len(texts)} times.")
    name, equals, values = texts[0].partition("=")
    parts = [value.strip() for value in values.split(",") if value.strip()]
    if not equals or not name or not parts:
        raise ReplicaError(f"--sweep must be OPTION=A,B,C, such as --sweep stored=10,30,100, not {texts[0]!r:.60}.")
    return {name.strip(): parts}


class _Column(NamedTuple):
    head: str
    cells: list[str]
    justify: Literal["left", "right"] = "right"
    style: str = ""


def _print(comparison: Comparison) -> None:
    from rich.markup import escape

    from .output import console

    results, out = comparison.results, console()
    out.print(f"\n[bold]{escape(results.problem.question)}[/bold]")
    out.print(f"[dim]{escape(results.dataset.description)}[/dim]")
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
        out.print(f"[red]{escape(failed.subject)}, seed {failed.seed}: {escape(failed.error)}[/red]", soft_wrap=True)
        last = [line for line in failed.traceback.strip().splitlines() if line.startswith("  File")][-1:]
        for line in last:
            out.print(f"[dim]{escape(line)}[/dim]", soft_wrap=True)


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
