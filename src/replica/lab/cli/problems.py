"""`replica problems`: the shared jobs that methods compete on."""

from __future__ import annotations

from typing import Any

import typer

EXAMPLES = "Example: [bold]replica problems recall[/bold]"


def problems(
    name: str = typer.Argument(None, help="A problem, to see its protocol, data, options and methods."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """List the problems, or show one: what it asks, which data and methods it takes, its options and metrics."""
    from replica.lab.problems.registry import get, names

    from .output import print_json

    cards = [card(get(known)) for known in ([name] if name else names())]
    if as_json:
        print_json(cards)
        return
    for found in cards:
        _print(found, whole=name is not None)


def card(problem: Any) -> dict[str, Any]:
    """What there is to say of a problem, as ``--json`` prints it."""
    from replica.lab.catalogue import find

    return {
        "name": problem.name,
        "question": problem.question,
        "protocol": list(problem.protocol),
        "data": dict(problem.data_names),
        "formats": list(problem.data_formats),
        "options": [
            {"name": o.name, "default": o.default, "wanted": o.wanted, "help": o.help} for o in problem.options
        ],
        "metrics": [{"name": m.name, "unit": m.unit, "better": m.better, "label": m.label} for m in problem.metrics],
        "baselines": [{"name": b.name, "description": b.description} for b in problem.baselines()],
        "papers": [r.slug for r in find(status="built") if problem.name in r.problems],
    }


def _print(card: dict[str, Any], whole: bool) -> None:
    from rich.markup import escape

    from .output import console

    out = console()
    name = card["name"]
    out.print(f"\n[bold]{name}[/bold]  {escape(card['question'])}\n")
    _list(
        ("baselines", ", ".join(baseline["name"] for baseline in card["baselines"])),
        ("papers", ", ".join(card["papers"]) or "none built yet"),
        ("data", f"{', '.join(card['data'])}; your own: {', '.join(card['formats'])}"),
        ("metrics", ", ".join(metric["name"] for metric in card["metrics"])),
    )
    if not whole:
        out.print(f"  [dim]replica problems {name}[/dim] tells its options; [dim]replica compare {name}[/dim] runs it.")
        return
    out.print("\n[bold]A method has[/bold]")
    for line in card["protocol"]:
        out.print(f"  {escape(line)}")
    out.print("\n[bold]Data[/bold] (--data NAME or a file)")
    _list(*card["data"].items())
    out.print("\n[bold]Options[/bold]")
    _list(
        *(
            (f"--{o['name']}", f"{o['help']} ({o['wanted']}; default {'none' if o['default'] == '' else o['default']})")
            for o in card["options"]
        )
    )
    out.print("\n[bold]Metrics[/bold] (the first ranks)")
    _list(*((m["name"], f"{m['label']} ({m['unit']}, {m['better']} is better)") for m in card["metrics"]))
    out.print("\n[bold]Baselines[/bold]")
    _list(*((baseline["name"], baseline["description"]) for baseline in card["baselines"]))
    out.print(
        f"\n[bold]replica compare {name} --entry my_method.py:MyMethod --data my_file{card['formats'][0]}[/bold]\n"
    )


def _list(*rows: tuple[str, str]) -> None:
    """Names with what they mean, each wrapped under itself."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from .output import console

    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, meaning in rows:
        table.add_row(Text(name), Text(meaning))
    console().print(Padding(table, (0, 0, 0, 2)))
