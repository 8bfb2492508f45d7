"""What the claims of dense_rsb stand on: the soft glass and the units of load."""

import math

import pytest
from scipy.optimize import brentq

from replica.memory import replica_symmetric
from replica.papers.memory.dense_rsb import soft_glass_pressure, unit_load


@pytest.mark.parametrize(("noise", "confinement"), [(0.5, 0.2), (1.0, 0.3), (2.0, 0.5), (1.5, -0.2)])
def test_the_soft_glass_is_where_its_pressure_is_stationary(noise, confinement):
    """The overlap by root finding on a difference quotient, in place of the closed form."""

    def pressure(p):
        s = 1 / (1 - confinement + noise**2 * p)
        return 0.5 * math.log(s) + 0.5 * noise**2 * p * s + 0.25 * noise**2 * p**2

    def slope(p):
        return (pressure(p + 1e-5) - pressure(p - 1e-5)) / 2e-5

    overlap = 0.0 if 1 - confinement >= noise else brentq(slope, 1e-3, 10.0)
    assert soft_glass_pressure(noise, confinement) == pytest.approx(pressure(overlap), abs=1e-7)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_at_unit_load_interactions_have_the_usual_variance(order):
    """c = (P−1)! α / P = 1/2: the annealed energy of the glass is −β/4 a spin."""
    assert unit_load(order) * math.factorial(order - 1) / order == pytest.approx(0.5)
    hot = replica_symmetric(order, unit_load(order), 5.0, phase="spin glass", couplings="gaussian")
    assert float(hot.energy) == pytest.approx(-1 / (2 * 5.0), rel=1e-3)
