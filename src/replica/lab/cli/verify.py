"""`replica verify`: test what papers claim."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from replica.errors import ReplicaError

from . import run_options as run
from .output import console, print_json, standard_output_kept, verdict_text

if TYPE_CHECKING:
    from replica.lab.report import Tracker
    from replica.lab.runner.verify import PaperResult

EXAMPLES = (
    "Example: [bold]replica verify hopfield[/bold], [bold]replica verify hopfield --claim one_update --first-seed 1000[/bold], "
    "or a paper file of your own, with my_paper.toml beside it: [bold]replica verify my_paper.py[/bold]"
)
MEANING = (
    "holds: the interval meets the bound that was registered before measuring · fails: no point of it does · not seen here: the"
    " same, in a smaller or other setting than the paper's, which cannot refute it · no effect of that size: smaller than would"
    " matter · unclear: more seeds are needed · not tested at this scale: a control shows that this study cannot tell"
)


PAPERS = typer.Argument(
    ..., callback=run.path_given, metavar="SLUG...", help="Papers by slug, or paper files of your own (my_paper.py)."
)
SCALE = typer.Option("laptop", help="smoke (seconds; not judged), laptop, or full (the paper's own size).")
SEEDS = typer.Option(None, help="Trials a claim.", show_default="5, 10, 20, 40 in turn, until it is decided")
FIRST_SEED = typer.Option(
    0, help="The first seed; from 1000 on, say, seeds are fresh: judged alone and pooled with the record."
)
CLAIM = typer.Option([], help="Only this claim; repeatable.")
RECORD = typer.Option(False, "--record", help="Write the results as the paper's evidence (from a checkout of Replica).")
REFRESH = typer.Option(
    False,
    "--refresh",
    help="As --record, but take no new look: measure one seed of what changed, and judge the recorded rows again.",
)


def verify(
    papers: list[str] = PAPERS,
    scale: str = SCALE,
    seeds: int | None = SEEDS,
    first_seed: int = FIRST_SEED,
    claim: list[str] = CLAIM,
    figure: Path | None = run.FIGURE,
    device: str = run.DEVICE,
    jobs: int = run.JOBS,
    backend: str = run.BACKEND,
    limit_seconds: float = run.LIMIT_SECONDS,
    limit_memory: str = run.LIMIT_MEMORY,
    store: Path | None = run.STORE,
    record: bool = RECORD,
    refresh: bool = REFRESH,
    track: str | None = run.TRACK,
    as_json: bool = run.JSON,
) -> None:
    """Re-test what a paper claims and say what holds.

    Finished trials are kept: the same command again only runs what is new or has changed.
    """
    from replica.lab.api import verify as run_verify
    from replica.lab.report import Tracker, check_figure_path

    if figure is not None:
        check_figure_path(figure)
    if (record or refresh) and (claim or seeds is not None or first_seed):
        raise ReplicaError(
            "--record measures all claims with their own seeds; leave out --claim, --seeds and --first-seed."
        )
    how = run.settings(scale, seeds, device, jobs, backend, store, limit_seconds, limit_memory)
    with standard_output_kept():
        tracker = Tracker(track) if track is not None else None
        if record or refresh:
            results, written = _recorded(papers, how, refresh)
        else:
            results, written = [*run_verify(*papers, first_seed=first_seed, claims=claim, **how)], []
    for result in results:
        if not result.claims:
            raise ReplicaError(f"Paper {result.slug} has no claim to verify; mark one with @paper.claim(...).")
    _tell(results, written, figure, tracker, as_json)
    if any(claim.errors for result in results for claim in result.claims):
        raise typer.Exit(1)


def _recorded(papers: list[str], how: dict[str, Any], refresh: bool) -> tuple[list[PaperResult], list[str]]:
    """Record the evidence of each paper; also what to say of it."""
    from replica.lab.runner.evidence import record_paper
    from replica.lab.runner.settings import Settings
    from replica.lab.runner.sources import find_source

    results, written = [], []
    for name in dict.fromkeys(papers):
        result, path, notes = record_paper(find_source(name), Settings(**how), refresh=refresh)
        results.append(result)
        written += [*notes, f"Evidence: {path}"]
    return results, written


def _tell(
    results: list[PaperResult], written: list[str], figure: Path | None, tracker: Tracker | None, as_json: bool
) -> None:
    """Draw the figures, and say what came out."""
    from replica.lab.report import save_result_figures

    if figure is not None:
        save_result_figures(results, figure)
    if as_json:
        print_json([result.plain() for result in results])
    else:
        for result in results:
            console().print(f"\n[bold]{result.slug}[/bold] at {result.claims[0].scale} scale\n")
            print_claims([claim.plain() for claim in result.claims])
        for line in written:
            print(line)
        if figure is not None:
            print(f"Figures: {figure}")
    if tracker is not None:
        with standard_output_kept():
            places = [tracker.paper(result) for result in results]
        if not as_json:
            print(f"Tracked: {places[0]}")


def print_claims(claims: list[dict[str, Any]]) -> None:
    """Each claim with its verdict, what was measured beside what is wanted and what the paper reports."""
    from rich.markup import escape
    from rich.padding import Padding

    from replica.lab.claims.registration import SETTINGS
    from replica.lab.report.claim_table import claim_columns
    from replica.lab.report.tables import rich_table

    out = console()
    for claim in claims:
        stale = "  [yellow](stale: the code has changed since)[/yellow]" if claim["stale"] else ""
        verdict = verdict_text(claim["verdict"], claim["setting"])
        out.print(f"{verdict}  [bold]{escape(claim['sentence'])}[/bold]{stale}")
        out.print(Padding(rich_table(claim_columns(claim), wraps=True), (0, 0, 0, 2)))
        setting = f"{claim['scale']} scale, {SETTINGS[claim['setting']]}"
        out.print(f"  [dim]{setting}; registered {claim['registered']}; {_cost(claim)}[/dim]")
        if claim["pooled"]:
            pooled = verdict_text(claim["pooled"]["verdict"], claim["setting"])
            out.print(f"  with the recorded seeds: {pooled}")
        for gate, met in claim["gates_met"].items():
            if not met:
                out.print(f"  This study cannot tell: the control {gate} is not {claim['gates'][gate]}.")
        if claim["why"] and claim["verdict"] not in ("holds", None):
            out.print(Padding(f"Why we think so: {escape(claim['why'])}", (0, 0, 0, 2)))
        for error in claim.get("errors", [])[:3]:
            out.print(f"  [red]seed {error['seed']}: {escape(error['error'])}[/red]", soft_wrap=True)
            out.print(Padding(escape(error["traceback"].strip()), (0, 0, 0, 4)), style="dim")
        out.print()
    out.print(f"[dim]{MEANING}.[/dim]")


def _cost(claim: dict[str, Any]) -> str:
    from replica.lab.report.quantities import quantity
    from replica.lab.runner.progress import duration

    seeds = f"{claim['seeds']} seed{'s' if claim['seeds'] != 1 else ''}"
    first = f" from {claim['first_seed']} on" if claim["first_seed"] else ""
    return f"{seeds}{first}, {duration(claim['seconds'])} in all, {quantity(claim['peak_bytes'], 'bytes')} at most"
