"""Build the site: ``python -m docs.generate [FOLDER]`` writes it to ``FOLDER/html`` (``docs/_build`` by default)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import landing, papers, problems, reference, wings
from .source import SITE, Source

STEPS: tuple[tuple[str, Callable[[Source], None]], ...] = (
    ("papers and their figures", papers.write),
    ("wings", wings.write),
    ("problems", problems.write),
    ("reference", reference.write),
    ("first page", landing.write),
)


def generate(folder: Path) -> None:
    """Write all pages that Sphinx reads into a folder."""
    source = Source(folder)
    source.copy(SITE)
    source.write("guides/read-a-verdict.md", (SITE.parent / "statistics.md").read_bytes())
    for name, write in STEPS:
        started = time.perf_counter()
        print(f"Writing {name} ...", end=" ", flush=True)
        write(source)
        print(f"{time.perf_counter() - started:.1f} s", flush=True)
    source.finish()


def build(folder: Path) -> Path:
    """Generate the pages and build them with Sphinx; a warning is an error.

    Returns:
        The site's first page.
    """
    from sphinx.cmd.build import main as sphinx

    generate(folder / "source")
    failed = sphinx(["-W", "--keep-going", "-b", "html", str(folder / "source"), str(folder / "html")])
    if failed:
        sys.exit(failed)
    return folder / "html" / "index.html"


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else SITE.parent / "_build")
