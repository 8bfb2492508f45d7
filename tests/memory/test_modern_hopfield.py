import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn.functional import scaled_dot_product_attention

from replica.memory import ModernHopfield
from replica.memory.hopfield_capacity import storage_bound
from replica.memory.hopfield_retrieval import FixedPointKind, standardize


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def on_sphere(count, dim, radius, seed=0):
    points = normal(count, dim, seed=seed)
    return radius * points / points.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (1,), (7,), (2, 3), (2, 1, 3)])
def test_one_update_is_softmax_attention(dtype, batch):
    patterns, queries = normal(50, 16, dtype=dtype), normal(*batch, 16, seed=1, dtype=dtype)
    found = ModernHopfield(patterns).retrieve(queries)
    by_hand = torch.softmax(queries @ patterns.T / 4, -1) @ patterns
    fused = scaled_dot_product_attention(queries.reshape(1, -1, 16), patterns[None], patterns[None]).reshape(*batch, 16)
    assert found.state.dtype == dtype
    assert found.state.shape == queries.shape
    assert found.steps.shape == found.change.shape == found.converged.shape == batch
    torch.testing.assert_close(found.state, by_hand, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.state, fused, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.change, (by_hand - queries).norm(dim=-1), atol=1e-5, rtol=1e-5)


def test_half_precision_works():
    patterns = on_sphere(20, 32, 5.0).to(torch.bfloat16)
    found = ModernHopfield(patterns, beta=4.0).retrieve(patterns, steps=3)
    assert found.state.dtype == torch.bfloat16
    torch.testing.assert_close(found.state.double(), patterns.double(), atol=0.1, rtol=0.1)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(-2, 2), st.integers(2, 30), st.integers(1, 12))
def test_energy_never_rises_and_stays_in_its_bounds(seed, log_beta, count, dim):
    memory = ModernHopfield(normal(count, dim, seed=seed), beta=10**log_beta)
    state, last = normal(8, dim, seed=seed + 1), None
    for step in range(12):
        energy = memory.energy(state)
        if step:  # A state after one update lies in the convex hull of the patterns.
            assert (energy >= -1e-9).all()
            assert (energy <= 2 * memory.max_norm**2 + 1e-9).all()
            assert (energy <= last + 1e-9 * (1 + last.abs())).all()
        state, last = memory.retrieve(state).state, energy


def test_update_is_a_gradient_step_of_the_energy():
    memory, state = ModernHopfield(normal(20, 6), beta=0.7), normal(5, 6, seed=1).requires_grad_()
    (slope,) = torch.autograd.grad(memory.energy(state).sum(), state)
    torch.testing.assert_close(state - slope, memory(state))


def test_retrieve_runs_until_each_query_stands_still():
    memory = ModernHopfield(on_sphere(30, 10, 3.0), beta=0.6)
    queries = torch.cat([memory.patterns[:5], normal(20, 10, seed=3)])
    found = memory.retrieve(queries, steps=2000, tolerance=1e-9)
    assert found.converged.all()
    assert found.steps.unique().numel() > 1
    assert (found.change <= 1e-9 * memory.max_norm).all()
    torch.testing.assert_close(memory(found.state), found.state, atol=1e-8, rtol=0)
    for i in (0, 7, 24):  # Alone, a query takes the same steps to the same place.
        alone = memory.retrieve(queries[i], steps=2000, tolerance=1e-9)
        assert int(alone.steps) == int(found.steps[i])
        torch.testing.assert_close(alone.state, found.state[i])
    few = memory.retrieve(queries, steps=2, tolerance=0.0)
    assert (few.steps == 2).all()
    assert not few.converged.any()
    torch.testing.assert_close(few.state, memory(memory(queries)))


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_jacobian_at_a_fixed_point(beta):
    memory = ModernHopfield(normal(15, 5), beta=beta)
    point = memory.retrieve(memory.patterns[:3], steps=5000, tolerance=1e-13).state
    jacobian = memory.jacobian(point)
    for i in range(3):
        automatic = torch.autograd.functional.jacobian(memory, point[i])
        weights = torch.softmax(beta * memory.patterns @ point[i], 0)
        closed = beta * memory.patterns.T @ (weights.diag() - weights.outer(weights)) @ memory.patterns
        torch.testing.assert_close(jacobian[i], automatic, atol=1e-10, rtol=1e-8)
        torch.testing.assert_close(jacobian[i], closed, atol=1e-10, rtol=1e-8)
        assert torch.linalg.eigvalsh(jacobian[i]).max() < 1


