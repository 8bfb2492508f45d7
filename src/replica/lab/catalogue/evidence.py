"""Recorded measurements behind the verdicts: ``replica/evidence/<wing>/<slug>.json``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from .records import Record, package_root


def evidence_path(record: Record) -> Path:
    """Where a paper's evidence stands."""
    return package_root() / "evidence" / record.wing / f"{record.slug}.json"


def read_evidence(record: Record, *, earlier: bool = False) -> dict[str, Any] | None:
    """The paper's recorded evidence, or None where nothing was recorded yet.

    With ``earlier`` also what was judged before claims had gates and settings: it binds what is registered, and its rows, if it
    has any, are used again, but its verdicts are not shown.
    """
    try:
        evidence: dict[str, Any] = json.loads(evidence_path(record).read_bytes())
    except FileNotFoundError:
        return None
    judged = all("setting" in claim for claim in evidence["claims"])
    return evidence if judged or earlier else None


def recorded_rows(evidence: dict[str, Any], claim: dict[str, Any]) -> dict[str, list[Any]]:
    """The rows that a recorded claim was judged by, in columns, with a column ``seed``."""
    rows = evidence["studies"][claim["study"]]["rows"]
    seeds = range(claim["first_seed"], claim["first_seed"] + claim["seeds"])
    kept = [index for index, seed in enumerate(rows["seed"]) if seed in seeds]
    return {name: [values[index] for index in kept] for name, values in rows.items()}


VERDICTS = ("holds", "fails", "not_seen", "no_effect", "unclear", "not_tested", "error")
"""Verdicts as people read them: *not seen here* is a *fails* of a study that is not the paper's own."""


def shown_verdict(claim: dict[str, Any]) -> str:
    """A recorded claim's verdict as people read it, one of `VERDICTS`."""
    return "not_seen" if claim["verdict"] == "fails" and claim["setting"] != "own" else str(claim["verdict"])


def count_verdicts(record: Record) -> dict[str, int]:
    """How many of the paper's recorded claims came to each verdict, as people read them."""
    evidence = read_evidence(record) if record.status == "built" else None
    counts = Counter(map(shown_verdict, evidence["claims"])) if evidence else Counter[str]()
    return {verdict: counts[verdict] for verdict in VERDICTS}


def card(record: Record) -> dict[str, Any]:
    """What ``replica papers --json`` tells of a paper."""
    told = ("slug", "title", "wing", "year", "url", "code", "status")
    return {**{name: getattr(record, name) for name in told}, "verdicts": count_verdicts(record)}
