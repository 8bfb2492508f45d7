"""`replica verify`: test what papers claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

EXAMPLES = (
    "Example: [bold]replica verify hopfield[/bold], [bold]replica verify hopfield --claim one_update --first-seed 1000[/bold], "
    "or a paper file of your own, with my_paper.toml beside it: [bold]replica verify my_paper.py[/bold]"
)
MEANING = (
    "holds: the interval meets the bound that was registered before measuring · fails: no point of it does · not seen here: the"
    " same, in a smaller or other setting than the paper's, which cannot refute it · no effect of that size: smaller than would"
    " matter · unclear: more seeds are needed · not tested at this scale: a control shows that this study cannot tell"
)


def verify(
    papers: list[str] = typer.Argument(
        ..., metavar="SLUG...", help="Papers by slug, or paper files of your own (my_paper.py)."
    ),
    scale: str = typer.Option("laptop", help="smoke (seconds; not judged), laptop, or full (the paper's own size)."),
    seeds: int = typer.Option(None, help="Trials a claim.", show_default="5, 10, 20, 40 in turn, until it is decided"),
    first_seed: int = typer.Option(
        0, help="The first seed; from 1000 on, say, seeds are fresh: judged alone and pooled with the record."
    ),
    claim: list[str] = typer.Option([], help="Only this claim; repeatable."),
    figure: Path = typer.Option(None, help="Draw the claims' figures into this .png, .svg or .pdf file."),
    device: str = typer.Option("cpu", help="cpu, or a CUDA device such as cuda."),
    jobs: int = typer.Option(
        0, help="Worker processes; 0 for one each processor, 1 to stay in this one. On a cluster, trials at once."
    ),
    backend: str = typer.Option(
        "local", help="local, or ray for the Ray cluster that RAY_ADDRESS names or that runs on this machine."
    ),
    limit_seconds: float = typer.Option(
        None, help="A trial that runs longer is stopped and counts as an error.", show_default="the claim's own"
    ),
    limit_memory: str = typer.Option(
        None,
        help="A trial that allocates more, such as 500MB or 4GB, counts as an error.",
        show_default="the claim's own",
    ),
    store: Path = typer.Option(None, help="The file that keeps finished trials.", show_default="your own"),
    record: bool = typer.Option(
        False, "--record", help="Write the results as the paper's evidence (from a checkout of Replica)."
    ),
    refresh: bool = typer.Option(
        False,
        "--refresh",
        help="As --record, but take no new look: measure one seed of what changed, and judge the recorded rows again.",
    ),
    track: str = typer.Option(None, metavar="mlflow", help="Log the results to a tracker, too."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """Re-test what a paper claims and say what holds.

    Finished trials are kept: the same command again only runs what is new or has changed.
    """
    from replica.errors import ReplicaError
    from replica.lab.api import verify as run_verify
    from replica.lab.runner.evidence import record_paper
    from replica.lab.runner.settings import Settings
    from replica.lab.runner.sources import find_source

    from .limits import number_of_seeds, positive, read_bytes
    from .output import console, print_json, standard_output_kept

    if figure is not None:
        from replica.lab.report import check_figure_path

        check_figure_path(figure)
    if (record or refresh) and (claim or seeds is not None or first_seed):
        raise ReplicaError(
            "--record measures all claims with their own seeds; leave out --claim, --seeds and --first-seed."
        )
    how: dict[str, Any] = {
        "scale": scale, "seeds": number_of_seeds(seeds), "device": device, "workers": jobs, "backend": backend, "store": store,
        "limit_seconds": positive("--limit-seconds", limit_seconds),
        "limit_bytes": read_bytes("--limit-memory", limit_memory),
    }  # fmt: skip
    written: list[str] = []
    with standard_output_kept():
        tracker = None
        if track is not None:
            from replica.lab.report import Tracker

            tracker = Tracker(track)
        if record or refresh:
            results = []
            for name in dict.fromkeys(papers):
                result, path, notes = record_paper(find_source(name), Settings(**how), refresh=refresh)
                results.append(result)
                written += [*notes, f"Evidence: {path}"]
        else:
            results = run_verify(*papers, first_seed=first_seed, claims=claim, **how)
    for result in results:
        if not result.claims:
            raise ReplicaError(f"Paper {result.slug} has no claim to verify; mark one with @paper.claim(...).")
    if figure is not None:
        from replica.lab.report import save_result_figures

        save_result_figures(results, figure)
    if as_json:
        print_json([result.plain() for result in results])
    else:
        for result in results:
            console().print(f"\n[bold]{result.slug}[/bold] at {scale} scale\n")
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
    if any(claim.errors for result in results for claim in result.claims):
        raise typer.Exit(1)


def print_claims(claims: list[dict[str, Any]]) -> None:
    """Each claim with its verdict, what was measured beside what is wanted and what the paper reports."""
    from rich.markup import escape
    from rich.padding import Padding

    from replica.lab.claims.registration import SETTINGS

    from .output import console, verdict_text

    out = console()
    for claim in claims:
        stale = "  [yellow](stale: the code has changed since)[/yellow]" if claim["stale"] else ""
        verdict = verdict_text(claim["verdict"], claim["setting"])
        out.print(f"{verdict}  [bold]{escape(claim['sentence'])}[/bold]{stale}")
        out.print(Padding(_measures(claim), (0, 0, 0, 2)))
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


def _measures(claim: dict[str, Any]) -> Any:
    """The table of a claim's measures: judged ones first, then controls and diagnostics."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from replica.lab.report.quantities import quantity

    from .output import span

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    level = f"{100 * claim['level']:.3g} %"
    for head in ("measure", f"ours ({level} interval)", "must be", "the paper"):
        table.add_column(head, overflow="fold")
    reported = claim["reported"] or {}
    ordered = [*claim["expect"], *claim["gates"], *claim["diagnose"], *claim["measured"], *reported]
    for name in dict.fromkeys(ordered):
        ours = span(claim["measured"][name]) if name in claim["measured"] else ""
        said = reported.get(name)
        value = said and (quantity(said["value"]) if isinstance(said["value"], int | float) else said["value"])
        wanted = claim["expect"].get(name, "")
        if name in claim["smallest"]:
            wanted += f"; none within ±{claim['smallest'][name]}"
        if name in claim["gates"]:
            wanted = f"{claim['gates'][name]} [dim](control)[/dim]"
        elif name in claim["diagnose"]:
            wanted = f"[dim]{claim['diagnose'][name]} (shown, not judged)[/dim]"
        table.add_row(name, ours, wanted, escape(f"{value} ({said['where']})") if said else "")
    return table
