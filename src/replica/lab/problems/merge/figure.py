"""The problem merge's own picture: accuracy of the best methods on each task, beside that of the single networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_SHOWN = 5
_LONGEST = 14


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw a row a task: the single network as a bar, and a mark for each of the five best methods beside it."""
    methods = list(shown[:_SHOWN])
    example = comparison.examples[methods[0]]
    axes = figure.subplots()
    rows = np.arange(len(example["names"]))
    axes.barh(rows, 100 * np.array(example["single"]), height=0.8, color="#868686", alpha=0.28, label="single nets")
    offsets = np.linspace(-0.3, 0.3, len(methods)) if len(methods) > 1 else [0.0]
    for method, offset in zip(methods, offsets, strict=True):
        style = styles[method].line(linestyle="none", label=method)
        axes.plot(100 * np.array(comparison.examples[method]["merged"]), rows + offset, **style)
    axes.set_yticks(rows, [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in example["names"]])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("Accuracy (%, first seed)", fontsize=TEXT_POINTS)
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=2, fontsize=TEXT_POINTS, frameon=False, handletextpad=0.4)
