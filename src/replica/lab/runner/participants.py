"""Which methods take part in a comparison: baselines, entries of papers, and the user's own."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from replica.errors import ReplicaError
from replica.lab.catalogue import nearest, records
from replica.lab.catalogue.printable import printable
from replica.lab.problems.problem import Problem, Value
from replica.lab.problems.registry import get as get_problem

from .copies import Copies, maker
from .job import Method, load_attribute, load_paper
from .own_code import asked

LONGEST_NAME = 60
"""Of an entry, so that tables and pictures hold it."""


def participants(
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
        return [method for method in methods if method.name in only or method in own], {}
    return methods, left_out


def _own_methods(problem: Problem, entries: Mapping[str, Any] | Sequence[str]) -> list[Method]:
    """The user's methods, checked before anything runs."""
    if isinstance(entries, str):
        entries = [entries]
    methods = []
    if isinstance(entries, Mapping):
        for name, given in entries.items():
            _check_name(name)
            _check_own(problem, given, name)
            methods.append(Method(name, given=given))
        return methods
    for text in entries:
        path, colon, attribute = text.rpartition(":")
        if not colon or not path or not attribute.isidentifier():
            raise ReplicaError(f"--entry must be FILE.py:NAME, such as my_memory.py:MyMemory, not {text!r}.")
        _check_name(attribute)
        file = Path(path)
        if not file.is_file():
            raise ReplicaError(f"--entry: there is no file {path}.")
        source = str(file.resolve())
        asked(path, partial(_check_file, problem.name, source, path, attribute))
        methods.append(Method(attribute, source, attribute=attribute))
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise ReplicaError("--entry: two entries have one name; rename one.")
    return methods


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise ReplicaError(
            f"An entry's name must be a text of 1 to {LONGEST_NAME} printable letters, not {printable(ascii(name), 60)}."
        )


def _check_file(problem: str, source: str, path: str, attribute: str) -> bool:
    try:
        given = load_attribute(source, attribute)
    except AttributeError:
        raise ReplicaError(f"--entry: {path} defines no {attribute}.") from None
    _check_own(get_problem(problem), given, attribute)
    return True


def _check_own(problem: Problem, given: Any, name: str) -> None:
    wanted = (
        "It must be a class, a function without arguments that returns an object, or an object, with "
        + " and ".join(problem.protocol)
    )
    if isinstance(maker(given, problem.protocol), Copies):
        return
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
