import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq

from replica.memory.dense_hebbian_equations import dense_hebbian_equations
from replica.memory.replica_symmetric import replica_symmetric, replica_symmetric_free_energy, retrieval_limit


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_sherrington_kirkpatrick_at_zero_temperature():
    glass = replica_symmetric(2, 1.0, 0.0, phase="spin glass", couplings="gaussian")
    assert float(glass.energy) == pytest.approx(-math.sqrt(2 / math.pi), abs=1e-10)
    assert float(glass.entropy) == pytest.approx(-1 / (2 * math.pi), abs=1e-10)


def test_hopfield_glass_entropy_at_zero_temperature_is_that_of_amit_gutfreund_and_sompolinsky():
    loads = np.array([0.02, 0.1, 1.0])
    for phase in ("spin glass", "retrieval"):
        found = replica_symmetric(2, loads[:2] if phase == "retrieval" else loads, phase=phase)
        c = found.susceptibility
        wanted = -torch.from_numpy(loads[: len(c)]) / 2 * (torch.log(1 - c) + c / (1 - c))
        assert torch.allclose(found.entropy, wanted, atol=1e-10)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_paramagnet_in_closed_form(order):
    load, beta = 0.5, 1 / 3.0
    found = replica_symmetric(order, load, 1 / beta, phase="spin glass")
    strength = load * math.factorial(order - 1) / order
    pressure = math.log(2) + beta**2 * strength / 2
    if order == 2:
        pressure = math.log(2) - load / 2 * (math.log(1 - beta) + beta)
    assert float(found.overlap) == pytest.approx(0.0, abs=1e-9)
    assert float(found.free_energy) == pytest.approx(-pressure / beta, abs=1e-9)


@pytest.mark.parametrize(("order", "load"), [(2, 0.05), (3, 0.05), (4, 0.01), (6, 0.0005)])
@pytest.mark.parametrize("temperature", [0.0, 0.02, 0.2])
def test_free_energy_is_stationary_at_the_retrieval_solution(order, load, temperature):
    found = replica_symmetric(order, load, temperature)
    m, c = (value.reshape(1).requires_grad_() for value in (found.magnetization, found.susceptibility))
    free = replica_symmetric_free_energy(order, tensor(load), tensor(temperature), m, c)
    slopes = torch.autograd.grad(free.sum(), (m, c))
    assert float(found.magnetization) > 0.9
    assert max(abs(float(slope)) for slope in slopes) < 1e-8


@pytest.mark.parametrize("load", [5e-4, 0.01, 0.2])
def test_past_the_end_of_retrieval_pairs_are_the_glass_or_paramagnet(load):
    temperature = np.array([0.3, 0.8, 0.97, 1.4])
    kept, glass = (
        replica_symmetric(2, load, temperature, phase=phase, tolerance=1e-8) for phase in ("retrieval", "spin glass")
    )
    assert (kept.converged & glass.converged).all()
    lost = kept.magnetization < 1e-6
    assert lost[-1]
    for name in ("overlap", "susceptibility", "free_energy", "entropy"):
        ours, wanted = (getattr(state, name)[lost] for state in (kept, glass))
        assert torch.allclose(ours, wanted, atol=1e-5), name
    assert (kept.entropy < math.log(2)).all()


@pytest.mark.parametrize("phase", ["retrieval", "spin glass"])
def test_too_few_steps_are_told(phase):
    assert not replica_symmetric(2, [0.01, 0.05], 0.5, phase=phase, max_steps=4).converged.any()
    assert replica_symmetric(2, [0.01, 0.05], 0.5, phase=phase).converged.all()


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("temperature", [0.05, 0.4])
def test_free_energy_by_adaptive_quadrature(order, temperature):
    load, m, c = 0.1, 0.8, 0.3
    q = 1 - temperature * c
    if order == 2:
        noise = load * q / (1 - c) ** 2
        own = -load / 2 * (temperature * math.log(1 - c) - q / (1 - c) + 1) - noise * c / 2
    else:
        strength = load * math.factorial(order - 1) / order
        noise = strength * order * q ** (order - 1)
        own = strength / (2 * temperature) * (1 - q**order) - noise * c / 2

    def integrand(z):
        h = abs(m ** (order - 1) + math.sqrt(noise) * z) / temperature
        return (h + math.log1p(math.exp(-2 * h))) * temperature * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    wanted = (1 - 1 / order) * m**order - quad(integrand, -10, 10, limit=400, points=[0.0])[0] - own
    found = replica_symmetric_free_energy(order, tensor(load), tensor(temperature), tensor(m), tensor(c))
    assert float(found) == pytest.approx(wanted, abs=1e-8)


