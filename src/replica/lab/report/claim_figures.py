"""The figures of a paper's claims, drawn from recorded or fresh measurements."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from replica.errors import ReplicaError
from replica.lab.catalogue import Record
from replica.lab.catalogue.evidence import recorded_rows
from replica.lab.claims import Claim, words
from replica.lab.runner.job import load_paper
from replica.lab.runner.verify import PaperResult

from .figure_files import check_figure_path, save_figure
from .picture import Picture
from .style import theme

PANEL = (5.4, 3.9)

Panel = tuple[Claim, str | None, dict[str, Any]]


def save_result_figures(results: Sequence[PaperResult], path: Path) -> None:
    """Draw the figures of all claims just verified into one file."""
    _save([panel for result in results for panel in _panels(result)], path)


def draw_result(result: PaperResult) -> Picture | None:
    """The figures of a paper's claims just verified; None where no claim has one."""
    return _drawn(_panels(result))


def _panels(result: PaperResult) -> list[Panel]:
    return [
        (
            each.claim,
            each.verdict and words(each.verdict, each.claim.registration.setting),
            result.rows(each.claim.name),
        )
        for each in result.claims
    ]


def save_claim_figures(record: Record, evidence: dict[str, Any] | None, path: Path) -> None:
    """Draw the figures of a paper's recorded claims into one file."""
    check_figure_path(path)
    if record.status != "built":
        raise ReplicaError(f"Paper {record.slug} is in the catalogue but not built yet: it has no claims to draw.")
    if evidence is None:
        raise ReplicaError(
            f"Paper {record.slug} has no recorded evidence to draw; replica verify {record.slug} --figure {path} measures it."
        )
    claims = load_paper(record.module).claims
    recorded = [claim for claim in evidence["claims"] if claim["name"] in claims]
    _save([(claims[c["name"]], words(c["verdict"], c["setting"]), recorded_rows(evidence, c)) for c in recorded], path)


def _save(panels: Sequence[Panel], path: Path) -> None:
    figure = _drawn(panels)
    if figure is None:
        raise ReplicaError("None of these claims has a figure.")
    with theme("light"):
        save_figure(figure, path)


def _drawn(panels: Sequence[Panel]) -> Picture | None:
    # A study whose trials all failed has no rows.
    drawn = [panel for panel in panels if panel[0].draw and any(len(column) for column in panel[2].values())]
    with theme("light"):
        return draw_panels(drawn) if drawn else None


def draw_panels(panels: Sequence[Panel], columns: int = 2) -> Picture:
    """One axes a claim, its sentence and verdict above it."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Picture(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
    for place, (claim, verdict, series) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place)
        assert claim.draw is not None
        claim.draw(axes, pd.DataFrame(series))
        title = _wrapped(claim.registration.sentence) + (f"\n{verdict}" if verdict else "")
        axes.set_title(title, parse_math=False)
    return figure


def _wrapped(text: str, width: int = 46) -> str:
    """In lines that end within the figure, also where wide numbers at the axis push them to the right."""
    return "\n".join(textwrap.wrap(text, width))
