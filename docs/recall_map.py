"""Record how every memory of the problem recall fares over load and damage: ``python -m docs.recall_map``.

The wing memory's page shows it: one panel a kind and strength of damage, the load on its axis. The pictures go to
``docs/site/comparisons/recall-map-light.png`` (and ``-dark``), their numbers beside them to ``recall-map.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import replica
from docs.comparisons import FOLDER, THEMES
from replica.lab.problems.ranking_figure import method_styles
from replica.lab.problems.registry import get
from replica.lab.report.style import theme

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
    baselines = frozenset(baseline.name for baseline in get("recall").baselines())
    ranked = table.groupby("method")["mean"].mean().sort_values(ascending=False, kind="stable").index.tolist()
    styles = method_styles(ranked, baselines)
    rows = -(-len(DAMAGES) // _COLUMNS)
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True).flat
    for axes, (kind, damage) in zip(panels, DAMAGES, strict=False):
        here = table[(table["kind"] == kind) & (table["damage"] == damage)]
        for method in reversed(ranked):  # the best on top
            line, style = here[here["method"] == method].sort_values("stored"), styles[method]
            axes.fill_between(line["stored"], line["low"], line["high"], color=style.colour, alpha=0.13, linewidth=0)
            axes.plot(line["stored"], line["mean"], clip_on=False, zorder=2 if style.baseline else 3, **_look(style))
        axes.set_xscale("log")
        axes.set_xticks(sorted(table["stored"].unique()), [f"{load:g}" for load in sorted(table["stored"].unique())])
        axes.minorticks_off()
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(f"{damage:.0%} of entries {_WORDS[kind]}".replace("%", " %"))
    figure.supxlabel("Patterns stored")
    figure.supylabel("Exact recall (share of cues)")
    figure.legend(
        [Line2D([], [], **_look(styles[method])) for method in ranked],
        ranked,
        loc="outside right center",
        title="best first; baselines grey",
    )


def _look(style: Any) -> dict[str, Any]:
    return {
        "color": style.colour,
        "marker": style.marker,
        "linestyle": "--" if style.baseline else "-",
        "markerfacecolor": "none" if style.baseline else style.colour,
        "linewidth": 1.2 if style.baseline else 1.6,
        "markersize": 4.5 if style.baseline else 5.5,
    }


def main() -> None:
    """Measure (what the store lacks), and write numbers and pictures."""
    data = get("recall").default_data
    table = measure(data)
    record = {
        "recorded": datetime.now(UTC).date().isoformat(),
        "data": data,
        "rows": json.loads(table.round(5).to_json(orient="records")),
    }
    (FOLDER / f"{NAME}.json").write_text(json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    for name in THEMES:
        with theme(name):
            figure = Figure(figsize=(12.0, 6.2), layout="constrained")
            draw(figure, table)
            figure.savefig(FOLDER / f"{NAME}-{name}.png", dpi=110)
    print(f"Recorded: {FOLDER / NAME}.json")


if __name__ == "__main__":
    main()
