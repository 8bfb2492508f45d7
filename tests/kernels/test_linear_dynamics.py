"""Random spectra, errors of linear networks over training time, exact paths, and early stopping."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from sklearn.linear_model import LinearRegression

from replica.kernels import (
    EarlyStoppedRegressor,
    MarchenkoPastur,
    generalization_error,
    linear_dynamics,
    optimal_stopping_time,
    training_error,
)

LOADS = (0.1, 0.5, 1.0, 1.1, 3.0)


@pytest.mark.parametrize("load", LOADS)
def test_moments_of_the_law(load):
    law = MarchenkoPastur(load)
    assert law.mean(torch.ones_like) + law.mass_at_zero == pytest.approx(1)
    assert law.mean(lambda x: x) == pytest.approx(load)
    assert law.mean(lambda x: x**2) == pytest.approx(load + load**2)
    assert law.mean(lambda x: x**3) == pytest.approx(load + 3 * load**2 + load**3)
    if load != 1:
        # Of the eigenvalues above 0.
        assert law.mean(lambda x: 1 / x) == pytest.approx(min(load, 1) / abs(load - 1))
    low, high = law.edges
    grid = torch.linspace(max(low - 0.1, 1e-6), high + 0.1, 200_001, dtype=torch.float64)
    if load != 1:
        assert float(torch.trapezoid(law.density(grid), grid)) == pytest.approx(min(load, 1), abs=1e-4)


@pytest.mark.parametrize("load", LOADS)
def test_the_law_has_the_resolvent_of_its_equation(load):
    """⟨1/(λ + z)⟩ with the mass at 0 solves z m² + (z + α − 1) m − 1 = 0."""
    law = MarchenkoPastur(load)
    for z in (0.1, 1.0):
        found = law.mean(lambda x, z=z: 1 / (x + z)) + law.mass_at_zero / z
        assert z * found**2 + (z + load - 1) * found == pytest.approx(1)


def test_eigenvalues_of_random_inputs_follow_the_law():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(600, 300, dtype=torch.float64, generator=generator) / math.sqrt(600)
    found = torch.linalg.eigvalsh(inputs @ inputs.T)
    law = MarchenkoPastur(0.5)
    assert int((found < 1e-9).sum()) == 300
    for z in (0.01, 0.3, 2.0):
        expected = law.mean(lambda x, z=z: torch.exp(-x / z)) + 0.5
        assert float(torch.exp(-found / z).mean()) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("load", [0.5, 2.0])
def test_errors_at_the_ends_of_training(load):
    ends = torch.tensor([0.0, torch.inf])
    variances = {"noise": 0.5, "signal": 2.0, "start": 0.3}
    first, last = generalization_error(ends, load, **variances).tolist()
    unseen = max(1 - load, 0) * 2.3
    assert first == pytest.approx(2.3 + 0.5)
    assert last == pytest.approx(unseen + 0.5 * min(load, 1) / abs(load - 1) + 0.5)
    first, last = training_error(ends, load, **variances).tolist()
    assert first == pytest.approx(2.3 + 0.5)
    assert last == pytest.approx(max(1 - 1 / load, 0) * 0.5)


@pytest.mark.parametrize("load", [0.5, 2.0])
def test_errors_are_means_over_simulated_runs(load):
    """At a sample's own eigenvalues the means over truths, noise and starts are exact."""
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)  # noqa: E731
    inputs, runs = 20, 20_000
    samples = round(load * inputs)
    X = draw(inputs, samples) / math.sqrt(inputs)
    truth, noise, start = draw(inputs, runs), 0.7 * draw(samples, runs), 0.5 * draw(inputs, runs)
    targets, times = X.T @ truth + noise, torch.tensor([0.0, 0.3, 2.0, 50.0])
    weights = linear_dynamics(X, targets, times, start)
    known = {"noise": 0.49, "start": 0.25, "eigenvalues": torch.linalg.eigvalsh(X @ X.T)}
    fresh = (weights - truth).square().mean(dim=(1, 2)) + 0.49
    seen = (targets - X.T @ weights).square().mean(dim=(1, 2))
    torch.testing.assert_close(generalization_error(times, load, **known), fresh, rtol=0.02, atol=0)
    torch.testing.assert_close(training_error(times, load, **known), seen, rtol=0.02, atol=1e-4)


