"""`replica verify`: test what papers claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

EXAMPLES = (
    "Example: [bold]replica verify hopfield[/bold], [bold]replica verify hopfield --claim one_update --seeds 20[/bold], "
    "or a paper file of your own: [bold]replica verify my_paper.py[/bold]"
)


def verify(
    papers: list[str] = typer.Argument(
        ..., metavar="SLUG...", help="Papers by slug, or paper files of your own (my_paper.py)."
    ),
    scale: str = typer.Option("laptop", help="smoke (seconds; not judged), laptop, or full (the paper's own size)."),
    seeds: int = typer.Option(None, help="Trials a claim.", show_default="what the claim asks for, 5 or more"),
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
    track: str = typer.Option(None, metavar="mlflow", help="Log the results to a tracker, too."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """Re-test what a paper claims and say holds, fails or unclear.

    Finished trials are kept: the same command again only runs what is new or has changed.
    """
    from replica.errors import ReplicaError
    from replica.lab.runner.verify import verify as run_verify, write_evidence

    from .limits import number_of_seeds, positive, read_bytes
    from .output import console, print_json, standard_output_kept

    if figure is not None:
        from replica.lab.report import check_figure_path

        check_figure_path(figure)
    if record and (claim or seeds is not None):
        raise ReplicaError("--record measures all claims with their own seeds; leave out --claim and --seeds.")
    with standard_output_kept():
        tracker = None
        if track is not None:
            from replica.lab.report import Tracker

            tracker = Tracker(track)
        results = run_verify(
            *papers,
            scale=scale,  # type: ignore[arg-type]  # checked there
            seeds=number_of_seeds(seeds),
            claims=claim,
            device=device,
            workers=jobs,
            backend=backend,  # type: ignore[arg-type]  # checked there
            store=store,
            limit_seconds=positive("--limit-seconds", limit_seconds),
            limit_bytes=read_bytes("--limit-memory", limit_memory),
        )
    for result in results:
        if not result.claims:
            raise ReplicaError(f"Paper {result.slug} has no claim to verify; mark one with @paper.claim(...).")
    written: list[Path] = [write_evidence(result) for result in results] if record else []
    if figure is not None:
        from replica.lab.report import save_result_figures

        save_result_figures(results, figure)
    if as_json:
        print_json([result.plain() for result in results])
    else:
        for result in results:
            console().print(f"\n[bold]{result.slug}[/bold] at {scale} scale\n")
            print_claims([claim.plain() for claim in result.claims])
        for path in written:
            print(f"Evidence: {path}")
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
    from rich import box
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table

    from replica.lab.report.quantities import quantity
    from replica.lab.runner.progress import duration

    from .output import console, span, verdict_text

    out = console()
    for claim in claims:
        stale = "  [yellow](stale: the code has changed since)[/yellow]" if claim["stale"] else ""
        out.print(f"{verdict_text(claim['verdict'])}  [bold]{escape(claim['sentence'])}[/bold]{stale}")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
        for head in ("measure", "ours (95 % interval)", "must be", "the paper"):
            table.add_column(head, overflow="fold")
        reported = claim["reported"] or {}
        for name in dict.fromkeys([*claim["measured"], *reported]):
            ours = span(claim["measured"][name]) if name in claim["measured"] else ""
            theirs = reported.get(name)
            value = theirs and (
                quantity(theirs["value"]) if isinstance(theirs["value"], int | float) else theirs["value"]
            )
            table.add_row(
                name,
                ours,
                claim["expect"].get(name, ""),
                escape(f"{value} ({theirs['where']})") if theirs else "",
            )
        out.print(Padding(table, (0, 0, 0, 2)))
        seeds = f"{claim['seeds']} seed{'s' if claim['seeds'] != 1 else ''}"
        cost = f"{seeds}, {duration(claim['seconds'])} in all, {quantity(claim['peak_bytes'], 'bytes')} at most"
        out.print(f"  [dim]{cost}[/dim]")
        if claim["why"] and claim["verdict"] in ("fails", "unclear"):
            out.print(Padding(f"Why we think so: {escape(claim['why'])}", (0, 0, 0, 2)))
        for error in claim.get("errors", [])[:3]:
            out.print(f"  [red]seed {error['seed']}: {escape(error['error'])}[/red]", soft_wrap=True)
            out.print(Padding(escape(error["traceback"].strip()), (0, 0, 0, 4)), style="dim")
        out.print()
