import copy
import itertools

import numpy as np
import pytest
import torch

from replica.memory.multitasking import MultitaskingMemory
from replica.memory.multitasking_losses import loss_product, mattis_overlaps, squared_error_losses
from replica.memory.multitasking_patterns import diluted_patterns, hierarchical_state, noisy_examples, parallel_state

PROTOCOLS = ("store", "teacher", "alone")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_states(*shape: int, generator: torch.Generator, dtype=torch.float64) -> torch.Tensor:
    return torch.where(torch.rand(*shape, generator=generator) < 0.5, -1.0, 1.0).to(dtype)


def make(protocol: str, *, dim=40, patterns=3, examples=4, dilution=0.4, quality=0.5, dtype=torch.float64):
    generator = seeded(3)
    truth = diluted_patterns(patterns, dim, dilution, generator=generator, dtype=dtype)
    if protocol == "store":
        return MultitaskingMemory().store(truth), truth
    data = noisy_examples(truth, examples, quality, generator=generator)
    return MultitaskingMemory().learn(data, quality=quality, teacher=protocol == "teacher"), truth


def couplings(memory: MultitaskingMemory) -> torch.Tensor:
    dim = memory.features.shape[1]
    matrix = torch.zeros(dim, dim, dtype=memory.features.dtype)
    for feature, weight in zip(memory.features, memory.weights, strict=True):
        matrix += weight * torch.outer(feature, feature) / dim
    return matrix


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energy_and_fields_equal_those_of_the_coupling_matrix(protocol, shape, dtype):
    memory, _ = make(protocol, dtype=dtype)
    states = random_states(*shape, 40, generator=seeded(), dtype=dtype)
    matrix = couplings(memory)
    torch.testing.assert_close(memory.energy(states), -(states * (states @ matrix)).sum(-1) / 2)
    torch.testing.assert_close(memory.fields(states), states @ (matrix - matrix.diag().diag()))
    assert memory.energy(states).shape == shape
    assert memory.sweep(states).shape == states.shape
    assert memory.sweep(states).dtype == dtype


def test_weights_make_the_mean_coupling_strength_one():
    # Σ_f c_f ‖a_f‖²/N = K by construction: every protocol measures temperature in the same units.
    for protocol in PROTOCOLS:
        memory, _ = make(protocol, dim=4000, examples=50)
        assert couplings_trace(memory) == pytest.approx(
            3 if protocol != "alone" else 3 * alone_trace(50, 0.5), rel=0.02
        )


def couplings_trace(memory: MultitaskingMemory) -> float:
    return (memory.weights * memory.features.square().mean(-1)).sum().item()


def alone_trace(examples: int, quality: float) -> float:
    # Without a teacher the noise of single examples is in the trace as well: (1/r²)/(1 + ρ).
    entropy = (1 - quality**2) / (examples * quality**2)
    return 1 / quality**2 / (1 + entropy)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_gibbs_sampling_reaches_the_boltzmann_distribution(protocol):
    memory, _ = make(protocol, dim=6, patterns=2, examples=3)
    temperature, replicas = 1.5, 40_000
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=6)), dtype=torch.float64)
    matrix = couplings(memory)
    exact = torch.softmax((every * (every @ matrix)).sum(-1) / 2 / temperature, 0)
    generator = seeded()
    states = random_states(replicas, 6, generator=generator)
    for _ in range(60):
        states = memory.sweep(states, temperature=temperature, generator=generator)
    index = ((states > 0) * 2 ** torch.arange(5, -1, -1)).sum(-1)
    seen = torch.bincount(index, minlength=64) / replicas
    # With 64 states the expected distance of a perfect sample of this size is about 0.016.
    assert (seen - exact).abs().sum() / 2 < 0.03
    uniform = torch.full((64,), 1 / 64)
    assert (uniform - exact).abs().sum() / 2 > 0.2


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("patterns", [3, 30])
def test_descent_never_raises_the_cost_and_ends_where_no_neuron_can_lower_it(protocol, patterns):
    memory, _ = make(protocol, patterns=patterns, dilution=0.2)
    states = random_states(50, 40, generator=seeded(1))
    cost = memory.energy(states)
    for _ in range(200):
        states = memory.sweep(states, temperature=0.0)
        lower = memory.energy(states)
        assert (lower <= cost + 1e-9).all()
        cost = lower
    for neuron in range(40):
        turned = states.clone()
        turned[:, neuron] *= -1
        assert (memory.energy(turned) >= cost - 1e-9).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cost_follows_from_squared_errors_written_out(protocol):
    memory, _ = make(protocol)
    states = random_states(5, 40, generator=seeded(2))
    to_pattern = torch.stack([(states - row).square().sum(-1) / 80 for row in memory.features], -1)
    to_mirror = torch.stack([(states + row).square().sum(-1) / 80 for row in memory.features], -1)
    for ours, literal in zip(memory.losses(states), (to_pattern, to_mirror), strict=True):
        torch.testing.assert_close(ours, literal)
    torch.testing.assert_close(memory.cost_from_losses(to_pattern, to_mirror), memory.energy(states))


