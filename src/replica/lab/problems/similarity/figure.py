"""The problem similarity's own picture: which layer the best methods name for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_SHOWN = 4
_MOST_TICKS = 8


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw for the four best methods how often each layer is named for each; right is the diagonal."""
    methods = shown[:_SHOWN]
    columns = min(2, len(methods))
    grid = figure.subplots(-(-len(methods) // columns), columns, squeeze=False)
    layers = comparison.examples[methods[0]]["layers"]
    every = -(-len(layers) // _MOST_TICKS)
    ticks = range(0, len(layers), every)
    image: Any = None
    for axes, method in zip(grid.flat, methods, strict=False):
        shares = np.array(comparison.examples[method]["named"])
        image = axes.imshow(shares, vmin=0, vmax=1, cmap="cividis", aspect="equal")
        axes.set_title(method, fontsize=TEXT_POINTS)
        axes.set_xticks(ticks, [str(tick + 1) for tick in ticks], fontsize=TEXT_POINTS)
        axes.set_yticks(ticks, [str(tick + 1) for tick in ticks], fontsize=TEXT_POINTS)
        axes.grid(visible=False)
    for axes in grid.flat[len(methods) :]:
        axes.set_visible(False)
    bar = figure.colorbar(image, ax=list(grid.flat), shrink=0.8, aspect=18)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=TEXT_POINTS, length=2)
    figure.supxlabel("Layer named in the other net", fontsize=TEXT_POINTS)
    figure.supylabel("Layer", fontsize=TEXT_POINTS)
