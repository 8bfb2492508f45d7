"""The problem recall's own picture: what each method recalls."""

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

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_MISSED = "#d55e00"


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw stored patterns, damaged cues, and what each method recalled, line by line."""
    _draw_examples(figure.subplots(), _Mosaic.of(comparison, shown), 72 * float(figure.bbox.height / figure.dpi))


def share(figure: Figure, comparison: Any, shown: Sequence[str]) -> float:
    """The right half's share, so that the mosaic is as tall as the curves if both find room."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    names = 2 * 0.55 * TEXT_POINTS * max(len(str(row["method"])) for row in comparison.rows)
    room = max(0.4 * width, width - names - 80)
    rows, columns = _Mosaic.of(comparison, shown).pixels.shape
    mosaic = min(max(0.88 * height * columns / rows, 0.12 * width), 0.5 * room)
    return float(
        (mosaic + names / 2 + 24) / width
    )  # its names stand on its left, and its caption is wider than it may be


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
    """An image's own shape, its colours below one another; other patterns are folded into the rows of a square."""
    if math.prod(shape) == dim and (len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)):
        return dim // shape[-1], shape[-1]
    width = math.ceil(math.sqrt(dim))
    return math.ceil(dim / width), width
