"""`replica show`: the card of a paper."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from replica.lab.catalogue import bibtex as cite, find, package_root, read_evidence, record
from replica.lab.catalogue.evidence import card as paper_card

from .output import console, print_json, working
from .verify import print_claims

if TYPE_CHECKING:
    from replica.lab.catalogue import Record
    from replica.lab.claims.registration import Registered, Registration

EXAMPLES = "Example: [bold]replica show hopfield[/bold], or [bold]replica show hopfield --bibtex >> papers.bib[/bold]"


def show(
    slug: str = typer.Argument(..., help="The paper, as replica papers names it."),
    bibtex: bool = typer.Option(False, "--bibtex", help="Print the BibTeX entry alone."),
    figure: Path = typer.Option(
        None, help="Draw the claims' figures from the recorded evidence into this .png, .svg or .pdf file."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """Show a paper: idea, links, part, and each claim with its verdict, the paper's own figure beside ours."""
    known = record(slug)
    if bibtex:
        print(cite(known))
        return

    from replica.lab.claims.registration import read_registrations

    evidence = read_evidence(known)
    registered = read_registrations(package_root() / "papers" / known.wing / f"{known.slug}.toml")
    claims = _claims(known, evidence, registered) if evidence else []
    card = {
        **paper_card(known),
        "authors": list(known.authors),
        "venue": known.venue,
        "idea": known.idea,
        "part": known.part,
        "problems": list(known.problems),
        "departures": list(registered.departures),
        "claims": claims,
        "pending": [
            _reason(said, said.pending) for said in registered.claims.values() if said.pending and not said.withdrawn
        ],
        "withdrawn": [_reason(said, said.withdrawn) for said in registered.claims.values() if said.withdrawn],
    }
    if figure is not None:
        with working("Drawing the claims"):
            from replica.lab.report import save_claim_figures

            save_claim_figures(known, evidence, figure)
    if as_json:
        print_json(card)
        return
    _print(card, known.module, evidence)
    if figure is not None:
        print(f"Figures: {figure}")


def _reason(said: Registration, reason: str) -> dict[str, str]:
    return {"name": said.name, "sentence": said.sentence, "reason": reason}


def _claims(known: Record, evidence: dict[str, Any], registered: Registered) -> list[dict[str, Any]]:
    """The recorded claims as --json gives them, in the words registered today; stale where the code has changed since."""
    from replica.lab.runner.freshness import is_stale

    stale = {name: is_stale(known, name, study) for name, study in evidence["studies"].items()}
    found = []
    for claim in evidence["claims"]:
        said = registered.claims.get(claim["name"])
        if said is not None and not said.withdrawn and not said.pending:
            reported = {name: {"value": r.value, "where": r.where} for name, r in said.reported.items()} or None
            words = {"sentence": said.sentence, "reported": reported, "why": said.explain(claim["measured"])}
            found.append({**claim, **words, "stale": stale[claim["study"]], "pooled": None})
    return found


def _print(card: dict[str, Any], module: str, evidence: dict[str, Any] | None) -> None:
    from rich.markup import escape
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    out.print(f"\n[bold]{escape(card['title'])}[/bold]")
    out.print(Text(", ".join(card["authors"]) + f" · {card['venue'] or card['year']}", style="dim"))
    out.print(f"\n{escape(card['idea'])}\n")
    built = card["status"] == "built"
    part = f"from replica.{card['wing']} import {', '.join(exports(card['wing'], module))}" if built else card["part"]
    lines = {"wing": card["wing"], "paper": card["url"], "code": card["code"], "problems": ", ".join(card["problems"])}
    for name, value in {**lines, "part": part}.items():
        if value:
            out.print(f"[dim]{name:9}[/dim] {escape(value)}", soft_wrap=True)
    if not built:
        out.print(
            "\nThis paper is in the catalogue but [bold]not built yet[/bold]: it has no part and no claims here so far."
        )
        return
    if evidence is None:
        out.print(f"\nNo evidence is recorded yet: [bold]replica verify {card['slug']}[/bold] measures its claims.\n")
        _print_unjudged(card)
        return
    machine = evidence["machine"]
    out.print(
        f"\nClaims, measured {evidence['recorded']} on {escape(machine['processor'])}, PyTorch {machine['torch']}:\n"
    )
    print_claims(card["claims"])
    _print_unjudged(card)
    if card["departures"]:
        out.print("[bold]What differs from the paper[/bold]")
        for departure in card["departures"]:
            out.print(Padding(f"· {escape(departure)}", (0, 0, 0, 1)))
        out.print()
    out.print(f"[bold]replica verify {card['slug']}[/bold] measures them again here.", highlight=False)


def _print_unjudged(card: dict[str, Any]) -> None:
    """The claims that have no verdict: not measured yet, or withdrawn, each with its reason."""
    from rich.markup import escape

    for kind, words in (("pending", "not measured yet"), ("withdrawn", "withdrawn")):
        for claim in card[kind]:
            console().print(f"[dim]{words}: {escape(claim['sentence'])} {escape(claim['reason'])}[/dim]")
    console().print()


def exports(wing: str, module: str) -> list[str]:
    """The names of the wing's table of contents that are parts of a paper, its own before those that others use too.

    These are the names that the paper file uses, and those beside them that no other of the wing's papers uses: from the same
    module or one named after it, or under the same heading of the table. Files are read, not imported. What the catalogue names
    as the paper's part comes first; then what stands under a heading that fewer papers use, and under it a name that fewer use.
    """
    from replica.lab.runner.fingerprint import spec_path

    contents = spec_path(f"replica.{wing}").with_suffix(".pyi")
    headings = [number for number, line in enumerate(contents.read_text().splitlines(), 1) if line.startswith("#")]
    listed = _imported(contents, wing)
    under = {name: bisect(headings, line) for name, (line, _) in listed.items()}
    built = find(wing=wing, status="built")
    by_paper = {record.module: _imported(spec_path(record.module), wing).keys() & listed.keys() for record in built}
    used = by_paper.get(module) or _imported(spec_path(module), wing).keys() & listed.keys()
    others = [names for paper, names in by_paper.items() if paper != module]

    def own(place: Callable[[str], Any]) -> set[Any]:
        """The modules or headings that this paper alone uses."""
        return {place(name) for name in used} - {place(name) for names in others for name in names}

    modules, places = own(lambda name: listed[name][1]) | {module.rpartition(".")[2]}, own(under.__getitem__)
    named = tuple(f"{name}_" for name in modules)
    parts = [
        n for n, (_, source) in listed.items() if n in used or under[n] in places or f"{source}_".startswith(named)
    ]
    told = next((record.part for record in built if record.module == module), "")

    def order(name: str) -> tuple[bool, int, int]:
        heading = [any(under[other] == under[name] for other in names) for names in others]
        return re.search(rf"\b{name}\b", told) is None, sum(heading), sum(name in names for names in others)

    return sorted(parts, key=order)


@cache
def _imported(path: Path, wing: str) -> dict[str, tuple[int, str]]:
    """What a file imports from the wing or from beside it: in which line, and from which module."""
    import ast

    return {
        alias.name: (node.lineno, node.module or "")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ImportFrom) and (node.level or f"{node.module}.".startswith(f"replica.{wing}."))
        for alias in node.names
    }