def test_entropy_is_the_slope_of_the_free_energy():
    for phase, load in (("retrieval", 0.05), ("spin glass", 0.5)):
        middle = replica_symmetric(3, load, 0.2, phase=phase)
        low, high = (replica_symmetric(3, load, 0.2 + h, phase=phase).free_energy for h in (-1e-4, 1e-4))
        assert float(middle.entropy) == pytest.approx(float(low - high) / 2e-4, abs=1e-6)
        assert float(middle.energy) == pytest.approx(float(middle.free_energy + 0.2 * middle.entropy), abs=1e-12)


def test_pairs_keep_their_patterns_as_ground_states_to_a_load_of_five_percent():
    def gap(load):
        kept, rest = (replica_symmetric(2, load, phase=phase).free_energy for phase in ("retrieval", "spin glass"))
        return float(kept - rest)

    assert brentq(gap, 0.03, 0.08, xtol=1e-4) == pytest.approx(0.0515, abs=0.001)


@pytest.mark.parametrize("couplings", ["hebbian", "gaussian"])
def test_stability_changes_sign_where_the_glass_of_pairs_begins(couplings):
    edge = math.sqrt(0.5) + (1.0 if couplings == "hebbian" else 0.0)
    hot, cold = (
        float(replica_symmetric(2, 0.5, edge * x, phase="spin glass", couplings=couplings).stability)
        for x in (1.05, 0.9)
    )
    assert cold < 0 < hot


@pytest.mark.parametrize("order", [2, 3, 4, 6])
def test_retrieval_limit_at_zero_temperature_is_a_maximum_in_closed_form(order):
    # With y = signal / (√2 noise): m = erf y, C = 2/√π e^{−y²} m^{1−P} y…; both loads are functions of y alone.
    y = np.linspace(0.5, 4, 200_001)
    erf = np.vectorize(math.erf)(y[::100])
    y = y[::100]
    if order == 2:
        load = (erf / y - 2 / math.sqrt(math.pi) * np.exp(-(y**2))) ** 2 / 2
    else:
        load = erf ** (2 * order - 2) / (2 * math.factorial(order - 1) * y**2)
    assert float(retrieval_limit(order)) == pytest.approx(load.max(), rel=1e-5)


@pytest.mark.parametrize(("order", "temperature"), [(2, 0.3), (3, 0.2), (4, 0.3)])
def test_iterated_retrieval_lasts_to_the_retrieval_limit(order, temperature):
    limit = float(retrieval_limit(order, temperature))
    found = dense_hebbian_equations(order, [0.98 * limit, 1.02 * limit], temperature, tolerance=1e-5).magnetization
    assert float(found[1]) < 0.1 < float(found[0])


def test_no_retrieval_above_the_critical_temperature():
    assert retrieval_limit(2, [[0.5, 1.1]]).shape == (1, 2)
    assert float(retrieval_limit(2, 1.1)) == 0.0
    assert float(retrieval_limit(4, 0.52)) == 0.0


def test_retrieval_is_that_of_the_equations_and_a_grid_equals_its_points():
    load, temperature = np.array([[0.01, 0.05]]), np.array([[0.0], [0.2], [0.4]])
    grid = replica_symmetric(3, load, temperature)
    assert grid.free_energy.shape == (3, 2)
    assert grid.free_energy.dtype == torch.float64
    wanted = dense_hebbian_equations(3, load, temperature).magnetization
    assert torch.allclose(grid.magnetization, wanted, atol=1e-8)
    assert float(replica_symmetric(3, 0.05, 0.2).entropy) == pytest.approx(float(grid.entropy[1, 1]), abs=1e-8)


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("order", {"order": 1, "load": 0.1}),
        ("load", {"order": 2, "load": 0.0}),
        ("temperature", {"order": 2, "load": 0.1, "temperature": -1.0}),
        ("phase", {"order": 2, "load": 0.1, "phase": "liquid"}),
        ("couplings", {"order": 2, "load": 0.1, "couplings": "cauchy"}),
        ("couplings", {"order": 2, "load": 0.1, "couplings": "gaussian"}),
    ],
)
def test_bad_arguments_are_named(named, arguments):
    with pytest.raises(ValueError, match=named):
        replica_symmetric(**arguments)