def test_separation_by_brute_force():
    memory = ModernHopfield(normal(40, 7))
    x = memory.patterns
    expected = [min(float(x[i] @ x[i] - x[i] @ x[j]) for j in range(40) if j != i) for i in range(40)]
    torch.testing.assert_close(memory.separation(), torch.tensor(expected, dtype=x.dtype))
    assert ModernHopfield(normal(1, 7)).separation().isinf().all()


def test_separation_compares_in_blocks(monkeypatch):
    memory = ModernHopfield(normal(40, 7))
    whole = memory.separation()
    monkeypatch.setattr("replica.memory.modern_hopfield._BLOCK_ENTRIES", 130)
    torch.testing.assert_close(memory.separation(), whole)


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("radius", [0.0, 0.3])
def test_errors_stay_within_their_bounds(beta, radius):
    memory = ModernHopfield(on_sphere(50, 20, math.sqrt(19)), beta=beta)
    damage = on_sphere(50, 20, 1.0, seed=5) * radius
    error = (memory(memory.patterns + damage) - memory.patterns).norm(dim=-1)
    assert (error <= memory.retrieval_error_bound(radius)).all()
    fixed = memory.retrieve(memory.patterns, steps=1000, tolerance=1e-14).state
    offset = (fixed - memory.patterns).norm(dim=-1)
    bound = memory.fixed_point_error_bound()
    assert (offset[bound.isfinite()] <= bound[bound.isfinite()] + 1e-12).all()
    reach = torch.maximum(offset, torch.full_like(offset, radius))
    shrunk = (memory(memory.patterns + damage) - fixed).norm(dim=-1)
    before = (memory.patterns + damage - fixed).norm(dim=-1)
    assert (shrunk <= memory.contraction_bound(reach) * before + 1e-12).all()


def test_fixed_point_bound_is_silent_where_it_does_not_apply():
    dense = ModernHopfield(on_sphere(100, 3, 1.0), beta=1.0)
    assert dense.fixed_point_error_bound().isnan().all()
    sparse = ModernHopfield(4 * torch.eye(5, dtype=torch.float64), beta=2.0)
    assert sparse.fixed_point_error_bound().isfinite().all()


def test_what_is_said_to_be_stored_has_its_own_fixed_point():
    memory = ModernHopfield(on_sphere(30, 12, math.sqrt(11)), beta=2.0)
    stored = memory.is_stored()
    assert stored.sum() > 0
    radius = 1 / (2.0 * 30 * float(memory.max_norm))
    for seed in range(5):
        start = memory.patterns + on_sphere(30, 12, radius, seed=10 + seed)
        found = memory.retrieve(start, steps=500, tolerance=1e-14).state
        assert ((found - memory.patterns).norm(dim=-1) <= radius)[stored].all()
    assert not ModernHopfield(memory.patterns, beta=0.01).is_stored().any()
    assert ModernHopfield(memory.patterns[:1]).is_stored().all()


