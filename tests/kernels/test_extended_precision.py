"""Least squares with many digits: against double precision, another solver, more digits, and where rounding hides a fit."""

import numpy as np
import pytest
from mpmath import matrix, mp, qr_solve

from replica.kernels import RandomWeightRegressor, refit_in_digits


def network(width, reach, X, y, **settings):
    return RandomWeightRegressor(width, reach, cutoff=1e-12, intercept=False, random_state=3, **settings).fit(X, y)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "gaussian"])
def test_double_precision_agrees_where_it_serves(activation):
    rng = np.random.default_rng(0)
    X, asked = rng.uniform(-1, 1, (40, 2)), rng.uniform(-1, 1, (10, 2))
    y = np.sin(3 * X[:, 0]) + X[:, 1]
    net = network(6, 4.0, X, y, activation=activation)
    found = refit_in_digits(net, X, y, asked, 50)
    np.testing.assert_allclose(found.predictions, net.predict(asked), atol=1e-9)
    assert found.output_weight == pytest.approx(np.log10(np.abs(net.coef_).sum()), abs=1e-9)


def test_another_solver_and_more_digits_give_the_same_where_double_precision_does_not_serve():
    X, asked = np.linspace(-1, 1, 30)[:, None], np.linspace(-0.9, 0.9, 7)[:, None]
    y = np.sin(16 * X[:, 0])
    net = network(14, 1.0, X, y)
    found = refit_in_digits(net, X, y, asked, 120)
    with mp.workdps(80):  # Householder's reflections do not square the condition number
        a, b = net.weights_[0], net.biases_
        to = [matrix([[1 / (1 + mp.exp(v - mp.mpf(u) * x[0])) for u, v in zip(a, b, strict=True)] for x in part])
              for part in (X.tolist(), asked.tolist())]  # fmt: skip
        solved, _ = qr_solve(to[0], matrix(y.tolist()))
        peer = [float(value) for value in to[1] * solved]
    np.testing.assert_allclose(found.predictions, peer, rtol=1e-12)
    np.testing.assert_allclose(found.predictions, refit_in_digits(net, X, y, asked, 240).predictions, rtol=1e-13)
    assert np.abs(net.predict(asked) - peer).max() > 1e-3


def test_as_many_units_as_points_interpolate_however_bounded_their_weights_are():
    X = np.linspace(-1, 1, 24)[:, None]
    y = np.sign(np.sin(9 * X[:, 0]))
    net = network(24, 0.5, X, y)
    found = refit_in_digits(net, X, y, X)
    assert np.abs(found.predictions - y).max() < 1e-12
    assert found.output_weight > 20
    assert np.abs(net.predict(X) - y).max() > 0.1


def test_wrong_arguments_are_named():
    X, y = np.linspace(-1, 1, 5)[:, None], np.zeros(5)
    net = network(4, 1.0, X, y)
    with pytest.raises(ValueError, match="X: got 3 rows"):
        refit_in_digits(net, X[:3], y[:3], X)
    with pytest.raises(ValueError, match="activation 'relu'"):
        refit_in_digits(network(4, 1.0, X, y, activation="relu"), X, y, X)
    with pytest.raises(ValueError, match="digits"):
        refit_in_digits(net, X, y, X, 10)
