"""The table that `replica compare` ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.lab.catalogue.printable import printable

from .output import console

if TYPE_CHECKING:
    from replica.lab.report import Comparison
    from replica.lab.runner import Results

OUTPUT_LINES = 8


def print_comparison(comparison: Comparison) -> None:
    """Print question, data, settings, the table, and what failed or was left out."""
    from rich.markup import escape

    from replica.lab.report.ranking_table import terminal_table

    results, out = comparison.results, console()
    out.print(f"\n[bold]{escape(results.problem.question)}[/bold]")
    out.print(f"[dim]{escape(printable(results.dataset.description, 1000))}[/dim]")
    out.print(f"[dim]{escape(comparison.settings)}[/dim]\n")
    table, hidden = terminal_table(results, out.width)
    out.print(table)
    if results.seeds > 1:
        out.print(f"[green]●[/green] [dim]{escape(comparison.ties)}[/dim]")
    out.print(escape(comparison.answer))
    if hidden:
        out.print(f"[dim]no room here for: {escape(', '.join(hidden))}; see the report[/dim]")
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
