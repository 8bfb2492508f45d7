"""`replica problems`: the shared jobs that methods compete on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from replica.lab.catalogue import find
from replica.lab.problems.registry import get, names

from .output import console, print_json

if TYPE_CHECKING:
    from replica.lab.problems.problem import Option, Problem, Value

EXAMPLES = "Example: [bold]replica problems recall[/bold]"


def problems(
    name: str = typer.Argument(None, help="A problem, to see its protocol, data, options and methods."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON alone."),
) -> None:
    """List the problems, or show one: what it asks, which data and methods it takes, its options and metrics."""
    cards = [card(get(known)) for known in ([name] if name else names())]
    if as_json:
        print_json(cards)
        return
    for found in cards:
        _print(found, whole=name is not None)


def card(problem: Any) -> dict[str, Any]:
    """What there is to say of a problem, as ``--json`` prints it."""
    return {
        "name": problem.name,
        "question": problem.question,
        "protocol": list(problem.protocol),
        "optional": list(problem.optional),
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

    out = console()
    name = card["name"]
    out.print(f"\n[bold]{name}[/bold]  {escape(card['question'])}\n")
    _list(
        ("baselines", ", ".join(baseline["name"] for baseline in card["baselines"])),
        ("papers", ", ".join(card["papers"]) or "none built yet"),
        ("data", f"{', '.join(card['data'])}; your own: {', '.join(card['formats']) or 'none'}"),
        ("metrics", ", ".join(metric["name"] for metric in card["metrics"])),
    )
    if not whole:
        out.print(f"  [dim]replica problems {name}[/dim] tells its options; [dim]replica compare {name}[/dim] runs it.")
        return
    out.print("\n[bold]A method has[/bold]")
    for line in card["protocol"]:
        out.print(f"  {escape(line)}")
    if card["optional"]:
        out.print("\n[bold]and may have[/bold]")
    for line in card["optional"]:
        out.print(f"  {escape(line)}")
    print_options(get(name))
    out.print("\n[bold]Metrics[/bold] (the first ranks)")
    _list(*((m["name"], f"{m['label']} ({m['unit']}, {m['better']} is better)") for m in card["metrics"]))
    out.print("\n[bold]Baselines[/bold]")
    _list(*((baseline["name"], baseline["description"]) for baseline in card["baselines"]))
    data = f" --data my_file{card['formats'][0]}" if card["formats"] else ""
    out.print(f"\n[bold]replica compare {name} --entry my_method.py:MyMethod{data}[/bold]\n")


def print_options(problem: Problem) -> None:
    """Print a problem's data, its own options with their ranges and defaults, what is swept, and an example."""
    out = console()
    out.print(f"\n[bold]Data of {problem.name}[/bold] (--data NAME or a file)")
    _list(*problem.data_names.items(), ("your own", ", ".join(problem.data_formats) or "none"))
    out.print(f"\n[bold]Options of {problem.name}[/bold]")
    _list(*((_flag(option.name), _described(option)) for option in problem.options))
    swept = next(o for o in problem.options if not isinstance(o.default, str) and o.name not in problem.data_options)
    name, values = problem.default_sweep or (swept.name, ())
    default = f", by default {name}={_joined(values)} unless {_flag(name)} is given" if values else ""
    out.print(f"\n[bold]--sweep OPTION=A,B,C[/bold] runs at several values of one of them{default}.")
    example = f"replica compare {problem.name} --sweep {name}={_joined(values[:3] or _around(swept))} --seeds 3"
    out.print(f"Example: [bold]{example}[/bold]")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _described(option: Option) -> str:
    return f"{option.help} ({option.wanted}; default {'none' if option.default == '' else option.default})"


def _joined(values: Iterable[Value]) -> str:
    return ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _around(option: Option) -> list[Value]:
    """Half of an option's default and the default, as far as it takes them."""
    default: Any = option.default
    values = {type(default)(share * default) for share in (0.5, 1)}
    return sorted(value for value in values if option.minimum <= value <= option.maximum)


def _list(*rows: tuple[str, str]) -> None:
    """Names with what they mean, each wrapped under itself."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, meaning in rows:
        table.add_row(Text(name), Text(meaning))
    console().print(Padding(table, (0, 0, 0, 2)))
