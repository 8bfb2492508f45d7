"""A claim's table as text: what was measured beside what is wanted and what the paper reports."""

from __future__ import annotations

from typing import Any, NamedTuple

from replica.lab.claims.verdicts import words

from .quantities import quantity, span_text

MARKS = {"holds": "✓", "fails": "✗", "no_effect": "≈", "unclear": "?", "not_tested": "–", "error": "!", None: "·"}


class Measure(NamedTuple):
    """A row: each value with what is said beside it."""

    name: str
    ours: tuple[str, str]
    wanted: tuple[str, str]
    theirs: tuple[str, str]


def verdict_words(verdict: str | None, setting: str) -> str:
    """A verdict with its mark, in words."""
    return f"{MARKS[verdict]} {words(verdict, setting) if verdict else 'not judged'}"


def heads(claim: dict[str, Any]) -> tuple[str, ...]:
    """The heads of the four columns."""
    return "measure", f"ours ({100 * claim['level']:.3g} % interval)", "must be", "the paper"


def measures(claim: dict[str, Any]) -> list[Measure]:
    """The rows of a claim in its JSON form: judged measures first, then controls and diagnostics."""
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
        rows.append(Measure(name, ours, bound, (value, said["where"])))
    return rows
