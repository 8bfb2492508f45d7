"""The methods that the lab knows for a problem, and the code that each depends on."""

from __future__ import annotations

import inspect
import pickle
import uuid
from pathlib import Path

from replica.errors import ReplicaError
from replica.lab.catalogue import nearest, records
from replica.lab.problems.problem import Problem

from .closure import hashed
from .copies import Copies, maker
from .fingerprint import fingerprint, sources, spec_path
from .job import Method, load_paper


class _Methods(dict[str, Method]):
    """Methods by name; one that is not there is told in one line."""

    def __missing__(self, name: str) -> Method:
        raise ReplicaError(f"No method is called {name!r}.{nearest(name, self)} There are: {', '.join(self)}.")


def methods_of(problem: Problem) -> dict[str, Method]:
    """All baselines and entries of papers in a problem, by name."""
    baselines = [Method(each.name, needs=each.needs, extra=each.extra) for each in problem.baselines()]
    entries = [
        Method(entry.name, known.module, known.slug, needs=entry.needs)
        for known in records().values()
        if problem.name in known.problems and known.status == "built"
        for entry in load_paper(known.module).entries.values()
        if entry.problem == problem.name
    ]
    return _Methods({method.name: method for method in [*baselines, *entries]})


def _places(problem: Problem, method: Method) -> list[tuple[Path, str]]:
    """Where the code of a trial stands: files and names in them."""
    places = [(spec_path(type(problem).__module__), type(problem).__name__)]
    if method.given is not None:
        return places
    if name := method.attribute or method.function:
        file = Path(method.source) if method.source.endswith(".py") else spec_path(method.source)
        return [*places, (file, name)]
    make, _ = method.hyperparameters(problem.name)
    return [*places, (spec_path(make.__module__), make.__name__)]


def method_fingerprint(problem: Problem, method: Method) -> str:
    """The hash of all code that a method's trials in this problem depend on."""
    parts = [fingerprint(path, name) for path, name in _places(problem, method)]
    if method.given is not None:
        try:
            own = maker(method.given, problem.protocol)
            parts.append(own.source() if isinstance(own, Copies) else inspect.getsource(own))
        except (OSError, TypeError, pickle.PicklingError):
            # Its source cannot be read, so a change could not be seen: never taken from the store.
            parts.append(uuid.uuid4().hex)
    return hashed(*parts)


def method_sources(problem: Problem, method: Method) -> list[str]:
    """The definitions that a method's trials in this problem depend on."""
    return sorted({name for path, symbol in _places(problem, method) for name in sources(path, symbol)})
