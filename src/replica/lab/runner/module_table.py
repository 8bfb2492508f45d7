"""What one source file defines, imports and does at its top level, found by reading it."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from .canonical import Target, Use, Writer, bindings, chain, for_type_checkers, imported, judges

EFFECTS = ""
"""The name that stands for what a module does when it is imported, apart from binding names."""

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Written:
    """The canonical text of a definition, and the names that it takes from outside."""

    text: str
    uses: frozenset[Use]


@dataclass(frozen=True)
class ModuleTable:
    """The top level of one file."""

    package: str  # that its relative imports start from
    pieces: Mapping[str, Written]  # by name what defines it or changes it; under EFFECTS what does something else
    imports: Mapping[str, list[Target]]  # by name what is imported under it; under "*" the modules imported so
    run: frozenset[Target]  # what is imported at once, not only when a lazy name is asked for
    decorators: Mapping[str, list[tuple[str, ...]]]  # by name of a function or class those that may register it


@lru_cache(maxsize=4096)
def read_table(content: bytes, stub: bytes, package: str, problem: bool = False) -> ModuleTable:
    """Read a module once for each content; ``stub`` is the ``__init__.pyi`` beside it, where lazy names come from."""
    # Trees are many objects, none of them garbage: looking for some while they live takes longer than making them.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _table(content, stub, package, problem)
    finally:
        if collects:
            gc.enable()


def _table(content: bytes, stub: bytes, package: str, problem: bool) -> ModuleTable:
    statements = list(_top_level(ast.parse(content).body))
    pieces: dict[str, list[ast.stmt]] = {EFFECTS: []}
    imports: dict[str, list[Target]] = {}
    bound = [bindings([statement], package) for statement in statements]
    if b":=" in content:
        for statement, names in zip(statements, bound, strict=True):
            names |= {node.target.id: [] for node in ast.walk(statement) if isinstance(node, ast.NamedExpr)}
    for statement, names in zip(statements, bound, strict=True):
        for name, targets in names.items():
            imports.setdefault(name, []).extend(targets)
            if not isinstance(statement, ast.Import | ast.ImportFrom):
                pieces.setdefault(name, []).append(statement)
    run = frozenset(target for targets in imports.values() for target in targets)
    for statement in ast.parse(stub).body:
        if isinstance(statement, ast.ImportFrom):
            for name, target in imported(statement, package):
                imports.setdefault(name, []).append(target)
    for statement, names in zip(statements, bound, strict=True):
        if isinstance(statement, ast.Import | ast.ImportFrom) or _registers(statement):
            continue
        changed = set(_changed(statement))
        for name in changed & (pieces.keys() - names.keys() - {EFFECTS}):
            pieces[name].append(statement)
        # What changes or calls something that is not this module's is done to the world; so is what neither binds nor changes.
        elsewhere = not changed <= pieces.keys() - {EFFECTS}
        if not isinstance(statement, _DEFINITIONS) and (elsewhere or not (names or changed)):
            pieces[EFFECTS].append(statement)
    for parts in pieces.values():
        parts.sort(key=lambda part: part.lineno)
    decorators = {s.name: _decorators(s) for s in statements if isinstance(s, _DEFINITIONS)}
    written = {name: _written(parts, package, problem) for name, parts in pieces.items()}
    return ModuleTable(package, written, imports, run, decorators)


def _written(parts: list[ast.stmt], package: str, problem: bool) -> Written:
    writer = Writer(package, problem=problem)
    return Written(writer.write(parts), frozenset(writer.uses))


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If) and for_type_checkers(statement):
            yield from _top_level(statement.orelse)
        elif not (isinstance(statement, ast.If) and _asks_for_main(statement.test)) and not _says(statement):
            yield statement


def _says(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _asks_for_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _registers(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and judges(statement.value)


def _decorators(statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[tuple[str, ...]]:
    return [chain(decorator) for decorator in statement.decorator_list if not judges(decorator) and chain(decorator)]


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Names whose objects a top-level statement changes: ``name[…] = …``, ``name.append(…)``, ``@name.register``.

    `EFFECTS` for a plain call, ``register(…)``, which may change anything.
    """
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, _DEFINITIONS):
            yield from (names[0] for names in _decorators(node) if len(names) > 1)
            continue
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield _root(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            names = chain(node.value)
            yield names[0] if len(names) > 1 else EFFECTS
        if not isinstance(node, ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Subscript | ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else EFFECTS
