import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erf

from replica.memory.dense_hebbian import DenseHebbianMemory
from replica.memory.dense_hebbian_equations import (
    _gaussian_averages,
    critical_load,
    dataset_entropy,
    dense_hebbian_equations,
    examples_needed,
)


def gaussian(function):
    return quad(lambda y: function(y) * math.exp(-y * y / 2) / math.sqrt(2 * math.pi), -10, 10, limit=500)[0]


def test_hopfield_capacity_is_that_of_amit_gutfreund_and_sompolinsky():
    assert critical_load(2, tolerance=1e-4) == pytest.approx(0.137906, abs=2e-5)
    assert float(dense_hebbian_equations(2, 0.1378).magnetization) == pytest.approx(0.967, abs=0.004)


@pytest.mark.parametrize("order", [3, 6])
def test_dense_capacity_at_zero_temperature_is_a_maximum_in_closed_form(order):
    # m = erf(y) with y = m^(P−1)/√(2 (P−1)! α), so α(y) = erf(y)^(2P−2) / (2 (P−1)! y²), largest where retrieval ends.
    best = minimize_scalar(
        lambda y: -(erf(y) ** (2 * order - 2)) / (2 * math.factorial(order - 1) * y * y),
        bounds=(0.5, 4),
        method="bounded",
    )
    assert critical_load(order, tolerance=1e-4) == pytest.approx(-best.fun, rel=1e-4)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("temperature", [0.2, 0.45])
def test_no_load_no_entropy_is_the_ferromagnet(order, temperature):
    # From above: the largest root of m = tanh(m^(P−1)/T).
    grid = np.linspace(1e-3, 1, 4001)
    excess = np.tanh(grid ** (order - 1) / temperature) - grid
    crossing = np.flatnonzero((excess[:-1] > 0) & (excess[1:] <= 0))
    wanted = 0.0
    if len(crossing):
        low, high = grid[crossing[-1]], grid[crossing[-1] + 1]
        wanted = brentq(lambda m: math.tanh(m ** (order - 1) / temperature) - m, low, high, xtol=1e-12)
    assert float(dense_hebbian_equations(order, 0.0, temperature).magnetization) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("order", "load", "temperature", "entropy"),
    [(2, 0.05, 0.2, 0.0), (2, 0.01, 0.3, 0.2), (3, 0.05, 0.1, 0.1), (4, 0.01, 0.05, 0.3), (4, 0.005, 0.25, 0.2)],
)
def test_solution_satisfies_the_equations_by_adaptive_quadrature(order, load, temperature, entropy):
    m, n, q, c, *_ = (float(value) for value in dense_hebbian_equations(order, load, temperature, entropy))
    assert m > 0.5
    beta, power = 1 / temperature, n ** (order - 1)
    noise = load * q / (1 - c) ** 2 if order == 2 else math.factorial(order - 1) * load * q ** (order - 1)

    # Here the two Gaussians, of the examples (x) and of the interference (z), are kept apart, unlike in the solver.
    def average(function):
        inner = lambda x: gaussian(lambda z: function(x, math.tanh(beta * (power * learned(x) + math.sqrt(noise) * z))))  # noqa: E731
        return gaussian(inner) if entropy else inner(0.0)

    def learned(x):
        return (1 + math.sqrt(entropy) * x) / math.sqrt(1 + entropy)

    assert average(lambda x, t: t) == pytest.approx(m, abs=1e-7)
    assert average(lambda x, t: t * t) == pytest.approx(q, abs=1e-7)
    assert average(lambda x, t: learned(x) * t) == pytest.approx(n, abs=1e-7)
    assert beta * (1 - q) == pytest.approx(c, abs=1e-6)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("start", [0.0, 0.3, 1.0])
def test_what_has_converged_solves_the_equations_on_a_grid_of_all_phases(order, start):
    load, entropy = np.array([0.003, 0.05, 0.3, 2.0]), np.array([0.0, 0.4])[:, None, None]
    temperature = np.array([0.0, 0.02, 0.2, 0.7, 1.3])[:, None]
    found = dense_hebbian_equations(order, load, temperature, entropy, start=start, tolerance=1e-6, max_steps=400)
    load, temperature, entropy = np.broadcast_arrays(load, temperature, entropy)
    m, n, q, c, _, converged = (value.numpy() for value in found)
    assert converged.mean() > 0.9
    noise = load * q / (1 - c) ** 2 if order == 2 else 2 * load * q**2
    g, s = n ** (order - 1) / np.sqrt(1 + entropy), np.sqrt(n ** (2 * order - 2) * entropy / (1 + entropy) + noise)
    y = np.linspace(-8, 8, 4001)
    weight = np.exp(-y * y / 2)
    for i in np.ndindex(*load.shape):
        if converged[i]:
            h = g[i] + s[i] * y
            tanh = np.tanh(h / temperature[i]) if temperature[i] else np.sign(h)
            assert np.average(tanh, weights=weight) == pytest.approx(m[i], abs=2e-3)
            assert np.average(tanh**2, weights=weight) == pytest.approx(q[i], abs=2e-3)
            assert c[i] * temperature[i] == pytest.approx(1 - q[i], abs=1e-5)