def test_loss_product_is_zero_at_a_pattern_and_its_mirror_image_only():
    pattern = random_states(1, 30, generator=seeded())
    other = pattern.clone()
    other[0, :7] *= -1
    for state, zero in ((pattern, True), (-pattern, True), (other, False)):
        assert (loss_product(*squared_error_losses(state, pattern)).item() == 0) is zero


def test_the_least_cost_state_has_the_least_loss():
    memory, _ = make("store", dim=10, patterns=2)
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=10)), dtype=torch.float64)
    loss = loss_product(*memory.losses(every)).sum(-1)
    torch.testing.assert_close(loss[memory.energy(every).argmin()], loss.min())


def test_gradient_of_the_cost_is_minus_the_field():
    memory, _ = make("store")
    states = torch.randn(2, 40, dtype=torch.float64, generator=seeded()).requires_grad_()
    memory.energy(states).sum().backward()
    torch.testing.assert_close(states.grad, -(states @ couplings(memory)).detach())
    assert torch.autograd.gradcheck(
        lambda x: memory.cost_from_losses(*memory.losses(x)), states.detach().requires_grad_()
    )


def test_patterns_and_examples_have_the_promised_statistics():
    patterns = diluted_patterns(2, 200_000, 0.3, generator=seeded())
    assert (patterns == 0).double().mean().item() == pytest.approx(0.3, abs=0.005)
    assert patterns.mean().item() == pytest.approx(0, abs=0.005)
    examples = noisy_examples(patterns, 2, 0.4, generator=seeded(1))
    assert ((examples == 0) == (patterns == 0)[:, None]).all()
    agreement = (examples * patterns[:, None]).sum(-1) / patterns.abs().sum(-1)[:, None]
    torch.testing.assert_close(agreement, torch.full((2, 2), 0.4), atol=0.01, rtol=0)
    assert torch.equal(patterns, diluted_patterns(2, 200_000, 0.3, generator=seeded()))
    assert diluted_patterns(1, 4, 0.0, dtype=torch.float64).dtype == torch.float64


def test_reference_states_by_brute_force():
    patterns = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=3))).T
    hierarchy, majority = hierarchical_state(patterns, generator=seeded()), parallel_state(patterns, generator=seeded())
    for column, first, most in zip(patterns.T.tolist(), hierarchy.tolist(), majority.tolist(), strict=True):
        filled = [entry for entry in column if entry]
        assert first == (filled[0] if filled else first)
        assert most == (np.sign(sum(column)) if sum(column) else most)
        assert abs(first) == abs(most) == 1


def test_without_a_teacher_classes_do_not_matter():
    truth = diluted_patterns(3, 50, 0.3, generator=seeded(), dtype=torch.float64)
    examples = noisy_examples(truth, 4, 0.6, generator=seeded(1))
    shuffled = examples.reshape(12, 50)[torch.randperm(12, generator=seeded())].reshape(3, 4, 50)
    states = random_states(5, 50, generator=seeded(2))
    costs = [
        MultitaskingMemory().learn(data, quality=0.6, teacher=teacher).energy(states)
        for teacher in (False, True)
        for data in (examples, shuffled)
    ]
    torch.testing.assert_close(costs[0], costs[1])
    assert not torch.allclose(costs[2], costs[3])


