"""The problem recall's own picture: what each method recalls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle, height_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_MISSED = "#d55e00"


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw stored patterns, damaged cues, and what each method recalled, line by line; what is not exact is framed."""
    axes, names = figure.subplots(), ("stored", "damaged", *shown)
    pixels, tops, lefts, (height, width) = _mosaic(comparison, shown)
    size = min(TEXT_POINTS, 0.85 * height_points(axes) / (1.15 * len(tops)))
    ink = to_rgb(mpl.rcParams["text.color"])
    # From no ink to full ink: needs no paper colour, so it suits any page.
    colours = LinearSegmentedColormap.from_list("ink", [(*ink, 0.0), (*ink, 0.9)])
    lowest = -1.0 if comparison.options.get("values", "binary") == "binary" else 0.0
    axes.imshow(pixels, cmap=colours, vmin=lowest, vmax=1, interpolation="nearest")
    for method, top in zip((None, None, *shown), tops, strict=True):
        exact = comparison.examples[method]["exact"] if method else [True] * len(lefts)
        for left, hit in zip(lefts, exact, strict=False):
            frame = {"edgecolor": mpl.rcParams["axes.edgecolor"], "linewidth": 0.5, "alpha": 0.5, "zorder": 2.5}
            if not hit:
                frame = {"edgecolor": _MISSED, "linewidth": 0.15 * size, "linestyle": (0, (2, 1)), "zorder": 3}
            # imshow centres a pixel on its index
            axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, clip_on=False, **frame))
    axes.set_anchor("W")
    axes.set_xticks([])
    axes.set_yticks([top + height / 2 - 0.5 for top in tops], names, fontsize=size)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_frame_on(False)
    caption = "{stored} stored, {kind} {damage:g}\ndashed frame: not exact".format(**comparison.example_options)
    axes.set_xlabel(caption, fontsize=TEXT_POINTS)


def share(figure: Figure, comparison: Any, shown: Sequence[str]) -> float:
    """The right half's share, so that the mosaic is as tall as the curves if both find room."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    names = 2 * 0.55 * TEXT_POINTS * max(len(str(row["method"])) for row in comparison.rows)
    room = max(0.4 * width, width - names - 80)
    rows, columns = _mosaic(comparison, shown)[0].shape
    mosaic = min(max(0.88 * height * columns / rows, 0.12 * width), 0.5 * room)
    # Its names stand on its left, and its caption is wider than it may be.
    return float((mosaic + names / 2 + 24) / width)


def _mosaic(
    comparison: Any, methods: Sequence[str]
) -> tuple[NDArray[np.float64], list[int], list[int], tuple[int, int]]:
    """Tiles of patterns in lines and columns, NaN between them; their tops, their lefts, and the shape of one."""
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
    return pixels, tops, lefts, (height, width)


def _tile_shape(shape: tuple[int, ...], dim: int) -> tuple[int, int]:
    """An image's own shape, its colours below one another; other patterns are folded into the rows of a square."""
    if math.prod(shape) == dim and (len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)):
        return dim // shape[-1], shape[-1]
    width = math.ceil(math.sqrt(dim))
    return math.ceil(dim / width), width