def test_paths_are_those_of_the_differential_equation():
    rng = np.random.default_rng(0)
    X, y, start = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=5)
    solved = solve_ivp(lambda _, w: X @ (y - X.T @ w), (0, 2), start, t_eval=[0.1, 2], rtol=1e-10, atol=1e-12).y.T
    given = (
        torch.from_numpy(X),
        torch.from_numpy(y)[:, None],
        torch.tensor([0.1, 2.0]),
        torch.from_numpy(start)[:, None],
    )
    np.testing.assert_allclose(linear_dynamics(*given)[..., 0].numpy(), solved, rtol=1e-6, atol=1e-8)
    last = linear_dynamics(given[0], given[1], torch.tensor([torch.inf]), given[3])[0, :, 0].numpy()
    np.testing.assert_allclose(X.T @ last, y, rtol=1e-8)
    frozen = np.linalg.svd(X)[0][:, 3:]
    np.testing.assert_allclose(frozen.T @ last, frozen.T @ start, atol=1e-10)


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("noise", [0.2, 5.0])
def test_stopping_early_is_nearly_the_best_ridge(load, noise):
    """Ridge at its best is the posterior mean: nothing that sees the samples has less error; early stopping comes near."""
    law = MarchenkoPastur(load)
    posterior = law.mean(lambda x: 1 / (1 + x / noise)) + law.mass_at_zero + noise
    stop = optimal_stopping_time(load, noise=noise)
    assert posterior < stop.error < 1.02 * posterior
    around = generalization_error(torch.tensor([stop.time * 0.9, stop.time, stop.time * 1.1]), load, noise=noise)
    assert around.argmin() == 1
    assert optimal_stopping_time(load, noise=0.0).time == math.inf


def test_the_regressor_follows_the_flow_and_ends_at_least_squares():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)) + 3, rng.normal(size=30) + 5
    centred, mean = torch.from_numpy((X - X.mean(0)).T), y - y.mean()
    path = linear_dynamics(centred, torch.from_numpy(mean)[:, None], torch.tensor([0.02], dtype=torch.float64))[0, :, 0]
    model = EarlyStoppedRegressor(time=0.02).fit(X, y)
    np.testing.assert_allclose(model.coef_, path.numpy(), rtol=1e-9)
    last, peer = EarlyStoppedRegressor(time=np.inf).fit(X, y), LinearRegression().fit(X, y)
    np.testing.assert_allclose(last.predict(X), peer.predict(X), rtol=1e-9)
    assert EarlyStoppedRegressor(time=0.0).fit(X, y).predict(X) == pytest.approx(y.mean())


def test_the_chosen_time_is_near_the_best():
    lost = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, truth = rng.normal(size=(150, 100)) / 10, rng.normal(size=100)
        model = EarlyStoppedRegressor().fit(X, X @ truth + rng.normal(size=150))
        lost.append(np.square(model.coef_ - truth).mean())
    assert np.mean(lost) + 1 < 1.1 * optimal_stopping_time(1.5, noise=1.0).error


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: MarchenkoPastur(0.0), "load: got 0.0, want a finite number above 0"),
        (lambda: MarchenkoPastur(1.0).quadrature(0), "nodes: got 0, want 1 or more"),
        (lambda: generalization_error(torch.ones(1), 1.0, noise=-1.0), "noise: got -1.0, want a finite variance"),
        (lambda: training_error(-torch.ones(1), 1.0, noise=1.0), "times: got a negative one"),
        (lambda: linear_dynamics(torch.ones(2, 3), torch.ones(2, 1), torch.ones(1)), "targets: got 2 samples, want 3"),
        (
            lambda: linear_dynamics(torch.ones(2, 3), torch.ones(3, 1), torch.ones(1), torch.ones(3, 1)),
            r"start: got shape \(3, 1\), want \(2, 1\)",
        ),
        (lambda: EarlyStoppedRegressor(time=-1.0).fit(np.eye(3), np.ones(3)), "time: got -1.0, want 0 or more"),
    ],
)
def test_bad_arguments_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
