"""The problem shift's own picture: how accurate each method is in each environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replica.lab.catalogue.printable import printable
from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle, label_ends

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw a line a method, from the environments that it learned from to the one that it did not see; first seed."""
    axes = figure.subplots()
    names = comparison.examples[shown[0]]["environments"]
    places, ends = range(len(names)), []
    for method in reversed(shown):  # the best on top
        accuracy = comparison.examples[method]["accuracy"]
        axes.plot(places, accuracy, **styles[method].line())
        ends.append((method, float(places[-1]), float(accuracy[-1])))
    axes.axvspan(len(names) - 1.5, len(names) - 0.9, alpha=0.08, linewidth=0)
    axes.set_xlim(-0.1, len(names) - 0.9)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xticks(places, [printable(name, max(6, 40 // len(names))) for name in names], fontsize=TEXT_POINTS)
    axes.set_xlabel("Environment (the last one unseen), first seed", fontsize=TEXT_POINTS)
    axes.set_ylabel("Accuracy (share of rows)", fontsize=TEXT_POINTS)
    label_ends(axes, ends, styles)
