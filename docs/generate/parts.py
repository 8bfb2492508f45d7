"""What a wing offers: its table of contents, read with its headings, and each part's first sentence and example."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from replica.lab.catalogue import package_root


@dataclass(frozen=True)
class Part:
    """A public name of a wing, or of another package of Replica (of Replica itself where `wing` is empty)."""

    wing: str
    name: str

    @property
    def object(self) -> Any:
        """The class, function or constant itself."""
        return getattr(importlib.import_module(self.module), self.name)

    @property
    def module(self) -> str:
        """The package it is imported from."""
        return f"replica.{self.wing}".rstrip(".")

    @property
    def kind(self) -> Literal["class", "function", "data"]:
        """How it is documented."""
        if inspect.isclass(self.object):
            return "class"
        return "function" if callable(self.object) else "data"

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        first = (inspect.getdoc(self.object) or "").split("\n\n")[0]
        return " ".join(first.split())

    @property
    def example(self) -> list[str]:
        """Its docstring's example as plain code, what it prints as comments; empty where it has none."""
        found = re.search(r"^Examples?:\n((?:[ \t]+.*\n?|\n)+)", inspect.getdoc(self.object) or "", re.M)
        lines: list[str] = []
        for line in inspect.cleandoc(found[1]).splitlines() if found else ():
            code = re.match(r"(?:>>>|\.\.\.) ?(.*)", line)
            if code:
                lines.append(re.sub(r"\s*# doctest:.*", "", code[1]))
            elif line.strip() and lines:
                lines.append(f"# {line.strip()}")
        return lines


@cache
def contents(wing: str) -> tuple[tuple[str, tuple[Part, ...]], ...]:
    """The wing's parts under the headings of its table of contents; none where nothing of it is built."""
    path = package_root() / wing / "__init__.pyi"
    if not path.exists():
        return ()
    source = path.read_text()
    headings = {number: line[1:].strip() for number, line in enumerate(source.splitlines(), 1) if line.startswith("#")}
    groups: list[tuple[str, list[Part]]] = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        heading = headings.get(node.lineno - 1)
        if heading is not None or not groups:
            groups.append((heading or "", []))
        groups[-1][1].extend(Part(wing, alias.asname or alias.name) for alias in node.names)
    return tuple((heading, tuple(parts)) for heading, parts in groups)


def parts(wing: str) -> tuple[Part, ...]:
    """All parts of a wing."""
    return tuple(part for _, group in contents(wing) for part in group)
