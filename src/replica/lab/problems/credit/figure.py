"""The picture of a comparison in the problem credit: how well each rule trains, and how near backprop it moves each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from replica.lab.problems.problem import Metric
from replica.lab.problems.ranking_figure import TEXT_POINTS, draw_ranking, method_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SWEEP_LABELS = {
    "depth": "Hidden layers", "width": "Units or channels a layer", "epochs": "Epochs (passes over the rows)",
    "batch": "Rows a step", "train": "Rows to learn from", "shift_every": "Batches from one renaming of labels to the next",
}  # fmt: skip


def draw(figure: Figure, comparison: Any, *, metric: Metric, baselines: frozenset[str]) -> None:
    """Draw the ranking on the left; on the right, layer by layer, the cosine of each rule's direction with backprop's.

    Args:
        figure: An empty figure of any size.
        comparison: Has ``sweep``, ``curves``, ``rows`` in rank order and ``examples``.
        metric: The one that ranks.
        baselines: Methods that belong to the problem: drawn in grey.
    """
    methods = [str(row["method"]) for row in comparison.rows]
    figure.set_layout_engine("constrained")
    shown = [method for method in methods if comparison.examples.get(method, {}).get("alignment")]
    left, right = figure.subplots(1, 2) if shown else (figure.subplots(), None)
    label = _SWEEP_LABELS.get(comparison.sweep[0], "") if comparison.sweep else ""
    draw_ranking(left, comparison, metric=metric, baselines=baselines, sweep_label=label)
    if right is not None:
        _draw_layers(right, comparison, methods, baselines)


def _draw_layers(axes: Axes, comparison: Any, methods: list[str], baselines: frozenset[str]) -> None:
    styles = method_styles(methods, baselines)
    layers = 0
    for method in reversed(methods):  # the best on top
        cosines = comparison.examples.get(method, {}).get("alignment")
        if not cosines:
            continue
        style, layers = styles[method], max(layers, len(cosines))
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
    depth = f" of {layers - 1} hidden layers and the head" if layers else ""
    axes.set_xlabel(f"Layer{depth}, first seed", fontsize=TEXT_POINTS)
    axes.set_ylabel("Alignment with backprop's gradient (cosine)")
    axes.set_ylim(min(-0.1, axes.get_ylim()[0]), 1.05)
