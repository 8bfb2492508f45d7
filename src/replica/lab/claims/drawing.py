"""How measurements over seeds are drawn in a claim's figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def draw_spread(
    axes: Axes, table: pd.DataFrame, x: str, y: str, *, scale: float = 1.0, shift: float = 0.0, **style: Any
) -> None:
    """Draw the mean over seeds at each x, with the range from the lowest to the highest seed.

    Args:
        axes: Where to.
        table: The series of all seeds, or the part of it that belongs to one line.
        x: The column along the axis.
        y: The column that is measured.
        scale: Factor on the values, such as 100 for percent.
        shift: Added to x, so that ranges beside each other can be told apart.
        **style: As matplotlib's ``errorbar`` takes it; points without a line unless a line style is given.
    """
    groups = scale * table.groupby(x)[y].agg(["mean", "min", "max"])
    middle, low, high = groups["mean"], groups["min"], groups["max"]
    where = middle.index + shift if shift else middle.index
    # The mean of equal numbers may differ from them in its last digit.
    ranges = [(middle - low).clip(lower=0), (high - middle).clip(lower=0)]
    axes.errorbar(where, middle, yerr=ranges, **{"capsize": 2, "linestyle": "none", **style})
