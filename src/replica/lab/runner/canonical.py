"""Definitions in canonical form: what a statement computes, without what it only says, and the names it takes from outside.

What is not written down is not followed either: both come from one walk. Left out are docstrings, annotations, overloads,
what an exception or a failed assertion says, imports that only type checkers read, and decorators that judge or register.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

JUDGING = frozenset({"claim", "entry", "figure"})
"""Decorators of these names judge or register a function; they do not change what it computes."""
SHOWING = frozenset({"draw", "question", "protocol"})
"""What only shows or says something in the class of a problem."""
DESCRIBING = frozenset({"Metric", "Option"})
"""Of these, in problems, text with a space is for people."""
_UNWRITTEN = frozenset({"ctx", "annotation", "returns", "type_comment", "type_params", "kind", "msg"})
_FIELD_KINDS = frozenset({"ClassVar", "InitVar", "KW_ONLY"})  # annotations that change what a dataclass does


class Target(NamedTuple):
    """What an import binds to a name: a module, or a name within it."""

    module: str
    names: tuple[str, ...] = ()


class Use(NamedTuple):
    """A name taken from outside: as it is written, and the target; module "" is the file that it is written in."""

    written: str
    module: str
    names: tuple[str, ...]


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Target]]:
    """The names that an import binds, and to what. ``import a.b`` also yields "a.b", which is no name but is run."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name, Target(alias.name)
            if not alias.asname and "." in alias.name:
                yield alias.name.split(".")[0], Target(alias.name.split(".")[0])
        return
    origin = absolute(node.module or "", node.level, package)
    for alias in node.names:
        yield (alias.asname or alias.name), Target(origin, () if alias.name == "*" else (alias.name,))


def absolute(module: str, level: int, package: str) -> str:
    """The full name of a module that is named relative to a package."""
    if not level:
        return module
    parents = package.split(".") if package else []
    return ".".join([*parents[: len(parents) - level + 1], *([module] if module else [])])


def bindings(nodes: Iterable[ast.AST], package: str) -> dict[str, list[Target]]:
    """The names that statements bind in their scope, with what is imported under them. Inner scopes are not entered."""
    found: dict[str, list[Target]] = {}
    elsewhere: set[str] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                found.setdefault(node.id, [])
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for name, target in imported(node, package):
                found.setdefault(name, []).append(target)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.setdefault(node.name, [])
        elif isinstance(node, ast.Global | ast.Nonlocal):
            elsewhere.update(node.names)
        else:
            caught = getattr(node, "name", None) or getattr(node, "rest", None)  # except … as name, and patterns
            if isinstance(caught, str):
                found.setdefault(caught, [])
            pending.extend(child for child in ast.iter_child_nodes(node) if _may_bind(child))
    return {name: targets for name, targets in found.items() if name not in elsewhere}


def _may_bind(node: ast.AST) -> bool:
    """Expressions bind nothing but what is stored to; ``:=`` is seen when it is written."""
    return not isinstance(node, ast.expr) or isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)


def chain(node: ast.expr) -> tuple[str, ...]:
    """``a.b.c`` as names; empty where it does not start with a name. Calls on the way are looked through."""
    names: list[str] = []
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def last_name(node: ast.expr) -> str:
    """The name that a call calls or a decorator bears: the last of ``a.b.c(…)``."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def judges(node: ast.expr) -> bool:
    """Whether a decorator or call is one like ``@paper.claim(…)`` or ``@one_update.figure``."""
    return isinstance(node.func if isinstance(node, ast.Call) else node, ast.Attribute) and last_name(node) in JUDGING


def for_type_checkers(node: ast.AST) -> bool:
    """Whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"


