"""Fingerprints of source: a hash of all code that a trial depends on, so that a changed part reruns its trials and no others.

The code is found by reading, not running, and followed by name: a function depends on the definitions that it uses, across
modules, not on the files they lie in; see `closure` for what is followed, `canonical` for what of a definition counts.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from .closure import Code, Node, code_of

GIVEN: tuple[Node, ...] = (("replica.lab.claims.trial", "Trial"),)
"""What every function is given, and so uses without naming it."""


def fingerprint(path: Path, name: str | Sequence[str] | None = None) -> str:
    """Hash what a function, class or whole module depends on."""
    code, nodes = _nodes(path, name)
    digest = hashlib.blake2b(digest_size=16)
    for node in nodes:
        digest.update(code.digest(node).encode())
    found = code.closure(nodes)
    for part in sorted({code.digest(node) for node in found if not found[node].is_empty}):
        digest.update(part.encode())
    return digest.hexdigest()


def sources(path: Path, name: str | Sequence[str] | None = None) -> list[str]:
    """The definitions that count, for people: ``module:name``, or ``module:`` for what a module does when it is imported."""
    code, nodes = _nodes(path, name)
    return sorted(f"{module}:{name}" for (module, name), found in code.closure(nodes).items() if not found.is_empty)


def stale_costs(studies: Iterable[tuple[list[str], float]], *, by_file: bool = False) -> list[tuple[str, float]]:
    """What it would cost to measure again what a changed definition makes stale, the dearest first."""
    costs: dict[str, float] = defaultdict(float)
    for parts, seconds in studies:
        for part in {part.partition(":")[0] if by_file else part for part in parts}:
            costs[part] += seconds
    return sorted(costs.items(), key=lambda row: (-row[1], row[0]))


def spec_path(module: str) -> Path:
    """The source file of a module, found without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {module}")
    return Path(spec.origin)


def _nodes(path: Path, name: str | Sequence[str] | None) -> tuple[Code, list[Node]]:
    code, module = code_of(path)
    names = [name] if name is None or isinstance(name, str) else name
    given = [node for node in GIVEN if code.table(node[0])]
    return code, [node for each in names for node in code.named(module, each)] + given
