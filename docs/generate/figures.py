"""Claims' figures from recorded evidence, in a light and a dark version."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from replica.lab.catalogue import Record, package_root
from replica.lab.claims import Claim
from replica.lab.report.claim_figures import PANEL
from replica.lab.report.style import theme

from .source import Source

THEMES = ("light", "dark")
DPI = 150
_BLACK = to_rgba("black")


def claim_figure(source: Source, record: Record, claim: Claim, rows: dict[str, Any]) -> dict[str, str] | None:
    """Draw a claim's figure into the pages' folder; what was drawn before from the same numbers and code stays.

    Returns:
        The names of the light and the dark picture, or None where there is nothing to draw.
    """
    if claim.draw is None or not rows:
        return None
    names = {}
    for name in THEMES:
        if source.draft and names:
            names[name] = names[THEMES[0]]
            continue
        key = _key(record, rows, name)
        names[name] = f"figures/{record.slug}-{claim.name}-{name}-{key}.png"
        path = source.keep(names[name])
        if not path.exists():
            source.sample = (source.draft and source.sample) or _drawn(claim, rows, name)
            path.write_bytes(source.sample)
    return names


def _key(record: Record, rows: dict[str, Any], name: str) -> str:
    root = package_root()
    drawing = [
        root / "papers" / record.wing / f"{record.slug}.py",
        root / "lab" / "report" / "style.py",
        root / "lab" / "report" / "claim_figures.py",
        root / "lab" / "studies" / "figures.py",
    ]
    digest = hashlib.blake2b(json.dumps([rows, name, DPI, mpl.__version__]).encode(), digest_size=6)
    for path in drawing:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _drawn(claim: Claim, rows: dict[str, Any], name: str) -> bytes:
    buffer = io.BytesIO()
    with theme(name):
        figure = Figure(figsize=PANEL, layout="constrained")
        assert claim.draw is not None
        claim.draw(figure.add_subplot(), pd.DataFrame(rows))
        if name == "dark":
            _lighten(figure)
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _lighten(figure: Figure) -> None:
    """Draw in the theme's ink what a paper file draws in black, which would vanish on a dark page."""
    ink = to_rgba(mpl.rcParams["text.color"])
    for artist in figure.findobj(Artist):
        for what in ("color", "edgecolor", "facecolor", "markeredgecolor", "markerfacecolor"):
            get, put = getattr(artist, f"get_{what}", None), getattr(artist, f"set_{what}", None)
            if get is None or put is None:
                continue
            try:
                old = to_rgba(get())
            except (TypeError, ValueError):  # one colour an element, or "none"
                continue
            if old == _BLACK:
                put(ink)
