"""The studies of intrinsic_dimension: the toy against least squares, judges on made tables."""

import math

import pandas as pd
import pytest
import torch

from replica.landscapes import SubspaceTraining
from replica.papers.landscapes.intrinsic_dimension import Sums, paper


def measures(claim, rows):
    return paper.claims[claim].measures(pd.DataFrame(rows))


def test_the_toys_loss_is_left_as_least_squares_leaves_it():
    net = SubspaceTraining(Sums(100), 7, generator=torch.Generator().manual_seed(0))
    columns = net.projection(torch.eye(7, dtype=torch.float64)).view(7, 10, 10).sum(2).T
    wanted = torch.arange(1, 11).double()[:, None]
    coordinates = torch.linalg.lstsq(columns, wanted).solution
    with torch.no_grad():
        net.coordinates.copy_(coordinates[:, 0])
    assert float(net().detach()) == pytest.approx(float((columns @ coordinates - wanted).square().mean() / 2))
    assert float(Sums(100)().detach()) == pytest.approx(385 / 20)


def test_the_toy_is_solved_where_the_loss_is_gone():
    rows = [
        {"parameters": size, "dim": dim, "left": 1e-3 if dim < solved else 1e-12}
        for size, solved in ((1000, 10), (10_000, 11))
        for dim in range(8, 13)
    ]
    assert measures("toy", rows) == pytest.approx({"dimension": 10.5, "log_loss_left_below": math.log(1e-3)})


def curves(crossings):
    return [
        {"width": width, "parameters": width * 100, "direct": 0.95, "untrained": 0.1, "dim": dim}
        | {"accuracy": 0.855 + 0.1 * math.log(dim / crossing)}
        for width, crossing in crossings.items()
        for dim in (10, 20, 40, 80, 160)
    ]


def test_dimensions_are_compared_over_widths_and_with_parameters():
    rows = curves({10: 50, 200: 100})
    found = measures("nearly_constant", rows)
    wanted = {"log_ratio": math.log(2), "log_ratio_of_ends": math.log(2), "log_ratio_of_parameters": math.log(20)}
    assert found == pytest.approx(wanted | {"accuracy": 0.95, "not_reached": 0.0})
    found = measures("far_fewer_than_parameters", rows)
    wanted = {"share": 0.05, "share_of_widest": 0.005, "accuracy": 0.95, "not_reached": 0.0}
    assert found == pytest.approx(wanted | {"untrained_share_of_goal": 0.1 / 0.855})


def test_goals_outside_of_the_sizes_tried_are_counted():
    found = measures("nearly_constant", curves({10: 5, 200: 1000, 300: 50}))
    assert found["not_reached"] == pytest.approx(2 / 3)
    assert math.isfinite(found["log_ratio"])
