"""`replica compare`: the main job."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from replica.errors import ReplicaError
from replica.lab.catalogue import nearest
from replica.lab.problems.registry import get, names

from . import run_options as run
from .output import print_json, standard_output_kept, working
from .problems import print_options

if TYPE_CHECKING:
    from replica.lab.report import Comparison, Tracker

EXAMPLES = (
    "Examples: [bold]replica compare recall[/bold], [bold]replica compare recall --sweep damage=0.1,0.2,0.3 --stored 50[/bold], "
    "[bold]replica compare recall --data my_patterns.npy --entry my_memory.py:MyMemory[/bold], "
    "[bold]replica compare classification --data my_table.csv --target species[/bold]. "
    "Options of the problem itself, such as --stored, are listed by [bold]replica compare recall --help[/bold]."
)
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}

PROBLEM = typer.Argument(..., help="The problem, as replica problems names it.")
DATA = typer.Option(None, callback=run.path_given, help="A named data set of the problem, or your own file or folder.")
ENTRY = typer.Option([], callback=run.path_given, metavar="FILE.py:NAME", help="A method of your own; repeatable.")
ONLY = typer.Option([], metavar="METHOD", help="Only this method (your entries always take part); repeatable.")
SWEEP = typer.Option([], metavar="OPTION=A,B,C", help="Run at several values of one option, for curves.")
TUNE = typer.Option(
    0,
    help="First tune each method that has a search space in this many trials, on validation data, for each seed and point.",
    show_default="none",
)
SEEDS = typer.Option(
    None, help="Trials a method and point; more for narrower intervals.", show_default="5; 1 at smoke scale"
)
SCALE = typer.Option("laptop", help="smoke, laptop or full.")
OUT = typer.Option(
    None, callback=run.path_given, help="Where the report goes.", show_default="replica-PROBLEM-DATA.html here"
)
OPEN = typer.Option(False, "--open", help="Open the report in the browser.")


class CompareCommand(TyperCommand):
    """The command, whose help also tells the options of the problem that is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words for the help, which is printed before they are parsed."""
        ctx.meta["words"] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The command's own help, then the problem's."""
        super().format_help(ctx, formatter)
        named = [word for word in ctx.meta.get("words", ()) if word in names()]
        if named:
            print_options(get(named[0]))


def compare(
    context: typer.Context,
    problem: str = PROBLEM,
    data: str = DATA,
    entry: list[str] = ENTRY,
    only: list[str] = ONLY,
    sweep: list[str] = SWEEP,
    tune: int = TUNE,
    seeds: int = SEEDS,
    scale: str = SCALE,
    out: Path = OUT,
    figure: Path = run.FIGURE,
    open_report: bool = OPEN,
    device: str = run.DEVICE,
    jobs: int = run.JOBS,
    backend: str = run.BACKEND,
    limit_seconds: float = run.LIMIT_SECONDS,
    limit_memory: str = run.LIMIT_MEMORY,
    store: Path = run.STORE,
    track: str = run.TRACK,
    as_json: bool = run.JSON,
) -> None:
    """Run every fitting method on the same data, budget and seeds; rank them, say who is tied with the best.

    Ends in a table, and in one HTML file with table, picture and all that is needed to repeat it.

    Finished trials are kept: the same command again only runs what is new or has changed.
    """
    from replica.lab.api import compare as run_compare
    from replica.lab.report import Tracker, check_figure_path, check_report_path

    problem, options = _problem_and_options([problem, *context.args], {str(p.name) for p in context.command.params})
    if data == "":
        raise ReplicaError("--data is empty; give a named data set, a file or a folder.")
    path = check_report_path(out, problem, data)
    if figure is not None:
        check_figure_path(figure)
    with standard_output_kept():
        tracker = Tracker(track) if track is not None else None
        comparison = run_compare(
            problem, data=data, entries=entry, sweep=_read_sweep(sweep), only=only, tune=tune,
            standings=not as_json, **options,
            **run.settings(scale, seeds, device, jobs, backend, store, limit_seconds, limit_memory),
        )  # fmt: skip
    _tell(comparison, path, figure, tracker, as_json)
    if open_report:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    if comparison.results.errors:
        raise typer.Exit(1)


def _tell(comparison: Comparison, path: Path, figure: Path | None, tracker: Tracker | None, as_json: bool) -> None:
    """Write the report, and say what came out."""
    from replica.lab.report import save_figure

    from .comparison_table import print_comparison

    with standard_output_kept(), working("Drawing the report"):
        comparison.report(path)
        if figure is not None:
            save_figure(comparison.figure(), figure)
    if as_json:
        print_json({**comparison.plain(), "report": str(path)})
    else:
        print_comparison(comparison)
        if figure is not None:
            print(f"Figure: {figure}")
        print(f"Report: {path}")
    if tracker is not None:
        with standard_output_kept(), working("Logging to the tracker"):
            place = tracker.comparison(comparison, path)
        if not as_json:
            print(f"Tracked: {place}")


def _problem_and_options(words: list[str], own: set[str]) -> tuple[str, dict[str, str]]:
    """The problem and its options among the words that the command did not know, in any order; ``own`` are its own options."""
    given: list[tuple[str, str | None]] = []
    loose: list[str] = []
    rest = deque(words)
    while rest:
        word = rest.popleft()
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name:
            follows = rest.popleft() if not equals and rest and not rest[0].startswith("--") else value
            given.append((name.replace("-", "_"), follows or None))
        elif word.startswith("-") and len(word) > 1:
            raise ReplicaError(f"No such option: {word!r:.60}. See replica compare --help.")
        else:
            loose.append(word)
    if not loose:
        raise ReplicaError(f"Name a problem, as in replica compare PROBLEM. Problems: {', '.join(names())}.")
    problem = get(loose[0])
    known = {option.name: option for option in problem.options}
    options: dict[str, str] = {}
    for name, text in given:
        flag = "--" + name.replace("_", "-")
        if name not in known:
            near = nearest(name, [*known, *(other.removeprefix("as_") for other in own)])
            listed = ", ".join("--" + other.replace("_", "-") for other in known)
            raise ReplicaError(
                f"No such option: {flag:.60}.{near.replace('_', '-')} Options of problem {problem.name}: {listed}; "
                "for the command's own see replica compare --help."
            )
        text = text or known[name].alone
        if not text:
            raise ReplicaError(f"Option {flag} needs a value, as in {flag} VALUE.")
        if name in options:
            raise ReplicaError(f"Option {flag} is given twice.")
        options[name] = text
    if len(loose) > 1:
        raise ReplicaError(f"Unexpected argument {loose[1]!r:.60}; options of the problem are written --NAME VALUE.")
    return problem.name, options


def _read_sweep(texts: list[str]) -> dict[str, list[str]] | None:
    if not texts:
        return None
    if len(texts) > 1:
        raise ReplicaError(f"One option can be swept at a time; --sweep is given {len(texts)} times.")
    name, equals, values = texts[0].partition("=")
    parts = [value.strip() for value in values.split(",") if value.strip()]
    if not equals or not name or not parts:
        raise ReplicaError(f"--sweep must be OPTION=A,B,C, such as --sweep stored=10,30,100, not {texts[0]!r:.60}.")
    return {name.strip(): parts}
