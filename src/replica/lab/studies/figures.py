"""The standard figures of claims. Colours and sizes are those of the theme they are drawn in; every seed counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Draw = Callable[["Axes", "pd.DataFrame"], None]
MARKERS = "os^DvPX*"
MOST_LETTERS = 44
"""Names of categories with more letters in all are turned, so that they do not run into each other."""


def styles(names: Sequence[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A colour of the theme and a marker for each name, in order."""
    for name, index in zip(names, itertools.count(), strict=False):
        yield name, {"color": f"C{index}", "marker": MARKERS[index % len(MARKERS)]}


def spread(
    axes: Axes, table: pd.DataFrame, x: str, y: str, *, scale: float = 1.0, shift: float = 0.0, **style: Any
) -> None:
    """Draw the mean over seeds at each x, with the range from the lowest to the highest seed.

    Args:
        axes: Where to.
        table: The rows of all seeds, or the part of them that belongs to one line.
        x: The column along the axis.
        y: The column that is measured.
        scale: Factor on the values, such as 100 for percent.
        shift: Added to x, so that ranges beside each other can be told apart.
        **style: As matplotlib's ``errorbar`` takes it; points without a line unless a line style is given.
    """
    groups = scale * table.dropna(subset=[y]).groupby(x)[y].agg(["mean", "min", "max"])
    middle, low, high = groups["mean"], groups["min"], groups["max"]
    where = middle.index + shift if shift else middle.index
    # The mean of equal numbers may differ from them in its last digit.
    ranges = [(middle - low).clip(lower=0), (high - middle).clip(lower=0)]
    axes.errorbar(where, middle, yerr=ranges, **{"capsize": 2, "linestyle": "none", **style})


def lines(
    x: str,
    y: str,
    by: str | None = "method",
    *,
    theory: str | None = None,
    xlabel: str = "",
    ylabel: str = "",
    percent: bool = False,
    log: str = "",
) -> Draw:
    """A figure: ``y`` over ``x``, a line for each value of ``by``, with the range over seeds.

    Args:
        x: The column along the axis.
        y: The column that is measured.
        by: The column that parts the lines; None for one line.
        theory: The column of predicted values, drawn as a line without markers in the same colour.
        xlabel: Label of the x axis; by default its column's name in words.
        ylabel: Label of the y axis, likewise.
        percent: Show shares as percent.
        log: The axes on a log scale: ``"x"``, ``"y"`` or ``"xy"``.
    """

    def draw(axes: Axes, table: pd.DataFrame) -> None:
        scale = 100.0 if percent else 1.0
        names = list(dict.fromkeys(table[by].dropna())) if by else [None]
        for name, style in styles(names):
            rows = table if name is None else table[table[by] == name]
            if theory:
                predicted = scale * rows.dropna(subset=[theory]).groupby(x)[theory].mean()
                axes.plot(predicted.index, predicted, color=style["color"], linewidth=1)
            line = "none" if theory else "-"
            label = None if name is None else words(name, by)
            spread(axes, rows, x, y, scale=scale, label=label, linestyle=line, markersize=5, **style)
        if theory:
            axes.plot([], [], color="C7", linewidth=1, label="theory")
        finish(axes, xlabel or words(x), ylabel or words(y) + (" (%)" if percent else ""), log)

    return draw


