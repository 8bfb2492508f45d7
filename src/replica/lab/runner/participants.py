"""Which methods take part in a comparison: baselines, entries of papers, and the user's own."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from replica.errors import ReplicaError
from replica.lab.catalogue import nearest
from replica.lab.catalogue.printable import printable
from replica.lab.problems.problem import Problem, Value
from replica.lab.problems.registry import get as get_problem

from .copies import Copies, lacking, maker
from .job import Method, load_attribute
from .methods import methods_of
from .own_code import asked

LONGEST_NAME = 60
"""Of an entry, so that tables and pictures hold it."""


def participants(
    problem: Problem, options: Mapping[str, Value], entries: Mapping[str, Any] | Sequence[str], only: Sequence[str]
) -> tuple[list[Method], dict[str, str]]:
    """The methods that fit these options, and those that do not, with the reason."""
    known = methods_of(problem)
    left_out = {name: unmet for name, method in known.items() if (unmet := _unmet(method, options))}
    methods = {name: method for name, method in known.items() if name not in left_out}
    own = {method.name: method for method in _own_methods(problem, entries)}
    for name in own:
        if name in methods or name in left_out:
            raise ReplicaError(f"Your entry is called {name!r} like a method of the problem; give it another name.")
    methods |= own
    for name in only:
        if name in left_out:
            raise ReplicaError(f"Method {name} {left_out[name]}.")
        if name not in methods:
            near, listed = nearest(name, methods), ", ".join(methods)
            raise ReplicaError(f"No method of {problem.name} is called {name!r}.{near} There are: {listed}.")
    if only:
        return [method for name, method in methods.items() if name in only or name in own], {}
    return list(methods.values()), left_out


def _unmet(method: Method, options: Mapping[str, Value]) -> str:
    """What a method lacks to run with these options, in words; empty for nothing."""
    if method.extra and importlib.util.find_spec(method.extra[0]) is None:
        return f"needs pip install 'replica-papers[{method.extra[1]}]'"
    return " and ".join(
        f"needs {name} to be {' or '.join(str(value) or 'left out' for value in allowed)}"
        for name, allowed in method.needs.items()
        if options[name] not in allowed
    )


def _own_methods(problem: Problem, entries: Mapping[str, Any] | Sequence[str]) -> list[Method]:
    """The user's methods, checked before anything runs."""
    methods = []
    if isinstance(entries, Mapping):
        for name, given in entries.items():
            _check_name(name)
            _check_own(problem, given, name)
            methods.append(Method(name, given=given))
        return methods
    for text in [entries] if isinstance(entries, str) else entries:
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
    parts = " and ".join(problem.protocol)
    wanted = f"It must be a class, a function without arguments that returns an object, or an object, with {parts}"
    if isinstance(maker(given, problem.protocol), Copies):
        return
    if not callable(given):
        raise ReplicaError(f"Entry {name} is of type {type(given).__name__}. {wanted}.")
    try:
        needed = [
            name
            for name, parameter in inspect.signature(given).parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
    except ValueError:
        needed = []  # built in C: found out when it runs
    if needed:
        raise ReplicaError(f"Entry {name} cannot be made without arguments: give {', '.join(needed)} a default value.")
    if inspect.isclass(given) and (lack := lacking(given, problem.protocol)):
        raise ReplicaError(f"Entry {name} lacks {' and '.join(lack)}. {wanted}.")
