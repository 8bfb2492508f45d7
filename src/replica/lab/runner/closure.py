"""What a definition uses, followed from name to name across modules: found by reading, not by running.

A node is a module and one of its top-level names. ``(module, "")`` is what the module does when it is imported,
``(module, "*")`` all of it. Followed are Replica's modules that compute, and files beside the user's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from replica.lab.catalogue import package_root

from .canonical import Target
from .module_table import EFFECTS, ModuleTable, read_table

COMPUTING = ("replica.lab.claims.trial", "replica.lab.claims.measures", "replica.lab.problems")
"""The modules of the lab whose code can change what a trial computes; the others judge, show or run."""
SAYING = ("replica.errors",)
"""Modules outside the lab that compute nothing."""
WHOLE = "*"

Node = tuple[str, str]


class Description(NamedTuple):
    """A node by itself, and the nodes that it uses by the name that they have in it."""

    digest: str
    is_empty: bool
    links: frozenset[tuple[str, Node]]


class Code:
    """The definitions in the files of one folder, each read once: as it was when it was first asked for.

    Replica's own code is in ``library``, None where this is it; ``edited`` contents stand in for those of files.
    """

    def __init__(self, root: Path, library: Code | None = None, edited: Mapping[Path, bytes] | None = None) -> None:
        self._root = root
        self._library = library
        self._edited = edited or {}
        self._tables: dict[str, ModuleTable | None] = {}
        self._found: dict[tuple[str, tuple[str, ...]], tuple[Node, ...]] = {}
        self._described: dict[Node, Description] = {}
        self._digests: dict[Node, str] = {}

    def closure(self, nodes: Iterable[Node]) -> dict[Node, Description]:
        """The nodes and all that they use, directly or through others."""
        found: dict[Node, Description] = {}
        pending = list(nodes)
        while pending:
            node = pending.pop()
            if node not in found:
                found[node] = self.describe(node)
                pending.extend(target for _, target in found[node].links)
        return found

    def digest(self, node: Node) -> str:
        """A hash of a node and of what its names lead to, one step far. Where a definition lies does not count."""
        if node not in self._digests:
            own = self.describe(node)
            used = sorted(
                f"{name}={self.describe(target).digest}" for name, target in own.links if target[1] != EFFECTS
            )
            self._digests[node] = hashed(own.digest, *used)
        return self._digests[node]

    def table(self, module: str) -> ModuleTable | None:
        """The module of this name; None where it is not among this code."""
        if self._is_elsewhere(module):
            return self._library.table(module) if self._library else None
        if module not in self._tables:
            self._tables[module] = self._read(module)
        return self._tables[module]

    def named(self, module: str, name: str | None) -> list[Node]:
        """The nodes of a name in a module, also one that it imports; all of the module where it has no such name."""
        return list(self._local(module, (name,)) if name else ()) or [(module, WHOLE)]

    def describe(self, node: Node) -> Description:
        """What stands in a node, and what it uses."""
        if self._library and self._is_elsewhere(node[0]):
            return self._library.describe(node)
        if node not in self._described:
            module, name = node
            table = self.table(module)
            if table is None:
                raise ModuleNotFoundError(f"no module named {module}")
            special = {WHOLE: self._whole, EFFECTS: self._effects}.get(name)
            self._described[node] = special(module, table) if special else self._definition(module, name, table)
        return self._described[node]

    def _definition(self, module: str, name: str, table: ModuleTable) -> Description:
        text, uses = table.pieces[name].text, table.pieces[name].uses
        links: set[tuple[str, Node]] = {("", (module, EFFECTS))} if name != EFFECTS else set()
        outside = {f"*={target.module}" for target in table.imports.get(WHOLE, ()) if self._is_outside(target)}
        for written, origin, names in uses:
            found = self._follow(origin, names) if origin else self._local(module, names)
            links.update((written, target) for target in found)
            targets = [Target(origin, names)] if origin else table.imports.get(names[0], [])
            outside |= {f"{written}={target}" for target in targets if self._is_outside(target)}
        return Description(hashed(text, *sorted(outside)), not text, frozenset(links))

    def _whole(self, module: str, table: ModuleTable) -> Description:
        links = {(name, (module, name)) for name in table.pieces}
        if table.package == module:  # what it gives is also what it imports
            links |= {(name, target) for name in table.imports for target in self._local(module, (name,))}
        return Description(hashed(*sorted(table.pieces)), True, frozenset(links))

    def _effects(self, module: str, table: ModuleTable) -> Description:
        """What importing the module does: it runs other modules too, and decorators of its own that may register."""
        own = self._definition(module, EFFECTS, table)
        run = {module.rpartition(".")[0]}
        for target in table.run:
            run |= {target.module} | {found for found, _ in self._follow(target.module, target.names)}
        links = {("", (name, EFFECTS)) for name in run if name not in {"", module} and self._counts(name)}
        for name, decorators in table.decorators.items():
            if any(
                self._local(module, names) for names in decorators if len(names) == 1 or names[0] not in table.pieces
            ):
                links.add((name, (module, name)))
        return own._replace(links=own.links | links)

    def _local(self, module: str, names: tuple[str, ...]) -> tuple[Node, ...]:
        """The nodes of a name as the module itself sees it."""
        table = self.table(module)
        assert table is not None
        if names[0] in table.pieces or names[0] in table.imports:
            return self._bound(module, table, names, frozenset())
        stars = [target.module for target in table.imports.get(WHOLE, ())]
        return tuple(node for star in stars for node in self._follow(star, names) if node[1] != WHOLE)

    def _follow(
        self, module: str, names: tuple[str, ...], passed: frozenset[tuple[str, tuple[str, ...]]] = frozenset()
    ) -> tuple[Node, ...]:
        """The nodes that ``module.a.b`` leads to, through re-exports and submodules; none where it leads out of this code."""
        key = (module, names)
        if key in self._found:
            return self._found[key]
        table = self.table(module)
        if table is None or key in passed:
            return ()
        found: tuple[Node, ...] = ()
        if not names:
            found = ((module, WHOLE),) if self._counts(module) else ()
        elif names[0] in table.pieces or names[0] in table.imports:
            found = self._bound(module, table, names, passed | {key})
        submodule = f"{module}.{names[0]}" if names else ""
        if not found and submodule and table.package == module and self.table(submodule) is not None:
            found = self._follow(submodule, names[1:], passed | {key})
        elif not found and names and names[0] not in table.imports and not names[0].startswith("__"):
            stars = [target.module for target in table.imports.get(WHOLE, ())]
            found = tuple(node for star in stars for node in self._follow(star, names, passed | {key}))
            # A name that reading does not find, made by a module's __getattr__ for instance, may come from all of it.
            found = found or (((module, WHOLE),) if self._counts(module) else ())
        if not passed:
            self._found[key] = found
        return found

    def _bound(
        self, module: str, table: ModuleTable, names: tuple[str, ...], passed: frozenset[tuple[str, tuple[str, ...]]]
    ) -> tuple[Node, ...]:
        found: list[Node] = [(module, names[0])] if names[0] in table.pieces and self._counts(module) else []
        for target in table.imports.get(names[0], ()):
            found.extend(self._follow(target.module, target.names + names[1:], passed))
        return tuple(dict.fromkeys(found))

    def _counts(self, module: str) -> bool:
        if self.table(module) is None or _within(module, SAYING):
            return False
        return not _within(module, ("replica.lab",)) or _within(module, COMPUTING)

    def _is_outside(self, target: Target) -> bool:
        return self.table(target.module.split(".")[0]) is None

    def _is_elsewhere(self, module: str) -> bool:
        return (module.split(".")[0] == "replica") == (self._library is not None)

    def _read(self, module: str) -> ModuleTable | None:
        path = self._root.joinpath(*module.split("."))
        problem = _within(module, ("replica.lab.problems",))
        if path.is_dir():
            content, stub = (self._content(path / name) for name in ("__init__.py", "__init__.pyi"))
            return read_table(content or b"", stub or b"", module, problem)
        content = self._content(path.parent / f"{path.name}.py")
        return None if content is None else read_table(content, b"", module.rpartition(".")[0], problem)

    def _content(self, path: Path) -> bytes | None:
        if path in self._edited:
            return self._edited[path]
        return path.read_bytes() if path.is_file() else None


@cache
def library(root: Path) -> Code:
    """Replica's own code, whose package lies in ``root``: read once in a process, as its modules are imported once."""
    return Code(root)


def code_of(path: Path) -> tuple[Code, str]:
    """The code that a file belongs to, and the name of its module there. A user's files are read again at each call."""
    path = path.resolve()
    root = package_root().resolve().parent
    if root / "replica" not in path.parents:
        return Code(path.parent, library(root)), path.stem
    parts = path.relative_to(root).with_suffix("").parts
    return library(root), ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _within(module: str, names: Iterable[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def hashed(*parts: str) -> str:
    """One hash of several texts."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