@pytest.mark.parametrize("teacher", [True, False])
def test_perfect_examples_are_stored_patterns(teacher):
    truth = diluted_patterns(3, 50, 0.3, generator=seeded(), dtype=torch.float64)
    learned = MultitaskingMemory().learn(noisy_examples(truth, 4, 1.0), quality=1.0, teacher=teacher)
    states = random_states(5, 50, generator=seeded(2))
    torch.testing.assert_close(learned.energy(states), MultitaskingMemory().store(truth).energy(states))


def test_one_example_needs_no_teacher():
    truth = diluted_patterns(3, 50, 0.3, generator=seeded(), dtype=torch.float64)
    data = noisy_examples(truth, 1, 0.5, generator=seeded(1))
    states = random_states(5, 50, generator=seeded(2))
    with_teacher, without = (MultitaskingMemory().learn(data, quality=0.5, teacher=t) for t in (True, False))
    torch.testing.assert_close(with_teacher.energy(states), without.energy(states))


def test_recall_of_dense_patterns_is_the_hopfield_network():
    patterns = diluted_patterns(10, 400, 0.0, generator=seeded())
    damage = torch.rand(patterns.shape, generator=seeded(1)) < 0.2
    cues = torch.where(damage, -patterns, patterns)
    recalled = MultitaskingMemory().store(patterns).recall(cues)
    assert (recalled == patterns).float().mean() > 0.99
    # The classical network, one neuron after another.
    matrix = (patterns.T @ patterns).numpy() / 400
    np.fill_diagonal(matrix, 0)
    for cue, ours in zip(cues.numpy().copy(), recalled.numpy(), strict=True):
        for _ in range(20):
            for neuron in range(400):
                cue[neuron] = 1 if matrix[neuron] @ cue >= 0 else -1
        assert (cue == ours).mean() > 0.99


def test_one_state_recalls_several_diluted_patterns():
    patterns = diluted_patterns(2, 2000, 0.5, generator=seeded())
    memory = MultitaskingMemory().store(patterns)
    agreement = memory.agreement(memory.recall(patterns[:1])).abs()
    assert agreement[0, 0] > 0.95
    assert agreement[0, 1] > 0.4  # the hierarchy gives the second pattern the half that the first leaves blank
    dense = MultitaskingMemory().store(diluted_patterns(2, 2000, 0.0, generator=seeded()))
    assert dense.agreement(dense.recall(dense.features[:1])).abs()[0, 1] < 0.1


def test_read_out_cuts_a_state_into_patterns_the_right_way_up():
    patterns = diluted_patterns(2, 500, 0.5, generator=seeded())
    memory = MultitaskingMemory().store(patterns)
    state = hierarchical_state(patterns, generator=seeded())
    for turned in (state, -state):
        reading = memory.read_out(turned)
        assert reading.shape == (2, 500)
        assert torch.equal(reading != 0, patterns != 0)
        assert torch.equal(reading[0], patterns[0])


def test_unknown_entries_of_a_cue_are_filled_in():
    patterns = diluted_patterns(3, 600, 0.0, generator=seeded())
    cues = patterns.clone()
    cues[:, 100:] = 0
    recalled = MultitaskingMemory().store(patterns).recall(cues)
    assert torch.equal(recalled, patterns)
    integers = MultitaskingMemory().store(patterns).recall(cues.to(torch.int64))
    assert integers.dtype == torch.int64


def test_a_neuron_without_field_stays():
    patterns = torch.tensor([[1.0, -1.0, 0.0]])
    memory = MultitaskingMemory().store(patterns)
    states = torch.tensor([[1.0, -1.0, 1.0], [1.0, -1.0, -1.0]])
    assert torch.equal(memory.sweep(states), states)


def test_large_networks_need_no_coupling_matrix():
    patterns = diluted_patterns(2, 300_000, 0.3, generator=seeded())  # the matrix would take 360 GB
    memory = MultitaskingMemory().store(patterns)
    states, trace = memory.evolve(patterns[:1], 2, temperature=0.1, generator=seeded())
    assert trace.shape == (2, 1, 2)
    assert memory.fields(states).shape == (1, 300_000)


def test_evolve_records_overlaps_with_the_patterns_asked_for():
    memory, truth = make("alone")
    states = random_states(2, 40, generator=seeded())
    final, trace = memory.evolve(states, 3, temperature=0.5, generator=seeded(), patterns=truth)
    assert trace.shape == (3, 2, 3)
    torch.testing.assert_close(trace[-1], mattis_overlaps(final, truth))
    assert memory.evolve(states, 1)[1].shape == (1, 2, 12)


