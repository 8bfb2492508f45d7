"""The first page."""

from __future__ import annotations

from collections import Counter

from replica.lab.catalogue import VERDICTS, count_verdicts, find, records

from . import problems, wings
from .markdown import render
from .source import Source


def write(source: Source) -> None:
    """Write the first page: what it is, the three jobs, how the claims stand."""
    verdicts = sum((Counter(count_verdicts(record)) for record in find(status="built")), Counter[str]())
    cards = problems.cards()
    source.write(
        "index.md",
        render(
            "index.md",
            papers=len(records()),
            built=len(find(status="built")),
            verdicts={name: verdicts[name] for name in VERDICTS},
            problems=cards,
            picture=next((card for card in cards if card["comparison"]), None),
            wings=wings.cards(),
        ),
    )
