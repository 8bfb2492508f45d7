"""Fingerprints of source: a hash of all code that a trial depends on, so that a changed part reruns its trials and no others.

The closure is found by reading, not running. From a function in a paper file (or in the user's own file) it follows the
top-level names that the function uses; from a module it imports, the whole file; through a lazy package (one with an
``__init__.pyi``), only the module that defines the imported name. Comments, docstrings and formatting do not count. Modules
that only judge or show results (intervals, verdicts, runner, report) are not part of what a trial computes and are left out.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from replica.lab.catalogue import package_root

COMPUTING = (
    "replica.lab.claims.trial",
    "replica.lab.claims.measures",
    "replica.lab.problems",
    "replica.data",
)
"""The modules of the lab whose code can change what a trial computes."""
DRAWING = "draw"
"""The method of a problem that only shows results."""


def fingerprint(path: Path, name: str | None = None) -> str:
    """Hash what a function, class or whole module depends on.

    Args:
        path: The source file it stands in.
        name: The top-level function or class; None for the whole file.

    Returns:
        32 hexadecimal digits, the same on every machine with the same sources.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part, text in sorted(_closure(path.resolve(), name).items()):
        digest.update(f"{part}\0{text}\0".encode())
    return digest.hexdigest()


def sources(path: Path, name: str | None = None) -> list[str]:
    """The parts of the closure by name (modules, or ``file:name``), for people."""
    return sorted(_closure(path.resolve(), name))


def _closure(path: Path, name: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    tree = _parse(path)
    base = _module_name(path)
    statements = tree.body if name is None else _definitions_used(tree, name)
    found[f"{base or path.name}:{name or '*'}"] = _text(statements)
    pending = list(_imports(statements, path, base))
    while pending:
        module, imported = pending.pop()
        file = _find(module, imported, path.parent)
        if file is None or file[0] in found:
            continue
        label, source = file
        body = _parse(source).body
        found[label] = _text(body)
        pending.extend(_imports(body, source, label))
    return found


def _definitions_used(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The top-level statements that ``name`` needs: its own definition and, again and again, those of the names it uses."""
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for bound in _bound_names(statement):
            defined.setdefault(bound, []).append(statement)
    if name not in defined:
        return tree.body
    wanted, pending = {name}, [name]
    while pending:
        for statement in defined[pending.pop()]:
            for used in _used_names(statement):
                if used in defined and used not in wanted:
                    wanted.add(used)
                    pending.append(used)
    return [
        _without_judgement(statement)
        for statement in tree.body
        if any(bound in wanted for bound in _bound_names(statement))
    ]


def _used_names(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(_without_judgement(statement)):
        if isinstance(node, ast.Name):
            yield node.id


def _without_judgement(statement: ast.stmt) -> ast.stmt:
    """A claim's decorator holds its sentence and bounds, and `Paper(...)` its departures: they judge, they do not compute."""
    if isinstance(statement, ast.FunctionDef):
        kept = [
            d
            for d in statement.decorator_list
            if not (isinstance(d, ast.Call) and _attribute(d.func) in {"claim", "entry"})
        ]
        if len(kept) != len(statement.decorator_list):
            clone = copy.copy(statement)
            clone.decorator_list = kept
            return clone
    return statement


def _attribute(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0]
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from _bound_names(node)


def _imports(statements: Iterable[ast.stmt], path: Path, module: str) -> Iterator[tuple[str, str | None]]:
    """(module, imported name or None) of every import in the statements, also inside functions."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name, None
            elif isinstance(node, ast.ImportFrom):
                origin = node.module or ""
                if node.level:
                    parent = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
                    origin = ".".join([*parent, *([node.module] if node.module else [])])
                for alias in node.names:
                    yield origin, alias.name


def _find(module: str, name: str | None, beside: Path) -> tuple[str, Path] | None:
    """The file that an import brings in, where it counts: a module of Replica that computes, or one beside the user's file."""
    if module == "replica" or module.startswith("replica."):
        root = package_root().parent
        target = _resolve(root, module, name)
        if target is None:
            return None
        label = _module_name(target)
        if label.startswith("replica.lab") and not label.startswith(COMPUTING):
            return None
        return label, target
    if package_root() in beside.parents:
        return None
    target = _resolve(beside, module, name) if module else None
    return (f"{target.relative_to(beside)}", target) if target else None


def _resolve(root: Path, module: str, name: str | None) -> Path | None:
    folder = root.joinpath(*module.split("."))
    if folder.with_suffix(".py").exists():
        return folder.with_suffix(".py")
    if not folder.is_dir():
        return None
    if name is not None:
        if (folder / f"{name}.py").exists():
            return folder / f"{name}.py"
        stub = folder / "__init__.pyi"
        if stub.exists():
            for node in _parse(stub).body:
                if isinstance(node, ast.ImportFrom) and node.module and any(a.name == name for a in node.names):
                    return _resolve(root, f"{module}.{node.module}", name)
    return folder / "__init__.py" if (folder / "__init__.py").exists() else None


def _module_name(path: Path) -> str:
    try:
        parts = path.resolve().relative_to(package_root().resolve().parent).with_suffix("").parts
    except ValueError:
        return ""
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _parse_bytes(source: bytes, name: str, is_problem: bool) -> ast.Module:
    tree = ast.parse(source, filename=name)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            body = node.body
            if (
                body
                and isinstance(body[0], ast.Expr)
                and isinstance(body[0].value, ast.Constant)
                and isinstance(body[0].value.value, str)
            ):
                node.body = body[1:] or [ast.Pass()]
            if is_problem and isinstance(node, ast.ClassDef):
                node.body = [s for s in node.body if getattr(s, "name", None) != DRAWING] or [ast.Pass()]
    return tree


def _parse(path: Path) -> ast.Module:
    return _parse_bytes(path.read_bytes(), path.name, package_root() / "lab" / "problems" in path.parents)


def _text(statements: Iterable[ast.stmt]) -> str:
    return "\n".join(_canonical(statement) for statement in statements)


def _canonical(node: object) -> str:
    """A syntax tree in words that are the same in every version of Python, unlike ``ast.dump`` and ``ast.unparse``."""
    if isinstance(node, ast.AST):
        # Empty fields are left out: later versions add some, such as type_params.
        parts = [f"{name}={_canonical(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])]
        return f"{type(node).__name__}({', '.join(part for part in parts if not part.startswith('ctx='))})"
    if isinstance(node, list):
        return f"[{', '.join(map(_canonical, node))}]"
    return repr(node)


def spec_path(module: str) -> Path:
    """The source file of a module, found without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {module}")
    return Path(spec.origin)
