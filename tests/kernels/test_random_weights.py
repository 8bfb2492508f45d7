"""Networks of random hidden weights, and ridgelets: against quadrature, Plancherel, waves and adversaries."""

import math

import numpy as np
import pytest
import torch

from replica.kernels import (
    RandomWeightRegressor,
    band_loss,
    band_response,
    bandlimit_lower_bound,
    ridgelet_constant,
    ridgelet_transform,
)

DOUBLE = torch.float64


def grid(reach, count):
    places = torch.linspace(-reach, reach, count, dtype=DOUBLE)
    return places, float(places[1] - places[0])


def bump(x):
    return torch.exp(-x.square() / 2) * torch.cos(2 * x)


@pytest.mark.parametrize(("order", "weight_range"), [(2, 1.5), (2, 8.0), (4, 2.0)])
def test_reconstruction_from_a_band_is_the_low_pass_filter_in_closed_form(order, weight_range):
    x, step = grid(9, 361)
    count = 24 * math.ceil(weight_range / 3)
    width = 2 * weight_range / count
    weights, _ = grid(weight_range - width / 2, count)  # midpoints of cells
    biases, height = grid(9 * min(weight_range, 6) + 8, 401)
    a, b = (part.reshape(-1) for part in torch.meshgrid(weights, biases, indexing="ij"))
    transform = ridgelet_transform(bump(x), x[:, None], a[:, None], b, volume=step, order=order)
    places, _ = grid(1.5, 7)
    units = torch.exp(-(places[:, None] * a - b).square() / 2)
    found = units @ transform * width * height / ridgelet_constant(1, order)
    frequencies, pitch = grid(10, 2001)
    # The Fourier transform of the bump in closed form.
    spectrum = math.sqrt(2 * math.pi) / 2 * sum(torch.exp(-(frequencies - s).square() / 2) for s in (2, -2))
    kept = spectrum * band_response(frequencies.abs(), weight_range, order=order)
    expected = torch.cos(places[:, None] * frequencies) @ kept * pitch / (2 * math.pi)
    assert torch.allclose(found, expected, atol=2e-3)


def test_loss_of_a_gaussian_is_the_integral_in_closed_form():
    """With f̂ ∝ exp(−ξ²/2) the squared loss is ∫ (1 − exp(−ξ²/λ²))² exp(−ξ²) dξ over ∫ exp(−ξ²) dξ."""
    x, step = grid(60, 5401)
    for λ in (0.5, 1.0, 3.0):
        squared = 1 - 2 / math.sqrt(1 + λ**-2) + 1 / math.sqrt(1 + 2 * λ**-2)
        assert band_loss(torch.exp(-x.square() / 2), λ, spacing=step) == pytest.approx(math.sqrt(squared), rel=1e-6)
    wave = torch.exp(-x.square() / 8) * torch.cos(12 * x)  # nearly one frequency
    kept = 1 - float(band_response(torch.tensor(12.0), 9.0))
    assert band_loss(wave, 9.0, spacing=step) == pytest.approx(kept, rel=0.01)


def test_transform_keeps_what_plancherel_says():
    """∫|R f(a, b)|² db = (1/2π) ∫ |f̂(ωa)|² |ψ̂(ω)|² dω, ψ̂(ω) = √2π ω² exp(−ω²/2)."""
    x, step = grid(9, 361)
    biases, height = grid(30, 1201)
    ω, pitch = grid(12, 2001)
    for a in (0.5, 2.0):
        weights = torch.full((len(biases), 1), a, dtype=DOUBLE)
        transform = ridgelet_transform(bump(x), x[:, None], weights, biases, volume=step)
        spectrum = math.sqrt(2 * math.pi) / 2 * sum(torch.exp(-(ω * a - s).square() / 2) for s in (2, -2))
        right = (spectrum * ω.square() * torch.exp(-ω.square() / 2)).square().sum() * pitch
        assert float(transform.square().sum() * height) == pytest.approx(float(right), rel=1e-6)


def test_band_in_the_plane_agrees_with_the_integral_over_radii():
    """In d dimensions the share is ∫ over ω above |ξ|/λ of ω^{k−d} exp(−ω²), of the whole."""
    ω = torch.linspace(1e-6, 8, 400_001, dtype=DOUBLE)
    density = ω.pow(4 - 2) * torch.exp(-ω.square())
    for ξ in (0.3, 1.0, 3.0):
        share = density[ω >= ξ / 1.7].sum() / density.sum()
        found = band_response(torch.tensor(ξ, dtype=DOUBLE), 1.7, dim=2, order=4)
        assert float(found) == pytest.approx(float(share), abs=1e-4)


