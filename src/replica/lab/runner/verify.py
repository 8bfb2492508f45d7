"""Testing what a paper claims, look by look, until it is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from replica.errors import ReplicaError
from replica.lab.claims import Claim, Ruling, Scale, judge, nominal_level
from replica.lab.claims.measures import from_plain, to_plain
from replica.lab.claims.rows import Columns, stacked

from .evidence import StudyResult, recorded_study
from .plans import plan
from .run import run
from .settings import Settings
from .sources import Source
from .store import Row


@dataclass(frozen=True)
class ClaimResult:
    """A claim with what was measured of it."""

    claim: Claim
    scale: Scale
    study: StudyResult
    seeds: tuple[int, ...]
    ruling: Ruling
    pooled: Ruling | None = None
    """With fresh seeds: the ruling over these and the recorded ones."""

    @property
    def verdict(self) -> str | None:
        """The verdict; None at smoke scale, where a claim runs but is not judged, unless it ended in an error."""
        return self.ruling.verdict if self.scale != "smoke" or self.ruling.verdict == "error" else None

    @property
    def errors(self) -> list[Row]:
        """Trials that ended in an error."""
        return self.study.errors

    def plain(self) -> dict[str, Any]:
        """JSON form, as ``replica show --json`` gives it."""
        said = self.claim.registration
        measured = {name: interval.plain() for name, interval in self.ruling.intervals.items()}
        bounds = said.bounds()
        return {
            "name": self.claim.name,
            "sentence": said.sentence,
            "registered": said.registered.isoformat(),
            "verdict": self.verdict,
            "setting": said.setting,
            **bounds,
            "gates_met": dict(self.ruling.gates),
            "judgements": dict(self.ruling.judgements),
            "measured": measured,
            "level": self.ruling.level,
            "reported": {name: {"value": r.value, "where": r.where} for name, r in said.reported.items()} or None,
            "why": said.explain(measured) if measured and self.scale != "smoke" else "",
            "scale": self.scale,
            "study": self.study.name,
            "seeds": len(self.seeds),
            "first_seed": min(self.seeds, default=0),
            "looks": list(said.looks),
            "seconds": round(sum(self.study.seconds.get(seed, 0.0) for seed in self.seeds), 3),
            "peak_bytes": self.study.peak_bytes,
            "stale": False,
            "pooled": self.pooled and {
                "verdict": self.pooled.verdict,
                "measured": {name: interval.plain() for name, interval in self.pooled.intervals.items()},
            },
            "errors": [{"seed": row.seed, "error": row.error, "traceback": row.traceback} for row in self.errors],
        }  # fmt: skip


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

    def rows(self, claim: str) -> Columns:
        """The rows of all seeds that a claim was judged by, in columns, with a column ``seed``."""
        result = next(result for result in self.claims if result.claim.name == claim)
        tables = result.study.tables
        return stacked({seed: tables[seed] for seed in result.seeds if seed in tables})


def rule(claim: Claim, tables: Sequence[Columns], *, planned: bool, errors: int = 0) -> Ruling:
    """Judge a claim by the rows of its seeds; where their number is a planned look, intervals allow for all looks together."""
    said = claim.registration
    level = nominal_level(said.looks) if planned else nominal_level((len(tables),))
    try:
        trials = [
            {name: from_plain(value) for name, value in to_plain(claim.measures(table)).items()} for table in tables
        ]
        missing = said.measures_named - set(trials[0]) if trials else set()
        if missing:
            raise ValueError(f"its judge gives no measure {min(missing)!r}; it gives {', '.join(trials[0])}.")
        return judge(
            said.expect, trials, errors, gates=said.gates, smallest=said.smallest, level=level, exact=said.exact
        )
    except Exception as error:
        raise ReplicaError(f"Claim {claim.name}: {type(error).__name__}: {error}") from error


def verify_source(
    source: Source,
    settings: Settings,
    first_seed: int = 0,
    only: Sequence[str] = (),
    *,
    record: Literal["", "all looks", "recorded looks"] = "",
) -> PaperResult:
    """Run and judge one paper's claims.

    With ``record``, rows that were recorded on the same code are not measured again; with ``"recorded looks"`` no look is taken
    beyond those recorded.
    """
    for wanted in only:
        if wanted not in source.paper.claims:
            raise ReplicaError(
                f"Paper {source.slug} has no claim {wanted!r}. It has: {', '.join(source.paper.claims)}."
            )
    chosen = [claim for claim in source.paper.claims.values() if not only or claim.name in only]
    plans = {
        name: plan(source, [claim for claim in chosen if claim.study_name == name], settings)
        for name in dict.fromkeys(claim.study_name for claim in chosen)
    }
    run_jobs = partial(run, settings=settings, title=f"Verifying {source.slug}")
    studies: dict[str, StudyResult] = {}
    for name, own in plans.items():
        own.prepare(run_jobs)
        recorded = recorded_study(source.slug, name) if record else None
        same_code = recorded is not None and recorded.fingerprint == own.fingerprint
        studies[name] = recorded if recorded and same_code else StudyResult(name, own.kind, own.fingerprint)
    looks = {claim.name: _looks(claim, settings) for claim in chosen}
    if record == "recorded looks":
        for claim in chosen:
            most = len(studies[claim.study_name].tables)
            looks[claim.name] = tuple(n for n in looks[claim.name] if n <= most) or looks[claim.name][:1]
    decided: dict[str, ClaimResult] = {}
    for look in range(max(map(len, looks.values()), default=0)):
        open_ = [c for c in chosen if c.name not in decided and look < len(looks[c.name])]
        seeds = {claim.name: range(first_seed, first_seed + looks[claim.name][look]) for claim in open_}
        wanted_seeds = dict.fromkeys((claim.study_name, seed) for claim in open_ for seed in seeds[claim.name])
        needed = [(name, seed) for name, seed in wanted_seeds if seed not in studies[name].seconds]
        rows = run_jobs([job for name, seed in needed for job in plans[name].jobs(seed)]) if needed else {}
        for name, seed in needed:
            studies[name].add(seed, plans[name], rows)
        for claim in open_:
            result = _result(source, claim, settings, studies[claim.study_name], seeds[claim.name])
            if result.ruling.verdict != "unclear" or look + 1 == len(looks[claim.name]):
                decided[claim.name] = result
    return PaperResult(source, tuple(decided[claim.name] for claim in chosen))


def _looks(claim: Claim, settings: Settings) -> tuple[int, ...]:
    if settings.scale == "smoke":
        return (settings.seeds or 1,)
    return (settings.seeds,) if settings.seeds else claim.registration.looks


def _result(source: Source, claim: Claim, settings: Settings, study: StudyResult, seeds: Sequence[int]) -> ClaimResult:
    tables = [study.tables[seed] for seed in seeds if seed in study.tables]
    failed = len(seeds) - len(tables)
    planned = settings.seeds is None and settings.scale != "smoke"
    pooled = None
    recorded = recorded_study(source.slug, study.name) if min(seeds) > 0 else None
    if recorded and not failed:
        every = {**recorded.tables, **{seed: study.tables[seed] for seed in seeds}}
        pooled = rule(claim, list(every.values()), planned=True)  # the record stopped where it was decided
    return ClaimResult(
        claim, settings.scale, study, tuple(seeds), rule(claim, tables, planned=planned, errors=failed), pooled
    )
