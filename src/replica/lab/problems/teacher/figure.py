"""The problem teacher's own picture: error over examples with the floor, and how many examples each method needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from replica.lab.claims import samples_needed
from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw each method's error with the floor; where examples are swept, over them, and below it how many are needed.

    Args:
        figure: The empty right half of the picture.
        comparison: Has ``examples``, ``curves``, ``rows`` in rank order, ``sweep`` and ``options``.
        shown: The methods with examples, in rank order.
        styles: How methods are drawn.
    """
    known = comparison.examples[shown[0]]
    methods = [str(row["method"]) for row in comparison.rows if row["method"] in set(comparison.curves["method"])]
    if comparison.sweep is None or comparison.sweep[0] != "examples":
        _draw_errors(figure.subplots(), comparison, methods, known, styles)
        return
    upper, lower = figure.subplots(2, 1, height_ratios=(1.2, 1.0))
    _draw_curves(upper, comparison, methods, known, styles)
    _draw_needed(lower, comparison, methods, known, styles)


def _draw_errors(
    axes: Axes, comparison: Any, methods: Sequence[str], known: Mapping[str, float], styles: Mapping[str, MethodStyle]
) -> None:
    """Each method's error, the mean over a sweep."""
    curves = comparison.curves[comparison.curves["metric"] == "error"]
    means = curves.groupby("method")["mean"].mean()
    for level, method in enumerate(methods):
        style = styles[method]
        axes.barh(level, means[method], color=style.colour, height=0.6, alpha=0.5 if style.baseline else 0.9)
    _draw_floor(axes.axvline, known["floor"])
    axes.set_yticks(range(len(methods)), methods, fontsize=TEXT_POINTS)
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"Error (dotted: the floor, {known['floor']:.2g})", fontsize=TEXT_POINTS)


def _draw_curves(
    axes: Axes, comparison: Any, methods: Sequence[str], known: Mapping[str, float], styles: Mapping[str, MethodStyle]
) -> None:
    """Error over examples."""
    curves = comparison.curves[comparison.curves["metric"] == "error"]
    for method in reversed(methods):  # the best on top
        rows, style = curves[curves["method"] == method].sort_values("value"), styles[method]
        axes.plot(
            rows["value"].astype(float),
            rows["mean"],
            color=style.colour,
            marker=style.marker,
            markersize=4 if style.baseline else 5,
            markerfacecolor="none" if style.baseline else style.colour,
            linestyle="--" if style.baseline else "-",
            linewidth=1.0 if style.baseline else 1.4,
            zorder=2 if style.baseline else 3,
        )
    _draw_floor(axes.axhline, known["floor"])
    axes.set_xscale("log")
    if known["floor"] > 0:
        axes.set_yscale("log")
    axes.set_ylabel(f"Error (dotted: the floor, {known['floor']:.2g})", fontsize=TEXT_POINTS)
    axes.set_xlabel("Examples", fontsize=TEXT_POINTS)


def _draw_floor(line: Any, floor: float) -> None:
    line(floor, color=mpl.rcParams["text.color"], linewidth=1.2, linestyle=":")


def _draw_needed(
    axes: Axes, comparison: Any, methods: Sequence[str], known: Mapping[str, float], styles: Mapping[str, MethodStyle]
) -> None:
    """Examples at which the mean curve comes down to the goal; an arrow where that lies outside those tried."""
    curves, goal = comparison.curves[comparison.curves["metric"] == "excess"], known["goal"]
    most = max(float(value) for value in comparison.sweep[1])
    for level, method in enumerate(methods):
        rows, style = curves[curves["method"] == method].sort_values("value"), styles[method]
        needed = samples_needed(rows["value"].astype(float), rows["mean"], goal) if len(rows) > 1 else None
        more = needed is None or math.isinf(needed.high)
        axes.plot(
            needed.value if needed else most,
            level,
            color=style.colour,
            marker=">" if more else "<" if needed and needed.censored else style.marker,
            markersize=6,
            markerfacecolor="none" if style.baseline or more else style.colour,
            linestyle="none",
            clip_on=False,
        )
    axes.set_xscale("log")
    axes.set_xlim(min(float(value) for value in comparison.sweep[1]) / 1.3, most * 1.3)
    axes.set_yticks(range(len(methods)), methods, fontsize=TEXT_POINTS)
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"Examples for an error of {known['floor'] + goal:.2g} (▷: more, ◁: fewer)", fontsize=TEXT_POINTS)
