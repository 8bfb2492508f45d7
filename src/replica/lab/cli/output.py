"""How commands print: JSON alone for machines, tables for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

VERDICT_STYLES = {
    "holds": "green", "fails": "red", "no_effect": "red", "unclear": "yellow", "not_tested": "dim", "error": "bold red",
    None: "dim",
}  # fmt: skip


def print_json(value: Any) -> None:
    """Print JSON and nothing else on standard output."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, ensure_ascii=not unicode, allow_nan=False, indent=2))


@contextmanager
def standard_output_kept() -> Iterator[None]:
    """Keep standard output for the command: what methods print meanwhile, also in worker processes, goes to standard error."""
    sys.stdout.flush()
    try:
        saved = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # the program was started without them
        saved = -1
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if saved >= 0:
            os.dup2(saved, 1)
            os.close(saved)


@contextmanager
def working(on: str) -> Iterator[None]:
    """Show on standard error, where it is a terminal, that something takes its time."""
    from rich.console import Console

    errors = Console(stderr=True)
    if not errors.is_terminal:
        yield
        return
    with errors.status(f"{on} ..."):
        yield


@cache
def console() -> Console:
    """The terminal; a file or a pipe gets lines wide enough for the tables."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def verdict_text(verdict: str | None, setting: str) -> str:
    """A verdict in words, with its mark and colour, as rich markup."""
    from replica.lab.report.claim_table import verdict_words

    style = VERDICT_STYLES[verdict]
    return f"[{style}]{verdict_words(verdict, setting)}[/{style}]"
