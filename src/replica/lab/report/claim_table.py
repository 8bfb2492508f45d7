"""A claim's table as text: what was measured beside what is wanted and what the paper reports."""

from __future__ import annotations

from typing import Any

from replica.lab.claims.verdicts import words

from .quantities import quantity, span_text
from .tables import Column

MARKS = {"holds": "✓", "fails": "✗", "no_effect": "≈", "unclear": "?", "not_tested": "–", "error": "!", None: "·"}


def verdict_words(verdict: str | None, setting: str) -> str:
    """A verdict with its mark, in words."""
    return f"{MARKS[verdict]} {words(verdict, setting) if verdict else 'not judged'}"


def claim_columns(claim: dict[str, Any]) -> list[Column]:
    """The table of a claim in its JSON form: judged measures first, then controls and diagnostics."""
    reported, rows = claim["reported"] or {}, []
    for name in dict.fromkeys([*claim["expect"], *claim["gates"], *claim["diagnose"], *claim["measured"], *reported]):
        measured, said = claim["measured"].get(name), reported.get(name, {"value": "", "where": ""})
        wanted = claim["expect"].get(name, "")
        if name in claim["smallest"]:
            wanted += f"; none within ±{claim['smallest'][name]}"
        bound = (wanted, "")
        if name in claim["gates"]:
            bound = (claim["gates"][name], "control")
        elif name in claim["diagnose"]:
            bound = (claim["diagnose"][name], "shown, not judged")
        value = quantity(said["value"]) if isinstance(said["value"], int | float) else said["value"]
        ours = (quantity(measured["mean"]), span_text(measured)) if measured else ("", "")
        rows.append(((name, ""), ours, bound, (value, said["where"])))
    heads = ("measure", f"ours ({100 * claim['level']:.3g} % interval)", "must be", "the paper")
    return [Column(head, [row[at] for row in rows], is_text=True) for at, head in enumerate(heads)]
