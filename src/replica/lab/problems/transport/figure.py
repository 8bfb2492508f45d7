"""The problem transport's own picture: where the best maps carry points, over the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_SHOWN = 4


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw for the four best methods arrows from test points to where they are mapped, over test points of the target.

    Of more dimensions than two the first two are seen; in one dimension the source lies above, the target below.
    """
    methods = shown[:_SHOWN]
    columns = min(2, len(methods))
    grid = figure.subplots(-(-len(methods) // columns), columns, squeeze=False, sharex=True, sharey=True)
    for axes, method in zip(grid.flat, methods, strict=False):
        example = comparison.examples[method]
        source, mapped, target = (np.array(example[name], float) for name in ("source", "mapped", "target"))
        if source.shape[1] == 1:
            source, mapped, target = (
                np.column_stack([rows, np.full(len(rows), height)])
                for rows, height in ((source, 1), (mapped, 0), (target, 0))
            )
        text = mpl.rcParams["text.color"]
        axes.scatter(*target.T, s=9, facecolors="none", edgecolors=text, linewidths=0.6, alpha=0.6)
        axes.quiver(
            *source.T, *(mapped - source).T, angles="xy", scale_units="xy", scale=1, width=0.004, headwidth=4, headlength=5,
            color=styles[method].colour, alpha=0.7,
        )  # fmt: skip
        axes.update_datalim(np.concatenate([source, mapped]))
        axes.autoscale_view()
        axes.set_title(method, fontsize=TEXT_POINTS)
        axes.tick_params(labelsize=TEXT_POINTS)
        axes.grid(visible=False)
    for axes in grid.flat[len(methods) :]:
        axes.set_visible(False)
    figure.supxlabel("Arrows: points to where they are mapped; circles: the target", fontsize=TEXT_POINTS)
