"""The problem steer's own picture: how rewards are distributed, of the best methods and of the laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_SHOWN = 3


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw the shares of samples at or above each reward, beside the generator's and the tilted law's."""
    axes = figure.subplots()
    rivals = [method for method in shown if method != "exact-tilt"][:_SHOWN]
    laws = comparison.examples[shown[0]]
    for name, style in (("generator", ":"), ("tilted law", "-")):
        axes.plot(laws["levels"], above(laws["shares"][name]), style, color="0.5", label=name)
    for method in rivals:
        example = comparison.examples[method]
        axes.plot(example["levels"], above(example["shares"]["samples"]), label=method, **styles[method].line())
    axes.set_xlabel("Reward, first seed", fontsize=TEXT_POINTS)
    axes.set_ylabel("Share of samples with as much or more", fontsize=TEXT_POINTS)
    axes.set_ylim(-0.02, 1.02)
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.legend(fontsize=TEXT_POINTS, frameon=False)


def above(shares: Sequence[float]) -> list[float]:
    """The sum of each share and those after it.

    Example:
        >>> above([0.25, 0.25, 0.5])
        [1.0, 0.75, 0.5]
    """
    return [float(each) for each in np.cumsum(shares[::-1])[::-1]]
