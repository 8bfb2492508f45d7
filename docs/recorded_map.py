"""What the pictures of whole problems on the wings' pages share: how methods look, and where numbers and pictures go."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from docs.comparisons import FOLDER, THEMES
from replica.lab.problems.ranking_figure import MethodStyle, method_styles
from replica.lab.problems.registry import get
from replica.lab.report.style import theme


def ranked_styles(table: pd.DataFrame, problem: str) -> dict[str, MethodStyle]:
    """How each method of the table is drawn, in the order of its mean in it, the best first."""
    baselines = frozenset(baseline.name for baseline in get(problem).baselines())
    ranked = table.groupby("method")["mean"].mean().sort_values(ascending=False, kind="stable").index.tolist()
    return method_styles(ranked, baselines)


def look(style: MethodStyle) -> dict[str, Any]:
    """A line's properties: baselines dashed and hollow."""
    return {
        "color": style.colour,
        "marker": style.marker,
        "linestyle": "--" if style.baseline else "-",
        "markerfacecolor": "none" if style.baseline else style.colour,
        "linewidth": 1.2 if style.baseline else 1.6,
        "markersize": 4.5 if style.baseline else 5.5,
    }


def legend(figure: Figure, styles: dict[str, MethodStyle], **changed: Any) -> None:
    """Name the methods to the right of the panels, the best first."""
    figure.legend(
        [Line2D([], [], **(look(style) | changed)) for style in styles.values()],
        list(styles),
        loc="outside right center",
        title="best first; baselines grey",
    )


def write(
    name: str, data: str | Sequence[str], table: pd.DataFrame, draw: Callable[[Figure, pd.DataFrame], None]
) -> None:
    """Write ``name.json`` and the pictures ``name-light.png`` and ``name-dark.png`` beside the recorded comparisons."""
    record = {
        "recorded": datetime.now(UTC).date().isoformat(),
        "data": data,
        "rows": json.loads(table.round(5).to_json(orient="records")),
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    for mode in THEMES:
        with theme(mode):
            figure = Figure(figsize=(12.0, 6.2), layout="constrained")
            draw(figure, table)
            figure.savefig(FOLDER / f"{name}-{mode}.png", dpi=110)
    print(f"Recorded: {FOLDER / name}.json")