def test_kinds_of_fixed_point_have_their_limits():
    # Three groups of ten: a weak beta gives the mean of all, a middle one the groups', a strong one patterns.
    centres = 5 * torch.eye(3, 8, dtype=torch.float64).repeat_interleave(10, 0)
    patterns = centres + 0.2 * normal(30, 8)
    patterns *= 5 / patterns.norm(dim=-1, keepdim=True)
    for beta, kind, target in (
        (1e-4, FixedPointKind.GLOBAL, patterns.mean(0).expand(30, 8)),
        (0.3, FixedPointKind.METASTABLE, patterns.view(3, 10, 8).mean(1).repeat_interleave(10, 0)),
        (500.0, FixedPointKind.SINGLE, patterns),
    ):
        memory = ModernHopfield(patterns, beta=beta)
        point = memory.retrieve(patterns, steps=5000).state
        assert (memory.fixed_point_kind(point) == kind).all()
        assert (point - target).norm(dim=-1).max() < 0.5
    assert memory.support_size(patterns).unique().tolist() == [1]
    assert ModernHopfield(patterns, beta=1e-9).support_size(patterns).unique().tolist() == [27]


def test_storage_bound_gives_the_papers_constants():
    # Theorem 3: c ≥ 3.1546 at K = 3, d = 20, and c ≥ 1.3718 at K = 1, d = 75, both with beta = 1, p = 0.001.
    count, base = storage_bound(20, radius_factor=3.0)
    assert base == pytest.approx(3.1546, abs=1e-4)
    assert count == pytest.approx(math.sqrt(0.001) * base ** (19 / 4))
    _, base = storage_bound(75)
    assert base == pytest.approx(1.3718, abs=1e-4)
    assert math.isnan(storage_bound(5)[0])


def test_storage_bound_solves_its_equation():
    # c = b / W(exp(a + ln b)) is the root of a + ln c... written without W: b / c + ln(b / c) = a + ln b.
    d, beta, k, p = 40, 0.5, 2.0, 0.01
    _, c = storage_bound(d, beta=beta, radius_factor=k, failure_probability=p)
    a, b = 2 / (d - 1) * (1 + math.log(2 * beta * k**2 * p * (d - 1))), 2 * k**2 * beta / 5
    assert b / c + math.log(b / c) == pytest.approx(a + math.log(b))


def test_recall_gives_stored_patterns_back():
    patterns = normal(64, 100).sign()
    cues = patterns * torch.where(torch.rand(64, 100, generator=torch.Generator().manual_seed(1)) < 0.15, -1.0, 1.0)
    memory = ModernHopfield(beta=1.0)
    memory.store(patterns[:40])
    memory.store(patterns[40:])
    assert memory.count == 64
    torch.testing.assert_close(memory.recall(cues), patterns, atol=1e-6, rtol=0)


@pytest.mark.parametrize("steps", [1, 4])
def test_standardized_recall_is_blind_to_brightness_and_reads_out_the_originals(steps):
    patterns = torch.rand(50, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    patterns[7] += 5  # The brightest pattern has the largest product with every cue.
    memory = ModernHopfield(patterns, beta=1.0, steps=steps, standardize=True)
    for cues in (patterns, 0.5 * patterns + 0.1, patterns.view(2, 25, 64)):
        torch.testing.assert_close(memory.recall(cues).view(50, 64), patterns, atol=1e-6, rtol=0)
    assert (ModernHopfield(patterns, beta=1.0, steps=steps).recall(patterns) - patterns[7]).abs().max() < 1e-6
    torch.testing.assert_close(memory.recall(patterns[3]), patterns[3], atol=1e-6, rtol=0)
    assert torch.equal(standardize(torch.ones(3, 4)), torch.zeros(3, 4))


def test_recall_reads_out_values():
    memory = ModernHopfield(beta=50.0, steps=3)
    patterns, labels = on_sphere(10, 8, 1.0), torch.eye(10, dtype=torch.float64)
    memory.store(patterns, values=labels)
    torch.testing.assert_close(memory.recall(patterns), labels, atol=1e-3, rtol=0)


def test_gradients():
    patterns = normal(6, 4).requires_grad_()
    queries = normal(3, 4, seed=1).requires_grad_()
    beta = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)

    def retrieve(patterns, queries, beta):
        return ModernHopfield(patterns).retrieve(queries, beta=beta, steps=3, tolerance=0.0).state

    def energy(patterns, queries, beta):
        return ModernHopfield(patterns).energy(queries, beta=beta)

    def partly(patterns, queries):  # One query stands still after two updates, the others go on.
        memory = ModernHopfield(patterns, beta=8.0, tolerance=1e-3)
        return memory.retrieve(torch.cat([3 * patterns[:1], queries]), steps=5).state

    assert torch.autograd.gradcheck(retrieve, (patterns, queries, beta))
    assert torch.autograd.gradcheck(energy, (patterns, queries, beta))
    assert torch.autograd.gradgradcheck(energy, (patterns, queries, beta))
    assert torch.autograd.gradcheck(partly, (patterns, queries))


