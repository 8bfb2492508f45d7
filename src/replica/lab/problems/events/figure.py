"""The problem events' own picture: what accuracy costs in operations, and a recording to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.ticker import MaxNLocator

from replica.lab.catalogue.printable import printable
from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle, label_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_ACCURACY = "accuracy"


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw accuracy over operations, and below it the events of one recording."""
    upper, lower = figure.subplots(2, 1, height_ratios=(1.7, 1.0))
    _draw_costs(upper, comparison, styles)
    _draw_recording(lower, comparison.examples[shown[0]])


def _draw_costs(axes: Axes, comparison: Any, styles: Mapping[str, MethodStyle]) -> None:
    """Accuracy over operations: the upper left is best. A line joins the values of a sweep."""
    points = ["method", "value"] if comparison.sweep else ["method"]
    table = comparison.curves.pivot_table(index=points, columns="metric", values="mean").groupby(level="method")
    spent = comparison.curves.loc[comparison.curves["metric"] == "operations", "mean"]
    least = float(spent[spent > 0].min()) if (spent > 0).any() else 1.0
    floor = least / 3  # where methods stand that need none, on an axis without zero
    ends: list[tuple[str, float, float]] = []
    for method, style in reversed(list(styles.items())):  # the best on top
        if method not in table.groups:
            continue
        rows = table.get_group(method)
        axes.plot(
            rows["operations"].clip(lower=floor),
            rows[_ACCURACY],
            **style.line(markersize=5 if style.baseline else 6.5, linestyle="-", linewidth=1.0),
        )
        last = rows.iloc[-1]
        ends.append((method, max(float(last["operations"]), floor), float(last[_ACCURACY])))
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    none = not (spent > 0).all()
    if none:
        axes.axvline(floor * 3**0.5, color="tab:gray", linewidth=0.6, linestyle=":")
    axes.set_xlabel("Operations an inference" + (" (left of the dots: none)" if none else ""), fontsize=TEXT_POINTS)
    axes.set_ylabel("Accuracy", fontsize=TEXT_POINTS)
    label_ends(axes, ends, styles, share=0.6, apart_points=8)


def _draw_recording(axes: Axes, example: Any) -> None:
    axes.scatter(example["step"], example["unit"], marker="|", s=14, linewidths=1.0, color=mpl.rcParams["text.color"])
    axes.set_xlim(-0.5, example["steps"] - 0.5)
    axes.set_ylim(-0.5, example["units"] - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    axes.grid(visible=False)
    axes.set_xlabel(f"Time step (a recording of class {printable(example['label'], 30)})", fontsize=TEXT_POINTS)
    axes.set_ylabel("Unit", fontsize=TEXT_POINTS)
