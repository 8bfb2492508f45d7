"""Equal tuning: every method that declares a search space gets the same number of trials on a validation part.

Each seed and each point of a sweep is tuned for itself, inside its own training part: the seeds of a comparison draw their
test parts from the same data, so settings found with one seed's training part have seen another's test part.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from replica.errors import Interrupted, ReplicaError
from replica.lab.claims import Choice, Integer, LogUniform, Uniform
from replica.lab.claims.measures import from_plain
from replica.lab.claims.spaces import Space
from replica.lab.problems.problem import Metric, Value

from .job import EntryJob, Method
from .own_code import asked
from .progress import reporter
from .run import run
from .settings import Settings
from .store import Row

FEWEST, MOST = 2, 10_000
RANDOM_SHARE = 0.25
"""The share of a study's trials that are drawn at random before the sampler learns from them."""

Place = tuple[int, "Value | None"]
"""A seed and a value of the sweep: what is tuned for itself."""


@dataclass(frozen=True)
class Tuned:
    """What was found for one method with one seed at one point of the sweep."""

    settings: Mapping[str, Any]
    """Hyperparameters that differ from the defaults."""
    default_score: float | None
    """The ranking metric on the validation part with the defaults; None if that trial failed."""
    best_score: float | None
    """The same with the settings found; None if every trial failed."""
    rows: tuple[Row, ...]
    """Every trial in order; the first has the defaults. Settings that came up again count again but were run once."""


@dataclass(frozen=True)
class MethodTuning:
    """How one method was tuned: its space, its defaults, and what was found at each place."""

    space: Mapping[str, Space]
    defaults: Mapping[str, Any]
    found: Mapping[Place, Tuned]

    @property
    def trials(self) -> int:
        """Trials it was given, over all places."""
        return sum(len(tuned.rows) for tuned in self.found.values())

    @property
    def failed(self) -> list[Row]:
        """Its trials that ended in an error."""
        return [row for row in self._distinct if row.status == "error"]

    @property
    def seconds(self) -> float:
        """Wall seconds of all its trials."""
        return sum(row.seconds for row in self._distinct)

    @property
    def default_score(self) -> float | None:
        """Mean validation score of the defaults."""
        return _mean([tuned.default_score for tuned in self.found.values()])

    @property
    def best_score(self) -> float | None:
        """Mean validation score of the settings found."""
        return _mean([tuned.best_score for tuned in self.found.values()])

    @property
    def _distinct(self) -> list[Row]:
        return list({row.key: row for tuned in self.found.values() for row in tuned.rows}.values())

    def settings(self, place: Place) -> dict[str, Any]:
        """The settings found at a place, those left at their defaults as well."""
        return {**self.defaults, **self.found[place].settings}

    def plain(self) -> dict[str, Any]:
        """JSON form."""
        found = [
            {
                "seed": place[0], "value": place[1], "settings": self.settings(place),
                "default_score": tuned.default_score, "best_score": tuned.best_score,
            }
            for place, tuned in self.found.items()
        ]  # fmt: skip
        return {
            "space": {name: _space_plain(space) for name, space in self.space.items()},
            "defaults": dict(self.defaults),
            "trials": self.trials,
            "failed": len(self.failed),
            "seconds": round(self.seconds, 6),
            "default_score": self.default_score,
            "best_score": self.best_score,
            "found": found,
            "errors": sorted({row.error for row in self.failed}),
        }


@dataclass(frozen=True)
class Tuning:
    """All that was tuned in a comparison."""

    trials: int
    """Trials of each method with each seed at each point of the sweep."""
    metric: Metric
    methods: Mapping[str, MethodTuning]
    """Those that declare a search space; all others ran with their defaults."""

    @property
    def seconds(self) -> float:
        """Wall seconds of all tuning trials."""
        return sum(method.seconds for method in self.methods.values())

    @property
    def total(self) -> int:
        """All tuning trials."""
        return sum(method.trials for method in self.methods.values())

    def plain(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "trials": self.trials,
            "split": "validation",
            "metric": self.metric.name,
            "seconds": round(self.seconds, 6),
            "methods": {name: method.plain() for name, method in self.methods.items()},
        }


