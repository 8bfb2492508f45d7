import math

import numpy as np
import pytest
import torch

from replica.memory import broken_replica_symmetry
from replica.memory.broken_free_energy import _violations, one_step_free_energy
from replica.memory.broken_phase_boundaries import glass_temperature, one_step_retrieval_branch
from replica.memory.broken_replica_symmetry import one_step_broken
from replica.memory.replica_symmetric import replica_symmetric, replica_symmetric_free_energy

MODELS = [(2, "hebbian"), (2, "gaussian"), (3, "hebbian"), (4, "hebbian")]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("order", "couplings"), MODELS)
@pytest.mark.parametrize("temperature", [0.0, 0.05, 0.8])
def test_equal_overlaps_are_replica_symmetric_at_any_breaking(order, couplings, temperature):
    load, t, m, c = tensor(0.3), tensor(temperature), tensor(0.6), tensor(0.2)
    wanted = replica_symmetric_free_energy(order, load, t, m, c, couplings=couplings)
    for gap, rate in ((1e-6, 0.4), (1e-6, 1.1)):
        found = one_step_free_energy(order, load, t, m, 1 - t * c - gap, c, tensor(rate), couplings=couplings)
        assert float(found) == pytest.approx(float(wanted), abs=3e-5)


@pytest.mark.parametrize(("order", "couplings"), MODELS)
def test_breaking_at_one_forgets_the_valleys(order, couplings):
    # At θ = 1 the average over z₁ is done outside the logarithm's power: only q₁ is left of the two overlaps.
    load, t = tensor(0.3), tensor(0.5)
    m, q1 = tensor(0.6), tensor(0.4)
    wanted = replica_symmetric_free_energy(order, load, t, m, (1 - q1) / t, couplings=couplings)
    for c in (0.3, 0.7):
        found = one_step_free_energy(order, load, t, m, q1, tensor(c), 1 / t, couplings=couplings)
        if order == 2 and couplings == "hebbian":
            # There V₂ is not at its own optimum for every q₂; only where it is does the identity hold.
            continue
        assert float(found) == pytest.approx(float(wanted), abs=1e-8)


@pytest.mark.parametrize(("order", "couplings"), MODELS)
@pytest.mark.parametrize("temperature", [0.0, 0.05, 0.3, 0.8])
def test_slopes_of_the_free_energy_are_the_equations_of_state(order, couplings, temperature):
    load, t = tensor(0.3), tensor(temperature)
    state = [tensor(value).requires_grad_() for value in (0.6, 0.5, 0.2, 0.8)]
    free = one_step_free_energy(order, load, t, *state, couplings=couplings)
    slopes = torch.autograd.grad(free.sum(), state)
    left = [float(value.detach()) for value in _violations(order, load, t, state, couplings)]
    assert float(slopes[0]) == pytest.approx(-(order - 1) * 0.6 ** (order - 2) * left[0], abs=1e-9)
    if order > 2 or couplings == "gaussian":
        strength = 0.3 * math.factorial(order - 1) * (order - 1)
        assert float(slopes[1]) == pytest.approx(0.8 / 2 * strength * 0.5 ** (order - 2) * left[1], abs=1e-9)
        assert float(slopes[3]) == pytest.approx(-left[3], abs=1e-9)


@pytest.mark.parametrize(
    ("order", "load", "temperature", "phase"),
    [
        (2, 0.5, 0.3, "spin glass"),
        (3, 0.5, 0.2, "spin glass"),
        (2, 0.1, 0.0, "spin glass"),
        (3, 0.125, 0.0, "retrieval"),
    ],
)
def test_free_energy_is_stationary_at_the_solution(order, load, temperature, phase):
    found = one_step_broken(order, load, temperature, phase=phase)
    assert bool(found.broken & found.converged)
    assert float(found.residual) < 1e-9
    state = [
        value.reshape(1).requires_grad_()
        for value in (found.magnetization, found.between, found.susceptibility, found.breaking_rate)
    ]
    free = one_step_free_energy(order, tensor(load), tensor(temperature), *state)
    unknown = {"retrieval": (0, 1, 2, 3), "spin glass": (1, 2, 3) if order == 2 else (2, 3)}[phase]
    slopes = torch.autograd.grad(free.sum(), [state[k] for k in unknown])
    assert max(abs(float(slope)) for slope in slopes) < 1e-8


def test_sherrington_kirkpatrick_ground_state():
    # Parisi 1980: −0.7652 at one step; the replica-symmetric −0.7979 lies below, the exact −0.7632 above.
    found = one_step_broken(2, 1.0, 0.0, phase="spin glass", couplings="gaussian")
    assert float(found.energy) == pytest.approx(-0.76526, abs=2e-5)
    assert -0.7979 < float(found.energy) < -0.7632


def test_hopfield_glass_tends_to_the_hard_glass_at_high_load():
    load = 1e4
    hopfield = one_step_broken(2, load, 0.0, phase="spin glass")
    assert float(hopfield.breaking_rate) * math.sqrt(load) == pytest.approx(1.3608, abs=0.03)
    assert float(hopfield.between) == pytest.approx(0.4768, abs=0.005)


def test_three_spin_glass():
    assert glass_temperature(3, 0.75) == pytest.approx(0.65138, abs=2e-5)
    found = one_step_broken(3, 0.75, [0.0, 0.6, 0.66], phase="spin glass")
    assert float(found.energy[0]) == pytest.approx(-0.81353, abs=2e-5)
    assert found.broken.tolist() == [True, True, False]
    # The free energy goes over into the paramagnet's without a jump.
    edge = glass_temperature(3, 0.75)
    below = one_step_broken(3, 0.75, edge - 1e-4, phase="spin glass")
    assert float(below.breaking_rate) * edge == pytest.approx(1.0, abs=1e-3)
    assert float(below.free_energy) == pytest.approx(-edge * math.log(2) - 0.25 / edge, abs=1e-4)


