"""The picture of a comparison in the problem recall: how well each method recalls, and what it recalls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from replica.lab.problems.problem import Metric, Value
from replica.lab.problems.ranking_figure import TEXT_POINTS, draw_ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MISSED = "#d55e00"
_AXIS_LABELS = {"stored": "Stored patterns", "cues": "Damaged cues", "kind": "Kind of damage", "values": "Values"}
_DAMAGE_LABELS = {
    "flip": "Damage (fraction of entries flipped)",
    "mask": "Damage (fraction of entries masked)",
    "gaussian": "Damage (noise over the values' range)",
}


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
    shown = [method for method in methods if comparison.examples.get(method, {}).get("recalled")]
    figure.set_layout_engine("constrained")
    if shown:
        mosaic = _Mosaic.of(comparison, shown)
        left, right = figure.subplots(1, 2, width_ratios=_widths(figure, mosaic, methods))
        _draw_examples(right, mosaic, 72 * figure.get_figheight())
    else:
        left = figure.subplots()
    label = _axis_label(comparison.sweep[0], comparison.options) if comparison.sweep else ""
    draw_ranking(left, comparison, metric=metric, baselines=baselines, sweep_label=label)


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
    names = 2 * 0.55 * TEXT_POINTS * max(len(method) for method in methods)
    room = max(0.4 * width, width - names - 80)
    rows, columns = mosaic.pixels.shape
    tall = 0.88 * height * columns / rows
    right = min(max(tall, 0.12 * width), 0.5 * room)
    return room - right, right


def _draw_examples(axes: Axes, mosaic: _Mosaic, height_points: float) -> None:
    height, width = mosaic.tile
    size = min(TEXT_POINTS, 0.85 * height_points / (1.15 * len(mosaic.tops)))
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
    axes.set_xlabel(mosaic.caption, fontsize=TEXT_POINTS)


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
