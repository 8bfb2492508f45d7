"""The tests that a change touches: ``python -m tests.changed`` prints what to hand to pytest; ``make quick`` runs it.

The change is all that differs from the merge base with main (on main itself, from its last commit), with what git does not
track yet. Touched are the files of tests that changed, those that mirror or import changed sources, the parts that a changed
module defines, and the papers whose closure, as for fingerprints, holds a changed definition.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from replica.lab.catalogue import find
from replica.lab.runner.fingerprint import sources, spec_path

ROOT = Path(__file__).parents[1]
EVERYTHING = {"pyproject.toml", "constraints.txt", "tests/conftest.py"}
FOLDERS = {
    "docs": ("tests/site",),
    "examples": ("tests/test_examples.py",),
    "src/replica/lab/cli": ("tests/lab/test_commands.py", "tests/lab/test_wrong_use.py"),
    "src/replica/lab/runner": ("tests/lab/test_runner.py", "tests/lab/test_ray.py"),
    "src/replica/lab/report": ("tests/lab/test_commands.py", "tests/lab/test_report_page.py"),
}
"""Tests that run the sources of a folder without importing them."""
Definitions = Mapping[str, set[str]]
"""Of each changed module the names that changed; ``""`` stands for what it does when it is imported."""


def main() -> None:
    """Print files of tests, and the names to which batteries are narrowed, one a line."""
    base = _git("merge-base", "HEAD", "main") or "HEAD"
    files = [
        *_git("diff", "--name-only", base).splitlines(),
        *_git("ls-files", "-o", "--exclude-standard").splitlines(),
    ]
    if EVERYTHING & set(files):
        print("tests")
        return
    changed = {
        _module(file): changed_names(_git("show", f"{base}:{file}"), _text(ROOT / file))
        for file in files
        if file.startswith(("src/", "tests/")) and file.endswith(".py")
    }
    names = {*touched_papers(files, changed), *_parts(changed), *_problems(changed)}
    tests = {*touched_tests(files, changed)}
    if names:
        tests |= {str(path.relative_to(ROOT)) for path in ROOT.glob("tests/*/test_every_*.py")}
        print("--about", ",".join(sorted(names)), sep="=")
    print(*sorted(tests), sep="\n")


def changed_names(before: str, after: str) -> set[str]:
    """The top-level names of a module whose statements differ, comments and formatting aside."""
    old, new = _statements(before), _statements(after)
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def touched_tests(files: Iterable[str], changed: Definitions) -> Iterator[str]:
    """Files of tests that changed, that mirror a changed source, or that import a changed module or name."""
    stems = set()
    for file in files:
        path = Path(file)
        if path.match("test_*.py"):
            if (ROOT / path).exists():
                yield file
            continue
        stems |= {path.stem, path.parent.name} if file.startswith("src/") else set()
        for folder, tests in FOLDERS.items():
            yield from tests if file.startswith(f"{folder}/") else ()
    for test in sorted(ROOT.glob("tests/**/test_*.py")):
        if test.stem.startswith("test_every_"):
            continue
        if test.stem.removeprefix("test_") in stems or any(changed.get(module) for module in _imports(test)):
            yield str(test.relative_to(ROOT))


def touched_papers(files: Iterable[str], changed: Definitions) -> Iterator[str]:
    """Built papers whose files, registration or evidence changed, or whose closure holds a changed definition."""
    own = {Path(file).stem for file in files if file.startswith(("src/replica/papers/", "src/replica/evidence/"))}
    for record in find(status="built"):
        if record.slug in own or any(_counts(label, changed) for label in sources(spec_path(record.module))):
            yield record.slug


def _counts(label: str, changed: Definitions) -> bool:
    """Whether a part of a closure changed: ``module``, ``module:*`` for all of it, ``module:name``."""
    module, colon, name = label.partition(":")
    names = changed.get(module, set())
    return name in names if colon and name != "*" else bool(names)


def _parts(changed: Definitions) -> Iterator[str]:
    """What wings export of changed modules."""
    for wing in sorted((ROOT / "src" / "replica").glob("*/__init__.pyi")):
        for name, module in _exported(wing).items():
            if changed.get(f"replica.{wing.parent.name}.{module}"):
                yield f"{wing.parent.name}.{name}"


def _problems(changed: Definitions) -> Iterator[str]:
    for module in changed:
        if module.startswith(("replica.lab.problems.", "replica.papers.baselines.")):
            yield module.split(".")[3]


def _statements(source: str) -> dict[str, str]:
    """Each top-level name with all statements that bind it; what binds none under the empty name."""
    found: dict[str, str] = {}
    for statement in ast.parse(source).body:
        names = {statement.name} if isinstance(statement, ast.FunctionDef | ast.ClassDef) else _bound(statement)
        for name in names or {""}:
            found[name] = found.get(name, "") + ast.dump(statement)
    return found


def _bound(statement: ast.stmt) -> set[str]:
    imported = (ast.Import, ast.ImportFrom)
    names = {alias.asname or alias.name for n in ast.walk(statement) if isinstance(n, imported) for alias in n.names}
    return names | {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports from; of a lazy package those that define the names."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            exported = _exported(ROOT.joinpath("src", *node.module.split("."), "__init__.pyi"))
            yield node.module
            yield from (f"{node.module}.{exported.get(alias.name, alias.name)}" for alias in node.names)


@cache
def _exported(stub: Path) -> dict[str, str]:
    """The names of a lazy package, each with the module that defines it."""
    nodes = [node for node in ast.parse(_text(stub)).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in nodes for alias in node.names}


def _module(file: str) -> str:
    parts = Path(file.removeprefix("src/")).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
