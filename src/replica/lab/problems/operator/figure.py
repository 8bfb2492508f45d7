"""The problem operator's own picture: one sample beside what the best methods make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_SHOWN = 3
_LINES = ((0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw one test sample with what the three best methods make of it, and their errors below; in one dimension as curves."""
    best = shown[:_SHOWN]
    if _flat(comparison, best):
        _draw_maps(figure, comparison, best)
    else:
        _draw_curves(figure, comparison, best, [styles[method].colour for method in best])


def share(figure: Figure, comparison: Any, shown: Sequence[str]) -> float:
    """The right half's share: maps are square, the solution's and one for each of the best methods."""
    width, height = figure.get_size_inches()
    maps = 1 + len(shown[:_SHOWN])
    return min(0.66, max(0.5, float(0.62 * height * maps / width))) if _flat(comparison, shown) else 0.5


def _flat(comparison: Any, shown: Sequence[str]) -> bool:
    return np.ndim(comparison.examples[shown[0]]["truth"]) == 2


def _draw_maps(figure: SubFigure, comparison: Any, methods: Sequence[str]) -> None:
    """Upper row: the solution and the predictions, in one scale. Lower row: the input, and the errors in one scale."""
    examples = [comparison.examples[method] for method in methods]
    given, truth = (np.array(examples[0][name]) for name in ("input", "truth"))
    found = [np.array(example["predicted"]) for example in examples]
    axes = figure.subplots(2, len(methods) + 1, squeeze=False)
    low, high = truth.min(), truth.max()
    worst = max(float(np.abs(map_ - truth).max()) for map_ in found) or 1.0
    solution = [_show(place, map_, "viridis", low, high) for place, map_ in zip(axes[0], [truth, *found], strict=True)]
    source = _show(axes[1, 0], given, "cividis", given.min(), given.max())
    errors = [
        _show(place, map_ - truth, "RdBu_r", -worst, worst) for place, map_ in zip(axes[1, 1:], found, strict=True)
    ]
    size = min(TEXT_POINTS, 72 * float(figure.bbox.width / figure.dpi) / (len(methods) + 1) / 6.2)
    for place, name in zip(axes[0], ["solution", *methods], strict=True):
        place.set_title(name, fontsize=size)
    axes[1, 0].set_title("input", fontsize=size)
    for place, example in zip(axes[1, 1:], examples, strict=True):
        place.set_title(f"error {_percent(example['error'])}", fontsize=size)
    for image, places in ((solution[0], axes[0, :]), (errors[0], axes[1, 1:])):
        bar = figure.colorbar(image, ax=list(places), location="right", shrink=0.85, pad=0.02, aspect=14)
        _plain_bar(bar, size)
    _plain_bar(figure.colorbar(source, ax=axes[1, 0], location="left", shrink=0.85, pad=0.02, aspect=14), size)


def _show(axes: Axes, values: NDArray[np.float64], colours: str, low: float, high: float) -> Any:
    image = axes.imshow(
        values.T, origin="lower", cmap=colours, vmin=low, vmax=high, extent=(0, 1, 0, 1), aspect="equal"
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.5)
    return image


def _plain_bar(bar: Any, size: float) -> None:
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(3)
    bar.ax.tick_params(labelsize=size, length=2)
    bar.formatter.set_powerlimits((-2, 3))
    bar.ax.yaxis.get_offset_text().set_fontsize(size)
    bar.update_ticks()


def _draw_curves(figure: SubFigure, comparison: Any, methods: Sequence[str], colours: Sequence[str]) -> None:
    """Input, solution with predictions, and errors, one above the other over the same axis."""
    examples = [comparison.examples[method] for method in methods]
    given, truth = (np.array(examples[0][name]) for name in ("input", "truth"))
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.6, 1))
    x = np.arange(len(truth)) * examples[0]["spacing"][0]
    ink = mpl.rcParams["text.color"]
    top.plot(x, given, color=ink, linewidth=1.2)
    middle.plot(x, truth, color=ink, linewidth=2.4, alpha=0.45, label="solution")
    for method, colour, line, example in zip(methods, _distinct(colours), _LINES, examples, strict=False):
        found = np.array(example["predicted"])
        label = f"{method} ({_percent(example['error'])})"
        middle.plot(x, found, color=colour, linestyle=line, linewidth=1.3, label=label)
        bottom.plot(x, found - truth, color=colour, linestyle=line, linewidth=1.3)
    for axes, name in ((top, "input"), (middle, "solution"), (bottom, "error")):
        axes.set_ylabel(name, fontsize=TEXT_POINTS)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(labelsize=TEXT_POINTS)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3))
        axes.yaxis.get_offset_text().set_fontsize(TEXT_POINTS)
    bottom.set_xlabel("position (length of the domain = 1)", fontsize=TEXT_POINTS)
    figure.legend(
        *middle.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=TEXT_POINTS, frameon=False
    )
    figure.align_ylabels()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def _distinct(colours: Sequence[str]) -> list[str]:
    """Colours of methods; baselines share one grey, and here each curve needs its own."""
    spare = iter(("#2f8fd0", "#e08a00", "#0f9d75"))
    taken = set(colours)
    free = (colour for colour in spare if colour not in taken)
    return [colour if list(colours).count(colour) == 1 else next(free) for colour in colours]
