"""Whether recorded studies were measured on the code as it is, and what a change would cost to measure again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from replica.lab.catalogue import Record, read_evidence, records

from .fingerprint import fingerprint, sources, spec_path


def is_stale(record: Record, name: str, study: dict[str, Any]) -> bool:
    """Whether the code of a recorded study has changed since. Functions are read; an arena's paper is imported."""
    read = study["kind"] == "function"
    digest = fingerprint(spec_path(record.module), name) if read else _arena(record, name).fingerprint
    return bool(digest != study["fingerprint"])


def recorded_studies(*, arenas: bool = True) -> Iterator[tuple[Record, str, dict[str, Any]]]:
    """All recorded studies that a claim of a built paper is judged by; without arenas nothing needs torch."""
    for known in records().values():
        evidence = read_evidence(known) if known.status == "built" else None
        judged = {claim["study"] for claim in evidence["claims"]} if evidence else set()
        for name, study in (evidence or {}).get("studies", {}).items():
            if name in judged and (arenas or study["kind"] == "function"):
                yield known, name, study


def costs() -> Iterator[tuple[list[str], float]]:
    """For each recorded study the definitions it depends on, and the seconds it took."""
    for known, name, study in recorded_studies():
        if study["kind"] == "function":
            yield sources(spec_path(known.module), name), sum(study["seconds"])
        else:
            yield _arena(known, name).sources(), sum(study["seconds"])


def _arena(record: Record, name: str) -> Any:
    from .plans import plan
    from .settings import Settings
    from .sources import find_source

    source = find_source(record.slug)
    claims = [claim for claim in source.paper.claims.values() if claim.study_name == name]
    return plan(source, claims, Settings())
