"""The problem stream's own picture: how accuracy goes along the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from replica.lab.problems.ranking_figure import TEXT_POINTS, MethodStyle, label_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

MOST_LINES = 12


def draw(figure: SubFigure, comparison: Any, shown: Sequence[str], styles: Mapping[str, MethodStyle]) -> None:
    """Draw the accuracy on all tasks so far along the stream."""
    _draw_course(figure.subplots(), comparison.examples, _chosen(shown, styles), styles)


def _chosen(methods: Sequence[str], styles: Mapping[str, MethodStyle]) -> list[str]:
    """The methods of papers and users first, then baselines, as many as can be told apart; in rank order."""
    kept = sorted(methods, key=lambda method: styles[method].baseline)[:MOST_LINES]
    return [method for method in methods if method in kept]


def _draw_course(
    axes: Axes,
    examples: Mapping[str, Mapping[str, Any]],
    methods: Sequence[str],
    styles: Mapping[str, MethodStyle],
) -> None:
    ends = examples[methods[0]]["ends"]
    ink = mpl.rcParams["text.color"]
    for end in ends[:-1]:
        axes.axvline(end, color=ink, alpha=0.25, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    for method in reversed(methods):  # the best on top
        style, example = styles[method], examples[method]
        at_ends = [example["at"].index(end) for end in ends] if set(ends) <= set(example["at"]) else []
        axes.plot(example["at"], example["accuracy"], markevery=at_ends, **style.line())
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.03, 1.03)
    lines = [(method, 1.0, float(examples[method]["accuracy"][-1])) for method in methods]
    label_ends(axes, lines, styles, apart_points=12)
    axes.set_xlabel("Share of the stream learned (lines: a task ends), first seed", fontsize=TEXT_POINTS)
    axes.set_ylabel("Accuracy on the tasks so far", fontsize=TEXT_POINTS)
