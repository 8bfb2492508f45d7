"""The problem sample's own picture: samples beside data, or sampled images above the training images nearest to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from numpy.typing import NDArray

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle, height_points
from replica.lab.problems.sample.problem import picture_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_MOST = 5
"""Methods that are shown, the best ones."""
_DATA = "#868686"
_SAMPLES = "#2f8fd0"
_COLUMNS = 8


def share(figure: Figure, comparison: Any, shown: Sequence[str]) -> float:
    """The right half's share."""
    return 0.58


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw what the best methods sampled with the first seed."""
    methods = list(shown[:_MOST])
    shape = picture_shape(comparison.dataset.shape)
    if shape:
        _draw_images(figure.subplots(), [comparison.examples[method] for method in methods], methods, shape)
    else:
        _draw_points(figure, [comparison.examples[method] for method in methods], methods)


def _draw_points(figure: SubFigure, examples: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> None:
    of = int(examples[0]["of"])
    clouds = [np.array(examples[0]["data"]), *(np.array(example["samples"]) for example in examples)]
    columns = min(3, len(clouds))
    grid = figure.subplots(-(-len(clouds) // columns), columns, squeeze=False, sharex=True, sharey=of > 1)
    # Within what the data span and half as much again: a sample far off would hide all others.
    low, high = clouds[0].min(axis=0), clouds[0].max(axis=0)
    margin = 0.25 * np.where(high > low, high - low, 1.0)
    for axes, cloud, title in zip(grid.flat, clouds, ("test rows", *methods), strict=False):
        colour = _DATA if title == "test rows" else _SAMPLES
        if of == 1:
            axes.hist(cloud[:, 0], bins=np.linspace(low[0] - margin[0], high[0] + margin[0], 30), color=colour)
        else:
            axes.scatter(*cloud.T, s=5, color=colour, alpha=0.6, linewidths=0)
            axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_title(title, fontsize=TEXT_POINTS)
        axes.tick_params(labelsize=TEXT_POINTS - 1)
        axes.grid(visible=False)
    for axes in grid.flat[len(clouds) :]:
        axes.set_visible(False)
    figure.supxlabel(
        "First seed" if of <= 2 else f"First two principal components of {of}, first seed", fontsize=TEXT_POINTS
    )


def _draw_images(
    axes: Axes, examples: Sequence[Mapping[str, Any]], methods: Sequence[str], shape: tuple[int, ...]
) -> None:
    lines = [examples[0]["data"], *(example[part] for example in examples for part in ("samples", "nearest"))]
    height, width = shape[:2]
    columns, gap = min(_COLUMNS, len(lines[0])), max(1, round(0.12 * max(shape[:2])))
    # A sample and its nearest training image stand together; methods stand apart.
    tops = [r * (height + gap) + (-(-r // 2)) * gap for r in range(len(lines))]
    colours = shape[2] if len(shape) == 3 else 1
    canvas: NDArray[Any] = np.full((tops[-1] + height, columns * (width + gap) - gap, colours), np.nan)
    for images, top in zip(lines, tops, strict=True):
        for column, image in enumerate(images[:columns]):
            left, pixels = column * (width + gap), np.array(image).reshape(colours, height, width)
            canvas[top : top + height, left : left + width] = np.moveaxis(pixels, 0, -1)
    low, high = (function(lines[0]) for function in (np.min, np.max))
    canvas = (canvas - low) / (high - low if high > low else 1.0)
    if colours == 3:
        axes.imshow(np.dstack([np.nan_to_num(canvas).clip(0, 1), np.isfinite(canvas[..., 0])]), interpolation="nearest")
    else:
        ink = to_rgb(mpl.rcParams["text.color"])
        # From no ink to full ink: needs no paper colour, so it suits any page.
        shades = LinearSegmentedColormap.from_list("ink", [(*ink, 0.03), (*ink, 0.95)])
        axes.imshow(canvas[..., 0], cmap=shades, vmin=0, vmax=1, interpolation="nearest")
    names = ["test rows", *(name for method in methods for name in (method, "nearest in training"))]
    size = min(TEXT_POINTS, 0.75 * height_points(axes) / (1.15 * len(names)))
    axes.set_yticks([top + height / 2 - 0.5 for top in tops], names, fontsize=size)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_frame_on(False)
    axes.set_xlabel("Samples above the training images nearest to them, first seed", fontsize=TEXT_POINTS)
