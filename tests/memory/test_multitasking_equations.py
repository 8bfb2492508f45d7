import functools
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq

from replica.memory import multitasking_phases, multitasking_thresholds
from replica.memory.multitasking import MultitaskingMemory
from replica.memory.multitasking_equations import hierarchical_overlaps, parallel_overlap, solve_overlaps
from replica.memory.multitasking_losses import mattis_overlaps
from replica.memory.multitasking_patterns import diluted_patterns, hierarchical_state, noisy_examples, parallel_state
from replica.memory.multitasking_phases import (
    critical_dilution,
    largest_multiplier,
    parallel_dilution,
    pure_state_temperature,
)
from replica.memory.multitasking_thresholds import (
    dataset_entropy,
    examples_for_entropy,
    learning_threshold,
    relative_signal,
    signal_to_noise_examples,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def columns(patterns: int, dilution: float):
    for column in itertools.product((-1, 0, 1), repeat=patterns):
        yield column, math.prod(dilution if entry == 0 else (1 - dilution) / 2 for entry in column)


@pytest.mark.parametrize("patterns", [1, 2, 3, 5])
@pytest.mark.parametrize("dilution", [0.0, 0.2, 0.6, 0.9])
def test_closed_laws_equal_sums_over_all_columns_and_large_networks(patterns, dilution):
    first = [0.0] * patterns
    equal = 0.0
    for column, chance in columns(patterns, dilution):
        leader = next((entry for entry in column if entry), 0)
        for number, entry in enumerate(column):
            first[number] += chance * entry * leader
        equal += chance * column[0] * np.sign(sum(column))
    law = hierarchical_overlaps(patterns, dilution)
    torch.testing.assert_close(law, torch.tensor(first, dtype=torch.float64))
    assert parallel_overlap(patterns, dilution) == pytest.approx(equal, abs=1e-12)
    truth = diluted_patterns(patterns, 40_000, dilution, generator=seeded(), dtype=torch.float64)
    measured = mattis_overlaps(hierarchical_state(truth, generator=seeded(1)), truth)
    torch.testing.assert_close(measured, law, atol=0.02, rtol=0)
    measured = mattis_overlaps(parallel_state(truth, generator=seeded(1)), truth)
    torch.testing.assert_close(measured, torch.full_like(law, equal), atol=0.02, rtol=0)


@pytest.mark.parametrize("patterns", [3, 4, 6])
def test_the_hierarchy_is_a_noiseless_fixed_point_up_to_the_critical_dilution(patterns):
    critical = critical_dilution(patterns)
    assert 1 - 2 * critical + critical**patterns == pytest.approx(0, abs=1e-9)
    for dilution, holds in ((critical - 0.005, True), (critical + 0.005, False)):
        law = hierarchical_overlaps(patterns, dilution)
        assert torch.allclose(solve_overlaps(patterns, dilution, 0.0).overlaps, law, atol=1e-12) is holds


def test_critical_dilution_limits():
    assert critical_dilution(1) == critical_dilution(2) == 1.0
    assert critical_dilution(3) == pytest.approx((math.sqrt(5) - 1) / 2)
    assert critical_dilution(40) == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("dilution", [0.0, 0.4])
@pytest.mark.parametrize("temperature", [0.3, 0.8, 1.1])
def test_one_pattern_is_the_curie_weiss_magnet(dilution, temperature):
    order = solve_overlaps(1, dilution, temperature).overlaps.item() / (1 - dilution)
    if temperature > 1:
        assert order == pytest.approx(0, abs=1e-4)
    else:
        assert order == pytest.approx(brentq(lambda m: math.tanh(m / temperature) - m, 0.05, 1.0), abs=1e-7)


@pytest.mark.parametrize("entropy", [0.05, 0.5, 3.0])
def test_one_noiseless_pattern_is_an_error_function(entropy):
    solution = solve_overlaps(1, 0.0, 0.0, entropy=entropy)
    assert solution.overlaps.item() == pytest.approx(math.erf(1 / math.sqrt(2 * entropy)), abs=1e-9)
    mean, _ = quad(lambda z: abs(1 + math.sqrt(entropy) * z) * math.exp(-z * z / 2), -9, 9)
    assert solution.data_overlaps.item() == pytest.approx(mean / math.sqrt(2 * math.pi), abs=1e-6)


@pytest.mark.parametrize(("temperature", "entropy", "dilution"), [(0.2, 0.3, 0.3), (0.4, 0.1, 0.8)])
def test_solutions_are_stationary_points_of_the_free_energy(temperature, entropy, dilution):
    # f(n) = c Σ n²/2 − T E log 2cosh(c Σ n η̄ / T) with one Gaussian for each pattern, not for their sum.
    solution = solve_overlaps(2, dilution, temperature, entropy=entropy)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    nodes = torch.tensor(nodes)
    weights = torch.tensor(weights / weights.sum())
    scale = 1 / ((1 - dilution) * (1 + entropy))
    data = solution.data_overlaps.clone().requires_grad_()
    free_energy = scale * data.square().sum() / 2
    for column, chance in columns(2, dilution):
        first, second = (entry * (1 + math.sqrt(entropy) * nodes) for entry in column)
        field = scale * (data[0] * first[:, None] + data[1] * second[None])
        entropy_term = torch.logaddexp(field / temperature, -field / temperature)
        free_energy = free_energy - temperature * chance * (weights @ entropy_term @ weights)
    free_energy.backward()
    assert solution.change <= 1e-10
    assert data.grad.abs().max() < 1e-5


def test_cold_and_clean_limits_are_continuous():
    noiseless = solve_overlaps(3, 0.4, 0.0, entropy=0.1).data_overlaps
    torch.testing.assert_close(
        solve_overlaps(3, 0.4, 0.005, entropy=0.1, nodes=4001).data_overlaps, noiseless, atol=1e-3, rtol=0
    )
    clean = solve_overlaps(3, 0.4, 0.3).overlaps
    torch.testing.assert_close(solve_overlaps(3, 0.4, 0.3, entropy=1e-7).overlaps, clean, atol=1e-4, rtol=0)
    torch.testing.assert_close(solve_overlaps(3, 0.4, 0.3).data_overlaps, clean, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("patterns", "dilution", "temperature", "examples", "teacher"),
    [(3, 0.4, 0.1, 0, True), (3, 0.9, 0.3, 0, True), (3, 0.4, 0.0, 300, True), (2, 0.5, 0.2, 60, False)],
)
def test_theory_equals_monte_carlo(patterns, dilution, temperature, examples, teacher):
    generator = seeded(4)
    dim = 16_384
    truth = diluted_patterns(patterns, dim, dilution, generator=generator)
    memory, entropy = MultitaskingMemory(), 0.0
    if examples:
        entropy = dataset_entropy(0.25, examples)
        data = noisy_examples(truth, examples, 0.25, generator=generator)
        memory.learn(data, quality=0.25, teacher=teacher)
    else:
        memory.store(truth)
    start = hierarchical_state(truth, generator=generator).expand(2, -1)
    _, trace = memory.evolve(start, 40, temperature=temperature, generator=generator, patterns=truth)
    measured = trace[20:].mean((0, 1)).abs().sort(descending=True).values.double()
    expected = solve_overlaps(patterns, dilution, temperature, entropy=entropy).overlaps
    torch.testing.assert_close(measured, expected, atol=0.025, rtol=0)


@pytest.mark.parametrize("dilution", [0.05, 0.3, 0.6])
def test_the_pure_state_turns_unstable_at_its_temperature(dilution):
    border = pure_state_temperature(dilution)
    assert dilution <= border < 1
    for factor, stable in ((0.98, False), (1.02, True)):
        pure = solve_overlaps(3, dilution, factor * border, start="pure")
        assert pure.overlaps[1:].abs().max() < 1e-15
        assert (largest_multiplier(pure.data_overlaps, dilution, factor * border) < 1) is stable


def test_pure_state_limits():
    assert pure_state_temperature(0.0) == 0.0
    assert pure_state_temperature(2 / 3) == pure_state_temperature(0.9) == 1.0
    assert pure_state_temperature(0.6) < pure_state_temperature(0.65) < 1
    assert largest_multiplier(torch.tensor([0.7, 0.0]), 0.3, 0.0, entropy=0.2) == math.inf


@pytest.mark.parametrize("start", ["hierarchical", "parallel", "pure"])
@pytest.mark.parametrize(
    ("temperature", "entropy"), [(0.0, 0.0), (0.0, 0.5), (0.3, 0.0), (0.9, 0.2), (1.0, 0.0), (1.3, 0.4)]
)
def test_what_has_converged_is_a_fixed_point_and_what_has_not_says_so(temperature, entropy, start):
    for dilution in (0.0, 0.3, 0.8):
        for most in (1, 10, 500):
            found = solve_overlaps(3, dilution, temperature, entropy=entropy, start=start, max_iterations=most)
            again = solve_overlaps(
                3, dilution, temperature, entropy=entropy, start=found.data_overlaps, max_iterations=1
            ).data_overlaps
            if found.converged and start == "hierarchical":  # the others are held on a symmetry that they may lose
                assert float((again - found.data_overlaps).abs().max()) <= 1e-10
            assert found.converged is (found.change <= 1e-10)
    if temperature == 1.0:  # critical: overlaps vanish as a power of the iterations
        assert not found.converged


def test_thresholds_and_phases_that_rest_on_no_solution_warn(monkeypatch):
    few = functools.partial(solve_overlaps, max_iterations=2)
    monkeypatch.setattr(multitasking_thresholds, "solve_overlaps", few)
    monkeypatch.setattr(multitasking_phases, "solve_overlaps", few)
    with pytest.warns(RuntimeWarning, match="learning_threshold: overlaps still change"):
        learning_threshold(0.2, 2, 0.3, temperature=0.4)
    with pytest.warns(RuntimeWarning, match="parallel_dilution: overlaps still change"):
        parallel_dilution(2, 0.2)


def test_multiplier_is_the_rate_of_the_iteration():
    fixed = solve_overlaps(2, 0.5, 0.4, entropy=0.2, tolerance=1e-13).data_overlaps
    kick = torch.tensor([1e-4, -1e-4], dtype=torch.float64)
    distances = []
    for steps in (20, 21):
        start = fixed + kick
        moved = solve_overlaps(2, 0.5, 0.4, entropy=0.2, start=start, tolerance=0.0, max_iterations=steps)
        distances.append((moved.data_overlaps - fixed).norm().item())
    rate = largest_multiplier(fixed, 0.5, 0.4, entropy=0.2)
    assert distances[1] / distances[0] == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize(("patterns", "temperature", "entropy"), [(2, 0.2, 0.0), (3, 0.3, 0.0), (3, 0.0, 0.1)])
def test_strengths_become_equal_above_the_parallel_dilution(patterns, temperature, entropy):
    border = parallel_dilution(patterns, temperature, entropy=entropy)
    for dilution, equal in ((border - 0.03, False), (border + 0.03, True)):
        overlaps = solve_overlaps(patterns, dilution, temperature, entropy=entropy).overlaps
        assert bool(overlaps.max() - overlaps.min() < 1e-5) is equal
    symmetric = solve_overlaps(patterns, 0.5, temperature, entropy=entropy, start="parallel").overlaps
    assert symmetric.max() - symmetric.min() < 1e-12


def test_differences_between_examples_die_out():
    temperature, entropy, dilution = 0.3, 0.4, 0.2
    solution = solve_overlaps(1, dilution, temperature, entropy=entropy)
    scale = (1 - dilution) * (1 + entropy)
    field = solution.data_overlaps.item() / scale / temperature

    def slope(z):
        return math.cosh(field * (1 + math.sqrt(entropy) * z)) ** -2 * math.exp(-z * z / 2)

    mean = quad(slope, -9, 9)[0] / math.sqrt(2 * math.pi)
    growth = entropy / (1 + entropy) * (1 - dilution) * mean / (temperature * (1 - dilution))
    assert solution.example_multiplier.item() == pytest.approx(growth, abs=1e-6)
    for patterns, share in ((3, 0.2), (3, 0.8)):
        multipliers = solve_overlaps(patterns, share, 0.1, entropy=0.3).example_multiplier
        assert ((multipliers > 0) & (multipliers < 1)).all()


def test_thresholds():
    assert examples_for_entropy(0.3, dataset_entropy(0.3, 17)) == pytest.approx(17)
    assert learning_threshold(0.2, 1, 0.0) == pytest.approx(signal_to_noise_examples(0.2), rel=1e-3)
    # The threshold depends on the data through its entropy only.
    ratio = learning_threshold(0.1, 2, 0.6) / learning_threshold(0.2, 2, 0.6)
    assert ratio == pytest.approx((1 / 0.1**2 - 1) / (1 / 0.2**2 - 1), rel=1e-6)
    assert learning_threshold(0.2, 2, 0.6, level=0.8) < learning_threshold(0.2, 2, 0.6, level=0.95)


def test_signal_to_noise_by_simulation():
    examples = round(signal_to_noise_examples(0.2, 0.8))
    pattern = diluted_patterns(1, 20_000, 0.0, generator=seeded())
    average = noisy_examples(pattern, examples, 0.2, generator=seeded(1)).mean(1)
    assert (average.sign() * pattern).mean().item() == pytest.approx(0.8, abs=0.02)


def test_relative_signal_is_a_ratio_of_norms():
    stored = torch.tensor([0.6, 0.3])
    assert relative_signal(stored, stored).item() == pytest.approx(1)
    assert relative_signal(stored.expand(4, 2) / 2, stored).tolist() == pytest.approx([0.5] * 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_overlaps(0, 0.1, 0.1), "patterns must be 1 or more, not 0"),
        (lambda: solve_overlaps(11, 0.1, 0.1), "patterns must be 10 or fewer .* not 11"),
        (lambda: solve_overlaps(2, 1.0, 0.1), r"dilution must lie in \[0, 1\), not 1.0"),
        (lambda: solve_overlaps(2, 0.1, -0.1), "temperature must be 0 or more, not -0.1"),
        (lambda: solve_overlaps(2, 0.1, 0.1, entropy=-1), "entropy must be 0 or more, not -1"),
        (lambda: solve_overlaps(2, 0.1, 0.1, start="cold"), "start must be .* not 'cold'"),
        (lambda: solve_overlaps(2, 0.1, 0.1, start=torch.ones(3)), r"start must have shape \(2,\), not \(3,\)"),
        (lambda: largest_multiplier(torch.ones(2), 0.1, 0.0), "temperature must be positive where entropy is 0"),
        (lambda: parallel_dilution(1, 0.1), "patterns must be 2 or more, not 1"),
        (lambda: parallel_dilution(2, 0.0), "temperature must be positive where entropy is 0"),
        (lambda: dataset_entropy(0.0, 3), r"quality must lie in \(0, 1\], not 0.0"),
        (lambda: dataset_entropy(0.5, 0), "examples must be positive, not 0"),
        (lambda: examples_for_entropy(0.5, 0.0), "entropy must be positive, not 0.0"),
        (lambda: learning_threshold(0.2, 2, 0.5, level=1.0), r"level must lie in \(0, 1\), not 1.0"),
        (lambda: learning_threshold(0.2, 2, 0.5, temperature=1.0), r"temperature must lie in \[0, 1\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
