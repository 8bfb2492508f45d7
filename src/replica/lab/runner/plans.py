"""From a paper's study to trials: one a seed for a function, one a method, point and seed for a comparison of an arena."""

from __future__ import annotations

import inspect
import itertools
import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from replica.lab.claims import Trial
from replica.lab.claims.measures import from_plain
from replica.lab.claims.paper import LIMIT_BYTES, LIMIT_SECONDS, Claim
from replica.lab.claims.rows import Columns, columns
from replica.lab.problems.problem import Problem
from replica.lab.problems.registry import get as get_problem
from replica.lab.studies.arena import DEVELOPMENT_SEEDS, Comparison, Contestant, Point

from .closure import hashed
from .fingerprint import fingerprint, sources
from .job import EntryJob, Job, Method, StudyJob, load_dataset
from .methods import method_fingerprint, method_sources, methods_of
from .settings import Settings
from .sources import Source
from .store import Row

Run = Callable[[Sequence[Job]], Mapping[str, Row]]


@dataclass
class Plan(ABC):
    """How a study is run at one scale on one device."""

    kind: ClassVar[Literal["function", "arena"]]
    name: str
    source: Source
    study: Any
    settings: Settings
    limit_seconds: float
    limit_bytes: int

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """The hash of all code that its trials depend on."""

    @abstractmethod
    def sources(self) -> list[str]:
        """The definitions that its trials depend on."""

    def prepare(self, run: Run) -> None:  # noqa: B027
        """Choose what is to be chosen, before any judged trial."""

    @abstractmethod
    def jobs(self, seed: int) -> list[Job]:
        """The trials of a seed."""

    @abstractmethod
    def table(self, seed: int, rows: Mapping[str, Row]) -> Columns:
        """A seed's rows, from its finished trials by key."""

    def trial(self, seed: int) -> Trial:
        """A seed at the study's scale, on its device."""
        return Trial(seed, self.settings.scale, self.settings.device)


def plan(source: Source, claims: Sequence[Claim], settings: Settings) -> Plan:
    """The plan of the study that these claims share; the widest of their limits holds."""
    study, scale = claims[0].study, settings.scale
    seconds = settings.limit_seconds or max(claim.limit_seconds or LIMIT_SECONDS[scale] for claim in claims)
    size = settings.limit_bytes or max(claim.limit_bytes or LIMIT_BYTES[scale] for claim in claims)
    kind = ArenaPlan if isinstance(study, Comparison) else FunctionPlan
    return kind(claims[0].study_name, source, study, settings, seconds, size)


class FunctionPlan(Plan):
    """A study that is a function of a trial."""

    kind = "function"

    @cached_property
    def fingerprint(self) -> str:
        """See `Plan`."""
        return fingerprint(self.source.path, getattr(self.study, "__name__", None))

    def sources(self) -> list[str]:
        """See `Plan`."""
        return sources(self.source.path, getattr(self.study, "__name__", None))

    def jobs(self, seed: int) -> list[Job]:
        """See `Plan`."""
        return [
            StudyJob(
                f"{self.source.slug}/{self.name}", self.trial(seed), self.fingerprint,
                self.limit_seconds, self.limit_bytes, source=self.source.module, study=self.name,
            )
        ]  # fmt: skip

    def table(self, seed: int, rows: Mapping[str, Row]) -> Columns:
        """See `Plan`."""
        (job,) = self.jobs(seed)
        return dict(rows[job.key].series)


