"""The standard figures of studies: what an axis reads."""

import pytest
from matplotlib.figure import Figure

from replica.lab.studies.figures import finish


@pytest.mark.parametrize(("values", "plain"), [((16, 32, 64), True), ((1e-7, 1e-3, 1.0), False)])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_less_than_two_decades_read_as_numbers_and_more_as_powers(
    values: tuple[float, ...], plain: bool, axis: str
) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(values, values)
    finish(axes, "x", "y", axis)
    figure.canvas.draw()
    ticks = axes.xaxis if axis == "x" else axes.yaxis
    said = [text.get_text() for text in ticks.get_ticklabels(which="both") if text.get_text()]
    assert said
    assert all(text.isdecimal() for text in said) == plain
