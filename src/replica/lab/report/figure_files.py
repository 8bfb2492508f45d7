"""Figures as files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from replica.errors import ReplicaError

from .style import placeholders

ENDINGS = (".png", ".svg", ".pdf")


def check_figure_path(path: Path) -> None:
    """See, before anything runs, that a figure can be written there."""
    if path.suffix.lower() not in ENDINGS:
        raise ReplicaError(f"A figure's file must end in {', '.join(ENDINGS)}, not {path.name!r}.")
    if not path.parent.is_dir():
        raise ReplicaError(f"There is no folder {path.parent} to write the figure into.")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure."""
    try:
        with placeholders():
            figure.savefig(path)
    except OSError as error:
        raise ReplicaError(f"The figure cannot be written to {path}: {error.strerror or error}.") from None