@dataclass
class ArenaPlan(Plan):
    """A study that is a comparison of an arena: its trials are those of ``replica compare``."""

    kind = "arena"
    study: Comparison
    chosen: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    """The settings of a method at a point, by its label and the point's number."""

    @cached_property
    def problem(self) -> Problem:
        """The arena's problem."""
        return get_problem(self.study.arena.problem)

    @cached_property
    def methods(self) -> dict[str, Method]:
        """The methods by label, with the settings that are fixed."""
        return {label: self._method(contestant) for label, contestant in self.study.methods.items()}

    def _method(self, contestant: Contestant) -> Method:
        if isinstance(contestant.method, str):
            method = methods_of(self.problem)[contestant.method]
        else:
            entered = [e.name for e in self.source.paper.entries.values() if e.make is contestant.method]
            own = Method(contestant.method.__name__, self.source.module, function=contestant.method.__name__)
            method = Method(entered[0], self.source.module, self.source.slug) if entered else own
        return replace(method, settings=dict(contestant.settings))

    @cached_property
    def fingerprint(self) -> str:
        """See `Plan`."""
        parts = [method_fingerprint(self.problem, method) for method in self.methods.values()]
        arena, scale = self.study.arena, self.settings.scale
        words = [sorted(each.items()) for each in (arena.options(scale), arena.choose, self.study.sweep)]
        settings = [(label, sorted(method.settings.items())) for label, method in self.methods.items()]
        return hashed(repr([parts, words, settings, arena.source(scale, 0), self.points()]))

    def sources(self) -> list[str]:
        """See `Plan`."""
        return sorted({name for method in self.methods.values() for name in method_sources(self.problem, method)})

    def points(self) -> list[Point]:
        """The points of the sweep at this scale."""
        return list(self.study.points(self.settings.scale))

    def prepare(self, run: Run) -> None:
        """Choose hyperparameters by held-out training rows of the development seeds, at the end of training."""
        metric = self.problem.metrics_for(self._options({}))[0]
        sign = 1.0 if metric.better == "higher" else -1.0
        seeds = DEVELOPMENT_SEEDS[:1] if self.settings.scale == "smoke" else DEVELOPMENT_SEEDS
        trials: dict[tuple[str, int], list[list[EntryJob]]] = {}
        for label, (at, point) in itertools.product(self.study.methods, enumerate(self.points())):
            options = self._candidates(label)
            self.chosen[label, at] = options[0]
            if len(options) > 1:
                trials[label, at] = [
                    [self._job(label, point, seed, settings).validating(settings) for seed in seeds]
                    for settings in options
                ]
        found = run([job for options in trials.values() for jobs in options for job in jobs]) if trials else {}

        def score(jobs: Sequence[EntryJob]) -> float:
            rows = [found[job.key] for job in jobs]
            if any(row.status != "ok" for row in rows):
                return -math.inf  # settings under which it breaks are not chosen
            return sign * statistics.fmean(float(from_plain(row.measures[metric.name])) for row in rows)

        for place, candidates in trials.items():
            self.chosen[place] = max(candidates, key=score)[0].method.settings  # of equal ones the first

    def _candidates(self, label: str) -> list[dict[str, Any]]:
        make, _ = self.methods[label].hyperparameters(self.problem.name)
        return self.study.candidates(label, inspect.signature(make).parameters)

    def jobs(self, seed: int) -> list[Job]:
        """See `Plan`."""
        return [job for _, _, job in self._trials(seed)]

    def table(self, seed: int, rows: Mapping[str, Row]) -> Columns:
        """A row a method and point: label, swept options, what was chosen, and the metrics but clocks."""
        timed = {metric.name for metric in self.problem.metrics if metric.unit.split(" ")[0] == "s"}
        found = []
        for label, at, job in self._trials(seed):
            row = rows[job.key]
            chosen = {k: v for k, v in self.chosen[label, at].items() if k in self.study.arena.choose}
            metrics = {k: float(from_plain(v)) for k, v in row.measures.items() if k not in timed}
            found.append({"method": label, **self.points()[at], **chosen, **metrics})
        return columns(found)

    def _trials(self, seed: int) -> list[tuple[str, int, EntryJob]]:
        return [
            (label, at, self._job(label, point, seed, self.chosen[label, at]))
            for at, point in enumerate(self.points())
            for label in self.study.methods
        ]

    def _options(self, point: Point) -> dict[str, Any]:
        return self.problem.resolve({**self.study.arena.options(self.settings.scale), **point})

    def _job(self, label: str, point: Point, seed: int, settings: Mapping[str, Any]) -> EntryJob:
        options = self._options(point)
        data = self.study.arena.source(self.settings.scale, seed) or self.problem.default_data
        given = tuple((name, options[name]) for name in self.problem.data_options)
        dataset = load_dataset(self.problem.name, data, given)
        self.problem.check(dataset, options)
        method = replace(self.methods[label], settings=dict(settings))
        return EntryJob(
            f"{self.problem.name}/{method.name}", self.trial(seed),
            method_fingerprint(self.problem, method), self.limit_seconds, self.limit_bytes,
            problem=self.problem.name, method=method, data=data, digest=dataset.digest, options=options,
        )  # fmt: skip
