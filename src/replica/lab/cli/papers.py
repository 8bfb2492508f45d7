"""`replica papers`: the catalogue, searched."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import typer

from replica.lab.catalogue import count_verdicts, find, records
from replica.lab.catalogue.evidence import card

from .output import print_json

if TYPE_CHECKING:
    from replica.lab.catalogue import Record

TITLE_ROOM = 40
"""The fewest columns that a title is set in."""

EXAMPLES = "Example: [bold]replica papers associative memory --wing memory[/bold]"


def papers(
    words: list[str] | None = typer.Argument(
        None, help="What to look for: words of title, idea, authors, wing, problem."
    ),
    wing: str = typer.Option(None, help="Only this wing, such as memory."),
    problem: str = typer.Option(None, help="Only papers whose method fits this problem, such as recall."),
    status: str = typer.Option(None, help="Only built or planned ones."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """List the papers: best match first; without words, built ones first."""
    found = find(" ".join(words or []), wing=wing, problem=problem, status=status)
    if as_json:
        print_json([card(record) for record in found])
        return
    if not found:
        print(f"No paper matches. There are {len(records())}; try fewer words, or replica papers alone.")
        return
    states = [_state(record) for record in found]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    slugs, wings = (max(len(getattr(record, name)) for record in found) for name in ("slug", "wing"))
    for record, state in zip(found, states, strict=True):
        start = (
            f"{record.slug:{slugs}}  {record.year or '':4}  {record.wing:{wings}}  {state:{max(map(len, states))}}  "
        )
        print(_titled(start, record.title, width))
    built = sum(record.status == "built" for record in found)
    print(f"\n{len(found)} papers, {built} built. `replica show SLUG` tells more of one.")


def _state(record: Record) -> str:
    """The verdicts on a paper's claims, counted."""
    if record.status != "built":
        return "not built yet"
    counts = (f"{count} {name.replace('_', ' ')}" for name, count in count_verdicts(record).items() if count)
    return ", ".join(counts) or "not recorded"


def _titled(start: str, title: str, width: int) -> str:
    """A line with the whole title at its end, wrapped under itself, or below where there is no room beside it.

    Plain lines, not a rich table: laying out 229 rows would take longer than all the rest.
    """
    room = width - len(start)
    if room >= len(title):
        return start + title
    if room < TITLE_ROOM:
        return "\n".join(
            [start.rstrip(), *textwrap.wrap(title, width, initial_indent="    ", subsequent_indent="    ")]
        )
    return start + f"\n{' ' * len(start)}".join(textwrap.wrap(title, room))
