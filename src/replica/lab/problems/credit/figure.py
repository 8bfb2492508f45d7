"""The problem credit's own picture: how near backpropagation each rule moves each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw, layer by layer, the cosine of each rule's direction with backpropagation's.

    Args:
        figure: The empty right half of the picture.
        comparison: Has ``examples``, ``dataset`` and ``options``.
        shown: The methods with examples, in rank order.
        styles: How methods are drawn.
    """
    axes = figure.subplots()
    layers = 0
    for method in reversed(shown):  # the best on top
        style, cosines = styles[method], comparison.examples[method]["alignment"]
        layers = max(layers, len(cosines))
        axes.plot(
            range(1, len(cosines) + 1),
            cosines,
            color=style.colour,
            marker=style.marker,
            markersize=4.5 if style.baseline else 5.5,
            markerfacecolor="none" if style.baseline else style.colour,
            linestyle="--" if style.baseline else "-",
            linewidth=1.2 if style.baseline else 1.6,
            label=method,
            clip_on=False,
            zorder=2 if style.baseline else 3,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlabel(f"Layer of {layers - 1} hidden layers and the head, first seed", fontsize=TEXT_POINTS)
    axes.set_ylabel("Alignment with backprop's gradient (cosine)")
    axes.set_ylim(min(-0.1, axes.get_ylim()[0]), 1.05)
