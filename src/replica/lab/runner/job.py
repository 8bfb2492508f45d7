"""A job: what one trial runs, in a form that can travel to another process."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from replica.errors import ReplicaError
from replica.lab.catalogue.printable import printable
from replica.lab.claims import Entry, Paper, Trial
from replica.lab.claims.paper import run_study
from replica.lab.problems.baseline import Baseline
from replica.lab.problems.problem import Dataset, Split, Value
from replica.lab.problems.registry import get as get_problem

from .copies import maker


@dataclass(frozen=True)
class Job:
    """One trial to run."""

    subject: str
    """What it is, for people and for the store: ``"hopfield/one_update"``, ``"recall/modern-hopfield"``."""
    trial: Trial
    fingerprint: str
    limit_seconds: float
    limit_bytes: int

    @property
    def what(self) -> dict[str, Any]:
        """All that its result depends on."""
        return {
            "subject": self.subject,
            "seed": self.trial.seed,
            "scale": self.trial.scale,
            "device": self.trial.device_name,
            "fingerprint": self.fingerprint,
        }

    @property
    def key(self) -> str:
        """The hash of `what`: two jobs with one key are one trial."""
        return hashlib.blake2b(json.dumps(self.what, sort_keys=True).encode(), digest_size=20).hexdigest()

    @property
    def isolated(self) -> bool:
        """Whether it runs code that may do anything to its process."""
        return False

    def prepare(self) -> Callable[[], tuple[dict[str, Any], dict[str, Any]]]:
        """Import what it needs and read its data; returns the function that runs it, which gives measures and series."""
        raise NotImplementedError


@dataclass(frozen=True)
class StudyJob(Job):
    """One trial of a study of the paper in ``source`` (a module's name or a file's path): no measures, rows."""

    source: str
    study: str

    def prepare(self) -> Callable[[], tuple[dict[str, Any], dict[str, Any]]]:
        """See `Job.prepare`."""
        study = load_paper(self.source).studies[self.study]
        return lambda: ({}, run_study(study, self.trial))


@dataclass(frozen=True)
class EntryJob(Job):
    """One trial of a method in a problem, on data named by ``data`` and known by its ``digest``."""

    problem: str
    method: Method
    data: str
    digest: str
    options: Mapping[str, Value]
    examples: bool = False
    split: Split = "test"

    @property
    def what(self) -> dict[str, Any]:
        """See `Job.what`."""
        return {
            **super().what,
            "digest": self.digest,
            "options": dict(self.options),
            "settings": dict(self.method.settings),
            **({"split": self.split} if self.split != "test" else {}),
        }

    @property
    def isolated(self) -> bool:
        """See `Job.isolated`."""
        return self.method.own

    def validating(self, settings: Mapping[str, Any]) -> EntryJob:
        """The same trial with other settings on its validation part."""
        method = replace(self.method, settings=settings)
        return replace(self, subject=f"tuning {self.subject}", method=method, examples=False, split="validation")

    def prepare(self) -> Callable[[], tuple[dict[str, Any], dict[str, Any]]]:
        """See `Job.prepare`."""
        problem = get_problem(self.problem)
        given = tuple((name, self.options[name]) for name in problem.data_options)
        dataset = load_dataset(self.problem, self.data, given, self.digest)
        make = self.method.resolve(problem.name)

        def run() -> tuple[dict[str, Any], dict[str, Any]]:
            outcome = problem.run(self.trial, make, dataset, self.options, examples=self.examples, split=self.split)
            return dict(outcome.metrics), dict(outcome.examples)

        return run


@dataclass(frozen=True)
class Method:
    """Where a method of a comparison comes from: a baseline of the problem, an entry of a paper, or the user's own."""

    name: str
    source: str = ""
    """Empty for a baseline, a module's name for a paper's entry, a file's path for the user's own."""
    paper: str = ""
    attribute: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Hyperparameters that differ from the defaults."""
    given: Any = None
    """The user's own class or function where it was handed over in Python; travels with the job."""
    function: str = ""
    """A function ``make(trial, **settings)`` of a paper file that is no entry, such as a control."""
    needs: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Options of the problem under which it can run; any where empty."""
    extra: tuple[str, str] | None = None
    """A package that it needs, and the extra of Replica that brings it."""

    @property
    def own(self) -> bool:
        """Whether it is the user's."""
        return self.given is not None or bool(self.attribute)

    def resolve(self, problem: str) -> Callable[[Trial], Any]:
        """The function that makes a fresh method for a trial."""
        settings = dict(self.settings)
        make, _ = self.hyperparameters(problem)
        return lambda trial: make(**settings) if self.own else make(trial, **settings)

    def hyperparameters(self, problem: str) -> tuple[Callable[..., Any], Mapping[str, Any]]:
        """What takes its hyperparameters as keywords, and the space to tune them in, empty for none.

        The user's own class, function or object declares its space in an attribute: ``space = {"beta": LogUniform(0.1, 10.0)}``.
        """
        if self.own:
            given = self.given if self.given is not None else load_attribute(self.source, self.attribute)
            own = maker(given, get_problem(problem).protocol)
            space = getattr(own, "space", None)
            return own, space if isinstance(space, Mapping) else {}
        entry: Baseline | Entry
        if self.function:
            module = load_file(self.source) if self.source.endswith(".py") else importlib.import_module(self.source)
            return getattr(module, self.function), {}
        if self.paper:
            entry = load_paper(self.source).entries[self.name]
        else:
            entry = next(b for b in get_problem(problem).baselines() if b.name == self.name)
        return entry.make, entry.space


@cache
def load_dataset(problem: str, source: str, options: tuple[tuple[str, Value], ...], digest: str = "") -> Dataset:
    """Read a problem's data once a process, and see that it is still what the comparison began with."""
    dataset = get_problem(problem).load(source, dict(options))
    if digest and dataset.digest != digest:
        raise ReplicaError(f"The data {source} changed while the comparison ran. Run the same command again.")
    return dataset


def load_file(path: str) -> ModuleType:
    """Run the user's Python file as a module, once a version of it; imports beside it work, as in a script."""
    state = Path(path).stat()
    return _load_file(path, state.st_mtime_ns, state.st_size)


@cache
def _load_file(path: str, changed: int, size: int) -> ModuleType:
    file = Path(path)
    spec = importlib.util.spec_from_file_location(f"replica_user_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ReplicaError(f"{path} is not a Python file; name one that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        # Not by the loader: it may take a compiled file of the same second for this one.
        exec(compile(file.read_bytes(), path, "exec"), module.__dict__)
    except SyntaxError as error:
        raise ReplicaError(f"{path} is not valid Python: {error.msg} (line {error.lineno}).") from error
    except (Exception, SystemExit) as error:  # a script without ``if __name__ == "__main__"`` may end the program
        raise ReplicaError(f"{path} cannot be imported: {type(error).__name__}: {printable(error, 300)}.") from error
    return module


def load_attribute(path: str, name: str) -> Any:
    """The class or function of this name in the user's file."""
    return getattr(load_file(path), name)


def load_paper(source: str) -> Paper:
    """The ``paper`` of a paper file, named by module or path."""
    module = load_file(source) if source.endswith(".py") else importlib.import_module(source)
    paper = getattr(module, "paper", None)
    if not isinstance(paper, Paper):
        raise ReplicaError(f'{source} defines no paper; it must hold a line such as: paper = Paper("my_paper").')
    return paper
