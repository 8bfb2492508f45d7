"""The picture of a comparison in the problem recall: how well each method recalls, and what it recalls."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from .problem import Metric, Value

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours for colour-blind readers, in mid tones that stand out from white and from near-black.
_COLOURS = ("#2f8fd0", "#e08a00", "#0f9d75", "#d3608f", "#8f7ad6", "#c8523a", "#5aa9c4", "#a39226")
_MARKERS = "osD^vPX"  # one fewer than colours: pairs repeat only after 56 methods
_GREY = "#868686"
_BASELINE_MARKERS = "osD^"
_MISSED = "#d55e00"
_TEXT_POINTS = 9.0
_AXIS_LABELS = {"stored": "Stored patterns", "cues": "Damaged cues", "kind": "Kind of damage", "values": "Values"}
_DAMAGE_LABELS = {
    "flip": "Damage (fraction of entries flipped)",
    "mask": "Damage (fraction of entries masked)",
    "gaussian": "Damage (noise over the values' range)",
}


@dataclass(frozen=True)
class _Style:
    colour: str
    marker: str
    baseline: bool


def draw(figure: Figure, comparison: Any, *, metric: Metric, baselines: frozenset[str]) -> None:
    """Draw the comparison: on the left the ranking metric with its intervals, on the right examples of
    recall.

    Colours of text, lines and paper are the current style's, so that it suits a light and a dark page.

    Args:
        figure: An empty figure of any size.
        comparison: Has ``sweep``, ``curves`` (method, value, metric, mean, low, high), ``rows`` in rank
            order, ``examples``, ``dataset`` and ``options``.
        metric: The one that ranks.
        baselines: Methods that belong to the problem: drawn in grey, dashed.
    """
    methods = [str(row["method"]) for row in comparison.rows]
    styles = _styles(methods, baselines)
    curves: pd.DataFrame = comparison.curves[comparison.curves["metric"] == metric.name]
    shown = [method for method in methods if comparison.examples.get(method, {}).get("recalled")]
    figure.set_layout_engine("constrained")
    height = 72 * figure.get_figheight()
    if shown:
        mosaic = _Mosaic.of(comparison, shown)
        left, right = figure.subplots(1, 2, width_ratios=_widths(figure, mosaic, methods))
        _draw_examples(right, mosaic, height)
    else:
        left = figure.subplots()
    if comparison.sweep is None:
        _draw_ranking(left, methods, styles, curves, metric, height)
    else:
        name, values = comparison.sweep
        _draw_curves(left, methods, styles, curves, values, height)
        left.set_xlabel(_axis_label(name, comparison.options))
        left.set_ylabel(_metric_label(metric))


def _styles(methods: Sequence[str], baselines: frozenset[str]) -> dict[str, _Style]:
    own = itertools.cycle(zip(itertools.cycle(_COLOURS), itertools.cycle(_MARKERS)))
    plain = itertools.cycle(_BASELINE_MARKERS)
    styles = {}
    for method in methods:
        if method in baselines:
            styles[method] = _Style(_GREY, next(plain), True)
        else:
            colour, marker = next(own)
            styles[method] = _Style(colour, marker, False)
    return styles


def _draw_curves(
    axes: Axes,
    methods: Sequence[str],
    styles: Mapping[str, _Style],
    curves: pd.DataFrame,
    values: Sequence[Value],
    height_points: float,
) -> None:
    numeric = all(isinstance(value, (int, float)) for value in values)
    positions: list[float] = [float(v) for v in values] if numeric else [float(i) for i in range(len(values))]
    connected = numeric and len(values) > 1
    place = dict(zip(values, positions, strict=True))
    ends: list[tuple[str, float, float]] = []
    for method in reversed(methods):  # the best on top
        rows = curves[curves["method"] == method]
        rows = rows.assign(position=[place[value] for value in rows["value"]]).sort_values("position")
        if rows.empty:
            continue
        style = styles[method]
        if connected:
            axes.fill_between(rows["position"], rows["low"], rows["high"], color=style.colour, alpha=0.13, linewidth=0)
        else:
            axes.vlines(rows["position"], rows["low"], rows["high"], color=style.colour, linewidth=1.2)
        axes.plot(
            rows["position"],
            rows["mean"],
            color=style.colour,
            linestyle="none" if not connected else "--" if style.baseline else "-",
            marker=style.marker,
            markersize=4.5 if style.baseline else 5.5,
            markerfacecolor="none" if style.baseline else style.colour,
            linewidth=1.2 if style.baseline else 1.6,
            clip_on=False,
            zorder=2 if style.baseline else 3,
        )
        ends.append((method, float(rows["position"].iloc[-1]), float(rows["mean"].iloc[-1])))
    if numeric and min(positions) > 0 and max(positions) >= 10 * min(positions):
        axes.set_xscale("log")
    _set_ticks(axes, positions, [f"{value:g}" if isinstance(value, (int, float)) else value for value in values])
    axes.set_ylim(-0.03, 1.03)
    _label_ends(axes, ends, {method: rank for rank, method in enumerate(methods)}, styles, height_points)


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


def _label_ends(
    axes: Axes,
    ends: Sequence[tuple[str, float, float]],
    ranks: Mapping[str, int],
    styles: Mapping[str, _Style],
    height_points: float,
) -> None:
    """Write each method's name beside the end of its line, moved apart where names would touch."""
    if not ends:
        return
    height = 0.8 * height_points  # of the axes alone; the rest is labels
    size = min(_TEXT_POINTS, height / (1.25 * len(ends)))
    low, high = axes.get_ylim()
    gap = min(1.25 * size / height, 1 / len(ends)) * (high - low)
    ordered = sorted(ends, key=lambda end: (end[2], -ranks[end[0]]))
    heights = _spread([end[2] for end in ordered], gap, low + gap / 2, high - gap / 2)
    beside, further = (
        axes.transAxes + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans) for points in (18, 26)
    )
    for (method, x, y), level in zip(ordered, heights, strict=True):
        style = styles[method]
        at = (level - low) / (high - low)
        axes.annotate(
            "",
            xy=(x, y),
            xytext=(1, at),
            textcoords=beside,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": style.colour,
                "linewidth": 0.7,
                "alpha": 0.6,
                "shrinkA": 3,
                "shrinkB": 4,
            },
        )
        axes.plot(
            [1],
            [at],
            transform=beside,
            color=style.colour,
            marker=style.marker,
            markersize=0.55 * size,
            markerfacecolor="none" if style.baseline else style.colour,
            clip_on=False,
        )
        axes.text(1, at, method, transform=further, fontsize=size, verticalalignment="center")


