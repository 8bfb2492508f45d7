"""The problem regression's own picture: predictions beside the truth, and whether intervals hold what they promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator

from replica.lab.catalogue.printable import printable
from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_DASHES = ((0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (2, 2.5)))
_MOST = 8
"""Methods whose intervals are drawn."""


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw the best method's predictions over the truth, and how often the intervals of all that have some hold it.

    Where no method tells how sure it is, the second best takes the place of the intervals.

    Args:
        figure: The empty right half of the picture.
        comparison: Has ``examples``, ``dataset`` and ``options``.
        shown: The methods with examples, in rank order.
        styles: How methods are drawn.
    """
    examples = comparison.examples
    sure = [method for method in shown if examples[method]["inside"]][:_MOST]
    best = [shown[0]] if sure else list(shown[:2])
    places = figure.subplots(1, len(best) + bool(sure), squeeze=False)[0]
    target = printable(comparison.dataset.content.target, 40)
    for axes, method in zip(places, best, strict=False):
        _draw_predictions(axes, examples[method], method, styles[method].colour, target)
    if sure:
        _draw_intervals(places[-1], {method: examples[method] for method in sure}, styles)


def share(figure: Figure, comparison: Any, shown: Sequence[str]) -> float:
    """The right half's share: two panels side by side."""
    return 0.56


def _draw_predictions(axes: Axes, example: Mapping[str, Any], method: str, colour: str, target: str) -> None:
    truth, predicted, ink = np.array(example["truth"]), np.array(example["predicted"]), mpl.rcParams["text.color"]
    if example["low"]:
        below, above = predicted - np.array(example["low"]), np.array(example["high"]) - predicted
        ends = np.maximum([below, above], 0)  # a mean may lie outside of a skewed interval
        axes.errorbar(truth, predicted, yerr=ends, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.35, zorder=1)
    axes.plot(truth, predicted, "o", color=colour, markersize=3, markeredgewidth=0, alpha=0.75, zorder=2)
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    axes.plot([low, high], [low, high], color=ink, linewidth=0.8, alpha=0.6, zorder=3)
    whiskers = ", 90 % intervals" if example["low"] else ""
    axes.set_title(f"{method}{whiskers}", fontsize=TEXT_POINTS)
    axes.set_xlabel(f"{target}, first seed", fontsize=TEXT_POINTS)
    axes.set_ylabel("predicted", fontsize=TEXT_POINTS)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.get_offset_text().set_fontsize(TEXT_POINTS)
    axes.ticklabel_format(scilimits=(-3, 4))
    axes.tick_params(labelsize=TEXT_POINTS)


def _draw_intervals(axes: Axes, examples: Mapping[str, Mapping[str, Any]], styles: Mapping[str, MethodStyle]) -> None:
    axes.plot([0, 100], [0, 100], color=mpl.rcParams["text.color"], linewidth=0.8, alpha=0.6)
    plain = 0
    for method, example in examples.items():
        style = styles[method]
        inside = 100 * np.array(example["inside"])
        axes.plot(
            100 * np.array(example["nominal"]),
            inside,
            color=style.colour,
            linestyle=_DASHES[plain % len(_DASHES)] if style.baseline else "-",
            marker=style.marker,
            markevery=(2, 6),
            markersize=4,
            markerfacecolor="none" if style.baseline else style.colour,
            linewidth=1.3,
            label=method,
        )
        plain += style.baseline
    axes.set_title("does the interval hold the truth?", fontsize=TEXT_POINTS)
    axes.set_xlabel("interval's promise (%)", fontsize=TEXT_POINTS)
    axes.set_ylabel("test rows inside (%)", fontsize=TEXT_POINTS)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.legend(fontsize=min(TEXT_POINTS, 60 / len(examples)), frameon=False, loc="upper left")
