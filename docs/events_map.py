"""Record how every network of the problem events reads four kinds of events: ``python -m docs.events_map``.

The wing spiking's page shows it: one panel a data set, accuracy over the operations of an inference. The pictures go to
``docs/site/comparisons/events-map-light.png`` (and ``-dark``), their numbers beside them to ``events-map.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import replica
from docs.recorded_map import legend, look, ranked_styles, write

NAME = "events-map"
DATA = {
    "mnist-1d": "Signals, as crossings of levels",
    "latency-digits": "Digits, the time of one spike a pixel",
    "coincidences": "Delays between units alone",
    "saccade-digits": "Digits before a moving event camera",
}
_COLUMNS = 2


def measure(data: Sequence[str] = tuple(DATA), **settings: Any) -> pd.DataFrame:
    """Accuracy of every method on every data set, with its 95 % interval, and the operations of an inference.

    Returns:
        Columns ``data``, ``method``, ``paper``, ``mean``, ``low``, ``high``, ``operations``.
    """
    found = []
    for name in data:
        comparison = replica.compare("events", data=name, **settings)
        papers = {row["method"]: row["paper"] for row in comparison.results.rows}
        curves = comparison.results.curves
        accuracy = curves[curves["metric"] == "accuracy"]
        operations = curves[curves["metric"] == "operations"].set_index("method")["mean"]
        found.append(
            accuracy.assign(
                data=name, paper=accuracy["method"].map(papers), operations=accuracy["method"].map(operations)
            )
        )
    return pd.concat(found, ignore_index=True)[["data", "method", "paper", "mean", "low", "high", "operations"]]


def draw(figure: Figure, table: pd.DataFrame) -> None:
    """Draw one panel a data set: accuracy over operations, a point a method; the upper left is best."""
    styles = ranked_styles(table, "events")
    names = [name for name in DATA if name in set(table["data"])]
    least = float(table.loc[table["operations"] > 0, "operations"].min())
    panels = figure.subplots(-(-len(names) // _COLUMNS), _COLUMNS, sharex=True, sharey=True, squeeze=False).flat
    for axes, name in zip(panels, names, strict=False):
        here = table[table["data"] == name].set_index("method")
        for method, style in reversed(styles.items()):  # the best on top
            if method not in here.index or here.at[method, "operations"] == 0:
                continue  # without operations: a method that does not look
            row = here.loc[method]
            axes.errorbar(
                row["operations"],
                row["mean"],
                yerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]],
                **(look(style) | {"linestyle": "none", "markersize": 6.5}),
            )
        blind = here[here["operations"] == 0]["mean"]
        for level in blind:
            axes.axhline(level, color="tab:gray", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.set_xlim(least / 2, 2 * float(table["operations"].max()))
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(DATA[name])
    figure.supxlabel("Operations an inference (additions of spikes, or multiply-accumulates)")
    figure.supylabel("Accuracy (share of recordings; dotted: the commonest class)")
    legend(figure, {method: styles[method] for method in styles if method != "majority"}, linestyle="none")


def main() -> None:
    """Measure (what the store lacks), and write numbers and pictures."""
    write(NAME, list(DATA), measure(), draw)


if __name__ == "__main__":
    main()
