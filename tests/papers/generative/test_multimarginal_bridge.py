"""The study of multimarginal_bridge: its simulation and distance, judges on a made table."""

import math

import pandas as pd
import pytest
import torch

from replica.papers.generative.multimarginal_bridge import (
    TRUTH,
    earth_mover,
    lotka_volterra,
    paper,
    population,
    relative_error,
    snapshots,
)


def test_the_population_rests_where_births_and_deaths_meet_and_keeps_its_invariant():
    rest = torch.tensor([[4.0, 2.5]]).double()
    torch.testing.assert_close(lotka_volterra(rest) @ TRUTH, torch.zeros(1, 2).double())
    paths = population(200, torch.Generator().manual_seed(0))
    assert paths.shape == (200, 801, 2)
    assert ((paths[:, 0] >= torch.tensor([5.0, 4.0])) & (paths[:, 0] <= torch.tensor([5.1, 4.1]))).all()
    clouds = snapshots(200, torch.Generator().manual_seed(1))
    for time, cloud in enumerate(clouds):
        torch.testing.assert_close(cloud.mean(0), paths[:, 100 * time].mean(0), atol=0.1, rtol=0)
    x, y = paths.mean(0).T
    kept = 0.1 * x - 0.4 * x.log() + 0.4 * y - y.log()  # constant without noise
    assert float((kept - kept[0]).abs().max()) < 0.06


def test_the_earth_movers_distance_pairs_points_best():
    first = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert earth_mover(first, first.flip(0)) == 0
    assert earth_mover(first, first.flip(0) + torch.tensor([0.0, 1.0])) == pytest.approx(1.0)
    assert relative_error(TRUTH * torch.tensor([1.2, 0.8, 1.2, 0.8])) == pytest.approx(0.2)


def test_judges_take_means_over_held_out_times_and_the_last_round():
    rows = [{"kind": "whole paths", "error": 0.01}]
    for gap, scale in ((2, 1.0), (3, 2.0)):
        for kind, distance in (("refined", 0.1), ("Brownian", 0.4), ("true", 0.08), ("fresh draws", 0.05)):
            # Only the mean over times is what it says.
            rows += [
                {
                    "kind": kind,
                    "gap": gap,
                    "time": time,
                    "distance": distance * share * (scale if kind == "Brownian" else 1),
                }
                for time, share in ((1, 0.5), (3, 1.5))
            ]
        rows += [{"kind": "round", "gap": gap, "round": n, "error": 0.4 * scale / n} for n in (2, 1, 10)]
    table = pd.DataFrame(rows)
    found = paper.claims["held_out_snapshots"].measures(table)
    assert found == pytest.approx(
        {
            "log_distance_over_brownian": -math.log(4),
            "log_distance_over_brownian_at_wider_gap": -math.log(8),
            "log_distance_over_true_reference": math.log(1.25),
            "log_brownian_over_floor": math.log(8),
            "log_true_reference_over_brownian": -math.log(5),
        }
    )
    found = paper.claims["parameters_approach_truth"].measures(table)
    wanted = {"log_error_over_first_round": -math.log(10), "relative_error": 0.04, "error_after_first_round": 0.4}
    assert found == pytest.approx(wanted | {"error_with_whole_paths": 0.01})
