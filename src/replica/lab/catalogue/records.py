"""The catalogue: one record a paper, read from ``catalogue.toml``. No torch, no pandas: `replica papers` answers at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from replica.errors import ReplicaError

Status = Literal["built", "planned"]
STATUSES: tuple[Status, ...] = ("built", "planned")
WINGS: tuple[str, ...] = (
    "memory", "plasticity", "continual", "spiking", "efficiency", "search", "architectures", "kernels", "landscapes",
    "representations", "bayes", "generative", "physics", "fields", "graphs", "brain", "control", "imaging", "trust", "systems",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """What the catalogue knows of a paper. A field that could not be found is empty, never guessed."""

    slug: str
    title: str
    authors: tuple[str, ...]
    year: int | None
    venue: str
    url: str
    code: str
    wing: str
    kind: str
    idea: str
    part: str
    problems: tuple[str, ...]

    @property
    def module(self) -> str:
        """The dotted name of its paper file, whether it is written yet or not."""
        return f"replica.papers.{self.wing}.{self.slug}"

    @property
    def status(self) -> Status:
        """``"built"`` where its paper file and its registration exist, else ``"planned"``."""
        file = package_root() / "papers" / self.wing / f"{self.slug}.py"
        return "built" if file.exists() and file.with_suffix(".toml").exists() else "planned"


def package_root() -> Path:
    """The folder of the installed package."""
    return Path(str(resources.files("replica")))


@cache
def records() -> dict[str, Record]:
    """All papers by slug, in the catalogue's order."""
    text = (Path(__file__).parent / "catalogue.toml").read_bytes().decode()
    found = {}
    for row in tomllib.loads(text)["paper"]:
        values = {name: row[name] for name in Record.__dataclass_fields__}
        told: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        found[row["slug"]] = Record(**{**told, "year": row["year"] or None})
    return found


def record(slug: str) -> Record:
    """The paper of this slug."""
    known = records()
    if slug in known:
        return known[slug]
    raise ReplicaError(f"No paper is called {slug!r}.{nearest(slug, known)} `replica papers WORDS` searches them.")


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that offers the known names nearest to a mistyped one, or nothing where none is near."""
    names = list(known)
    squeezed = {name.replace("_", "").replace("-", ""): name for name in names}
    wanted = word.lower().replace("_", "").replace("-", "").replace(" ", "")
    close = [squeezed[match] for match in difflib.get_close_matches(wanted, squeezed, n=3, cutoff=0.6)]
    if not close and len(wanted) >= 3:
        close = [name for key, name in squeezed.items() if wanted in key][:3]
    return f" Did you mean {' or '.join(close)}?" if close else ""
