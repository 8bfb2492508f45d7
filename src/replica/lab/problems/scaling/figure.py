"""The problem scaling's own picture: loss against rate, one line a size, a panel a method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_SHOWN = 6
_COLUMNS = 3


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw each method's training loss over the learning rate, small network to large, each line's best rate marked.

    Args:
        figure: The empty right half of the picture.
        comparison: Has ``examples``.
        shown: The methods with examples, in rank order; the best six are drawn.
        styles: How methods are drawn; not used: colour tells the size here.
    """
    drawn = list(shown[:_SHOWN])
    rows = math.ceil(len(drawn) / _COLUMNS)
    columns = math.ceil(len(drawn) / rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, method in zip(panels.flat, drawn, strict=False):
        _draw_method(place, comparison.examples[method])
        place.set_title(method, fontsize=TEXT_POINTS)
    for place in panels.flat[len(drawn) :]:
        place.set_axis_off()
    example = comparison.examples[drawn[0]]
    figure.supylabel("Training loss (nats)", fontsize=TEXT_POINTS)
    optimiser = {"sgd": "SGD", "adam": "Adam"}[example["optimiser"]]
    figure.supxlabel(f"Learning rate ({optimiser}, first seed; diamonds: best rates)", fontsize=TEXT_POINTS)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside right center", fontsize=TEXT_POINTS, frameon=False, handlelength=1.2,
        title=example["grows"].capitalize(), title_fontsize=TEXT_POINTS,
    )  # fmt: skip


def share(figure: Figure, comparison: Any, shown: Sequence[str]) -> float:
    """The right half's share: a column of panels takes more than a list of names."""
    return min(0.68, 0.42 + 0.1 * min(_COLUMNS, len(shown)))


def _draw_method(axes: Axes, example: Mapping[str, Any]) -> None:
    rates = np.exp2(example["log2_rates"])
    shades = mpl.colormaps["viridis"](np.linspace(0.1, 0.85, len(example["sizes"])))
    for size, losses, best, shade in zip(
        example["sizes"], example["losses"], example["log2_best"], shades, strict=True
    ):
        axes.plot(rates, losses, color=shade, linewidth=1.4, label=f"{size}")
        height = np.exp(np.interp(best, example["log2_rates"], np.log(losses)))
        axes.plot([2.0**best], [height], color=shade, marker="D", markersize=4.5, clip_on=False)
    axes.axhline(example["odds"], color="#868686", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    for ticks in (axes.xaxis, axes.yaxis):
        ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ticks.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=TEXT_POINTS)