def _spread(levels: Sequence[float], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Move sorted levels apart to at least ``gap``, as little as possible, within ``[low, high]``.

    With u_i = y_i − i·gap the condition is that u does not fall: isotonic regression, by pooling adjacent
    violators.
    """
    pools: list[tuple[float, int]] = []
    for i, level in enumerate(levels):
        pools.append((level - i * gap, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n)]
    flat = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    top = high - (len(levels) - 1) * gap
    spread: NDArray[np.float64] = np.clip(flat, low, max(low, top)) + gap * np.arange(len(levels))
    return spread


def _draw_ranking(
    axes: Axes,
    methods: Sequence[str],
    styles: Mapping[str, _Style],
    curves: pd.DataFrame,
    metric: Metric,
    height_points: float,
) -> None:
    for level, method in enumerate(methods):
        rows = curves[curves["method"] == method]
        if rows.empty:
            continue
        mean, low, high = (float(rows[column].iloc[0]) for column in ("mean", "low", "high"))
        style = styles[method]
        axes.errorbar(
            mean,
            level,
            xerr=[[max(0.0, mean - low)], [max(0.0, high - mean)]],
            color=style.colour,
            marker=style.marker,
            markersize=6,
            markerfacecolor="none" if style.baseline else style.colour,
            elinewidth=1.6,
            capsize=2.5,
            linestyle="none",
            clip_on=False,
        )
    size = min(_TEXT_POINTS, 0.8 * height_points / (1.25 * len(methods)))
    axes.set_yticks(range(len(methods)), methods, fontsize=size)
    axes.set_ylim(len(methods) - 0.4, -0.6)  # the best on top
    axes.set_xlim(-0.03, 1.03)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(_metric_label(metric))


@dataclass(frozen=True)
class _Mosaic:
    """Tiles in lines and columns: the stored patterns, the damaged cues, and what each method recalled."""

    names: tuple[str, ...]
    pixels: NDArray[np.float64]
    """NaN between the tiles."""
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    tile: tuple[int, int]
    missed: frozenset[tuple[int, int]]
    """Line and column of every tile that is not the stored pattern."""
    lowest: float
    caption: str

    @classmethod
    def of(cls, comparison: Any, methods: Sequence[str]) -> _Mosaic:
        examples = comparison.examples
        first = examples[methods[0]]
        lines = [first["stored"], first["damaged"], *(examples[method]["recalled"] for method in methods)]
        columns = min(5 if len(lines) < 10 else 8, *map(len, lines))
        height, width = _tile_shape(comparison.dataset.shape, len(first["stored"][0]))
        gap = max(1, round(0.12 * max(height, width)))
        tops = [r * (height + gap) + (gap if r > 1 else 0) for r in range(len(lines))]  # methods stand apart
        lefts = [c * (width + gap) for c in range(columns)]
        pixels = np.full((tops[-1] + height, lefts[-1] + width), np.nan)
        for patterns, top in zip(lines, tops, strict=True):
            for pattern, left in zip(patterns, lefts, strict=False):
                tile = np.full(height * width, np.nan)
                tile[: len(pattern)] = pattern
                pixels[top : top + height, left : left + width] = tile.reshape(height, width)
        return cls(
            names=("stored", "damaged", *methods),
            pixels=pixels,
            tops=tuple(tops),
            lefts=tuple(lefts),
            tile=(height, width),
            missed=frozenset(
                (line, column)
                for line, method in enumerate(methods, start=2)
                for column in range(columns)
                if not examples[method]["exact"][column]
            ),
            lowest=-1.0 if comparison.options.get("values", "binary") == "binary" else 0.0,
            caption="{stored} stored, {kind} {damage:g}\ndashed frame: not exact".format(**comparison.example_options),
        )


def _widths(figure: Figure, mosaic: _Mosaic, methods: Sequence[str]) -> tuple[float, float]:
    """Widths of the two pictures, so that the mosaic is as tall as the curves if both find room."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    names = 2 * 0.55 * _TEXT_POINTS * max(len(method) for method in methods)
    room = max(0.4 * width, width - names - 80)
    rows, columns = mosaic.pixels.shape
    tall = 0.88 * height * columns / rows
    right = min(max(tall, 0.12 * width), 0.5 * room)
    return room - right, right


def _draw_examples(axes: Axes, mosaic: _Mosaic, height_points: float) -> None:
    height, width = mosaic.tile
    size = min(_TEXT_POINTS, 0.85 * height_points / (1.15 * len(mosaic.tops)))
    ink = to_rgb(mpl.rcParams["text.color"])
    # From no ink to full ink: needs no paper colour, so it suits any page.
    colours = LinearSegmentedColormap.from_list("ink", [(*ink, 0.0), (*ink, 0.9)])
    axes.imshow(mosaic.pixels, cmap=colours, vmin=mosaic.lowest, vmax=1, interpolation="nearest")
    for line, top in enumerate(mosaic.tops):
        for column, left in enumerate(mosaic.lefts):
            missed = (line, column) in mosaic.missed
            axes.add_patch(
                Rectangle(
                    (left - 0.5, top - 0.5),  # imshow centres a pixel on its index
                    width,
                    height,
                    fill=False,
                    edgecolor=_MISSED if missed else mpl.rcParams["axes.edgecolor"],
                    linewidth=0.15 * size if missed else 0.5,
                    linestyle=(0, (2, 1)) if missed else "-",
                    alpha=1 if missed else 0.5,
                    clip_on=False,
                    zorder=3 if missed else 2.5,
                )
            )
    axes.set_anchor("W")
    axes.set_xticks([])
    axes.set_yticks([top + height / 2 - 0.5 for top in mosaic.tops], mosaic.names, fontsize=size)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_frame_on(False)
    axes.set_xlabel(mosaic.caption, fontsize=_TEXT_POINTS)


def _tile_shape(shape: tuple[int, ...], dim: int) -> tuple[int, int]:
    """An image's own shape; other patterns are folded into the rows of a square."""
    if len(shape) == 2 and math.prod(shape) == dim:
        return shape[0], shape[1]
    width = math.ceil(math.sqrt(dim))
    return math.ceil(dim / width), width


def _axis_label(option: str, options: Mapping[str, Value]) -> str:
    if option == "damage":
        return _DAMAGE_LABELS[str(options["kind"])]
    return _AXIS_LABELS[option]


def _metric_label(metric: Metric) -> str:
    return metric.label if metric.unit == "1" else f"{metric.label} ({metric.unit})"
