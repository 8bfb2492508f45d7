"""Recorded studies whose code changed: one seed is measured again, and where it equals the record, the rest is not."""

from __future__ import annotations

import json
from functools import partial

from replica.lab.catalogue import evidence_path, read_evidence, record
from replica.lab.claims.rows import Columns, stacked, unstacked

from .evidence import compact, recorded_study
from .plans import plan
from .run import run
from .settings import Settings
from .sources import Source


def restamped(source: Source, settings: Settings) -> list[str]:
    """Stamp what is recorded of a paper with the code of today where one seed comes out the same bit for bit."""
    known = record(source.slug)
    evidence = read_evidence(known, earlier=True)
    notes: list[str] = []
    if evidence is None or "studies" not in evidence:
        return notes
    run_jobs = partial(run, settings=settings, title=f"Refreshing {source.slug}")
    for name in source.paper.studies:
        recorded = recorded_study(source.slug, name)
        measured = [c for c in source.paper.claims.values() if c.study_name == name and not c.registration.pending]
        if recorded is None or not recorded.tables or not measured:
            continue
        own = plan(source, measured, settings)
        if recorded.fingerprint == own.fingerprint:
            continue
        own.prepare(run_jobs)
        seed = min(recorded.tables)
        rows = run_jobs(own.jobs(seed))
        failed = [row for row in rows.values() if row.status == "error"]
        if not failed and same(own.table(seed, rows), recorded.tables[seed]):
            evidence["studies"][name]["fingerprint"] = own.fingerprint
            notes.append(f"{source.slug}/{name}: seed {seed} equals the record bit for bit; stamped anew")
        else:
            notes.append(f"{source.slug}/{name}: seed {seed} differs from the record; all seeds are measured again")
    evidence_path(known).write_text(compact(evidence) + "\n")
    return notes


def same(new: Columns, old: Columns) -> bool:
    """Whether two tables hold the same cells, whatever the order of their columns."""
    (first,) = unstacked(stacked({0: new})).values()
    (second,) = unstacked(stacked({0: old})).values()
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
