"""What a notebook shows of a comparison and of verdicts: a table and a picture, readable on light and dark pages."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from replica.lab.runner.verify import PaperResult

from .claim_figures import draw_result
from .claim_table import claim_columns, verdict_words
from .ranking_table import ranking_columns
from .tables import faint, html_table

if TYPE_CHECKING:
    from .comparison import Comparison


def comparison_html(comparison: Comparison) -> str:
    """Question, data, settings, answer, table, what failed, and the picture."""
    results = comparison.results
    said = (results.dataset.description, comparison.settings, *([f"● {comparison.ties}"] if results.seeds > 1 else []))
    failed = [f"{error.subject}, seed {error.seed}: {error.error}" for error in results.errors]
    return _together(
        f"<p><b>{escape(results.problem.question)}</b><br>{'<br>'.join(map(faint, said))}</p>",
        html_table(list(ranking_columns(results).values())),
        *(f"<p>{escape(line)}</p>" for line in [comparison.answer, *dict.fromkeys(failed)]),
        _image(comparison.figure(), f"{results.metrics[0].label} of each method"),
    )


class Verdict(PaperResult):
    """A paper's claims, verified; a notebook shows their tables and figures."""

    def __repr__(self) -> str:
        claims = (f"{c.claim.name} {verdict_words(c.verdict, c.claim.registration.setting)[2:]}" for c in self.claims)
        return f"<{self.slug}: {', '.join(claims)}>"

    def figure(self) -> Figure | None:
        """The figures of the claims, one axes each; None where no claim has one."""
        return draw_result(self)

    def _repr_html_(self) -> str:
        """Each claim with its verdict and measures, then the figures."""
        parts = [f"<p><b>{escape(self.slug)}</b></p>"]
        for claim in (result.plain() for result in self.claims):
            verdict = verdict_words(claim["verdict"], claim["setting"])
            parts.append(f"<p><b>{escape(verdict)}</b>&ensp;{escape(claim['sentence'])}</p>")
            parts.append(html_table(claim_columns(claim)))
            parts += [f"<p>seed {error['seed']}: {escape(error['error'])}</p>" for error in claim["errors"][:3]]
        figure = self.figure()
        return _together(*parts, _image(figure, f"Figures of {self.slug}") if figure else "")


class Verdicts(list[Verdict]):
    """The verdicts on some papers, shown one after another."""

    def _repr_html_(self) -> str:
        """All of them."""
        return "".join(verdict._repr_html_() for verdict in self)


def _together(*parts: str) -> str:
    return f'<div style="overflow-x: auto">{"".join(parts)}</div>'


def _image(figure: Figure, alt: str) -> str:
    """On its own ground, so that it can be read on any page; twice as fine as it is shown."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return (
        f'<img alt="{escape(alt)}" src="{source}" style="width: {80 * figure.get_figwidth():.0f}px; max-width: 100%">'
    )