@pytest.mark.parametrize("standardize", [False, True])
def test_state_dict_round_trip(standardize):
    memory = ModernHopfield(normal(9, 5), beta=2.0, standardize=standardize)
    fresh = ModernHopfield(beta=2.0, standardize=standardize).double()
    fresh.load_state_dict(memory.state_dict())
    torch.testing.assert_close(fresh.recall(normal(3, 5)), memory.recall(normal(3, 5)), atol=0, rtol=0)
    fresh.load_state_dict(ModernHopfield(normal(4, 7)).state_dict(), strict=not standardize)
    assert fresh.patterns.shape == (4, 7)
    outer = torch.nn.Sequential(ModernHopfield(), torch.nn.Linear(2, 2))
    outer.load_state_dict(torch.nn.Sequential(ModernHopfield(normal(3, 2)), torch.nn.Linear(2, 2)).state_dict())
    assert outer[0].count == 3
    assert outer(torch.zeros(1, 2)).dtype == torch.float32  # a module's type is its own, also while it is empty


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("patterns", lambda m: m.store(torch.zeros(3))),
        ("patterns", lambda m: m.store(torch.zeros(0, 4))),
        ("patterns", lambda m: m.store(torch.zeros(2, 4, dtype=torch.int64))),
        ("patterns", lambda m: m.store(torch.zeros(2, 5, dtype=torch.float64))),
        ("values", lambda m: m.store(torch.zeros(2, 4), values=torch.zeros(3, 4))),
        ("values", lambda m: m.store(torch.zeros(2, 4), values=torch.zeros(2, 4))),
        ("patterns", lambda m: ModernHopfield().recall(torch.zeros(4))),
        ("cues", lambda m: m.recall(torch.zeros(2, 3))),
        ("queries", lambda m: m.retrieve(torch.zeros(2, 3))),
        ("state", lambda m: m.energy(torch.zeros(2, 3))),
        ("steps", lambda m: m.retrieve(torch.zeros(2, 4), steps=0)),
        ("steps", lambda m: ModernHopfield(steps=0)),
        ("beta", lambda m: ModernHopfield(beta=0.0)),
        ("beta", lambda m: m.energy(torch.zeros(2, 4), beta=float("nan"))),
        ("beta", lambda m: m.energy(torch.zeros(2, 4), beta=torch.ones(2))),
        ("tolerance", lambda m: m.retrieve(torch.zeros(2, 4), tolerance=-1.0)),
        ("mass", lambda m: m.support_size(torch.zeros(2, 4), mass=1.0)),
        ("dim", lambda m: storage_bound(1)),
        ("failure_probability", lambda m: storage_bound(9, failure_probability=0.0)),
        ("radius_factor", lambda m: storage_bound(9, radius_factor=0.0)),
    ],
)
def test_bad_arguments_are_named_in_one_line(name, call):
    with pytest.raises(ValueError, match=f"^{name}: got .*want .*") as caught:
        call(ModernHopfield(normal(6, 4)))
    assert "\n" not in str(caught.value)


def test_memory_does_not_grow_with_the_product_of_queries_and_patterns():
    # 4,096 × 4,096 weights would be 64 MiB.
    memory, queries = (
        ModernHopfield(normal(4096, 8, dtype=torch.float32)),
        normal(4096, 8, dtype=torch.float32),
    )
    with torch.profiler.profile(profile_memory=True) as profile:
        memory.retrieve(queries)
    assert max(event.self_cpu_memory_usage for event in profile.key_averages()) < 8 * 2**20
