"""The folder that Sphinx builds from: the pages written by hand beside those that are generated."""

from __future__ import annotations

import shutil
from pathlib import Path

SITE = Path(__file__).parents[1] / "site"
"""The pages written by hand, the style and the recorded comparisons."""


class Source:
    """A folder of pages. Files that did not change keep their times, so that Sphinx reads only what is new.

    Args:
        folder: Where the pages go; it is made, and what no run of this class wrote is removed by `finish`.
        draft: Whether one picture will do for the first claim of each paper, light and dark: drawing takes long.
    """

    def __init__(self, folder: Path, *, draft: bool = False) -> None:
        self.folder = folder
        self.draft = draft
        self.sample = b""
        """The picture that was drawn last."""
        self._kept: set[Path] = set()

    def write(self, name: str, content: str | bytes) -> None:
        """Write one file, such as ``papers/hopfield.md``."""
        data = content.encode() if isinstance(content, str) else content
        path = self.keep(name)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)

    def keep(self, name: str) -> Path:
        """Where a file stands or will stand, which `finish` then leaves there."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._kept.add(path)
        return path

    def copy(self, folder: Path, into: str = "") -> None:
        """Copy a folder's files."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                self.write(str(Path(into) / path.relative_to(folder)), path.read_bytes())

    def finish(self) -> None:
        """Remove pages and pictures of earlier builds that this one did not write."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_file() and path not in self._kept:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                shutil.rmtree(path)
