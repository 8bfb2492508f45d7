"""Running every fitting method of a problem on the same data, options, budget and seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replica.lab.claims import Interval, Proportion, Scale, Trial, interval, tied_with_best
from replica.lab.claims.measures import from_plain
from replica.lab.claims.paper import LIMIT_BYTES, LIMIT_SECONDS
from replica.lab.problems.problem import Dataset, Metric, Problem, Value
from replica.lab.problems.registry import get as get_problem

from .costs import seconds_of_trials
from .job import EntryJob, Method
from .methods import method_fingerprint
from .participants import participants
from .progress import Reporter, reporter
from .run import run
from .settings import Settings
from .store import Row, Store
from .sweeps import Sweep, check_values, checked_sweep
from .tuning import Tuning, check_trials, read_space, tune as run_tuning

Place = tuple[str, int, Value | None]
"""A method, a seed and a value of the sweep."""

Show = Callable[["Results", str], tuple[Any, str]]

SEEDS: Mapping[Scale, int] = {"smoke": 1, "laptop": 5, "full": 5}
COMPARE_LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class MethodResult:
    """What was measured of one method, over seeds and points of the sweep."""

    method: Method
    rows: Mapping[tuple[int, Value | None], Row]
    metrics: Mapping[str, Interval]
    per_seed: Mapping[str, np.ndarray]
    tied_with_best: bool

    @property
    def errors(self) -> list[Row]:
        """Trials that ended in an error."""
        return [row for row in self.rows.values() if row.status == "error"]

    @property
    def seconds(self) -> float:
        """Mean wall seconds of a trial."""
        return float(np.mean([row.seconds for row in self.rows.values()]))

    @property
    def peak_bytes(self) -> int | None:
        """Largest peak memory of a trial, beyond what its process held before."""
        known = [row.peak_bytes for row in self.rows.values() if row.peak_bytes is not None]
        return max(known, default=None)


@dataclass(frozen=True)
class Results:
    """All that a comparison measured, in rank order."""

    problem: Problem
    dataset: Dataset
    options: Mapping[str, Value]
    sweep: Sweep | None
    scale: Scale
    seeds: int
    device: str
    metrics: tuple[Metric, ...]
    methods: tuple[MethodResult, ...]
    left_out: Mapping[str, str]
    store: Path
    only: tuple[str, ...] = ()
    tuning: Tuning | None = None
    source: str = ""
    """The name or path that the data were read from."""

    @property
    def used(self) -> Mapping[str, str]:
        """Options of which trials took another value than was asked for, the same at all points of the sweep."""
        values = [self.sweep.values[0], self.sweep.values[-1]] if self.sweep else []
        points = [{**self.options, self.sweep.option: value} for value in values] if self.sweep else [self.options]
        first, *rest = (self.problem.used(self.dataset, point, self.scale) for point in points)
        return {name: text for name, text in first.items() if all(other[name] == text for other in rest)}

    @property
    def errors(self) -> list[Row]:
        """Trials that ended in an error, of all methods."""
        return [row for method in self.methods for row in method.errors]

    @property
    def output(self) -> dict[str, str]:
        """The end of what the first trial of a method printed, for users' methods that print."""
        printed = {result.method.name: [row.output for row in result.rows.values()] for result in self.methods}
        return {name: found for name, texts in printed.items() if (found := next(filter(str.strip, texts), ""))}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One mapping a method, as ``replica compare --json`` gives it."""
        by_name = {metric.name: metric for metric in self.metrics}
        return [
            {
                "method": result.method.name,
                "paper": result.method.paper or None,
                "metrics": {
                    name: {**span.plain(), "unit": by_name[name].unit, "better": by_name[name].better}
                    for name, span in result.metrics.items()
                },
                "seconds": round(result.seconds, 6),
                "peak_bytes": result.peak_bytes,
                "errors": len(result.errors),
                "tied_with_best": result.tied_with_best,
            }
            for result in self.methods
        ]

    @property
    def curves(self) -> pd.DataFrame:
        """Every metric of every method at every value of the sweep (None without one): method, value, metric, mean, low, high."""
        points = []
        for result in self.methods:
            for value in self.sweep.values if self.sweep else (None,):
                rows = [row for (_, at), row in result.rows.items() if at == value and row.status == "ok"]
                for metric in self.metrics:
                    if rows and all(metric.name in row.measures for row in rows):
                        span = interval([from_plain(row.measures[metric.name]) for row in rows])
                        points.append((result.method.name, value, metric.name, span.mean, span.low, span.high))
        return pd.DataFrame(points, columns=["method", "value", "metric", "mean", "low", "high"])

    @property
    def examples(self) -> dict[str, dict[str, Any]]:
        """For each method the examples to look at, where its first seed has any."""
        return {
            result.method.name: row.series
            for result in self.methods
            for row in result.rows.values()
            if row.status == "ok" and row.series
        }

    @property
    def example_options(self) -> dict[str, Value]:
        """The options at which the examples were made."""
        return {**self.options, **({self.sweep.option: self.sweep.example} if self.sweep else {})}


def run_comparison(
    problem_name: str,
    *,
    data: str | None = None,
    entries: Mapping[str, Any] | Sequence[str] = (),
    options: Mapping[str, Value] | None = None,
    sweep: Sweep | None = None,
    only: Sequence[str] = (),
    tune: int = 0,
    settings: Settings,
    show: Show | None = None,
) -> Results:
    """Run what the store lacks of a comparison and put it together; see `replica.compare` for the arguments.

    Cheap methods come first. ``show`` puts what is known so far, and the method that has just finished, into a table and a
    line for the terminal.
    """
    check_trials(tune)
    problem = get_problem(problem_name)
    given = dict(options or {})
    resolved = problem.resolve(given)
    source = data or problem.default_data
    check_values(resolved)
    dataset = problem.load(source, resolved)
    sweep = checked_sweep(problem, dataset, sweep, given, resolved, tune)
    methods, left_out = participants(problem, resolved, entries, only)
    if tune:
        for method in methods:
            read_space(method, problem.name)
    costs = seconds_of_trials(problem.name, [method.name for method in methods], settings.store_path)
    results = Results(
        problem, dataset, resolved, sweep, settings.scale, settings.seeds or SEEDS[settings.scale], settings.device,
        problem.metrics_for(resolved), (), left_out, settings.store_path, tuple(dict.fromkeys(only)), source=source,
    )  # fmt: skip
    jobs = _jobs(results, sorted(methods, key=lambda method: costs[method.name]), settings)
    if tune:
        tuning = run_tuning(jobs, tune, results.metrics[0], settings, title=f"Tuning on {problem.name}")
        results = replace(results, tuning=tuning)
        for (name, seed, value), job in jobs.items():
            if name in tuning.methods:
                found = tuning.methods[name].found[seed, value].settings
                jobs[name, seed, value] = replace(job, method=replace(job.method, settings=found))
    with reporter(f"Comparing on {problem.name}", len(jobs), 0, settings.quiet) as shown:
        growing = _Growing(results, methods, jobs, shown, show)
        run(list(jobs.values()), settings, progress=growing)
    return growing.results


class _Growing(Reporter):
    """Results that grow by each method whose trials are all done, and are shown on the way."""

    def __init__(
        self,
        results: Results,
        methods: Sequence[Method],
        jobs: Mapping[Place, EntryJob],
        shown: Reporter,
        show: Show | None,
    ) -> None:
        super().__init__()
        self.results, self._shown, self._show = results, shown, show
        self._known: dict[str, MethodResult] = {}
        self._methods = {f"{results.problem.name}/{method.name}": method for method in methods}
        self._jobs = {
            subject: {(seed, value): job for (name, seed, value), job in jobs.items() if name == method.name}
            for subject, method in self._methods.items()
        }
        self._open = {subject: len({job.key for job in own.values()}) for subject, own in self._jobs.items()}

    def advance(self, subject: str) -> None:
        """One more trial of a method is done."""
        self._shown.advance(subject)
        self._open[subject] -= 1
        if self._open[subject]:
            return
        with Store(self.results.store) as store:
            rows = store.read(job.key for job in self._jobs[subject].values())
        own = {place: rows[job.key] for place, job in self._jobs[subject].items()}
        self._known[subject] = _summarise(self._methods[subject], self.results.metrics, own)
        # Equal ones in the problem's order.
        known = [self._known[name] for name in self._methods if name in self._known]
        ranked = _ranked(known, self.results.metrics[0], whole=len(known) == len(self._methods))
        self.results = replace(self.results, methods=ranked)
        if self._show:
            self._shown.show(*self._show(self.results, self._methods[subject].name))


def _jobs(results: Results, methods: Sequence[Method], settings: Settings) -> dict[Place, EntryJob]:
    """Every trial, by method, seed and point of the sweep; a method's trials one after another: its row is soon whole."""
    scale, sweep, problem = settings.scale, results.sweep, results.problem
    most_seconds = min(LIMIT_SECONDS[scale], COMPARE_LIMIT_SECONDS if scale == "laptop" else np.inf)
    fingerprints = {method.name: method_fingerprint(problem, method) for method in methods}
    return {
        (method.name, seed, value): EntryJob(
            subject=f"{problem.name}/{method.name}",
            trial=Trial(seed, scale, settings.device),
            fingerprint=fingerprints[method.name],
            limit_seconds=settings.limit_seconds or most_seconds,
            limit_bytes=settings.limit_bytes or LIMIT_BYTES[scale],
            problem=problem.name,
            method=method,
            data=results.source,
            digest=results.dataset.digest,
            options={**results.options, **({sweep.option: value} if sweep and value is not None else {})},
            examples=seed == 0 and value == (sweep.example if sweep else None),
        )
        for method in methods
        for seed in range(results.seeds)
        for value in (sweep.values if sweep else (None,))
    }