class Writer:
    """Writes syntax trees in words that are the same in every version of Python, unlike ``ast.dump`` and ``ast.unparse``.

    Nodes of some kinds are written by the method of that name.
    """

    def __init__(self, package: str, *, problem: bool = False) -> None:
        self.uses: set[Use] = set()
        self._package = package
        self._problem = problem
        self._scopes: list[dict[str, list[Target]]] = []

    def write(self, node: object) -> str:
        """The canonical text; the names that it takes from outside are added to ``uses``."""
        if isinstance(node, list):
            return ", ".join([text for text in map(self.write, node) if text])
        special = getattr(self, f"_{type(node).__name__}", None) if isinstance(node, ast.AST) else None
        if special:
            return str(special(node))
        return self._plain(node) if isinstance(node, ast.AST) else repr(node)

    def _plain(self, node: ast.AST) -> str:
        parts = []
        kind: Any = type(node)
        for field in _written_fields(kind):
            value = getattr(node, field, None)
            # Empty fields are left out: later versions add some.
            if value is not None and value != [] and (text := self.write(value)):
                parts.append(f"{field}=[{text}]" if isinstance(value, list) else f"{field}={text}")
        return f"{kind.__name__}({', '.join(parts)})"

    def _inside(self, scope: dict[str, list[Target]], nodes: object) -> str:
        self._scopes.append(scope)
        text = self.write(nodes)
        self._scopes.pop()
        return text

    def _note(self, names: tuple[str, ...]) -> None:
        for scope in reversed(self._scopes):
            if names[0] in scope:
                for target in scope[names[0]]:
                    self.uses.add(Use(".".join(names), target.module, target.names + names[1:]))
                return
        self.uses.add(Use(".".join(names), "", names))

    def _Constant(self, node: ast.Constant) -> str:
        return repr(node.value)

    def _Pass(self, node: ast.Pass) -> str:
        return ""

    def _Name(self, node: ast.Name) -> str:
        if self._scopes or isinstance(node.ctx, ast.Load):
            self._note((node.id,))
        return node.id

    def _Attribute(self, node: ast.Attribute) -> str:
        names = [node.attr]
        value = node.value
        while isinstance(value, ast.Attribute):
            names.append(value.attr)
            value = value.value
        if not isinstance(value, ast.Name):
            return f"({self.write(value)}).{'.'.join(reversed(names))}"
        self._note((value.id, *reversed(names)))
        return ".".join([value.id, *reversed(names)])

    def _NamedExpr(self, node: ast.NamedExpr) -> str:
        text = f"({node.target.id} := {self.write(node.value)})"
        if self._scopes:
            self._scopes[-1].setdefault(node.target.id, [])
        return text

    def _Import(self, node: ast.Import | ast.ImportFrom) -> str:
        for _, target in imported(node, self._package):
            self.uses.add(Use("", target.module, ("",)))  # at least it is run
        return ""

    _ImportFrom = _Import

    def _Expr(self, node: ast.Expr) -> str:
        return "" if isinstance(node.value, ast.Constant) else self._plain(node)

    def _If(self, node: ast.If) -> str:
        return self.write(node.orelse) if for_type_checkers(node) else self._plain(node)

    def _Raise(self, node: ast.Raise) -> str:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return f"Raise({self.write(raised)}, {self.write(node.cause)})"

    def _AnnAssign(self, node: ast.AnnAssign) -> str:
        return self._plain(ast.Assign([node.target], node.value)) if node.value else ""

    def _field(self, statement: ast.stmt) -> str:
        """In classes an annotation makes a field, of whatever type."""
        if not isinstance(statement, ast.AnnAssign):
            return self.write(statement)
        named = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(statement.annotation)}
        return f"{self._plain(statement)}{sorted(named & _FIELD_KINDS) or ''}"

    def _Call(self, node: ast.Call) -> str:
        name = last_name(node)
        given = node.args[0] if node.args else None
        if name in {"import_module", "__import__"} and isinstance(given, ast.Constant) and isinstance(given.value, str):
            module = given.value.lstrip(".")
            self.uses.add(Use("", absolute(module, len(given.value) - len(module), self._package), ()))
        if not (self._problem and name in DESCRIBING):
            return self._plain(node)
        keywords = [keyword for keyword in node.keywords if not _words(keyword.value)]
        return self._plain(ast.Call(node.func, [value for value in node.args if not _words(value)], keywords))

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        if any(last_name(decorator) == "overload" for decorator in node.decorator_list):
            return ""
        decorators = self.write([decorator for decorator in node.decorator_list if not judges(decorator)])
        return f"{type(node).__name__}({node.name}, [{decorators}], {self._callable(node.args, node.body)})"

    _AsyncFunctionDef = _FunctionDef

    def _Lambda(self, node: ast.Lambda) -> str:
        return f"Lambda({self._callable(node.args, [node.body])})"

    def _callable(self, given: ast.arguments, body: Sequence[ast.AST]) -> str:
        kinds = [
            [argument.arg for argument in arguments if argument]
            for arguments in (given.posonlyargs, given.args, [given.vararg], given.kwonlyargs, [given.kwarg])
        ]
        defaults = f"[{self.write(given.defaults)}] [{self.write(given.kw_defaults)}]"
        scope: dict[str, list[Target]] = {name: [] for names in kinds for name in names}
        scope |= bindings(body, self._package)
        return f"{kinds} {defaults} [{self._inside(scope, list(body))}]"

    def _ClassDef(self, node: ast.ClassDef) -> str:
        for name, targets in bindings(node.body, self._package).items():
            self.uses.update(Use(name, *target) for target in targets)
        heads = [self.write(part) for part in (node.decorator_list, node.bases, node.keywords)]
        body = [self._field(part) for part in node.body if not (self._problem and _bound(part) in SHOWING)]
        return f"ClassDef({node.name}, {heads}, [{', '.join(filter(None, body))}])"

    def _ListComp(self, node: Any) -> str:
        first, *others = node.generators  # the first iterable is evaluated outside
        outside = self.write(first.iter)
        scope = bindings([each.target for each in node.generators], self._package)
        parts = [getattr(node, field, None) for field in ("key", "value", "elt")]
        inside = self._inside(scope, [first.target, *first.ifs, first.is_async, *others, *parts])
        return f"{type(node).__name__}({outside}, {inside})"

    _SetComp = _DictComp = _GeneratorExp = _ListComp


@cache
def _written_fields(kind: Any) -> tuple[str, ...]:
    return tuple(field for field in kind._fields if field not in _UNWRITTEN)


def _words(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value


def _bound(statement: ast.stmt) -> str:
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", statement)]
    return str(getattr(targets[0], "name", getattr(targets[0], "id", "")))
