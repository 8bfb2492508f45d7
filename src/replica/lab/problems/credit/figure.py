"""The problem credit's own picture: how near backpropagation each rule moves each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw, layer by layer, the cosine of each rule's direction with backpropagation's."""
    axes = figure.subplots()
    layers = 0
    for method in reversed(shown):  # the best on top
        style, cosines = styles[method], comparison.examples[method]["alignment"]
        layers = max(layers, len(cosines))
        axes.plot(range(1, len(cosines) + 1), cosines, label=method, **style.line())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlabel(f"Layer of {layers - 1} hidden layers and the head, first seed", fontsize=TEXT_POINTS)
    axes.set_ylabel("Alignment with backprop's gradient (cosine)")
    axes.set_ylim(min(-0.1, axes.get_ylim()[0]), 1.05)
