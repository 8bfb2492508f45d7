"""Build the site: ``python -m docs.generate [FOLDER] [--draft]`` writes it to ``FOLDER/html`` (``docs/_build`` by default)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import landing, papers, problems, reference, wings
from .source import SITE, Source

STEPS: tuple[tuple[str, Callable[[Source], None]], ...] = (
    ("papers and their figures", papers.write),
    ("all verdicts", papers.write_verdicts),
    ("wings", wings.write),
    ("problems", problems.write),
    ("reference", reference.write),
    ("first page", landing.write),
)


def generate(folder: Path, *, draft: bool = False) -> None:
    """Write all pages that Sphinx reads into a folder; a draft has one picture for all figures."""
    source = Source(folder, draft=draft)
    source.copy(SITE)
    source.write("guides/read-a-verdict.md", (SITE.parent / "statistics.md").read_bytes())
    for name, write in STEPS:
        started = time.perf_counter()
        print(f"Writing {name} ...", end=" ", flush=True)
        write(source)
        print(f"{time.perf_counter() - started:.1f} s", flush=True)
    source.finish()


def build(folder: Path, *, draft: bool = False) -> None:
    """Generate the pages and build them with Sphinx; a warning is an error."""
    from sphinx.cmd.build import main as sphinx

    generate(folder / "source", draft=draft)
    failed = sphinx(["-W", "--keep-going", "-b", "html", str(folder / "source"), str(folder / "html")])
    if failed:
        sys.exit(failed)


if __name__ == "__main__":
    folders = [Path(word) for word in sys.argv[1:] if word != "--draft"]
    build(folders[0] if folders else SITE.parent / "_build", draft="--draft" in sys.argv)