def check_trials(trials: Any) -> int:
    """The number of trials a study is given; 0 for no tuning."""
    if isinstance(trials, bool) or not isinstance(trials, int) or (trials != 0 and not FEWEST <= trials <= MOST):
        raise ReplicaError(
            f"--tune must be a whole number from {FEWEST} to {MOST} (the first trial has the defaults), not {trials!r:.60}."
        )
    return trials


def read_space(method: Method, problem: str) -> tuple[dict[str, Space], dict[str, Any]]:
    """The space a method declares, and the defaults of what it holds."""
    if method.attribute:
        spaces, defaults = asked(method.source, partial(_space_in_file, method, problem))
        kinds: dict[str, Any] = {kind.__name__: kind for kind in (Choice, Integer, LogUniform, Uniform)}
        return {name: kinds[plain.pop("kind")](**plain) for name, plain in spaces.items()}, defaults
    return _read_space(method, problem)


def _space_in_file(method: Method, problem: str) -> Any:
    spaces, defaults = _read_space(method, problem)
    return {name: _space_plain(space) for name, space in spaces.items()}, defaults


def _read_space(method: Method, problem: str) -> tuple[dict[str, Space], dict[str, Any]]:
    make, declared = method.hyperparameters(problem)
    taken = inspect.signature(make).parameters if declared else {}
    for name, space in declared.items():
        start = f"Entry {method.name}: its space"
        if not isinstance(space, Space):
            raise ReplicaError(
                f"{start} gives {name!r} as {space!r:.60}; wanted Uniform, LogUniform, Integer or Choice of replica.lab.claims."
            )
        default = taken[name].default if name in taken else inspect.Parameter.empty
        if default is inspect.Parameter.empty:
            raise ReplicaError(f"{start} names {name!r}, but it takes no keyword {name!r} with a default.")
        wrong = _fault(space)
        if wrong:
            raise ReplicaError(f"{start} for {name!r} is {space!r:.80}; {wrong}.")
    return dict(declared), {name: taken[name].default for name in declared}


def _fault(space: Space) -> str:
    if isinstance(space, Choice):
        values = list(space.values)
        if not values or not all(value is None or isinstance(value, bool | int | float | str) for value in values):
            return "wanted one value or more: numbers, texts, True, False or None"
        return ""
    kinds = int if isinstance(space, Integer) else int | float
    ends = (space.low, space.high)
    if not all(isinstance(end, kinds) and math.isfinite(end) for end in ends) or space.low > space.high:
        return f"wanted {'whole' if isinstance(space, Integer) else 'finite'} numbers, the lower one first"
    return "wanted positive numbers" if isinstance(space, LogUniform) and space.low <= 0 else ""


def tune(
    jobs: Mapping[tuple[str, int, Value | None], EntryJob], trials: int, metric: Metric, settings: Settings, title: str
) -> Tuning:
    """Find settings for every method with a search space, by the metric on the validation part, in so many trials each.

    The first trial of a study has the defaults, later ones are suggested by Optuna's TPE sampler from those before. Studies
    advance side by side, one trial each at a time, so suggestions depend on nothing but the seed and what was measured: a run
    that was killed replays what is stored and goes on where it was. A trial that fails counts as worse than all others.
    """
    methods = {job.method.name: job for job in jobs.values()}
    spaces = {name: read_space(job.method, job.problem) for name, job in methods.items()}
    studies = {
        place: _Study(job, *spaces[place[0]], trials, metric) for place, job in jobs.items() if spaces[place[0]][0]
    }
    total = trials * len(studies)
    with reporter(title, total, 0, settings.quiet) as progress:
        for _ in range(trials if studies else 0):
            asked = {place: study.ask() for place, study in studies.items()}
            try:
                rows = run(list(asked.values()), settings, progress=progress)
            except Interrupted:
                raise Interrupted(
                    f"Stopped while tuning: {progress.done} of {total} tuning trials are done and stored."
                    " Run the same command again to go on."
                ) from None
            for place, study in studies.items():
                study.tell(rows[asked[place].key])
    found: dict[str, dict[Place, Tuned]] = {place[0]: {} for place in studies}
    for (name, seed, value), study in studies.items():
        found[name][seed, value] = study.result()
    return Tuning(trials, metric, {name: MethodTuning(*spaces[name], tuned) for name, tuned in found.items()})


