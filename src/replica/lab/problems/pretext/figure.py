"""The problem pretext's own picture: embeddings of test images, of the best method and of the untrained encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

UNTRAINED = "untrained"
ROOF = "supervised"
_MOST_CLASSES = 10


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw test images along the two main directions of their embeddings, coloured by class."""
    rivals = [method for method in shown if method not in (UNTRAINED, ROOF)] or list(shown)
    methods = list(dict.fromkeys([rivals[0], *(method for method in shown if method == UNTRAINED)]))
    grid = figure.subplots(1, len(methods), squeeze=False)[0]
    for axes, method in zip(grid, methods, strict=True):
        example = comparison.examples[method]
        points, labels = np.array(example["points"]).reshape(-1, 2), np.array(example["labels"], int)
        if not len(labels):
            axes.scatter(*points.T, s=9, color=styles[method].colour, linewidths=0)
        for number in np.unique(labels)[:_MOST_CLASSES]:
            colour = mpl.colormaps["tab10"](int(number) % _MOST_CLASSES)
            few = len(example["classes"]) <= _MOST_CLASSES
            axes.scatter(*points[labels == number].T, s=9, color=colour, linewidths=0,
                         label=example["classes"][number] if few else None)  # fmt: skip
        axes.set_title(f"{method} ({example['explained']:.0%} of the variance)", fontsize=TEXT_POINTS)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", adjustable="datalim")
    handles, names = grid[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=TEXT_POINTS, frameon=False,
                      handletextpad=0.1, columnspacing=0.8)  # fmt: skip
    figure.supxlabel("Two main directions of the embeddings of test images, first seed", fontsize=TEXT_POINTS)
