"""Running every fitting method of a problem on the same data, options, budget and seeds."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from replica.errors import ReplicaError
from replica.lab.catalogue import nearest, records
from replica.lab.claims import Interval, Proportion, Scale, Trial, interval, tied_with_best
from replica.lab.claims.measures import from_plain
from replica.lab.claims.paper import LIMIT_BYTES, LIMIT_SECONDS
from replica.lab.problems.problem import Dataset, Metric, Problem, Value
from replica.lab.problems.registry import get as get_problem

from .job import EntryJob, Method, load_attribute, load_paper
from .methods import method_fingerprint
from .run import run
from .settings import Settings
from .store import Row
from .tuning import Tuning, check_trials, read_space, tune as run_tuning

SEEDS: Mapping[Scale, int] = {"smoke": 1, "laptop": 5, "full": 5}
COMPARE_LIMIT_SECONDS = 120.0


class Sweep(NamedTuple):
    """An option that takes several values in turn."""

    option: str
    values: tuple[Value, ...]


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

    @property
    def errors(self) -> list[Row]:
        """Trials that ended in an error, of all methods."""
        return [row for method in self.methods for row in method.errors]

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
                    if rows:
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
        return {**self.options, **({self.sweep.option: _example_value(self.sweep)} if self.sweep else {})}


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
) -> Results:
    """Run what the store lacks of a comparison and put it together; see `replica.compare` for the arguments."""
    check_trials(tune)
    problem = get_problem(problem_name)
    given = dict(options or {})
    scale = settings.scale
    resolved = problem.resolve(given)
    dataset = problem.load(data or problem.default_data, resolved)
    sweep = _checked_sweep(problem, dataset, sweep, given, resolved, tune)
    points = [{**resolved, sweep.option: value} for value in sweep.values] if sweep else [resolved]
    for point in points:
        _check_point(problem, dataset, point, tune)
        if sweep and problem.metrics_for(point) != problem.metrics_for(points[0]):
            raise ReplicaError(
                f"Option {sweep.option} changes what is measured, so it cannot be swept; run once with each value."
            )
    methods, left_out = _choose(problem, resolved, entries, only)
    if tune:
        for method in methods:
            read_space(method, problem.name)
    fingerprints = {method.name: method_fingerprint(problem, method) for method in methods}
    count = settings.seeds or SEEDS[scale]
    jobs = {
        (method.name, seed, value): EntryJob(
            subject=f"{problem.name}/{method.name}",
            trial=Trial(seed, scale, settings.device),
            fingerprint=fingerprints[method.name],
            limit_seconds=settings.limit_seconds
            or min(LIMIT_SECONDS[scale], COMPARE_LIMIT_SECONDS if scale == "laptop" else np.inf),
            limit_bytes=settings.limit_bytes or LIMIT_BYTES[scale],
            problem=problem.name,
            method=method,
            data=data or problem.default_data,
            digest=dataset.digest,
            options={**resolved, **({sweep.option: value} if sweep and value is not None else {})},
            examples=seed == 0 and value == (_example_value(sweep) if sweep else None),
        )
        # Methods innermost: all of them get to a seed before the next one begins.
        for seed in range(count)
        for value in (sweep.values if sweep else (None,))
        for method in methods
    }
    metrics = problem.metrics_for(resolved)
    tuning = None
    if tune:
        tuning = run_tuning(
            jobs,
            tune,
            metrics[0],
            settings.store_path,
            workers=settings.workers,
            title=f"Tuning on {problem.name}",
            quiet=settings.quiet,
            backend=settings.backend,
        )
        for (name, seed, value), job in jobs.items():
            if name in tuning.methods:
                found_settings = tuning.methods[name].found[seed, value].settings
                jobs[name, seed, value] = replace(job, method=replace(job.method, settings=found_settings))
    title = f"Comparing on {problem.name}"
    rows = run(
        list(jobs.values()), settings.store_path, workers=settings.workers, title=title, quiet=settings.quiet,
        backend=settings.backend,
    )  # fmt: skip
    found = {key: rows[job.key] for key, job in jobs.items()}
    results = [
        _summarise(
            method,
            metrics,
            {(seed, at): row for (name, seed, at), row in found.items() if name == method.name},
        )
        for method in methods
    ]
    return Results(
        problem,
        dataset,
        resolved,
        sweep,
        scale,
        count,
        settings.device,
        metrics,
        _ranked(results, metrics[0]),
        left_out,
        settings.store_path,
        tuple(dict.fromkeys(only)),
        tuning,
    )


def _check_point(problem: Problem, dataset: Dataset, options: Mapping[str, Value], tune: int) -> None:
    problem.check(dataset, options)
    if tune:
        problem.check_validation(dataset, options)


def _checked_sweep(
    problem: Problem,
    dataset: Dataset,
    sweep: Sweep | None,
    given: Mapping[str, Value],
    resolved: Mapping[str, Value],
    tune: int,
) -> Sweep | None:
    known = {option.name: option for option in problem.options}
    if sweep is None:
        if problem.default_sweep is None:
            return None
        option, values = problem.default_sweep
        if option in given:
            return None
        fitting = []
        for value in values:
            try:
                _check_point(problem, dataset, {**resolved, option: value}, tune)
            except ReplicaError:
                continue  # a small file of the user's: the default sweep shrinks to what it can bear
            fitting.append(value)
        return Sweep(option, tuple(fitting)) if len(fitting) > 1 else None
    if sweep.option in problem.data_options:
        raise ReplicaError(
            f"Option {sweep.option} says how the data is read, so it cannot be swept; run once with each."
        )
    if sweep.option not in known:
        raise ReplicaError(
            f"Problem {problem.name} has no option {sweep.option!r} to sweep.{nearest(sweep.option, known)}"
            f" It has: {', '.join(known)}."
        )
    if sweep.option in given:
        raise ReplicaError(f"Option {sweep.option} is both set and swept; give only one of the two.")
    values = tuple(dict.fromkeys(known[sweep.option].parse(value) for value in sweep.values))
    if len(values) < 2:
        raise ReplicaError(
            f"A sweep needs two different values or more, such as --sweep {sweep.option}=10,30; got {len(values)}."
        )
    return Sweep(sweep.option, values)


def _example_value(sweep: Sweep) -> Value:
    return sweep.values[len(sweep.values) // 2]


def _choose(
    problem: Problem,
    options: Mapping[str, Value],
    entries: Mapping[str, Any] | Sequence[str],
    only: Sequence[str],
) -> tuple[list[Method], dict[str, str]]:
    """The methods that fit these options, and those that do not, with the reason."""
    methods: list[Method] = []
    left_out: dict[str, str] = {}
    candidates: list[tuple[Method, Mapping[str, tuple[Any, ...]]]] = []
    for baseline in problem.baselines():
        if baseline.extra and importlib.util.find_spec(baseline.extra[0]) is None:
            left_out[baseline.name] = f"needs pip install 'replica-papers[{baseline.extra[1]}]'"
        else:
            candidates.append((Method(baseline.name), baseline.needs))
    for known in records().values():
        if problem.name in known.problems and known.status == "built":
            for entry in load_paper(known.module).entries.values():
                if entry.problem == problem.name:
                    candidates.append((Method(entry.name, known.module, known.slug), entry.needs))
    for method, needs in candidates:
        unmet = [
            f"needs {name} to be {' or '.join(map(str, allowed))}"
            for name, allowed in needs.items()
            if options[name] not in allowed
        ]
        if unmet:
            left_out[method.name] = " and ".join(unmet)
        else:
            methods.append(method)
    own = _own_methods(problem, entries)
    for method in own:
        if method.name in {other.name for other in methods} or method.name in left_out:
            raise ReplicaError(
                f"Your entry is called {method.name!r} like a method of the problem; give it another name."
            )
        methods.append(method)
    if only:
        names = [method.name for method in methods]
        for name in only:
            if name in left_out:
                raise ReplicaError(f"Method {name} {left_out[name]}.")
            if name not in names:
                raise ReplicaError(
                    f"No method of {problem.name} is called {name!r}.{nearest(name, names)} There are: {', '.join(names)}."
                )
        methods = [method for method in methods if method.name in only or method in own]
    return methods, left_out


def _own_methods(problem: Problem, entries: Mapping[str, Any] | Sequence[str]) -> list[Method]:
    """The user's methods, checked before anything runs."""
    if isinstance(entries, str):
        entries = [entries]
    methods = []
    if isinstance(entries, Mapping):
        for name, given in entries.items():
            _check_own(problem, given, name)
            methods.append(Method(name, given=given))
        return methods
    for text in entries:
        path, colon, attribute = text.rpartition(":")
        if not colon or not path or not attribute.isidentifier():
            raise ReplicaError(f"--entry must be FILE.py:NAME, such as my_memory.py:MyMemory, not {text!r}.")
        file = Path(path)
        if not file.is_file():
            raise ReplicaError(f"--entry: there is no file {path}.")
        source = str(file.resolve())
        try:
            given = load_attribute(source, attribute)
        except AttributeError:
            raise ReplicaError(f"--entry: {path} defines no {attribute}.") from None
        _check_own(problem, given, attribute)
        methods.append(Method(attribute, source, attribute=attribute))
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise ReplicaError("--entry: two entries have one name; rename one.")
    return methods


