"""`replica.verify`: test what a paper claims."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replica.lab.catalogue import evidence_path, record, records
from replica.lab.claims import Claim, Paper, Ruling, Scale, Trial, judge
from replica.lab.claims.measures import from_plain
from replica.lab.claims.paper import LIMIT_BYTES, LIMIT_SECONDS
from replica.errors import ReplicaError

from .fingerprint import fingerprint, spec_path
from .job import ClaimJob, load_paper
from .run import Backend, run
from .settings import Settings
from .store import Row


@dataclass(frozen=True)
class Source:
    """A paper to verify: one of the catalogue, or the user's own file."""

    slug: str
    paper: Paper
    module: str
    path: Path


@dataclass(frozen=True)
class ClaimResult:
    """A claim with what was measured of it."""

    claim: Claim
    scale: Scale
    rows: tuple[Row, ...]
    ruling: Ruling
    fingerprint: str

    @property
    def verdict(self) -> str | None:
        """The verdict; None at smoke scale, where a claim runs but is not judged, unless it ended in an error."""
        return self.ruling.verdict if self.scale != "smoke" or self.ruling.verdict == "error" else None

    @property
    def errors(self) -> list[Row]:
        """Trials that ended in an error."""
        return [row for row in self.rows if row.status == "error"]

    def plain(self) -> dict[str, Any]:
        """JSON form, as ``replica show --json`` gives it."""
        return {
            "name": self.claim.name,
            "sentence": self.claim.sentence,
            "verdict": self.verdict,
            "expect": {name: str(bound) for name, bound in self.claim.expect.items()},
            "measured": {name: interval.plain() for name, interval in self.ruling.intervals.items()},
            "reported": {name: {"value": r.value, "where": r.where} for name, r in self.claim.reported.items()} or None,
            "why": self.claim.why,
            "scale": self.scale,
            "seeds": len(self.rows),
            "seconds": round(sum(row.seconds for row in self.rows), 3),
            "peak_bytes": max((row.peak_bytes or 0 for row in self.rows), default=0),
            "stale": False,
            "errors": [{"seed": row.seed, "error": row.error, "traceback": row.traceback} for row in self.errors],
        }


@dataclass(frozen=True)
class PaperResult:
    """A paper with the results of its claims."""

    source: Source
    claims: tuple[ClaimResult, ...]

    @property
    def slug(self) -> str:
        """The paper's name in the catalogue."""
        return self.source.slug

    def plain(self) -> dict[str, Any]:
        """JSON form: ``{"slug", "claims"}``."""
        return {"slug": self.slug, "claims": [claim.plain() for claim in self.claims]}

    def series(self, claim: str) -> dict[str, list[Any]]:
        """A claim's series of all seeds, stacked into columns with a column ``seed``."""
        result = next(result for result in self.claims if result.claim.name == claim)
        return stack_series(result.rows)


