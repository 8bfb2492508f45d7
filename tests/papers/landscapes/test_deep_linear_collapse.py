"""The studies of deep_linear_collapse on cases that are known, and its judges on made tables."""

import math

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.landscapes import DeepLinearFeatures, deep_linear_minimizer
from replica.papers.landscapes.deep_linear_collapse import DECAY, departures, imbalanced, paper, squared_error


def test_departures_are_nothing_at_the_minimiser_and_the_worst_of_all_layers_else():
    least = deep_linear_minimizer([5] * 4, 3, bias=True, **DECAY)
    weights, means = least.layers(8, torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 4
    net = DeepLinearFeatures(means.T[labels], weights, least.bias, least.loss, 0.0)
    assert departures(net, labels)["departure"] < 1e-6
    spread = net._replace(features=net.features + 0.5 * torch.randn(20, 8, generator=torch.Generator().manual_seed(1)))
    assert departures(spread, labels)["departure"] > 0.05
    without_bias = deep_linear_minimizer([5] * 4, 3, **DECAY)  # orthogonal, not a simplex
    weights, means = without_bias.layers(8, torch.Generator().manual_seed(0))
    net = DeepLinearFeatures(means.T[labels], weights, None, without_bias.loss, 0.0)
    assert departures(net, labels)["off_frame"] == pytest.approx((2 - 2 * 0.75**0.5) ** 0.5)


def test_smoke_descents_reach_the_closed_form_and_take_minorities_to_nothing():
    strong = [row for row in imbalanced(Trial(100, "smoke")) if row["decay"] == "strong"]
    assert strong[0]["shortest_over_longest"] < 1e-3
    assert strong[0]["distance"] < 1e-3
    first = squared_error(Trial(100, "smoke"))[0]
    assert first["over_simplex"] == pytest.approx(1, abs=0.2)
    assert first["off_frame_at_start"] > 0.3


def test_cross_entropy_is_judged_by_the_cheapest_solution():
    rows = [
        {"depth": 1, "over_simplex": 1.0, "circle_over_simplex": 1.5, "departure": 0.0},
        {"depth": 3, "over_simplex": 1.2, "circle_over_simplex": 0.9, "departure": 0.5},
        {"depth": 3, "over_simplex": 0.95, "circle_over_simplex": 0.9, "departure": 0.2},
        {"depth": 6, "over_simplex": 0.7, "circle_over_simplex": 0.8, "departure": 0.4},
    ]
    found = paper.claims["cross_entropy_collapse"].measures(pd.DataFrame(rows))
    assert found["advantage_of_others"] == pytest.approx(-math.log(0.7))
    assert found["advantage_of_others_at_one_layer"] == 0
    assert found["advantage_of_descents"] == pytest.approx(-math.log(0.7))
    assert found["share_of_descents_that_collapse"] == 0.25
    assert found["departure_of_best"] == 0.4
    only_circle = paper.claims["cross_entropy_collapse"].measures(pd.DataFrame(rows[:2]))
    assert only_circle["advantage_of_others"] == pytest.approx(-math.log(0.9))
    assert only_circle["advantage_of_descents"] == 0


def test_judges_take_the_worst():
    columns = {
        "over_simplex": [1.0, 0.9],
        "departure": [0.0, 0.3],
        "off_frame_at_start": [0.8, 0.4],
        "gradient": [0, 1e-3],
    }
    found = paper.claims["squared_error_collapse"].measures(pd.DataFrame(columns))
    assert found["log_loss_over_least"] == pytest.approx(-math.log(0.9))
    assert (found["departure"], found["frame_distance_at_start"], found["gradient_left"]) == (0.3, 0.4, 1e-3)
    keys = ("decay", "distance", "distance_of_rivals", "variability", "shortest_over_longest")
    rows = [("weak", 0.01, 0.4, 0.0, 0.6), ("weak", 0.02, 0.3, 1e-3, 0.7), ("strong", 0.5, 0.1, 0.2, 1e-9)]
    found = paper.claims["imbalanced_frame"].measures(pd.DataFrame([dict(zip(keys, row, strict=True)) for row in rows]))
    assert found == {"distance": 0.02, "distance_of_rivals": 0.3, "variability": 1e-3, "minority_length": 1e-9}