def test_same_generator_same_numbers():
    memory, _ = make("store")
    states = random_states(4, 40, generator=seeded())
    runs = [memory.evolve(states, 5, temperature=0.4, generator=seeded(7))[0] for _ in range(2)]
    assert torch.equal(*runs)
    recalls = [
        MultitaskingMemory(temperature=0.4, max_steps=5, generator=seeded(7))
        .store(memory.features.sign())
        .recall(states)
        for _ in range(2)
    ]
    assert torch.equal(*recalls)


def test_state_dict_round_trip_into_a_fresh_memory():
    memory, _ = make("alone")
    fresh = MultitaskingMemory().double()
    fresh.load_state_dict(memory.state_dict())
    states = random_states(3, 40, generator=seeded())
    assert torch.equal(fresh.energy(states), memory.energy(states))
    assert torch.equal(copy.deepcopy(memory).energy(states), memory.energy(states))
    assert memory.to(torch.float32).energy(states).dtype == torch.float32
    assert "features=12" in repr(memory)


def test_storing_keeps_its_own_copy():
    patterns = diluted_patterns(2, 30, 0.2, generator=seeded())
    memory = MultitaskingMemory().store(patterns)
    before = memory.energy(torch.ones(30))
    patterns.zero_()
    assert torch.equal(memory.energy(torch.ones(30)), before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: diluted_patterns(0, 4, 0.1), "count must be 1 or more, not 0"),
        (lambda: diluted_patterns(2, 0, 0.1), "dim must be 1 or more"),
        (lambda: diluted_patterns(2, 4, 1.0), r"dilution must lie in \[0, 1\), not 1.0"),
        (lambda: noisy_examples(torch.ones(1, 2), 0, 0.5), "examples must be 1 or more"),
        (lambda: noisy_examples(torch.ones(1, 2), 2, 1.5), r"quality must lie in \[-1, 1\], not 1.5"),
        (lambda: MultitaskingMemory(temperature=-1), "temperature must be 0 or more, not -1"),
        (lambda: MultitaskingMemory(temperature=float("nan")), "temperature must be 0 or more, not nan"),
        (lambda: MultitaskingMemory(max_steps=0), "max_steps must be 1 or more"),
        (lambda: MultitaskingMemory().store(torch.ones(3)), r"patterns must be a floating tensor with 2 axes"),
        (lambda: MultitaskingMemory().store(torch.ones(1, 3).long()), "patterns must be a floating tensor"),
        (lambda: MultitaskingMemory().store(torch.full((1, 3), 0.5)), r"patterns must have entries in \{-1, 0, \+1\}"),
        (lambda: MultitaskingMemory().store(torch.full((1, 3), float("nan"))), "patterns must have entries"),
        (lambda: MultitaskingMemory().store(torch.zeros(1, 3)), "patterns must have an entry that is not 0"),
        (lambda: MultitaskingMemory().store(torch.zeros(0, 3)), r"patterns must have an entry, not shape \(0, 3\)"),
        (
            lambda: MultitaskingMemory().learn(torch.ones(1, 3), quality=0.5),
            "examples must be a floating tensor with 3",
        ),
        (
            lambda: MultitaskingMemory().learn(torch.ones(1, 1, 3), quality=0.0),
            r"quality must lie in \(0, 1\], not 0.0",
        ),
        (lambda: MultitaskingMemory().recall(torch.ones(1, 3)), "the memory is empty"),
        (lambda: MultitaskingMemory().store(torch.ones(1, 3)).recall(torch.ones(1, 4)), "states must have 3 entries"),
        (lambda: MultitaskingMemory().store(torch.ones(1, 3)).evolve(torch.ones(1, 3), 0), "sweeps must be 1 or more"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_recall_that_ends_too_early_warns():
    patterns = diluted_patterns(6, 60, 0.3, generator=torch.Generator().manual_seed(0))
    memory = MultitaskingMemory(max_steps=1)
    memory.store(patterns)
    with pytest.warns(RuntimeWarning, match="recall: states still move after max_steps = 1 sweeps"):
        memory.recall(torch.randn(20, 60, generator=torch.Generator().manual_seed(1)))