def _summarise(method: Method, metrics: Sequence[Metric], rows: Mapping[tuple[int, Value | None], Row]) -> MethodResult:
    """Per seed the mean over the sweep; over seeds the interval. Seeds with a failed trial do not count."""
    seeds = sorted({seed for seed, _ in rows})
    whole = [seed for seed in seeds if all(row.status == "ok" for (at, _), row in rows.items() if at == seed)]
    spans: dict[str, Interval] = {}
    per_seed: dict[str, np.ndarray] = {}
    sound = {place: row.measures for place, row in rows.items() if place[0] in whole}
    for metric in metrics if whole else ():
        if not all(metric.name in measures for measures in sound.values()):
            continue  # not every method can be measured by all of them
        values = [
            _pooled([from_plain(measures[metric.name]) for (at, _), measures in sound.items() if at == seed])
            for seed in whole
        ]
        spans[metric.name] = interval(values)
        per_seed[metric.name] = np.array([float(value) for value in values])
    return MethodResult(method, rows, spans, per_seed, False)


def _pooled(values: Sequence[float | Proportion]) -> float | Proportion:
    shares = [value for value in values if isinstance(value, Proportion)]
    if len(shares) == len(values):
        return Proportion(sum(share.successes for share in shares), sum(share.total for share in shares))
    return float(np.mean([float(value) for value in values]))


def _ranked(results: Sequence[MethodResult], metric: Metric, *, whole: bool) -> tuple[MethodResult, ...]:
    """Best first; those without the metric or with failed trials last. Ties are judged once all are there, among the others."""
    sound = [result for result in results if whole and not result.errors and metric.name in result.metrics]
    higher = metric.better == "higher"
    measured = {result.method.name: result.per_seed[metric.name] for result in sound}
    ties = tied_with_best(measured, "higher" if higher else "lower")
    sign = -1.0 if higher else 1.0

    def place(result: MethodResult) -> tuple[bool, float]:
        there = metric.name in result.metrics
        return bool(result.errors), sign * result.metrics[metric.name].mean if there else np.inf

    return tuple(replace(r, tied_with_best=ties.get(r.method.name, False)) for r in sorted(results, key=place))
