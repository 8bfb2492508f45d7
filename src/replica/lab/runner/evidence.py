"""The record: the rows of every trial of a paper's studies, and the verdicts that follow from them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replica.errors import ReplicaError
from replica.lab.catalogue import evidence_path, read_evidence, record, records
from replica.lab.claims.registration import Registration
from replica.lab.claims.rows import Columns, stacked, unstacked

from .settings import Settings
from .sources import Source
from .store import Row

if TYPE_CHECKING:
    from .plans import Plan
    from .verify import PaperResult

_WITHDRAWN = ("name", "sentence", "verdict", "expect", "measured", "seeds")
_KEPT = ("expect", "diagnose", "gates", "smallest")


@dataclass
class StudyResult:
    """What was measured of a study, here or for the record: rows and cost by seed, errors."""

    name: str
    kind: str
    fingerprint: str
    tables: dict[int, Columns] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    peak_bytes: int = 0
    errors: list[Row] = field(default_factory=list)
    machine: Mapping[str, Any] = field(default_factory=dict)

    def add(self, seed: int, plan: Plan, rows: Mapping[str, Row]) -> None:
        """Take in a seed's finished trials."""
        own = [rows[job.key] for job in plan.jobs(seed)]
        self.seconds[seed] = round(sum(row.seconds for row in own), 3)
        self.peak_bytes = max([self.peak_bytes, *(row.peak_bytes or 0 for row in own)])
        self.machine = own[0].machine
        failed = [row for row in own if row.status == "error"]
        self.errors.extend(failed)
        if not failed:
            self.tables[seed] = plan.table(seed, rows)

    def plain(self) -> dict[str, Any]:
        """As evidence has it."""
        seeds = sorted(self.tables)
        return {
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "seeds": seeds,
            "seconds": [self.seconds[seed] for seed in seeds],
            "peak_bytes": self.peak_bytes,
            "rows": stacked({seed: self.tables[seed] for seed in seeds}),
        }


def recorded_study(slug: str, name: str) -> StudyResult | None:
    """A study of a catalogued paper as recorded; None where nothing is."""
    evidence = read_evidence(record(slug), earlier=True) if slug in records() else None
    study = evidence.get("studies", {}).get(name) if evidence else None
    if evidence is None or study is None:
        return None
    seconds = dict(zip(study["seeds"], study["seconds"], strict=True))
    told = {"peak_bytes": study["peak_bytes"], "machine": evidence["machine"]}
    return StudyResult(name, study["kind"], study["fingerprint"], unstacked(study["rows"]), seconds, **told)


def check_registrations(source: Source) -> None:
    """See that no bound or sentence differs from what the recorded verdicts were reached by."""
    evidence = read_evidence(record(source.slug), earlier=True) if source.slug in records() else None
    for recorded in [*evidence["claims"], *evidence.get("earlier", ())] if evidence else ():
        said = source.paper.registered.claims.get(recorded["name"])
        if said is None:
            raise ReplicaError(
                f"Claim {recorded['name']} has evidence but is no longer registered: withdraw it with a reason instead"
                f' (withdrawn = "...") in {source.path.with_suffix(".toml").name}.'
            )
        changed = _changed(said, recorded)
        if changed and not said.withdrawn:
            raise ReplicaError(
                f"Claim {said.name}: {changed} was changed after evidence existed. The verdict is against the bound as first"
                " registered: put it back, or withdraw the claim with its reason and register a new one under a new name."
            )


def _changed(said: Registration, recorded: Mapping[str, Any]) -> str:
    """What of a registration differs from the one that the evidence keeps; empty for nothing."""
    if recorded["sentence"] not in (said.sentence, said.formerly):
        return "the sentence"
    bounds = said.bounds()
    return next((f"a bound ({kind})" for kind in _KEPT if bounds[kind] != recorded[kind]), "")


def record_paper(source: Source, settings: Settings, *, refresh: bool = False) -> tuple[PaperResult, Path, list[str]]:
    """Measure and judge all claims of a paper and write its evidence.

    Recorded rows stay where the code that gave them is unchanged. Where it changed, one recorded seed is measured again: equal
    bit for bit, the record is stamped anew; else all its seeds are measured.
    """
    from .restamp import restamped
    from .verify import verify_source

    if settings.scale == "smoke" or settings.seeds is not None:
        raise ReplicaError("Evidence is recorded at laptop or full scale, with the claims' own looks.")
    check_registrations(source)
    notes = restamped(source, settings)
    ready = [name for name, claim in source.paper.claims.items() if not claim.registration.pending]
    if not ready:
        raise ReplicaError(f"All claims of {source.slug} are pending; take that line out of those to be measured.")
    result = verify_source(source, settings, only=ready, record="recorded looks" if refresh else "all looks")
    for claim in result.claims:
        if claim.errors:
            raise ReplicaError(f"Evidence is recorded without errors; {claim.claim.name} has: {claim.errors[0].error}.")
    return result, write_evidence(result), notes


def write_evidence(result: PaperResult) -> Path:
    """Write a paper's evidence, in the package; for those who keep Replica, from a checkout."""
    path = evidence_path(record(result.slug))
    studies: dict[str, StudyResult] = {claim.study.name: claim.study for claim in result.claims}
    machine = next(iter(studies.values())).machine
    before = read_evidence(record(result.slug), earlier=True) or {"claims": []}
    measured = {claim.claim.name for claim in result.claims}
    open_ = {name: claim for name, claim in result.source.paper.claims.items() if claim.registration.pending}
    pending, waiting = set(open_), {claim.study_name for claim in open_.values()}
    left = [claim for claim in [*before["claims"], *before.get("earlier", ())] if claim["name"] not in measured]
    withdrawn = [{key: claim.get(key) for key in _WITHDRAWN} for claim in left if claim["name"] not in pending]
    evidence = {
        "slug": result.slug,
        "recorded": time.strftime("%Y-%m-%d", time.gmtime()),
        "scale": result.claims[0].scale,
        "machine": {"device": "cpu", "processors": os.cpu_count(), **machine},
        "claims": [
            {key: value for key, value in claim.plain().items() if key not in ("stale", "errors", "pooled")}
            for claim in result.claims
        ],
        "withdrawn": [*before.get("withdrawn", ()), *withdrawn],
        "earlier": [claim for claim in left if claim["name"] in pending],
        "studies": {
            **{name: study for name, study in before.get("studies", {}).items() if name in waiting},
            **{name: study.plain() for name, study in studies.items()},
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(compact(evidence) + "\n")
    temporary.replace(path)
    return path


def compact(evidence: Mapping[str, Any]) -> str:
    """JSON that diffs line by line, but with each column of rows on one line."""
    text = json.dumps(evidence, indent=1, ensure_ascii=False, allow_nan=False)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + re.sub(r",\s+", ", ", m[1]) + "]", text)
