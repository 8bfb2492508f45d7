"""An independent check of what fingerprints follow: every name that compiled functions look up, again and again, is found."""

import ast
import dis
import functools
import importlib.util
import inspect
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from replica.lab.claims import Claim
from replica.lab.runner.closure import COMPUTING, SAYING, code_of
from replica.lab.runner.fingerprint import spec_path

MODULES = (
    "replica.papers.memory.hopfield",
    "replica.papers.plasticity.auglocal",
    "replica.lab.problems.credit.problem",
    "replica.lab.problems.recall.problem",
    "replica.plasticity.local_blocks",
    "replica.training.loop",
)


def computes(module: str) -> bool:
    lab = module.startswith("replica.lab.")
    return module.startswith("replica.") and (module.startswith(COMPUTING) if lab else not module.startswith(SAYING))


@functools.cache
def unwritten_lines(path: str) -> frozenset[int]:
    """Lines that raise or assert, and those of problems' pictures: what they look up need not be followed."""
    tree = ast.parse(Path(path).read_bytes())
    dropped = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise | ast.Assert) or (isinstance(node, ast.FunctionDef) and node.name == "draw")
    ]
    return frozenset(line for node in dropped for line in range(node.lineno, node.end_lineno + 1))


def codes(thing: object) -> Iterator[types.CodeType]:
    """The code of a function, or of all methods of a class."""
    if isinstance(thing, type):
        for member in vars(thing).values():
            inner = [getattr(member, field, None) for field in ("__func__", "fget", "fset", "func")]
            for each in (member, *inner):
                if inspect.isfunction(each) or hasattr(each, "__wrapped__"):
                    yield from codes(each)
        return
    pending = [inspect.unwrap(thing).__code__]
    while pending:
        code = pending.pop()
        if Path(code.co_filename).exists():  # what dataclasses write has no file
            yield code
            pending.extend(each for each in code.co_consts if isinstance(each, types.CodeType))


def looked_up(thing: object, module: types.ModuleType) -> Iterator[tuple[types.ModuleType, str]]:
    """The modules and their names that the code takes, without lines that only say something."""
    for code in codes(thing):
        steps = list(dis.get_instructions(code))
        source = module
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            if step.positions.lineno in unwritten_lines(code.co_filename):
                continue
            if (
                step.opname == "IMPORT_NAME"
                and following.opname == "IMPORT_FROM"
                and step.argval.startswith("replica.")
            ):
                source = importlib.import_module(step.argval)
            elif step.opname == "IMPORT_FROM" and source is not module:
                yield source, step.argval
            elif step.opname in {"LOAD_GLOBAL", "LOAD_NAME"} and step.argval in vars(module):
                value = vars(module)[step.argval]
                if inspect.ismodule(value) and following.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
                    yield value, following.argval
                else:
                    yield module, step.argval


@functools.cache
def imports(path: str, package: str) -> tuple[tuple[str, str, str], ...]:
    """Module, name and name here of each import from a module, also those of a lazy package."""
    texts = [each.read_bytes() for each in (Path(path), Path(path).with_suffix(".pyi")) if each.exists()]
    return tuple(
        (
            importlib.util.resolve_name("." * node.level + (node.module or ""), package),
            alias.name,
            alias.asname or alias.name,
        )
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


def home(module: types.ModuleType, name: str) -> tuple[str, str, object]:
    """Where a name is defined, what it is called there, and a function or class of this name, if it is one."""
    if not module.__name__.startswith("replica."):
        return "", name, None
    value = getattr(module, name)
    value = value.judge if isinstance(value, Claim) else value
    if inspect.isfunction(value) or isinstance(value, type) or hasattr(value, "__wrapped__"):
        return value.__module__, value.__qualname__.split(".")[0], value
    for origin, given, alias in imports(module.__file__, module.__package__):
        if alias == name:
            return home(importlib.import_module(origin), given) if origin.startswith("replica.") else ("", name, None)
    return "" if inspect.ismodule(value) else module.__name__, name, None


def checked(name: str) -> int:
    """Compare for all functions and classes of a module; returns how many names were compared."""
    path, start = spec_path(name), importlib.import_module(name)
    count = 0
    for top in list(vars(start)):
        if top.startswith("__") or (place := home(start, top))[:2] != (name, top) or place[2] is None:
            continue
        code, module = code_of(path)
        found = set(code.closure(code.named(module, top)))
        pending, seen = [(place[2], start)], set()
        while pending:
            for origin, used in looked_up(*pending.pop()):
                module, defined, value = home(origin, used)
                if computes(module) and (module, defined) not in seen:
                    seen.add((module, defined))
                    assert (module, defined) in found, f"{top} uses {module}:{defined}"
                    count += 1
                    if value is not None:
                        pending.append((value, importlib.import_module(module)))
    return count


@pytest.mark.parametrize("name", MODULES)
def test_the_closure_holds_every_name_that_the_bytecode_looks_up(name):
    assert checked(name) > 0
