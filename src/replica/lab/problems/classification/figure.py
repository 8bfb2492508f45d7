"""The problem classification's own picture: which class each method finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm

from replica.lab.catalogue.printable import printable
from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

MOST_CLASSES = 12
_MISSED = (0.88, 0.45, 0.1)


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw the share of each class that every method finds."""
    confusions = np.array([comparison.examples[method]["confusion"] for method in shown])
    _draw_classes(figure.subplots(), shown, confusions, comparison.dataset.content.classes)


def _draw_classes(axes: Axes, methods: Sequence[str], confusions: np.ndarray, classes: Sequence[str]) -> None:
    rows = confusions.sum(axis=2)[0]  # of each class, the same for all methods
    order = np.argsort(-rows, kind="stable")[:MOST_CLASSES]
    order = np.sort(order)
    found = np.diagonal(confusions, axis1=1, axis2=2)[:, order] / np.maximum(rows[order], 1)
    # Missed rows are coloured: from no colour to much needs no paper colour, so it suits any page. A root sets few
    # misses apart from none.
    colours = LinearSegmentedColormap.from_list("missed", [(*_MISSED, 0.0), (*_MISSED, 0.95)])
    axes.imshow(1 - found, cmap=colours, norm=PowerNorm(0.6, vmin=0, vmax=1), aspect="auto")
    size = min(TEXT_POINTS, 110 / len(order))
    for i, line in enumerate(found):
        for j, share in enumerate(line):
            axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=size)
    names = [printable(classes[j], max(4, 60 // len(order))) for j in order]
    axes.set_xticks(range(len(order)), names, fontsize=TEXT_POINTS)
    axes.set_yticks(range(len(methods)), methods, fontsize=TEXT_POINTS)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_frame_on(False)
    left_out = f" (the {len(order)} largest of {len(classes)})" if len(order) < len(classes) else ""
    axes.set_xlabel(f"Class{left_out}: % of its test rows found, first seed", fontsize=TEXT_POINTS)
