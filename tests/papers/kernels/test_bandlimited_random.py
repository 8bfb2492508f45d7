"""The studies of bandlimited_random: targets as they are said to be, and judges on tables whose answers are known."""

import math

import numpy as np
import pandas as pd
import pytest

from replica.kernels import RandomWeightRegressor
from replica.papers.kernels import bandlimited_random as paper


def test_targets_are_windowed_waves_and_sums_of_gaussians():
    X = np.array([[0.2, 0.3]])
    window = math.exp(-(0.2**2 + 0.3**2) / (2 * 0.35**2))
    assert paper.wave(X, 16.0, 0.5)[0] == pytest.approx(math.sin(16 * 0.2 + 0.5) * window)
    centres, sizes = np.array([0.1, -0.4]), np.array([2.0, -1.0])
    found = paper.bumps(np.array([[0.1], [5.0]]), 4.0, centres, sizes)
    assert found == pytest.approx([2.0 - math.exp(-((4 * 0.5) ** 2) / 2), 0.0])


def test_the_bound_is_below_what_networks_with_such_output_weights_reach():
    x = np.linspace(-1, 1, 401)[:, None]
    y = paper.wave(x, paper.FREQUENCY, 1.0)
    bound = paper.lower_bound(1.0)
    for cutoff in (1e-2, 1e-4, 1e-6):
        net = RandomWeightRegressor(500, 1.0, cutoff=cutoff, intercept=False, random_state=0).fit(x, y)
        assert np.abs(net.coef_).sum() < paper.MOST_WEIGHT
        assert 0.5 < bound <= paper.relative(net.predict(x), y)


def test_the_stall_is_read_off_the_narrow_range_and_the_control_off_the_wide_one():
    errors = {1.0: (0.8, 0.9, 0.4), 64.0: (0.5, 0.1, 0.05)}
    rows = [
        {"units": units, "weight_range": reach, "error": error, "left_out": 0.2, "lower_bound": 0.3}
        for reach, falling in errors.items()
        for units, error in zip((3000, 1000, 100), falling[::-1], strict=True)
    ]
    found = paper.bounded_weights_stall.judge(pd.DataFrame(rows).sample(frac=1, random_state=0))
    assert found["log_fall"] == pytest.approx(math.log(0.8 / 0.4))
    assert found["log_fall_in_wider_range"] == pytest.approx(math.log(10))
    assert found["log_error_over_left_out"] == pytest.approx(math.log(0.4 / 0.2))
    assert found["lower_bound"] == 0.3


def test_either_arithmetic_is_judged_by_its_own_rows():
    errors = {(1.0, 16): (0.9, 0.8), (1.0, 64): (0.85, 0.01), (8.0, 8): (0.5, 0.5), (64.0, 16): (0.3, 0.1)}
    rows = [
        {"weight_range": reach, "units": units, "arithmetic": name, "error": error, "digits": units, "left_out": 0.1}
        for (reach, units), both in errors.items()
        for name, error in zip((paper.DOUBLE, paper.DIGITS), both, strict=True)
    ]
    found = paper.positive_lower_bound.judge(pd.DataFrame(rows))
    assert found["log_fall"] == pytest.approx(math.log(80))
    assert found["log_fall_in_double_precision"] == pytest.approx(math.log(0.9 / 0.85))
    assert found["disagreement"] == pytest.approx(0.2)
    assert found["disagreement_of_eight_units"] == 0
    assert found["digits_of_output_weights"] == 64
    assert found["log_error_over_left_out"] == pytest.approx(math.log(0.1))


def test_ranges_that_go_with_frequency_have_slope_one():
    """Errors fall as exp(−(1.5 λ/ω)²) down to λ = 2 ω, and then rise; bumps want the root of the frequency."""
    ranges = 2.0 ** np.arange(-1, 8.5, 0.5)
    rows = [
        {"target": target, "frequency": ω, "weight_range": λ, "error": math.exp(-((3 * min(λ / b, 1)) ** 2)) * max(1, λ / b)}
        for target, power in (("wave", 1.0), ("bumps", 0.5))
        for ω in paper.FREQUENCIES
        for λ in ranges
        for b in (2 * ω**power,)
    ]  # fmt: skip
    rows += [
        {"target": "plane", "frequency": 16.0, "weight_range": λ, "error": e} for λ, e in ((1.0, 0.9), (4.0, 0.03))
    ]
    table = pd.DataFrame(rows)
    found = paper.range_follows_complexity.judge(table)
    assert found["slope"] == pytest.approx(1.0, abs=0.01)
    assert found["slope_of_least_range"] == pytest.approx(1.0, abs=0.05)
    assert found["slope_of_bumps"] == pytest.approx(0.5, abs=0.01)
    assert found["error_at_best"] == pytest.approx(math.exp(-9))
    gain = paper.suitable_range.judge(table)
    assert gain["log_gain"] == pytest.approx(9 - (3 / 32) ** 2)
    assert gain["log_gain_in_the_plane"] == pytest.approx(math.log(30))
    assert gain["error_at_one"] == pytest.approx(math.exp(-((3 / 32) ** 2)))