class _Study:
    """One method with one seed at one point of the sweep: what was tried, and what to try next."""

    def __init__(
        self, job: EntryJob, space: Mapping[str, Space], defaults: Mapping[str, Any], trials: int, metric: Metric
    ) -> None:
        import optuna

        self.job, self.space, self.defaults = job, space, defaults
        self.metric, self.sign = metric, 1.0 if metric.better == "lower" else -1.0
        self.rows: list[Row] = []
        self.scores: list[float | None] = []
        self.tried: list[dict[str, Any]] = []
        self.distributions = {name: _distribution(of) for name, of in space.items()}
        random = max(2, math.ceil(RANDOM_SHARE * trials))
        with _quiet_optuna():
            self.study = optuna.create_study(
                direction="minimize", sampler=optuna.samplers.TPESampler(n_startup_trials=random, seed=self._seed())
            )
        self.asked: Any = None

    def _seed(self) -> int:
        """Its own stream of suggestions, the same in every run."""
        what = [self.job.problem, self.job.method.name, self.job.trial.seed, dict(self.job.options)]
        digest = hashlib.blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little")

    def ask(self) -> EntryJob:
        """The next trial."""
        settings: dict[str, Any] = {}
        if self.tried:
            self.asked = self.study.ask(self.distributions)
            settings = {k: value for k, value in self.asked.params.items() if not _same(value, self.defaults[k])}
        self.tried.append(settings)
        return self.job.validating(settings)

    def tell(self, row: Row) -> None:
        """What came of it."""
        from optuna.trial import create_trial

        ok = row.status == "ok"
        score = float(from_plain(row.measures[self.metric.name])) if ok and self.metric.name in row.measures else None
        cost = math.inf if score is None else self.sign * score
        self.rows.append(row)
        self.scores.append(score)
        if len(self.rows) > 1:
            self.study.tell(self.asked, cost)
        elif all(_holds(space, self.defaults[name]) for name, space in self.space.items()):
            # The sampler can learn from the defaults only where its space holds them.
            self.study.add_trial(create_trial(params=dict(self.defaults), distributions=self.distributions, value=cost))

    def result(self) -> Tuned:
        """The best settings; of equal ones the earliest, so that the defaults stay where nothing is better."""
        costs = [math.inf if score is None else self.sign * score for score in self.scores]
        best = int(np.argmin(costs))
        return Tuned(self.tried[best], self.scores[0], self.scores[best], tuple(self.rows))


def _distribution(space: Space) -> Any:
    from optuna import distributions

    if isinstance(space, Choice):
        return distributions.CategoricalDistribution(space.values)  # type: ignore[arg-type]  # see _fault
    if isinstance(space, Integer):
        return distributions.IntDistribution(space.low, space.high)
    return distributions.FloatDistribution(space.low, space.high, log=isinstance(space, LogUniform))


def _holds(space: Space, value: Any) -> bool:
    if isinstance(space, Choice):
        return any(_same(value, other) for other in space.values)
    kinds = int if isinstance(space, Integer) else int | float
    return isinstance(value, kinds) and not isinstance(value, bool) and space.low <= value <= space.high


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _space_plain(space: Space) -> dict[str, Any]:
    kind = type(space).__name__
    return {"kind": kind, **{name: list(of) if isinstance(of, tuple) else of for name, of in vars(space).items()}}


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna announces every study on standard error, where the progress bar is."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
