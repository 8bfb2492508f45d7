"""What the claims of dense_rsb stand on: the soft glass, units of load, and the lines of the phase diagram."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from replica.lab.claims import Trial
from replica.memory import replica_symmetric, retrieval_limit
from replica.papers.memory.dense_rsb import (
    finite_size,
    frozen_ground_state_load,
    ground_state_loads,
    paper,
    random_patterns,
    soft_glass_pressure,
    unit_load,
)


@pytest.mark.parametrize(("noise", "confinement"), [(0.5, 0.2), (1.0, 0.3), (2.0, 0.5), (1.5, -0.2)])
def test_the_soft_glass_is_where_its_pressure_is_stationary(noise: float, confinement: float) -> None:
    """The overlap by root finding on a difference quotient, in place of the closed form."""

    def pressure(p: float) -> float:
        s = 1 / (1 - confinement + noise**2 * p)
        return 0.5 * math.log(s) + 0.5 * noise**2 * p * s + 0.25 * noise**2 * p**2

    def slope(p: float) -> float:
        return (pressure(p + 1e-5) - pressure(p - 1e-5)) / 2e-5

    overlap = 0.0 if 1 - confinement >= noise else brentq(slope, 1e-3, 10.0)
    assert soft_glass_pressure(noise, confinement) == pytest.approx(pressure(overlap), abs=1e-7)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_at_unit_load_interactions_have_the_usual_variance(order: int) -> None:
    """c = (P−1)! α / P = 1/2: the annealed energy of the glass is −β/4 a spin."""
    assert unit_load(order) * math.factorial(order - 1) / order == pytest.approx(0.5)
    hot = replica_symmetric(order, unit_load(order), 5.0, phase="spin glass", couplings="gaussian")
    assert float(hot.energy) == pytest.approx(-1 / (2 * 5.0), rel=1e-3)


def test_patterns_cease_to_be_ground_states_where_free_energies_cross() -> None:
    load = frozen_ground_state_load()
    kept, rest = (
        float(replica_symmetric(2, load, 0.0, phase=phase, tolerance=1e-9).free_energy)
        for phase in ("retrieval", "spin glass")
    )
    assert kept == pytest.approx(rest, abs=1e-5)
    assert 0.03 < load < float(retrieval_limit(2))


def test_the_line_of_ground_states_lies_below_that_of_states() -> None:
    temperatures = np.array([0.02, 0.2, 0.5])
    limits = retrieval_limit(2, temperatures).numpy()
    found = ground_state_loads(2, temperatures, limits)
    assert (found <= limits + 1e-12).all()
    assert found[0] == pytest.approx(frozen_ground_state_load(), rel=0.05)
    for load, temperature in zip(found[:2], temperatures[:2], strict=True):
        kept, rest = (
            float(replica_symmetric(2, load, temperature, phase=phase).free_energy)
            for phase in ("retrieval", "spin glass")
        )
        assert kept == pytest.approx(rest, abs=2e-3)


def test_patterns_and_sizes() -> None:
    patterns = random_patterns(Trial(0, "smoke"), 3, 5, 40, "p")
    assert patterns.shape == (3, 5, 40)
    assert patterns.unique().tolist() == [-1, 1]
    assert torch.equal(patterns, random_patterns(Trial(0, "smoke"), 3, 5, 40, "p"))
    assert finite_size(2, 8.0) == pytest.approx(0.25)
    assert finite_size(3, math.e) == pytest.approx(1 / math.e)


def test_what_the_literature_reports_stands_beside_ours() -> None:
    reported = paper.claims["capacity"].reported
    assert reported["symmetric_order_2"].value == 0.138
    assert reported["one_step_order_2"].value == 0.144
