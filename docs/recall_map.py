"""Record how every memory of the problem recall fares over load and damage: ``python -m docs.recall_map``.

The wing memory's page shows it: one panel a kind and strength of damage, the load on its axis. The pictures go to
``docs/site/comparisons/recall-map-light.png`` (and ``-dark``), their numbers beside them to ``recall-map.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import replica
from docs.recorded_map import legend, look, ranked_styles, write
from replica.lab.problems.registry import get

NAME = "recall-map"
LOADS = (10, 30, 100, 300)
DAMAGES: tuple[tuple[str, float], ...] = (
    ("flip", 0.1), ("flip", 0.2), ("flip", 0.3),
    ("mask", 0.25), ("mask", 0.5), ("mask", 0.75),
)  # fmt: skip
_WORDS = {"flip": "flipped", "mask": "masked"}
_COLUMNS = 3


def measure(data: str, loads: Sequence[int] = LOADS, **settings: Any) -> pd.DataFrame:
    """Exact recall of every method at every load and damage, with its 95 % interval.

    Returns:
        Columns ``kind``, ``damage``, ``stored``, ``method``, ``paper``, ``mean``, ``low``, ``high``.
    """
    found = []
    for kind, damage in DAMAGES:
        comparison = replica.compare(
            "recall", data=data, sweep={"stored": list(loads)}, kind=kind, damage=damage, **settings
        )
        papers = {row["method"]: row["paper"] for row in comparison.results.rows}
        curves = comparison.results.curves
        curves = curves[curves["metric"] == "exact"].rename(columns={"value": "stored"})
        found.append(curves.assign(kind=kind, damage=damage, paper=curves["method"].map(papers)))
    columns = ["kind", "damage", "stored", "method", "paper", "mean", "low", "high"]
    return pd.concat(found, ignore_index=True)[columns]


def draw(figure: Figure, table: pd.DataFrame) -> None:
    """Draw one panel a damage: exact recall over the number of stored patterns, a line a method."""
    styles = ranked_styles(table, "recall")
    rows = -(-len(DAMAGES) // _COLUMNS)
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True).flat
    for axes, (kind, damage) in zip(panels, DAMAGES, strict=False):
        here = table[(table["kind"] == kind) & (table["damage"] == damage)]
        for method, style in reversed(styles.items()):  # the best on top
            line = here[here["method"] == method].sort_values("stored")
            axes.fill_between(line["stored"], line["low"], line["high"], color=style.colour, alpha=0.13, linewidth=0)
            axes.plot(line["stored"], line["mean"], clip_on=False, zorder=2 if style.baseline else 3, **look(style))
        axes.set_xscale("log")
        axes.set_xticks(sorted(table["stored"].unique()), [f"{load:g}" for load in sorted(table["stored"].unique())])
        axes.minorticks_off()
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(f"{damage:.0%} of entries {_WORDS[kind]}".replace("%", " %"))
    figure.supxlabel("Patterns stored")
    figure.supylabel("Exact recall (share of cues)")
    legend(figure, styles)


def main() -> None:
    """Measure (what the store lacks), and write numbers and pictures."""
    data = get("recall").default_data
    write(NAME, data, measure(data), draw)


if __name__ == "__main__":
    main()
