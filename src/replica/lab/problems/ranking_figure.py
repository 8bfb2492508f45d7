"""Every comparison's picture: the ranking metric with its intervals, over a sweep or not, and the problem's own beside."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from replica.lab.catalogue.printable import printable

from .problem import Metric, Problem, Value

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Okabe and Ito's colours for colour-blind readers, in mid tones that stand out from white and from near-black.
COLOURS = ("#2f8fd0", "#e08a00", "#0f9d75", "#d3608f", "#8f7ad6", "#c8523a", "#5aa9c4", "#a39226")
TEXT_POINTS = 9.0
_MARKERS = "osD^vPX"  # one fewer than colours: pairs repeat only after 56 methods
_GREY = "#868686"
_LEADER = {"arrowstyle": "-", "linewidth": 0.7, "alpha": 0.6, "shrinkA": 3, "shrinkB": 4}
_BASELINE_MARKERS = "osD^v<>p"


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn: baselines in grey, dashed and hollow, the methods of papers and users in colour."""

    colour: str
    marker: str
    baseline: bool

    def line(self, **changed: Any) -> dict[str, Any]:
        """The keywords of its line in ``axes.plot``; what is given in ``changed`` is another."""
        plain = self.baseline
        return {
            "color": self.colour, "marker": self.marker, "markersize": 4.5 if plain else 5.5,
            "markerfacecolor": "none" if plain else self.colour, "linestyle": "--" if plain else "-",
            "linewidth": 1.2 if plain else 1.6, "clip_on": False, "zorder": 2 if plain else 3, **changed,
        }  # fmt: skip


def draw_comparison(figure: Figure, comparison: Any, problem: Problem) -> None:
    """Draw the ranking on the left; on the right what the problem's ``figure.py`` draws of the examples, where there are some.

    Its ``draw(figure, comparison, shown, styles)`` is given the right half, the methods with examples in rank order, and how each
    method is drawn; its ``share(figure, comparison, shown)``, where it has one, says how wide that half is, of 1.

    Args:
        figure: An empty figure of any size; colours of text, lines and paper are the current style's, so that it suits any page.
        comparison: Has ``sweep``, ``curves``, ``rows`` in rank order, ``examples``, ``dataset`` and ``options``; and may have
            ``metrics``, where another than the problem's first ranks.
        problem: The problem that was compared in.
    """
    methods = [str(row["method"]) for row in comparison.rows]
    baselines = frozenset(baseline.name for baseline in problem.baselines())
    shown = [method for method in methods if comparison.examples.get(method)]
    figure.set_layout_engine("constrained")
    label = problem.sweep_label(comparison.sweep[0], comparison.options) if comparison.sweep else ""
    left: Figure | SubFigure = figure
    if shown:
        own = importlib.import_module(f"{type(problem).__module__.rpartition('.')[0]}.figure")
        share = own.share(figure, comparison, shown) if hasattr(own, "share") else 0.5
        grid = figure.add_gridspec(1, 2, width_ratios=(1 - share, share))
        left, right = (figure.add_subfigure(grid[0, column]) for column in range(2))
        for part in (left, right):
            part.set_facecolor("none")
    metric = getattr(comparison, "metrics", problem.metrics)[0]
    draw_ranking(left.subplots(), comparison, metric=metric, baselines=baselines, sweep_label=label)
    if shown:
        own.draw(right, comparison, shown, method_styles(methods, baselines))


def draw_ranking(
    axes: Axes, comparison: Any, *, metric: Metric, baselines: frozenset[str], sweep_label: str = ""
) -> None:
    """Draw one metric of every method with its intervals: over the sweep, or the best on top where there was none."""
    methods = [str(row["method"]) for row in comparison.rows]
    styles = method_styles(methods, baselines)
    curves: pd.DataFrame = comparison.curves[comparison.curves["metric"] == metric.name]
    if comparison.sweep is None:
        _draw_dots(axes, styles, curves, metric)
    else:
        name, values = comparison.sweep
        _draw_curves(axes, styles, curves, metric, values)
        axes.set_xlabel(sweep_label or name.capitalize())
        axes.set_ylabel(metric_label(metric))


