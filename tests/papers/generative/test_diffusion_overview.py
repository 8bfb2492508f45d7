"""The studies of diffusion_overview: the error against itself and the linear score's, judges on made tables."""

import math

import pandas as pd
import pytest
import torch

from replica.papers.generative.diffusion_overview import MODES, TARGETS, draws, paper, subspace, weighted_error


def measures(claim, rows):
    return paper.claims[claim].measures(pd.DataFrame(rows))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_errors_are_none_for_the_exact_score_and_sum_over_the_subspace():
    basis = subspace(7, 3, seeded())
    points = draws(3000, basis, seeded(1))
    inside = points @ basis
    torch.testing.assert_close(inside @ basis.T, points)
    torch.testing.assert_close(inside.T.cov(), torch.eye(3), atol=0.06, rtol=0)

    def exact(noisy, one, level):
        low = MODES((noisy @ basis).reshape(-1, 1), torch.ones(len(noisy) * 3), level.repeat_interleave(3))
        return low.view(-1, 3) @ basis.T

    assert weighted_error(exact, points, basis, seeded(2)) < 1e-9

    def shifted(noisy, one, level):
        size = level.square() / (level.square() + 1)  # undoes the weight
        return exact(noisy, one, level) + size.sqrt()[:, None] * torch.full((7,), 0.2)

    assert weighted_error(shifted, points, basis, seeded(2)) == pytest.approx(7 * 0.04, rel=1e-4)


def test_slopes_are_those_of_a_power_law():
    rows = []
    for d in (2, 8):
        for D in (16, 64):
            for count in (100, 1600):
                known = {"intrinsic": d, "ambient": D, "samples": count, "data": f"{d} in {D}"}
                error = d**1.5 * D**0.1 / count**0.25
                rows.append(known | {"method": "linear encoder", "error": error})
                rows.append(known | {"method": "linear", "error": error * (4 if count == 1600 else 9)})
                if d == 8 and count == 1600:
                    rows.append(known | {"method": "plain", "error": D**0.7})
    wanted = {"elasticity_in_ambient": 0.1, "elasticity_in_intrinsic": 1.5, "elasticity_in_ambient_of_plain_net": 0.7}
    wanted |= {"exponent_in_samples": 0.25, "log_error_over_linear": -math.log(4)}
    assert measures("intrinsic_dimension", rows) == pytest.approx(wanted)


def test_rewards_and_distances_are_compared_at_one_target():
    facts = {"decile": 1.3, "correlation": 0.9, "unconditioned": 0.05}
    rows = []
    for target in TARGETS:
        for method, reward, distance in (
            ("conditioning", 3 - (target - 4) ** 2 / 10, 0.1),
            ("guidance", 3.5, 0.2),
            ("ascent", 1.0, target),
        ):
            here = {"method": method, "target": target, "reward": reward, "distance": distance, "predicted": target}
            rows.append(facts | here)
    found = measures("conditioning_optimises", rows)
    assert found == pytest.approx(
        {
            "reward_over_top_decile": 2.775 - 1.3,
            "reward_over_ascent": 1.775,
            "fall_after_peak": 2.5,
            "gain_by_guidance": 0.725,
            "correlation_of_regression": 0.9,
            "reward_unconditioned": 0.05,
        }
    )
    wanted = {"log_distance_over_ascent": -math.log(25), "log_distance_at_largest_target": -math.log(90)}
    wanted |= {"distance_of_ascent": 2.5, "predicted_by_ascent": 2.5}
    assert measures("nearer_than_ascent", rows) == pytest.approx(wanted)
