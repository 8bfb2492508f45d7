"""Where a paper to verify comes from: the catalogue, or the user's own file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from replica.errors import ReplicaError
from replica.lab.catalogue import record
from replica.lab.claims import Paper

from .fingerprint import spec_path
from .job import load_paper


@dataclass(frozen=True)
class Source:
    """A paper to verify: one of the catalogue, or the user's own file."""

    slug: str
    paper: Paper
    module: str
    """The module's name, or the file's path."""
    path: Path


def find_source(name: str) -> Source:
    """The paper of this slug, or of this file (its registrations are in the ``.toml`` beside it)."""
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise ReplicaError(f"There is no file {name}.")
        paper = load_paper(str(path.resolve()))
        return Source(paper.slug, paper, str(path.resolve()), path.resolve())
    known = record(name)
    if known.status != "built":
        raise ReplicaError(
            f"Paper {name} is in the catalogue but not built yet; `replica papers --status built` lists those that are."
        )
    return Source(name, load_paper(known.module), known.module, spec_path(known.module))