def metric_label(metric: Metric) -> str:
    """A metric's name for an axis, with its unit."""
    return metric.label if metric.unit == "1" else f"{metric.label} ({metric.unit})"


def method_styles(methods: Sequence[str], baselines: frozenset[str]) -> dict[str, MethodStyle]:
    """A style for each method, in rank order."""
    own = itertools.cycle(zip(itertools.cycle(COLOURS), itertools.cycle(_MARKERS)))
    plain = itertools.cycle(_BASELINE_MARKERS)
    styles = {}
    for method in methods:
        if method in baselines:
            styles[method] = MethodStyle(_GREY, next(plain), True)
        else:
            colour, marker = next(own)
            styles[method] = MethodStyle(colour, marker, False)
    return styles


def height_points(axes: Axes) -> float:
    """The height of the figure that axes are of."""
    return float(72 * axes.figure.bbox.height / axes.figure.dpi)


def _draw_curves(
    axes: Axes, styles: dict[str, MethodStyle], curves: pd.DataFrame, metric: Metric, values: Sequence[Value]
) -> None:
    numeric = all(isinstance(value, (int, float)) for value in values)
    positions: list[float] = [float(v) for v in values] if numeric else [float(i) for i in range(len(values))]
    connected = numeric and len(values) > 1
    place = dict(zip(values, positions, strict=True))
    ends: list[tuple[str, float, float]] = []
    for method, style in reversed(styles.items()):  # the best on top
        rows = curves[curves["method"] == method]
        rows = rows.assign(position=[place[value] for value in rows["value"]]).sort_values("position")
        if rows.empty:
            continue
        if connected:
            axes.fill_between(rows["position"], rows["low"], rows["high"], color=style.colour, alpha=0.13, linewidth=0)
        else:
            axes.vlines(rows["position"], rows["low"], rows["high"], color=style.colour, linewidth=1.2)
        axes.plot(rows["position"], rows["mean"], **style.line(**({} if connected else {"linestyle": "none"})))
        ends.append((method, float(rows["position"].iloc[-1]), float(rows["mean"].iloc[-1])))
    if numeric and min(positions) > 0 and max(positions) >= 10 * min(positions):
        axes.set_xscale("log")
    _set_ticks(
        axes, positions, [f"{value:g}" if isinstance(value, (int, float)) else printable(value, 30) for value in values]
    )
    if metric.unit.startswith("share"):
        axes.set_ylim(-0.03, 1.03)
    elif _spans_decades(curves):
        axes.set_yscale("log")
    label_ends(axes, ends, styles)


def _set_ticks(axes: Axes, positions: Sequence[float], labels: Sequence[str]) -> None:
    """Mark the swept values themselves; where they lie too close for their labels, leave some out."""
    spots = [math.log(p) for p in positions] if axes.get_xscale() == "log" else list(positions)
    span = (max(spots) - min(spots)) or 1.0
    room = 0.035 * max(len(label) for label in labels) + 0.02
    kept: list[int] = []
    for i in sorted(range(len(spots)), key=spots.__getitem__):
        if not kept or (spots[i] - spots[kept[-1]]) / span >= room:
            kept.append(i)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([positions[i] for i in kept], [labels[i] for i in kept])


