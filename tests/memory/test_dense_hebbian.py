import copy
import itertools
import math

import pytest
import torch

from replica.memory.dense_hebbian import DenseHebbianMemory
from replica.memory.dense_hebbian_equations import dense_hebbian_equations


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def signs(*shape, seed=0, dtype=torch.float64):
    return torch.randint(0, 2, shape, generator=generator(seed)).to(dtype) * 2 - 1


def tensor_energy(patterns, state, order, coincident):
    """The energy by its definition: every group of neurons, one by one."""
    dim = patterns.shape[1]
    groups = itertools.product(range(dim), repeat=order) if coincident else itertools.combinations(range(dim), order)
    groups = torch.tensor(list(groups))
    terms = patterns[:, None, groups].prod(-1) * state[None, :, groups].prod(-1)
    return -dim / order * terms.sum((0, 2)) / len(groups)


def all_states(dim, dtype=torch.float64):
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=dim)), dtype=dtype)


@pytest.mark.parametrize("coincident", [False, True])
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_energy_and_field_equal_the_sum_over_all_groups(order, real, coincident):
    patterns = torch.randn(3, 6, generator=generator(), dtype=torch.float64)
    patterns = patterns if real else patterns.sign()
    memory = DenseHebbianMemory(order, coincident=coincident)
    memory.store(patterns, strength=0.7)
    state = signs(5, 6, seed=1)
    torch.testing.assert_close(memory.energy(state), 0.7 * tensor_energy(patterns, state, order, coincident))
    flipped = torch.stack([state.where(torch.arange(6) != i, -state) for i in range(6)], 1)
    rise = tensor_energy(patterns, flipped.reshape(-1, 6), order, coincident).reshape(5, 6)
    rise = 0.7 * (rise - tensor_energy(patterns, state, order, coincident).unsqueeze(1))
    torch.testing.assert_close(memory.local_field(state), state * rise / 2)


def test_order_six_at_eight_neurons():
    patterns, state = signs(4, 8), signs(3, 8, seed=1)
    memory = DenseHebbianMemory(6)
    memory.store(patterns)
    torch.testing.assert_close(memory.energy(state), tensor_energy(patterns, state, 6, False))


@pytest.mark.parametrize("order", [6, 12])
def test_high_orders_keep_single_precision(order):
    patterns = signs(50, 64)
    memory = DenseHebbianMemory(order)
    memory.store(patterns)
    single = copy.deepcopy(memory).float()
    cues = patterns[:9].clone()
    cues[:, :8] *= -1
    torch.testing.assert_close(
        single.local_field(cues.float()).double(), memory.local_field(cues), rtol=1e-4, atol=1e-5
    )


def test_order_two_is_the_hopfield_model():
    patterns, state = signs(5, 30), signs(4, 30, seed=1)
    couplings = patterns.T @ patterns / 29
    couplings.fill_diagonal_(0)
    memory = DenseHebbianMemory(2)
    memory.store(patterns)
    torch.testing.assert_close(memory.local_field(state), state @ couplings)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("real", [False, True])
