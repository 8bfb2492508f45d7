"""Bits of inductive bias: the law of quadratic forms against other laws, inversion and sampling; the fit."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, ncx2

from replica.kernels import ErrorLaw, KernelHypotheses, fit_error_law, inductive_bias, quadratic_form_log_cdf


def imhof(weights, means, value):
    """P by inversion of the characteristic function (Imhof 1961), for many weights of one size."""

    def integrand(u):
        square = (weights * u) ** 2
        angle = 0.5 * (np.arctan(weights * u) + means**2 * weights * u / (1 + square)).sum() - 0.5 * value * u
        return np.sin(angle) / (u * np.exp((0.25 * np.log1p(square) + 0.5 * means**2 * square / (1 + square)).sum()))

    return 0.5 - quad(integrand, 0, 60 / weights.sum() * len(weights) ** 0.5, limit=500)[0] / math.pi


@pytest.mark.parametrize("value", [1e-4, 0.02, 1.0, 10.0, 10.0001, 30.0])
def test_equal_weights_are_chi_squared_in_the_far_tail_and_at_the_mean(value):
    assert quadratic_form_log_cdf([0.5] * 20, [0.0] * 20, value) == pytest.approx(chi2.logcdf(2 * value, 20), abs=0.01)


def test_means_make_it_noncentral():
    log = quadratic_form_log_cdf([2.0] * 6, [1.0, 0.5, -1.0, 0.0, 2.0, 0.0], 3.0)
    assert log == pytest.approx(ncx2.logcdf(1.5, 6, 6.25), abs=0.01)


def test_unequal_weights_agree_with_inversion():
    rng = np.random.default_rng(0)
    weights, means = rng.uniform(0.1, 2.0, 30), rng.standard_normal(30)
    for value in (15.0, 30.0, 60.0, 90.0):
        assert math.exp(quadratic_form_log_cdf(weights, means, value)) == pytest.approx(
            imhof(weights, means, value), rel=0.01
        )


def test_weights_of_zero_do_nothing_and_what_is_no_form_is_refused():
    assert quadratic_form_log_cdf([1, 0], [0, 5], 1.0) == quadratic_form_log_cdf([1], [0], 1.0)
    assert quadratic_form_log_cdf([1.0], [0.0], 0.0) == -math.inf
    for weights, means in (([1, -1], [0, 0]), ([0, 0], [0, 0]), ([1, 1], [0])):
        with pytest.raises(ValueError, match="weights"):
            quadratic_form_log_cdf(weights, means, 1.0)


def test_the_fit_finds_the_law_that_the_errors_have():
    rng = np.random.default_rng(1)
    errors = 0.01 * ncx2.rvs(30, 12, size=2000, random_state=rng)
    exact = -ncx2.logcdf(20, 30, 12) / math.log(2)
    assert exact > 6  # rarer than 1 in 64
    assert inductive_bias(errors, 0.2) == pytest.approx(exact, rel=0.05)


def test_bits_near_the_samples_are_those_that_counting_gives():
    errors = np.random.default_rng(2).gamma(3.0, size=1000)
    target = float(np.quantile(errors, 0.05))
    assert inductive_bias(errors, target) == pytest.approx(-math.log2(0.05), rel=0.1)


@pytest.mark.parametrize("value", [0.3, 0.6, 1.0, 1.5, 2.5])
def test_the_law_is_the_scaled_noncentral_chi_squared(value):
    law = ErrorLaw(7.5, 4.0, 0.1)
    assert law.log_cdf(value) == pytest.approx(ncx2.logcdf(10 * value, 7.5, 4.0), abs=0.01)
    assert law.log_cdf(0.0) == -math.inf


def test_errors_that_hardly_differ_are_fitted_too():
    errors = 0.0084 + 1e-6 * np.random.default_rng(3).standard_normal(500)
    assert inductive_bias(errors, 0.01) == pytest.approx(0, abs=1e-6)
    assert fit_error_law(errors).degrees > 1e3


def hypotheses(outputs=2):
    rng = np.random.default_rng(4)
    inputs, tests = rng.standard_normal((12, 3)), rng.standard_normal((15, 3))

    def kernel(first, second):
        return np.exp(-((first[:, None] - second[None]) ** 2).sum(-1) / 2)

    return KernelHypotheses(
        kernel(inputs, inputs), kernel(tests, inputs), kernel(tests, tests),
        rng.standard_normal((12, outputs)), rng.standard_normal((15, outputs)),
    )  # fmt: skip


def test_exact_bits_are_those_of_sampling():
    space = hypotheses()
    errors = space.errors(40_000, np.random.default_rng(5))
    for share in (0.01, 0.2, 0.9):
        target = float(np.quantile(errors, share))
        assert 2 ** -space.bits(target) == pytest.approx(share, rel=0.1)


def test_hypotheses_that_were_trained_on_the_tests_have_no_error():
    points = np.random.default_rng(6).standard_normal((9, 2))
    kernel = np.exp(-((points[:, None] - points[None]) ** 2).sum(-1) / 2)
    y = points[:, :1]
    space = KernelHypotheses(kernel, kernel, kernel, y, y)
    assert space.errors(100, np.random.default_rng(0)).max() < 1e-5


@pytest.mark.parametrize("errors", [[1.0] * 20, [1.0, -1.0] * 10, [1.0, math.nan] * 10, [1.0, 2.0]])
def test_samples_that_have_no_law_are_refused(errors):
    with pytest.raises(ValueError, match="errors"):
        inductive_bias(errors, 0.5)