def test_random_energy_model_at_high_order():
    # P → ∞ at c = 1/2: T_c = 1/(2√ln 2), ground-state energy −√ln 2.
    assert glass_temperature(12, 12 / (2 * math.factorial(11))) == pytest.approx(
        1 / (2 * math.sqrt(math.log(2))), abs=1e-3
    )
    found = one_step_broken(12, 12 / (2 * math.factorial(11)), 0.0, phase="spin glass")
    assert float(found.energy) == pytest.approx(-math.sqrt(math.log(2)), abs=1e-3)


def test_breaking_raises_free_energy_and_entropy():
    t = [0.0, 0.3]
    for order, load in ((2, 0.3), (3, 0.75), (4, 0.3)):
        broken = one_step_broken(order, load, t, phase="spin glass")
        symmetric = replica_symmetric(order, load, t, phase="spin glass")
        assert bool(broken.broken.all())
        assert bool((broken.free_energy > symmetric.free_energy).all())
        assert float(broken.entropy[0]) > float(symmetric.entropy[0])


def test_low_temperature_tends_to_zero_temperature_and_entropy_is_the_slope():
    found = one_step_broken(2, 0.5, [0.0, 1e-3, 0.2998, 0.3, 0.3002], phase="spin glass")
    assert float(found.free_energy[1] - found.free_energy[0]) == pytest.approx(
        -1e-3 * float(found.entropy[0]), abs=1e-5
    )
    slope = float(found.free_energy[2] - found.free_energy[4]) / 4e-4
    assert float(found.entropy[3]) == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("reached", [-1.0, 0.1])
def test_states_that_are_lost_on_the_way_are_told(monkeypatch, reached):
    """Newton's method is made to fail above this temperature."""
    newton = broken_replica_symmetry._newton

    def failing(order, load, t, *rest):
        solved, left = newton(order, load, t, *rest)
        return solved, torch.where(t > reached, 1.0, left)

    monkeypatch.setattr(broken_replica_symmetry, "_newton", failing)
    found = one_step_broken(3, 0.75, [0.05, 0.4], phase="spin glass", stride=0.2)
    assert found.converged.tolist() == found.broken.tolist() == [reached > 0, False]
    assert float(found.residual.max()) < 1e-9


def test_no_breaking_where_replica_symmetry_is_stable():
    hot = one_step_broken(2, 0.5, 1.8, phase="spin glass")
    kept = one_step_broken(2, 0.05, 0.3)
    for found, phase, load, t in ((hot, "spin glass", 0.5, 1.8), (kept, "retrieval", 0.05, 0.3)):
        wanted = replica_symmetric(2, load, t, phase=phase)
        assert not bool(found.broken)
        assert bool(found.converged)
        assert float(found.within - found.between) == pytest.approx(0.0, abs=1e-12)
        assert float(found.free_energy) == float(wanted.free_energy)


def test_hopfield_capacity_is_that_of_steffan_and_kuehn():
    # J. Steffan and R. Kühn 1994: 0.138186 at one step, which Crisanti, Amit and Gutfreund's 0.144 is not.
    branch = one_step_retrieval_branch(2, start=0.95)
    assert float(branch.load[-1]) == pytest.approx(0.138186, abs=1e-6)
    assert float(branch.residual.max()) < 1e-8
    assert branch.converged


def test_a_start_without_a_broken_state_gives_way_to_the_next():
    """At this load the search over breaking rates finds nothing, a hundredth further it does."""
    assert float(one_step_retrieval_branch(2, start=0.9028880313942298).load[-1]) == pytest.approx(0.138186, abs=1e-6)


def test_a_step_gone_astray_takes_no_other_point_with_it():
    """On this grid one of Newton's steps leaves the numbers; the points around it are solved as ever."""
    load = 0.46377854
    grid = one_step_broken(
        2, load, np.linspace(0, 0.97, 11) * glass_temperature(2, load), phase="spin glass", stride=0.15
    )
    assert bool(grid.free_energy.isfinite().all())
    assert float(grid.residual.max()) < 1e-8


def test_branch_agrees_with_the_state_at_a_load():
    branch = one_step_retrieval_branch(4, start=0.95, tolerance=1e-17)
    assert not branch.converged  # rounding ends it
    k = 1
    state = one_step_broken(4, float(branch.load[k]))
    assert float(state.magnetization) == pytest.approx(float(branch.magnetization[k]), abs=1e-7)
    assert bool((branch.load[1:] > branch.load[:-1]).all())


def test_a_grid_equals_its_points():
    load, temperature = np.array([[0.3, 0.8]]), np.array([[0.0], [0.2]])
    grid = one_step_broken(3, load, temperature, phase="spin glass")
    assert grid.free_energy.shape == (2, 2)
    for i in range(2):
        for j in range(2):
            point = one_step_broken(3, load[0, j], temperature[i, 0], phase="spin glass")
            assert float(point.free_energy) == pytest.approx(float(grid.free_energy[i, j]), abs=1e-9)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="order"):
        one_step_broken(1, 0.1)
    with pytest.raises(ValueError, match="load"):
        one_step_broken(2, -0.1)
    with pytest.raises(ValueError, match="stride"):
        one_step_broken(2, 0.1, stride=0.0)
    with pytest.raises(ValueError, match="start"):
        one_step_retrieval_branch(2, start=2.0)
    with pytest.raises(ValueError, match="load"):
        glass_temperature(3, 0.0)