def dots(
    category: str,
    y: str,
    by: str | None = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    percent: bool = False,
    log: str = "",
) -> Draw:
    """A figure: ``y`` for each category, a dot a seed and a thin line that joins what one seed gave.

    Args:
        category: The column of categories, in the order of the rows.
        y: The column that is measured.
        by: A column that parts the dots of a category by colour, side by side.
        xlabel: Label of the x axis; by default its column's name in words.
        ylabel: Label of the y axis, likewise.
        percent: Show shares as percent.
        log: ``"y"`` for a log scale.
    """

    def draw(axes: Axes, table: pd.DataFrame) -> None:
        scale = 100.0 if percent else 1.0
        places = {name: place for place, name in enumerate(dict.fromkeys(table[category].dropna()))}
        groups = list(dict.fromkeys(table[by].dropna())) if by else [None]
        for index, (group, style) in enumerate(styles(groups)):
            rows = (table if group is None else table[table[by] == group]).dropna(subset=[y])
            shift = 0.16 * (index - (len(groups) - 1) / 2)
            for _, own in rows.groupby("seed"):
                at = [places[name] + shift for name in own[category]]
                line = {"linewidth": 0.6, "alpha": 0.5, "color": style["color"]} if by is None else {"linewidth": 0}
                axes.plot(at, scale * own[y], marker=style["marker"], markersize=4, markeredgewidth=0,
                          markerfacecolor=style["color"], **line)  # fmt: skip
            mean = scale * rows.groupby(category, sort=False)[y].mean()
            at = [places[name] + shift for name in mean.index]
            label = "mean" if group is None else words(group, by)
            axes.plot(at, mean, linestyle="none", marker=style["marker"], markersize=8, markerfacecolor="none",
                      markeredgecolor=style["color"], label=label)  # fmt: skip
        axes.set_xlim(-0.5, len(places) - 0.5)
        names = [words(name) for name in places]
        turned: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(places)), names, **(turned if sum(map(len, names)) > MOST_LETTERS else {}))
        finish(axes, xlabel or words(category), ylabel or words(y) + (" (%)" if percent else ""), log)

    return draw


def against(x: str, y: str, by: str | None = None, *, xlabel: str = "", ylabel: str = "", log: str = "") -> Draw:
    """A figure: every row's ``y`` against its ``x``, with the line on which they are equal (theory and simulation, say).

    Args:
        x: The column along the axis.
        y: The other.
        by: The column that parts the points by colour; None for one colour.
        xlabel: Label of the x axis; by default its column's name in words.
        ylabel: Label of the y axis, likewise.
        log: The axes on a log scale: ``"xy"``, ``"x"`` or ``"y"``.
    """

    def draw(axes: Axes, table: pd.DataFrame) -> None:
        rows = table.dropna(subset=[x, y])
        ends = [min(rows[x].min(), rows[y].min()), max(rows[x].max(), rows[y].max())]
        axes.plot(ends, ends, color="C7", linewidth=1, label="equal")
        for name, style in styles(list(dict.fromkeys(rows[by].dropna())) if by else [None]):
            own = rows if name is None else rows[rows[by] == name]
            label = None if name is None else words(name, by)
            axes.plot(own[x], own[y], linestyle="none", markersize=4, alpha=0.7, label=label, **style)
        finish(axes, xlabel or words(x), ylabel or words(y), log)

    return draw


def words(name: Any, kind: str | None = None) -> str:
    """A column's or a value's name for people; a number is shown with its column's name."""
    if isinstance(name, int | float) and not isinstance(name, bool):
        return f"{words(kind)} {name:g}" if kind else f"{name:g}"
    return str(name).replace("_", " ")


def finish(axes: Axes, xlabel: str, ylabel: str, log: str = "") -> None:
    """Labels, scales and, where anything is named, a legend."""
    from matplotlib.ticker import LogLocator

    axes.set(xlabel=xlabel, ylabel=ylabel)
    for axis in log:
        axes.set(**{f"{axis}scale": "log"})
        low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
        if low > 1e-2 and high < 100 * low:  # less than two decades read better as 20, 30 than as 2 × 10¹, 3 × 10¹
            ticks = axes.xaxis if axis == "x" else axes.yaxis
            ticks.set_minor_locator(LogLocator(subs=(2, 5) if high > 5 * low else range(2, 10)))
            ticks.set_major_formatter(lambda value, _: f"{value:g}")
            ticks.set_minor_formatter(lambda value, _: f"{value:g}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=9)