def _check_own(problem: Problem, given: Any, name: str) -> None:
    wanted = "It must be a class, or a function without arguments that returns an object, with " + " and ".join(
        problem.protocol
    )
    if not callable(given):
        raise ReplicaError(f"Entry {name} is of type {type(given).__name__}. {wanted}.")
    try:
        needed = [
            parameter.name
            for parameter in inspect.signature(given).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
    except ValueError:
        needed = []  # built in C: found out when it runs
    if needed:
        raise ReplicaError(f"Entry {name} cannot be made without arguments: give {', '.join(needed)} a default value.")
    if inspect.isclass(given):
        lacking = [
            signature for signature in problem.protocol if not callable(getattr(given, signature.split("(")[0], None))
        ]
        if lacking:
            raise ReplicaError(f"Entry {name} lacks {' and '.join(lacking)}. {wanted}.")


def _summarise(method: Method, metrics: Sequence[Metric], rows: Mapping[tuple[int, Value | None], Row]) -> MethodResult:
    """Per seed the mean over the sweep; over seeds the interval. Seeds with a failed trial do not count."""
    seeds = sorted({seed for seed, _ in rows})
    whole = [seed for seed in seeds if all(row.status == "ok" for (at, _), row in rows.items() if at == seed)]
    spans: dict[str, Interval] = {}
    per_seed: dict[str, np.ndarray] = {}
    for metric in metrics if whole else ():
        values = [
            _pooled([from_plain(row.measures[metric.name]) for (at, _), row in rows.items() if at == seed])
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


def _ranked(results: Sequence[MethodResult], metric: Metric) -> tuple[MethodResult, ...]:
    """Best first; methods with failed trials last. Ties are judged among those without failures."""
    sound = {result.method.name: result for result in results if not result.errors}
    ties = tied_with_best({name: result.per_seed[metric.name] for name, result in sound.items()}, metric.better)
    sign = -1.0 if metric.better == "higher" else 1.0

    def place(result: MethodResult) -> tuple[bool, float]:
        return bool(result.errors), sign * result.metrics[metric.name].mean if result.metrics else np.inf

    return tuple(
        MethodResult(r.method, r.rows, r.metrics, r.per_seed, ties.get(r.method.name, False))
        for r in sorted(results, key=place)
    )
