"""`replica papers`: the catalogue, searched."""

from __future__ import annotations

import shutil
import sys

import typer

STATE_WIDTH = len("4 holds, 1 unclear")
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
    """List the papers, best match first."""
    from replica.lab.catalogue import count_verdicts, find, records

    from .output import print_json

    found = find(" ".join(words or []), wing=wing, problem=problem, status=status)
    if as_json:
        print_json(
            [
                {
                    "slug": record.slug,
                    "title": record.title,
                    "wing": record.wing,
                    "year": record.year,
                    "url": record.url,
                    "code": record.code,
                    "status": record.status,
                    "verdicts": count_verdicts(record),
                }
                for record in found
            ]
        )
        return
    if not found:
        print(f"No paper matches. There are {len(records())}; try fewer words, or replica papers alone.")
        return
    # Plain lines, not a rich table: laying out 229 rows would take longer than all the rest.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    slugs, wings = (max(len(getattr(record, name)) for record in found) for name in ("slug", "wing"))
    built = 0
    for record in found:
        state = "not built yet"
        if record.status == "built":
            built += 1
            verdicts = count_verdicts(record)
            state = ", ".join(f"{count} {name}" for name, count in verdicts.items() if count) or "not recorded"
        line = f"{record.slug:{slugs}}  {record.year or '':4}  {record.wing:{wings}}  {state:{STATE_WIDTH}}  {record.title}"
        print(line if len(line) <= width else line[: width - 1] + "…")
    print(f"\n{len(found)} papers, {built} built. `replica show SLUG` tells more of one.")
