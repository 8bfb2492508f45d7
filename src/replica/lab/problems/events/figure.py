"""The picture of a comparison in the problem events: accuracy, what it costs in operations, and a recording to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.ticker import MaxNLocator

from replica.lab.problems.problem import Metric
from replica.lab.problems.ranking_figure import TEXT_POINTS, draw_ranking, label_ends, method_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SWEEP_LABELS = {
    "train": "Recordings to learn from", "epochs": "Epochs (passes over the recordings)", "test": "Share of recordings to test",
    "steps": "Time bins of a recording",
}  # fmt: skip


def draw(figure: Figure, comparison: Any, *, metric: Metric, baselines: frozenset[str]) -> None:
    """Draw the ranking on the left; on the right accuracy over operations, and below it the events of one recording.

    Args:
        figure: An empty figure of any size.
        comparison: Has ``sweep``, ``curves``, ``rows`` in rank order and ``examples``.
        metric: The one that ranks.
        baselines: Methods that belong to the problem: drawn in grey.
    """
    methods = [str(row["method"]) for row in comparison.rows]
    figure.set_layout_engine("constrained")
    costs = comparison.curves[comparison.curves["metric"] == "operations"]
    example = next((comparison.examples[name] for name in methods if "step" in comparison.examples.get(name, {})), None)
    label = _SWEEP_LABELS.get(comparison.sweep[0], "") if comparison.sweep else ""
    if costs.empty:
        draw_ranking(figure.subplots(), comparison, metric=metric, baselines=baselines, sweep_label=label)
        return
    grid = figure.add_gridspec(2, 2, height_ratios=(1.7, 1.0))
    left = figure.add_subplot(grid[:, 0])
    draw_ranking(left, comparison, metric=metric, baselines=baselines, sweep_label=label)
    upper = figure.add_subplot(grid[0, 1] if example else grid[:, 1])
    height = 72 * figure.get_figheight() * (0.6 if example else 1.0)
    _draw_costs(upper, comparison, methods, metric, baselines, height)
    if example:
        _draw_recording(figure.add_subplot(grid[1, 1]), example)


def _draw_costs(
    axes: Axes,
    comparison: Any,
    methods: list[str],
    metric: Metric,
    baselines: frozenset[str],
    height_points: float,
) -> None:
    """Accuracy over operations: the upper left is best. A line joins the values of a sweep."""
    table = comparison.curves.pivot_table(index=["method", "value"], columns="metric", values="mean", dropna=False)
    table = (
        table.groupby(level=0)
        if comparison.sweep
        else comparison.curves.pivot_table(index="method", columns="metric", values="mean").groupby(level=0)
    )
    spent = comparison.curves.loc[comparison.curves["metric"] == "operations", "mean"]
    least = float(spent[spent > 0].min()) if (spent > 0).any() else 1.0
    floor = least / 3  # where methods stand that need none, on an axis without zero
    styles = method_styles(methods, baselines)
    ends: list[tuple[str, float, float]] = []
    for method in reversed(methods):  # the best on top
        if method not in table.groups:
            continue
        rows, style = table.get_group(method), styles[method]
        axes.plot(
            rows["operations"].clip(lower=floor),
            rows[metric.name],
            color=style.colour,
            marker=style.marker,
            markersize=5 if style.baseline else 6.5,
            markerfacecolor="none" if style.baseline else style.colour,
            linestyle="-",
            linewidth=1.0,
            clip_on=False,
            zorder=2 if style.baseline else 3,
        )
        last = rows.iloc[-1]
        ends.append((method, max(float(last["operations"]), floor), float(last[metric.name])))
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    none = not (spent > 0).all()
    if none:
        axes.axvline(floor * 3**0.5, color="tab:gray", linewidth=0.6, linestyle=":")
    axes.set_xlabel("Operations an inference" + (" (left of the dots: none)" if none else ""), fontsize=TEXT_POINTS)
    axes.set_ylabel(metric.label, fontsize=TEXT_POINTS)
    label_ends(axes, ends, {method: rank for rank, method in enumerate(methods)}, styles, height_points, apart_points=8)


def _draw_recording(axes: Axes, example: Any) -> None:
    axes.scatter(example["step"], example["unit"], marker="|", s=14, linewidths=1.0, color=mpl.rcParams["text.color"])
    axes.set_xlim(-0.5, example["steps"] - 0.5)
    axes.set_ylim(-0.5, example["units"] - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    axes.grid(visible=False)
    axes.set_xlabel(f"Time step (a recording of class {example['label']})", fontsize=TEXT_POINTS)
    axes.set_ylabel("Unit", fontsize=TEXT_POINTS)