@pytest.mark.parametrize("allowed", [1.0, 30.0, 1e4])
def test_no_network_of_the_range_gets_below_the_bound(allowed):
    x = np.linspace(-1, 1, 80)[:, None]
    y = np.sin(7 * x[:, 0])
    slopes, shifts = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41))
    cover = 1 / (1 + np.exp(-(x * slopes.ravel() - shifts.ravel())))
    bound = bandlimit_lower_bound(torch.from_numpy(cover), torch.from_numpy(y), allowed)
    errors = []
    for cutoff in (0.3, 0.01, 1e-3, 1e-4, 1e-5, 1e-6):
        net = RandomWeightRegressor(400, cutoff=cutoff, intercept=False, random_state=0).fit(x, y)
        if np.abs(net.coef_).sum() <= allowed:
            errors.append(np.sqrt(np.square(net.predict(x) - y).mean()))
    errors.append(np.sqrt(np.square(y).mean()))
    assert bound <= min(errors)
    assert bound > 0.5 * min(errors)  # and it says something


def test_weights_are_free_where_the_function_is_in_the_range():
    x = np.linspace(-1, 1, 60)[:, None]
    y = 0.7 * np.tanh(0.4 * x[:, 0])
    net = RandomWeightRegressor(60, activation="tanh", cutoff=1e-13, random_state=0).fit(x, y)
    assert np.abs(net.predict(x) - y).max() < 1e-9
    assert bandlimit_lower_bound(torch.from_numpy(np.tanh(0.4 * x)), torch.from_numpy(y), 0.7) < 1e-12


def test_solution_is_least_squares_and_draws_stay_in_their_range():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
    net = RandomWeightRegressor(20, 2.0, bias_range=0.5, activation="gaussian", cutoff=1e-14, random_state=1).fit(X, y)
    assert np.abs(net.weights_).max() <= 2
    assert np.abs(net.biases_).max() <= 0.5
    columns = np.column_stack([np.ones(50), np.exp(-np.square(X @ net.weights_ - net.biases_) / 2)])
    assert np.allclose(net.predict(X), columns @ np.linalg.lstsq(columns, y, rcond=None)[0])
    chosen = RandomWeightRegressor(20, 2.0, random_state=1).fit(X, y)
    assert chosen.predict(X).std() < net.predict(X).std()  # noise alone: leave-one-out holds back


def test_a_unit_is_not_dropped_for_being_small():
    X = np.linspace(-1, 1, 50)[:, None]
    net = RandomWeightRegressor(4, 2.0, bias_range=60.0, cutoff=1e-12, intercept=False, random_state=5)
    units = net.fit(X, X[:, 0]).units(X)
    sizes = np.linalg.norm(units, axis=0)
    assert sizes.min() < 1e-13 * sizes.max()
    y = 3.0 * units[:, sizes.argmin()] / sizes.min()
    np.testing.assert_allclose(net.fit(X, y).predict(X), y, rtol=1e-8)


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"width": 0}, "width"), ({"weight_range": -1.0}, "weight_range"), ({"bias_range": np.inf}, "bias_range"),
     ({"activation": "step"}, "activation"), ({"cutoff": 1.0}, "cutoff")],
)  # fmt: skip
def test_wrong_settings_are_named(settings, name):
    with pytest.raises(ValueError, match=name):
        RandomWeightRegressor(**settings).fit(np.zeros((3, 1)), np.zeros(3))


def test_wrong_arguments_of_ridgelets_are_named():
    ones = torch.ones(2, 1)
    with pytest.raises(ValueError, match="order"):
        ridgelet_transform(ones[:, 0], ones, ones, ones[:, 0], volume=1.0, order=3)
    with pytest.raises(ValueError, match="order"):
        ridgelet_constant(3, 2)
    with pytest.raises(ValueError, match="weight_range"):
        band_response(ones, 0.0)
    with pytest.raises(ValueError, match="features"):
        bandlimit_lower_bound(ones, torch.ones(3), 1.0)
    with pytest.raises(ValueError, match="output_weight"):
        bandlimit_lower_bound(ones, torch.ones(2), -1.0)
