"""How commands print: JSON alone for machines, tables for people."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

VERDICT_STYLES = {"holds": "green", "fails": "red", "unclear": "yellow", "error": "bold red", None: "dim"}
VERDICT_MARKS = {"holds": "✓", "fails": "✗", "unclear": "?", "error": "!", None: "·"}


def print_json(value: Any) -> None:
    """Print JSON and nothing else on standard output."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2))


@cache
def console() -> Console:
    """The terminal; a file or a pipe gets lines wide enough for the tables."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def verdict_text(verdict: str | None) -> str:
    """A verdict with its mark and colour, as rich markup."""
    style = VERDICT_STYLES[verdict]
    return f"[{style}]{VERDICT_MARKS[verdict]} {verdict or 'not judged'}[/{style}]"


def span(measured: dict[str, Any], unit: str = "") -> str:
    """A mean with its interval."""
    from replica.lab.report.quantities import quantity

    low, high = measured["low"], measured["high"]
    if low is None and high is None:
        return quantity(measured["mean"], unit)
    return f"{quantity(measured['mean'], unit)} [dim]({quantity(low, unit)} – {quantity(high, unit)})[/dim]"