def test_field_is_the_slope_of_the_energy(order, real):
    memory = DenseHebbianMemory(order)
    memory.store(torch.randn(4, 7, generator=generator(), dtype=torch.float64) if real else signs(4, 7))
    state = (torch.rand(3, 7, generator=generator(1), dtype=torch.float64) * 2 - 1).requires_grad_()
    (slope,) = torch.autograd.grad(memory.energy(state).sum(), state)
    torch.testing.assert_close(memory.local_field(state), -slope)
    assert torch.autograd.gradcheck(memory.energy, state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("order", [2, 3, 4, 6])
@pytest.mark.parametrize("dim", [16, 200])
def test_a_single_pattern_feels_itself(order, batch, dtype, dim):
    pattern = signs(1, dim, dtype=dtype)
    memory = DenseHebbianMemory(order)
    memory.store(pattern)
    cues = pattern.repeat(batch, 1)
    torch.testing.assert_close(memory.local_field(cues), cues)
    assert memory.recall(cues).shape == (batch, dim)
    assert memory.recall(cues).dtype == dtype


@pytest.mark.parametrize("order", [3, 4, 6])
@pytest.mark.parametrize("coincident", [False, True])
def test_field_of_interference_has_the_known_variance(order, coincident):
    dim, count = 60, 4000
    patterns = signs(count + 1, dim, dtype=torch.float32)
    memory = DenseHebbianMemory(order, coincident=coincident)
    memory.store(patterns[1:])
    field = memory.local_field(patterns[:1])
    # Of coincident groups the mean is not zero: a constant field along the state, which the sum of b_μ gives.
    field = field - (field * patterns[:1]).mean() * patterns[:1]
    factor = math.prod(range(1, 2 * order - 2, 2)) if coincident else math.factorial(order - 1)
    groups = dim ** (order - 1) if coincident else math.perm(dim - 1, order - 1)
    assert float(field.var()) == pytest.approx(factor * count / groups, rel=0.8)


@pytest.mark.parametrize("coincident", [False, True])
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_one_at_a_time_ends_in_a_fixed_point_of_lower_energy(order, real, coincident):
    patterns = torch.randn(20, 40, generator=generator(), dtype=torch.float64)
    memory = DenseHebbianMemory(order, coincident=coincident)
    memory.store(patterns if real else patterns.sign())
    start = signs(6, 40, seed=1)
    spins, steps, converged = memory.relax(start, block=1, generator=generator(2))
    assert converged.all()
    assert (memory.energy(spins) <= memory.energy(start)).all()
    assert (memory.local_field(spins) * spins >= -1e-12).all()
    assert (steps <= memory.max_sweeps).all()


@pytest.mark.parametrize("block", [None, 7, 1])
@pytest.mark.parametrize("order", [2, 3])
def test_converged_says_whether_the_state_is_a_fixed_point_however_few_the_sweeps(order, block):
    memory = DenseHebbianMemory(order)
    memory.store(signs(13, 40))  # an odd number, so that no field is 0
    cues = torch.cat([signs(20, 40, seed=3), memory.patterns * (1 - 2 * (torch.arange(40) == 5))])
    seen = set()
    for sweeps in range(1, 6):
        spins, _, converged = memory.relax(cues, block=block, max_sweeps=sweeps)
        still = (memory.local_field(spins) * spins >= 0).all(1)
        assert torch.equal(converged, still)
        seen |= set(still.tolist())
    assert seen == {True, False}


def test_recall_restores_damaged_and_incomplete_cues():
    patterns = signs(500, 100, dtype=torch.float32)
    memory = DenseHebbianMemory(4)
    memory.store(patterns)
    damaged, incomplete = patterns[:5].clone(), patterns[:5].clone()
    damaged[:, :15] *= -1
    incomplete[:, :40] = 0
    assert torch.equal(memory.recall(damaged), patterns[:5])
    assert torch.equal(memory.recall(incomplete), patterns[:5])
    pairwise = DenseHebbianMemory(2)
    pairwise.store(patterns)
    assert (pairwise.recall(damaged) * patterns[:5]).mean() < 0.7


def test_recall_always_settles():
    memory = DenseHebbianMemory(2)
    memory.store(signs(30, 60))
    cues = signs(40, 60, seed=3)
    assert not memory.relax(cues).converged.all()
    spins = memory.recall(cues, generator=generator())
    assert torch.equal(memory.local_field(spins).sign(), spins)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("real", [False, True])
def test_sampling_follows_the_boltzmann_law(order, real):
    dim, beta = 6, 0.8
    memory = DenseHebbianMemory(order)
    patterns = torch.randn(3, dim, generator=generator(4), dtype=torch.float64)
    memory.store(patterns if real else patterns.sign())
    states = all_states(dim)
    law = torch.softmax(-beta * memory.energy(states), 0)
    chains = 40_000
    spins = memory.sample(signs(chains, dim), beta, 15, generator=generator(5)).spins
    index = ((spins > 0).long() * 2 ** torch.arange(dim - 1, -1, -1)).sum(1)
    found = torch.bincount(index, minlength=2**dim) / chains
    assert 0.5 * float((found - law).abs().sum()) < 0.025  # total variation; about 0.016 by chance alone


def test_blocks_follow_the_law_of_single_updates():
    patterns = signs(8, 400, dtype=torch.float32)
    memory = DenseHebbianMemory(2)
    memory.store(patterns)
    start = patterns.repeat(3, 1)
    means = [memory.sample(start, 2.0, 20, burn_in=8, block=block, generator=generator()).mean for block in (1, 20)]
    single, blocks = (float((mean * start).mean()) for mean in means)
    assert single == pytest.approx(blocks, abs=0.01)


def test_incremental_overlaps_stay_exact():
    memory = DenseHebbianMemory(4)
    memory.store(torch.randn(50, 30, generator=generator()))
    start = signs(4, 30, seed=1, dtype=torch.float32)
    double = copy.deepcopy(memory).double()
    one = memory.relax(start, block=1, max_sweeps=20, generator=generator(3)).spins
    two = double.relax(start.double(), block=1, max_sweeps=20, generator=generator(3)).spins
    assert torch.equal(one.double(), two)


def test_temperatures_in_one_batch():
    memory = DenseHebbianMemory(4)
    patterns = signs(5, 100)
    memory.store(patterns)
    beta = torch.tensor([0.0, 10.0, math.inf], dtype=torch.float64)
    mean = memory.sample(patterns[:1].repeat(3, 1), beta, 60, burn_in=10, block=5, generator=generator()).mean
    overlap = (mean * patterns[:1]).mean(1)
    assert abs(float(overlap[0])) < 0.1
    assert float(overlap[1]) > 0.99
    assert float(overlap[2]) == 1.0


def test_mean_field_matches_theory_and_sampling():
    patterns = signs(4, 800)
    memory = DenseHebbianMemory(4)
    memory.store(patterns)
    beta = 2.5
    mean = memory.mean_field(patterns, beta)
    theory = float(dense_hebbian_equations(4, 0.0, 1 / beta).magnetization)
    sampled = memory.sample(patterns, beta, 30, burn_in=10, block=40, generator=generator()).mean
    assert float((mean * patterns).mean()) == pytest.approx(theory, abs=0.01)
    assert float((sampled * patterns).mean()) == pytest.approx(theory, abs=0.01)


def test_supervised_examples_are_averaged_by_class():
    examples = signs(12, 20)
    labels = torch.tensor([3, 3, 3, 1, 1, 1, 1, 7, 7, 7, 7, 7])
    memory = DenseHebbianMemory(3)
    memory.learn(examples, labels)
    averages = torch.stack([examples[labels == c].mean(0) for c in (1, 3, 7)])
    torch.testing.assert_close(memory.patterns, averages / averages.square().mean(1, keepdim=True).sqrt())


def test_unsupervised_examples_are_held_one_by_one():
    examples = signs(12, 20)
    memory, alone = DenseHebbianMemory(4), DenseHebbianMemory(4)
    memory.learn(examples, examples_per_pattern=6)
    alone.store(examples)
    state = signs(3, 20, seed=2)
    torch.testing.assert_close(memory.energy(state), alone.energy(state) / 6)


@pytest.mark.parametrize("labelled", [False, True])
def test_learning_finds_the_hidden_pattern(labelled):
    hidden, examples, quality = signs(3, 200, dtype=torch.float32), 80, 0.4
    noise = torch.rand(3, examples, 200, generator=generator(1))
    shown = torch.where(noise < (1 + quality) / 2, hidden.unsqueeze(1), -hidden.unsqueeze(1)).reshape(-1, 200)
    memory = DenseHebbianMemory(2)
    memory.learn(
        shown, torch.arange(3).repeat_interleave(examples) if labelled else None, examples_per_pattern=examples
    )
    assert ((memory.recall(hidden, generator=generator()) * hidden).mean(1) > 0.95).all()


def test_state_dict_round_trip():
    memory = DenseHebbianMemory(4)
    memory.store(signs(9, 30), strength=0.3)
    other, single = DenseHebbianMemory(4).double(), DenseHebbianMemory(4)
    other.load_state_dict(memory.state_dict())
    state = signs(3, 30, seed=1)
    assert torch.equal(other.local_field(state), memory.local_field(state))
    single.load_state_dict(memory.state_dict())  # a module's type is its own, also while it is empty
    torch.testing.assert_close(single.local_field(state.float()), memory.local_field(state).float())
    assert "count=9" in repr(other)


def test_the_same_generator_gives_the_same_states():
    memory = DenseHebbianMemory(4)
    memory.store(signs(20, 30))
    start = signs(5, 30, seed=1)
    runs = [memory.sample(start, 1.0, 5, generator=generator(seed)).spins for seed in (7, 7, 8)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_recall_needs_no_generator_to_be_repeatable():
    memory = DenseHebbianMemory(2)
    memory.store(signs(30, 60))
    cues = signs(40, 60, seed=3)
    assert torch.equal(memory.recall(cues), memory.recall(cues))


def test_the_callers_tensors_stay_as_they_are():
    patterns, cues = signs(20, 30), signs(5, 30, seed=1)
    memory = DenseHebbianMemory(2)
    memory.store(patterns)
    kept = cues.clone()
    memory.recall(cues)
    memory.relax(cues, block=1)
    memory.sample(cues, 1.0, 2)
    memory.mean_field(cues, 1.0)
    assert torch.equal(cues, kept)
    memory.patterns.zero_()
    assert patterns.abs().min() == 1


@pytest.mark.parametrize(
    ("named", "act"),
    [
        ("order", lambda m: DenseHebbianMemory(1)),
        ("max_sweeps", lambda m: DenseHebbianMemory(4, max_sweeps=0)),
        ("patterns", lambda m: m.store(torch.ones(3))),
        ("patterns", lambda m: m.store(torch.ones(0, 8))),
        ("patterns", lambda m: m.store(torch.ones(2, 8, dtype=torch.long))),
        ("patterns", lambda m: m.store(torch.ones(2, 3))),
        ("patterns", lambda m: m.store(torch.full((2, 8), math.nan))),
        ("patterns", lambda m: DenseHebbianMemory(4).recall(torch.ones(1, 8))),
        ("examples", lambda m: m.learn(torch.ones(8))),
        ("examples", lambda m: m.learn(torch.tensor([[1.0] * 8, [-1.0] * 8]), torch.zeros(2, dtype=torch.long))),
        ("labels", lambda m: m.learn(torch.ones(4, 8), torch.zeros(3, dtype=torch.long))),
        ("examples_per_pattern", lambda m: m.learn(torch.ones(4, 8), examples_per_pattern=0)),
        ("state", lambda m: m.energy(torch.ones(1, 7))),
        ("state", lambda m: m.local_field(torch.ones(1, 8, dtype=torch.float64))),
        ("cues", lambda m: m.recall(torch.ones(8))),
        ("block", lambda m: m.relax(torch.ones(1, 8), block=0)),
        ("block", lambda m: m.sample(torch.ones(1, 8), 1.0, 2, block=0)),
        ("burn_in", lambda m: m.sample(torch.ones(1, 8), 1.0, 2, burn_in=2)),
        ("beta", lambda m: m.sample(torch.ones(1, 8), -1.0, 2)),
        ("damping", lambda m: m.mean_field(torch.ones(1, 8), 1.0, damping=1.0)),
    ],
)
def test_bad_arguments_are_named(named, act):
    memory = DenseHebbianMemory(4)
    memory.store(signs(3, 8, dtype=torch.float32))
    with pytest.raises(ValueError, match=named):
        act(memory)


def test_mean_field_wants_different_neurons():
    memory = DenseHebbianMemory(4, coincident=True)
    memory.store(signs(3, 8))
    with pytest.raises(ValueError, match="coincident"):
        memory.mean_field(signs(1, 8), 1.0)


def test_recall_and_mean_field_that_end_too_early_warn():
    memory = DenseHebbianMemory(2, max_sweeps=1)
    memory.store(signs(13, 40))
    with pytest.warns(RuntimeWarning, match=r"recall: \d+ of 200 states still move after max_sweeps = 1 sweeps"):
        memory.recall(signs(200, 40, seed=3))
    with pytest.warns(RuntimeWarning, match="mean_field: not within 1e-06 after 2 steps"):
        memory.mean_field(memory.patterns, 0.9, steps=2)