def test_pairs_past_the_end_of_retrieval():
    found = dense_hebbian_equations(2, 0.05, 0.2, 0.4)
    assert bool(found.converged)
    assert float(found.overlap) == pytest.approx(0.8414, abs=1e-4)


@pytest.mark.parametrize("order", [2, 3])
def test_without_noise_pairs_may_stay_at_zero(order):
    found = dense_hebbian_equations(order, 0.0, 0.5, start=0.0)
    assert bool(found.converged)
    assert (float(found.magnetization), float(found.susceptibility)) == pytest.approx((0.0, 2.0), abs=1e-9)


@pytest.mark.parametrize("order", [2, 3])
def test_too_few_steps_are_told(order):
    assert not dense_hebbian_equations(order, [0.01, 0.05], 0.3, max_steps=5).converged.any()


@pytest.mark.parametrize("order", [2, 4])
def test_low_temperature_tends_to_zero_temperature(order):
    load = 0.05 if order == 2 else 0.01
    cold = dense_hebbian_equations(order, load, 0.0, 0.1)
    cool = dense_hebbian_equations(order, load, 0.001, 0.1)
    for name in ("magnetization", "learned", "susceptibility"):
        assert float(getattr(cool, name)) == pytest.approx(float(getattr(cold, name)), abs=1e-3)


@pytest.mark.parametrize("order", [3, 4])
def test_examples_set_the_overlap_at_low_load(order):
    for entropy in (0.1, 1.0):
        found = float(dense_hebbian_equations(order, 1e-9, 0.0, entropy).magnetization)
        assert found == pytest.approx(math.erf(1 / math.sqrt(2 * entropy)), abs=1e-6)


def test_examples_needed_inverts_the_overlap():
    needed = examples_needed(0.2, 0.9)
    assert math.erf(1 / math.sqrt(2 * dataset_entropy(0.2, needed))) == pytest.approx(0.9, abs=1e-12)
    assert examples_needed(torch.full((5,), 0.2), 0.9) == pytest.approx(needed, rel=1e-5)
    mixed = torch.tensor([0.1, 0.3])
    count = examples_needed(mixed, 0.9)
    assert examples_needed(0.3, 0.9) < count < examples_needed(0.1, 0.9)


def test_a_grid_equals_its_points():
    load, temperature = np.array([[0.001, 0.01]]), np.array([[0.0], [0.1], [0.2]])
    grid = dense_hebbian_equations(4, load, temperature, 0.1)
    assert grid.magnetization.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            point = dense_hebbian_equations(4, load[0, j], temperature[i, 0], 0.1)
            assert float(point.magnetization) == pytest.approx(float(grid.magnetization[i, j]), abs=1e-9)


def test_continuation_finds_the_state_without_retrieval():
    assert float(dense_hebbian_equations(4, 0.01, 0.1, start=0.2).magnetization) < 1e-6
    assert float(dense_hebbian_equations(4, 0.01, 0.1, start=1.0).magnetization) > 0.99


def test_no_retrieval_above_the_critical_temperature():
    assert critical_load(2, 1.1, tolerance=1e-2) == 0.0
    assert critical_load(4, 0.52, tolerance=1e-2) == 0.0


def test_simulation_agrees_at_zero_temperature():
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(0, 2, (120, 1000), generator=generator).float() * 2 - 1
    memory = DenseHebbianMemory(2)
    memory.store(patterns)
    found = float((memory.relax(patterns).spins * patterns).mean())
    assert found == pytest.approx(float(dense_hebbian_equations(2, 0.12).magnetization), abs=0.02)


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("order", {"order": 1, "load": 0.1}),
        ("load", {"order": 2, "load": -0.1}),
        ("temperature", {"order": 2, "load": 0.1, "temperature": -1.0}),
        ("entropy", {"order": 2, "load": 0.1, "entropy": math.inf}),
        ("start", {"order": 2, "load": 0.1, "start": 2.0}),
        ("damping", {"order": 2, "load": 0.1, "damping": 1.0}),
    ],
)
def test_bad_arguments_are_named(named, arguments):
    with pytest.raises(ValueError, match=named):
        dense_hebbian_equations(**arguments)


def test_bad_examples_are_named():
    with pytest.raises(ValueError, match="quality"):
        dataset_entropy(0.0, 3)
    with pytest.raises(ValueError, match="examples"):
        dataset_entropy(0.5, 0)
    with pytest.raises(ValueError, match="magnetization"):
        examples_needed(0.5, 1.0)
    with pytest.raises(ValueError, match="quality"):
        examples_needed(torch.tensor([0.5, 0.0]))


@pytest.mark.parametrize("temperature", [1e-3, 0.05, 0.3, 0.301, 2.0])
def test_averages_are_exact_at_every_temperature(temperature):
    mean, spread = 0.4, 0.3
    found = _gaussian_averages(*(torch.tensor([x], dtype=torch.float64) for x in (mean, spread, temperature)))
    y = np.linspace(-10, 10, 400_001)  # fine enough for the sharpest step here
    weight = np.exp(-y * y / 2)
    for index, power in enumerate((1, 2)):
        wanted = np.average(np.tanh((mean + spread * y) / temperature) ** power, weights=weight)
        assert float(found[index]) == pytest.approx(wanted, abs=1e-12)