def stack_series(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The series of several trials under each other, with a column ``seed``."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        if not row.series:
            continue
        lengths = {name: len(values) for name, values in row.series.items()}
        if len(set(lengths.values())) != 1:
            raise ReplicaError(f"{row.subject}: the columns of a series must be of equal length, not {lengths}.")
        columns.setdefault("seed", []).extend([row.seed] * next(iter(lengths.values())))
        for name, values in row.series.items():
            columns.setdefault(name, []).extend(values)
    return columns


def find_source(name: str) -> Source:
    """The paper of this slug, or of this file.

    Raises:
        ReplicaError: If there is none, or it is not built yet.
    """
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise ReplicaError(f"There is no file {name}.")
        paper = load_paper(str(path.resolve()))
        return Source(paper.slug, paper, str(path.resolve()), path.resolve())
    known = record(name)
    if known.status != "built":
        built = ", ".join(slug for slug, other in records().items() if other.status == "built")
        raise ReplicaError(f"Paper {name} is in the catalogue but not built yet. Built ones: {built}.")
    return Source(name, load_paper(known.module), known.module, spec_path(known.module))


def verify(
    *papers: str,
    scale: Scale = "laptop",
    seeds: int | None = None,
    claims: Sequence[str] = (),
    device: str = "cpu",
    workers: int = 0,
    store: Path | str | None = None,
    limit_seconds: float | None = None,
    limit_bytes: int | None = None,
    quiet: bool = False,
    backend: Backend = "local",
) -> list[PaperResult]:
    """Test the claims of papers: run what the store lacks, and judge.

    Args:
        *papers: Slugs, or paths of paper files of your own (``my_paper.py`` that defines ``paper = Paper(...)``).
        scale: ``"smoke"`` (it runs; not judged), ``"laptop"`` or ``"full"``.
        seeds: Trials a claim; by default what the claim asks for, at least 5.
        claims: Only these claims, by name.
        device: ``"cpu"`` or a CUDA device.
        workers: Local processes; 0 for one each processor, 1 to stay in this process.
        store: The store's file; by default the user's own.
        limit_seconds: Time limit of a trial instead of the claim's own.
        limit_bytes: Memory limit of a trial instead of the claim's own.
        quiet: Show no progress.
        backend: ``"local"`` or ``"ray"``, for the Ray cluster that RAY_ADDRESS names or that runs on this machine.

    Raises:
        ReplicaError: An unknown paper, claim or scale, or a store that cannot be used.

    Example:
        >>> (result,) = replica.verify("hopfield", scale="smoke")  # doctest: +SKIP
        >>> [claim.verdict for claim in result.claims]  # doctest: +SKIP
    """
    if not papers:
        raise ReplicaError("Name a paper to verify, such as: replica verify hopfield.")
    settings = Settings(scale, seeds, device, workers, store, limit_seconds, limit_bytes, quiet, backend)
    plans: list[tuple[Source, list[tuple[Claim, str, list[ClaimJob]]]]] = []
    for name in dict.fromkeys(papers):
        source = find_source(name)
        for wanted in claims:
            if wanted not in source.paper.claims:
                raise ReplicaError(
                    f"Paper {source.slug} has no claim {wanted!r}. It has: {', '.join(source.paper.claims)}."
                )
        chosen = [claim for claim in source.paper.claims.values() if not claims or claim.name in claims]
        plan = []
        for claim in chosen:
            digest = fingerprint(source.path, claim.name)
            jobs = [
                ClaimJob(
                    subject=f"{source.slug}/{claim.name}",
                    trial=Trial(seed, scale, device),
                    fingerprint=digest,
                    limit_seconds=limit_seconds or claim.limit_seconds or LIMIT_SECONDS[scale],
                    limit_bytes=limit_bytes or claim.limit_bytes or LIMIT_BYTES[scale],
                    source=source.module,
                    claim=claim.name,
                )
                for seed in range(seeds or claim.number_of_seeds(scale))
            ]
            plan.append((claim, digest, jobs))
        plans.append((source, plan))
    every = [job for _, plan in plans for _, _, jobs in plan for job in jobs]
    title = "Verifying " + ", ".join(source.slug for source, _ in plans)
    rows = run(every, settings.store_path, workers=workers, title=title, quiet=quiet, backend=backend)
    return [
        PaperResult(
            source,
            tuple(_result(claim, scale, digest, [rows[job.key] for job in jobs]) for claim, digest, jobs in plan),
        )
        for source, plan in plans
    ]


def _result(claim: Claim, scale: Scale, digest: str, rows: Sequence[Row]) -> ClaimResult:
    measures = [{name: from_plain(value) for name, value in row.measures.items()} for row in rows if row.status == "ok"]
    errors = sum(row.status == "error" for row in rows)
    try:
        ruling = judge(claim.expect, measures, errors)
    except ValueError as error:
        raise ReplicaError(f"Claim {claim.name}: {error}") from None
    return ClaimResult(claim, scale, tuple(rows), ruling, digest)


def write_evidence(result: PaperResult) -> Path:
    """Record a paper's results as its evidence, in the package; for those who keep Replica, from a checkout.

    Raises:
        ReplicaError: If the paper is not of the catalogue, the results are of smoke scale, or a trial failed.
    """
    known = record(result.slug)
    for claim in result.claims:
        if claim.scale == "smoke" or claim.errors:
            raise ReplicaError(
                f"Evidence is recorded at laptop or full scale and without errors; {claim.claim.name} is not."
            )
    missing = set(result.source.paper.claims) - {claim.claim.name for claim in result.claims}
    if missing:
        raise ReplicaError(
            f"Evidence is recorded for all claims of a paper at once; missing: {', '.join(sorted(missing))}."
        )
    path = evidence_path(known)
    evidence = {
        "slug": result.slug,
        "recorded": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": {
            **result.claims[0].rows[0].machine,
            "device": result.claims[0].rows[0].what["device"],
            "processors": os.cpu_count(),
        },
        "departures": list(result.source.paper.departures),
        "claims": [
            {
                **{key: value for key, value in claim.plain().items() if key not in ("stale", "errors")},
                "bounds": {
                    name: [_finite(b.low), _finite(b.high), b.open_ends] for name, b in claim.claim.expect.items()
                },
                "methods": {name: interval.method for name, interval in claim.ruling.intervals.items()},
                "trials": [
                    {"seed": row.seed, "measures": row.measures, "seconds": round(row.seconds, 3)} for row in claim.rows
                ],
                "series": stack_series(claim.rows),
                "fingerprint": claim.fingerprint,
            }
            for claim in result.claims
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(_compact(evidence) + "\n")
    temporary.replace(path)
    return path


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") else None


def _compact(evidence: dict[str, Any]) -> str:
    """JSON that diffs line by line, but with each column of a series on one line."""
    text = json.dumps(evidence, indent=1, ensure_ascii=False, allow_nan=False)
    return re.sub(
        r"\[\s+([^\[\]{}]*?)\s+\]",
        lambda m: "[" + re.sub(r",\s+", ", ", m[1]) + "]" if '"' not in m[1] else m[0],
        text,
    )