def label_ends(
    axes: Axes,
    ends: Sequence[tuple[str, float, float]],
    styles: Mapping[str, MethodStyle],
    *,
    share: float = 1.0,
    apart_points: float = 18.0,
) -> None:
    """Write each method's name beside the end of its line, moved apart where names would touch.

    Each of the ``ends`` is a method and the two coordinates of its line's end; of two that end at one height the better ranked
    stands higher. The axes have their limits and scale, and a share of the figure's height; marks of names stand
    ``apart_points`` from them.
    """
    if not ends:
        return
    height = 0.8 * share * height_points(axes)  # of the axes alone; the rest is labels
    size = min(TEXT_POINTS, height / (1.25 * len(ends)))
    low, high = axes.get_ylim()
    gap = min(1.25 * size / height, 1 / len(ends))
    ranks = list(styles)
    ordered = sorted(ends, key=lambda end: (end[2], -ranks.index(end[0])))
    # As fractions of the axes' height: the scale may be logarithmic.
    scale = math.log if axes.get_yscale() == "log" else float
    fractions = [(scale(end[2]) - scale(low)) / (scale(high) - scale(low)) for end in ordered]
    heights = spread(fractions, gap, gap / 2, 1 - gap / 2)
    beside, further = (
        axes.transAxes + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)
        for points in (apart_points, apart_points + 8)
    )
    for (method, x, y), at in zip(ordered, heights, strict=True):
        style = styles[method]
        axes.annotate(
            "",
            xy=(x, y),
            xytext=(1, at),
            textcoords=beside,
            annotation_clip=False,
            arrowprops={**_LEADER, "color": style.colour},
        )
        axes.plot([1], [at], transform=beside, **style.line(markersize=0.55 * size, linestyle="none"))
        axes.text(1, at, method, transform=further, fontsize=size, verticalalignment="center")


def spread(levels: Sequence[float], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Move sorted levels apart to at least ``gap``, as little as possible, within ``[low, high]``.

    With u_i = y_i − i·gap the condition is that u does not fall: isotonic regression.
    """
    from scipy.optimize import isotonic_regression

    steps = gap * np.arange(len(levels))
    flat = isotonic_regression(np.asarray(levels) - steps).x
    return np.asarray(np.clip(flat, low, max(low, high - steps[-1])) + steps)


def _draw_dots(axes: Axes, styles: Mapping[str, MethodStyle], curves: pd.DataFrame, metric: Metric) -> None:
    rows = curves.set_index("method").reindex(list(styles)).dropna(subset=["mean"])
    share, logarithmic = metric.unit.startswith("share"), _spans_decades(curves)
    size = min(TEXT_POINTS, 0.8 * height_points(axes) / (1.25 * len(styles)))
    if logarithmic and not share:
        axes.set_xscale("log")
        # The normal interval of a small positive mean may reach below zero, where a logarithm has no place for it.
        axes.set_xlim(left=0.5 * float(rows["mean"].min()))
    left = _zoom(rows) if share else -math.inf
    for level, (method, style) in enumerate(styles.items()):
        if method not in rows.index:
            continue
        mean, low, high = rows.loc[method, ["mean", "low", "high"]].to_numpy(np.float64)
        if mean < left:  # off the scale: an arrow, and its value
            axes.annotate(
                f"◂ {mean:.3g}",
                (0, level),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                verticalalignment="center",
                fontsize=size,
                color=style.colour,
            )
            continue
        axes.errorbar(
            mean,
            level,
            xerr=[[max(0.0, mean - low)], [max(0.0, high - mean)]],
            elinewidth=1.6,
            capsize=2.5,
            **style.line(markersize=6, linestyle="none", clip_on=left > -math.inf and low < left),
        )
    axes.set_yticks(range(len(styles)), list(styles), fontsize=size)
    axes.set_ylim(len(styles) - 0.4, -0.6)  # the best on top
    if share:
        axes.set_xlim((left, 1 + 0.02 * (1 - left)) if left > -math.inf else (-0.03, 1.03))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(metric_label(metric))


def _zoom(rows: pd.DataFrame) -> float:
    """Where an axis of shares begins: at 0, unless two thirds of the methods crowd into its last third."""
    if len(rows) < 3:
        return -math.inf
    crowd = rows.iloc[: math.ceil(2 * len(rows) / 3)]
    low, high = float(crowd["low"].min()), float(crowd["high"].max())
    left = low - 0.3 * (high - low)
    return left if left > 2 / 3 else -math.inf


def _spans_decades(curves: pd.DataFrame) -> bool:
    """Whether the means, all positive, differ by a factor of ten or more."""
    means = curves["mean"]
    return bool(len(means) and means.min() > 0 and means.max() >= 10 * means.min())
