"""Judges of kinetic_optimal on tables whose measures are known."""

import math

import pandas as pd
import pytest

from replica.papers.generative.kinetic_optimal import paper


def test_energies_are_compared_by_their_logarithms() -> None:
    table = pd.DataFrame(
        {
            "path": ["straight", "kinetic optimal", "variance preserving", "cosine"],
            "energy": [2.0, 1.0, 4.0, 3.0],
            "theory": [1.0, 9.0, 9.0, 9.0],
            "least": 0.5,
        }
    )
    found = paper.claims["energy_of_digits"].measures(table)
    expected = {
        "log_energy_over_straight": -math.log(2),
        "log_energy_over_diffusion": -math.log(4),
        "log_energy_over_theory": math.log(2),
        "log_straight_over_theory": math.log(2),
    }
    assert found == pytest.approx(expected)


def test_few_and_many_are_told_by_points_over_the_root_of_the_dimension() -> None:
    table = pd.DataFrame(
        {"ratio": [0.1, 0.25, 1.0, 32.0, 64.0], "gap": [0.01, 0.03, 0.1, 0.2, 0.4], "unexplained": [0, 0.1, 1, 1, 1]}
    )
    found = paper.claims["straight_becomes_optimal"].measures(table)
    assert found == pytest.approx(
        {"gap_of_few": 0.02, "gap_of_many": 0.3, "unexplained_of_few": 0.05, "rank_correlation": 1}
    )


def test_distances_are_those_of_four_and_eight_steps() -> None:
    rows = [
        {"path": path, "steps": steps, "distance": factor / steps}
        for path, factor in (("kinetic optimal", 1.0), ("straight", 2.0), ("cosine", 4.0))
        for steps in (4, 8, 32)
    ]
    found = paper.claims["few_steps"].measures(pd.DataFrame(rows))
    assert found["log_distance_over_straight"] == pytest.approx(-math.log(2))
    assert found["log_distance_over_cosine"] == pytest.approx(-math.log(4))
    assert (found["distance_at_4"], found["distance_at_32"]) == (0.5, 2 / 32)
