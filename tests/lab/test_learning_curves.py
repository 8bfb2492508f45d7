"""What is read off learning curves, on curves whose law is planted."""

import math

import numpy as np
import pytest

from replica.lab.claims import Needed, exponent, samples_needed

SIZES = 2.0 ** np.arange(5, 13)


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0, 2.0])
def test_a_power_law_is_read_off_exactly(power):
    error = 3 * SIZES**-power
    assert exponent(SIZES, error) == pytest.approx(power)
    target = 3 * 500.0**-power
    found = samples_needed(SIZES, error, target)
    assert found.value == pytest.approx(500)
    assert not found.censored
    assert float(found) == found.low == found.high


def test_the_exponent_of_the_last_points_leaves_the_bend_out():
    error = 0.7 * SIZES**-0.5
    error[:4] = error[4]
    assert exponent(SIZES, error, last=4) == pytest.approx(0.5)
    assert exponent(SIZES, error) < 0.5
    assert exponent([1, 2], [1.0, 4.0]) == pytest.approx(-2)


def test_noise_moves_neither_the_mean_crossing_nor_the_mean_exponent():
    rng = np.random.default_rng(0)
    found, exponents = [], []
    for _ in range(400):
        error = SIZES**-0.5 * np.exp(rng.normal(0, 0.2, len(SIZES)))
        found.append(math.log(samples_needed(SIZES, error, 300.0**-0.5).value))
        exponents.append(exponent(SIZES, error))
    assert np.mean(found) == pytest.approx(math.log(300), abs=0.06)
    expected = 0.2 / np.sqrt(((np.log(SIZES) - np.log(SIZES).mean()) ** 2).sum())
    assert np.std(exponents) == pytest.approx(expected, rel=0.15)
    assert np.mean(exponents) == pytest.approx(0.5, abs=4 * expected / 20)


def test_neighbours_out_of_order_are_pooled():
    # 0.2 and 0.05 pool to their geometric mean 0.1 after the two before it.
    assert samples_needed([1, 10, 100, 1000], [1, 0.05, 0.2, 0.01], 0.1).value == pytest.approx(10)


def test_a_target_out_of_reach_is_censored():
    error = SIZES**-0.5
    never = samples_needed(SIZES, error, 0.5 * error[-1])
    assert never == Needed(SIZES[-1], math.inf)
    assert never.censored
    assert never.value == SIZES[-1]
    at_once = samples_needed(SIZES, error, 2 * error[0])
    assert at_once == Needed(0.0, SIZES[0])
    assert at_once.censored
    assert float(at_once) == SIZES[0]
    # A target that the last error meets to the letter is reached there.
    assert samples_needed(SIZES, error, error[-1]).value == pytest.approx(SIZES[-1])


def test_an_error_of_zero_is_reached_on_a_straight_line():
    assert samples_needed([10, 1000], [0.2, 0.0], 0.1).value == pytest.approx(100)
    assert samples_needed([10, 1000], [0.0, 0.0], 0.1).censored


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: samples_needed([1, 2], [1.0], 0.1), "n and error must be of one length"),
        (lambda: samples_needed([2, 1], [1.0, 0.5], 0.1), "n must be positive and rise"),
        (lambda: samples_needed([1, 2], [1.0, math.nan], 0.1), "errors must be finite"),
        (lambda: samples_needed([1, 2], [1.0, 0.5], 0.0), "target must be positive"),
        (lambda: exponent([1, 2], [1.0, 0.0]), "errors must be above 0"),
        (lambda: exponent([1, 2], [1.0, 0.5], last=1), "last must be from 2 to 2"),
        (lambda: exponent([0, 2], [1.0, 0.5]), "n must be positive and rise"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
