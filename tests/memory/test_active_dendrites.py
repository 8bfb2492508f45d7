import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from replica.memory import (
    ActiveDendriteNeuron,
    ActiveDendriteSegments,
    log_any_match,
    log_false_match,
    log_false_negative,
    log_union_false_match,
    sparse_patterns,
    swap_active,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(indices: torch.Tensor, cells: int, dtype=torch.bool) -> torch.Tensor:
    patterns = torch.zeros(*indices.shape[:-1], cells + 1, dtype=dtype)
    patterns.scatter_(-1, torch.where(indices < 0, cells, indices), 1)
    return patterns[..., :cells]


def by_sets(module: ActiveDendriteSegments, indices: torch.Tensor) -> torch.Tensor:
    own = [set(row) - {-1} for row in module.synapses.tolist()]
    flat = indices.reshape(-1, indices.shape[-1]).tolist()
    counts = torch.tensor([[len(segment & set(pattern)) for segment in own] for pattern in flat])
    return counts.reshape(*indices.shape[:-1], len(own))


def unions(seed: int = 0) -> ActiveDendriteSegments:
    draw = seeded(seed)
    module = ActiveDendriteSegments(100, threshold=4, synapses_per_pattern=7)
    where = torch.tensor([0, 3, 3, 1, 3, 0])  # nothing goes to segment 2
    return module.store(sparse_patterns(6, 100, 20, generator=draw), where, generator=draw)


@pytest.mark.parametrize(("cells", "active"), [(1, 1), (5, 0), (6, 2), (6, 5), (40, 3), (100, 100)])
def test_patterns_are_sets_in_order(cells, active):
    patterns = sparse_patterns(50, cells, active, generator=seeded())
    assert patterns.shape == (50, active)
    assert patterns.dtype == torch.long
    assert (patterns.diff(dim=-1) > 0).all()
    assert ((patterns >= 0) & (patterns < cells)).all()
    assert torch.equal(patterns, sparse_patterns(50, cells, active, generator=seeded()))


@pytest.mark.parametrize(("cells", "active"), [(6, 3), (20, 2)])  # ranked, and drawn with repeats
def test_every_pattern_is_as_likely(cells, active):
    patterns = sparse_patterns(20_000, cells, active, generator=seeded())
    code = (patterns * cells ** torch.arange(active)).sum(-1)
    counts = code.unique(return_counts=True)[1].numpy()
    assert len(counts) == math.comb(cells, active)
    assert chisquare(counts).pvalue > 1e-4


def test_noise_swaps_just_so_many_cells_and_any_of_them():
    patterns = sparse_patterns(1, 12, 4, generator=seeded()).expand(20_000, 4)
    noisy = swap_active(patterns, 12, 2, generator=seeded(1))
    assert (noisy.diff(dim=-1) > 0).all()
    before, after = dense(patterns, 12), dense(noisy, 12)
    assert ((before & after).sum(-1) == 2).all()
    pairs = itertools.product(
        itertools.combinations(range(4), 2), itertools.combinations([c for c in range(12) if not before[0, c]], 2)
    )
    wanted = {tuple(sorted([patterns[0, i].item() for i in kept] + list(new))) for kept, new in pairs}
    found, counts = np.unique(noisy.numpy(), axis=0, return_counts=True)
    assert {tuple(row) for row in found.tolist()} == wanted
    assert chisquare(counts).pvalue > 1e-4
    assert torch.equal(swap_active(patterns[:3], 12, 0), patterns[:3])
    assert not (dense(swap_active(patterns[:3], 12, 4), 12) & before[:3]).any()


@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (0,)])
def test_every_form_of_a_pattern_gives_the_overlaps_of_sets(batch):
    module = unions()
    indices = sparse_patterns(math.prod(batch), 100, 30, generator=seeded(2)).reshape(*batch, 30)
    indices[..., 25:] = -1
    expected = by_sets(module, indices) if indices.numel() else torch.zeros(*batch, 4, dtype=torch.long)
    assert torch.equal(module.overlaps(indices), expected)
    assert torch.equal(module.overlaps(indices.int()), expected)
    assert torch.equal(module.overlaps(dense(indices, 100)), expected)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        counted = module.overlaps(dense(indices, 100, dtype))
        assert counted.dtype == dtype
        assert torch.equal(counted.long(), expected)
    assert torch.equal(module(indices), expected >= 4)
    assert module(indices).shape == (*batch, 4)


def test_segments_learn_samples_of_their_own_patterns():
    patterns = sparse_patterns(200, 300, 40, generator=seeded())
    for given in (patterns, dense(patterns, 300), dense(patterns, 300, torch.float32)):
        module = ActiveDendriteSegments(300, threshold=8, synapses_per_pattern=10).store(given, generator=seeded(1))
        assert module.synapses.shape == (200, 10)
        assert (module.synapses.diff(dim=-1) > 0).all()
        assert dense(patterns, 300).gather(-1, module.synapses).all()
        again = ActiveDendriteSegments(300, threshold=8, synapses_per_pattern=10).store(given, generator=seeded(1))
        assert torch.equal(module.synapses, again.synapses)
    one = sparse_patterns(1, 300, 6, generator=seeded()).expand(12_000, 6)
    module = ActiveDendriteSegments(300, threshold=1, synapses_per_pattern=3).store(one, generator=seeded(3))
    counts = np.unique(module.synapses.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 20
    assert chisquare(counts).pvalue > 1e-4


def test_patterns_may_differ_in_size():
    indices = torch.tensor([[3, 1, 4, -1, -1], [5, 9, 2, 6, 0]])
    module = ActiveDendriteSegments(10, threshold=3, synapses_per_pattern=3).store(indices, generator=seeded())
    assert module.synapses[0].tolist() == [1, 3, 4]
    assert set(module.synapses[1].tolist()) <= {5, 9, 2, 6, 0}


def test_a_union_holds_each_of_its_patterns_under_noise():
    draw = seeded()
    patterns = sparse_patterns(60, 500, 40, generator=draw)
    where = torch.arange(60) % 12
    module = ActiveDendriteSegments(500, threshold=10, synapses_per_pattern=20).store(patterns, where, generator=draw)
    assert module.segments == 12
    assert ((module.synapses >= 0).sum(-1) <= 100).all()
    noisy = swap_active(patterns, 500, 10, generator=draw)  # s − θ, the noise that a segment bears for certain
    assert module(noisy)[torch.arange(60), where].all()


def test_adding_keeps_what_was_there():
    draw = seeded()
    patterns = sparse_patterns(9, 100, 20, generator=draw)
    module = ActiveDendriteSegments(100, threshold=4, synapses_per_pattern=7)
    module.store(patterns[:4], torch.tensor([0, 0, 1, 4]), generator=draw)
    before = [set(row) - {-1} for row in module.synapses.tolist()]
    module.add(patterns[4:], torch.tensor([1, 1, 2, 0, 1]), generator=draw)
    after = [set(row) - {-1} for row in module.synapses.tolist()]
    assert module.segments == 5
    assert all(old <= new for old, new in zip(before, after, strict=True))
    assert after[3] == set()
    assert torch.equal(module.overlaps(patterns), by_sets(module, patterns))
    assert (
        ActiveDendriteSegments(100, threshold=4, synapses_per_pattern=7).add(patterns[:1], torch.tensor([2])).segments
        == 3
    )


@pytest.mark.parametrize(("cells", "active"), [(300, 64), (500, 128), (700, 256)])
def test_false_matches_follow_the_law(cells, active):
    draw = seeded(4)
    module = ActiveDendriteSegments(cells, threshold=12, synapses_per_pattern=24)
    module.store(sparse_patterns(500, cells, active, generator=draw), generator=draw)
    found = int(module(sparse_patterns(800, cells, active, generator=draw)).sum())
    p, total = log_false_match(cells, active, 24, 12).exp().item(), 500 * 800
    assert abs(found - total * p) < 4.5 * math.sqrt(total * p * (1 - p))


def test_misses_follow_the_law():
    draw = seeded(5)
    patterns = sparse_patterns(20, 6000, 128, generator=draw)
    module = ActiveDendriteSegments(6000, threshold=16, synapses_per_pattern=30).store(patterns, generator=draw)
    noisy = swap_active(patterns.repeat_interleave(300, 0), 6000, 51, generator=draw)
    missed = int((~module(noisy).view(20, 300, 20).diagonal(dim1=0, dim2=2)).sum())
    p = log_false_negative(128, 30, 16, 51).exp().item()
    assert abs(missed - 6000 * p) < 4.5 * math.sqrt(6000 * p * (1 - p))


def test_unions_and_neurons_follow_their_laws():
    draw = seeded(6)
    neurons, hits, union_hits = 60, 0, 0
    strange = sparse_patterns(500, 1000, 40, generator=draw)
    for _ in range(neurons):
        neuron = ActiveDendriteNeuron(1000, threshold=7, synapses_per_pattern=15, patterns_per_segment=10)
        neuron.store(sparse_patterns(50, 1000, 40, generator=draw), generator=draw)
        hits += int(neuron(strange).sum())
        union_hits += int(neuron.dendrites(strange).sum())
    log_p = log_union_false_match(1000, 40, 15, 7, 10)
    p, any_p = log_p.exp().item(), log_any_match(log_p, 5).exp().item()
    assert union_hits / (neurons * 500 * 5) == pytest.approx(p, rel=0.06)
    assert hits / (neurons * 500) == pytest.approx(any_p, rel=0.06)


def test_a_neuron_is_active_where_a_segment_spikes():
    draw = seeded()
    patterns = sparse_patterns(7, 100, 20, generator=draw)
    neuron = ActiveDendriteNeuron(100, threshold=6, synapses_per_pattern=8, patterns_per_segment=3)
    neuron.store(dense(patterns, 100), generator=draw)
    asked = sparse_patterns(12, 100, 30, generator=draw).reshape(3, 4, 30)
    assert neuron.dendrites.segments == 3
    assert torch.equal(neuron(asked), neuron.dendrites(asked).any(-1))
    assert torch.equal(neuron(asked), neuron.evidence(asked) >= 1)
    assert neuron(patterns).all()
    assert neuron(dense(patterns, 100, torch.float32)).all()


def test_state_dict_goes_round_into_a_fresh_module():
    module, fresh = unions(), ActiveDendriteSegments(100, threshold=4, synapses_per_pattern=7)
    fresh.load_state_dict(module.state_dict())
    asked = sparse_patterns(8, 100, 30, generator=seeded(7))
    assert set(module.state_dict()) == {"synapses"}
    assert torch.equal(fresh.overlaps(asked), module.overlaps(asked))
    assert torch.equal(copy.deepcopy(module)(asked), module(asked))
    assert torch.equal(fresh.add(asked[:1], torch.tensor([1])).overlaps(asked), by_sets(fresh, asked))


def test_gradients_reach_graded_activity():
    module = unions()
    activity = torch.rand(3, 100, generator=seeded(), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(module.overlaps, (activity,))
    module.overlaps(activity)[:, 0].sum().backward()
    expected = dense(module.synapses[0][module.synapses[0] >= 0], 100, torch.float64)
    assert torch.equal(activity.grad, expected.expand(3, 100))


def test_an_empty_module_answers_for_no_segment():
    module = ActiveDendriteSegments(10, threshold=2, synapses_per_pattern=3)
    assert module(torch.zeros(4, 10)).shape == (4, 0)
    assert module(torch.tensor([[1, 2]])).shape == (1, 0)


def stored(patterns, segment=None):
    return ActiveDendriteSegments(10, threshold=2, synapses_per_pattern=3).store(patterns, segment)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ActiveDendriteSegments(10, threshold=0, synapses_per_pattern=3), "threshold is 0"),
        (lambda: ActiveDendriteSegments(10, threshold=4, synapses_per_pattern=3), "synapses_per_pattern is 3"),
        (lambda: ActiveDendriteSegments(10, threshold=4, synapses_per_pattern=11), "synapses_per_pattern is 11"),
        (
            lambda: ActiveDendriteNeuron(10, threshold=2, synapses_per_pattern=3, patterns_per_segment=0),
            "patterns_per_segment",
        ),
        (lambda: sparse_patterns(-1, 10, 2), "count is -1"),
        (lambda: sparse_patterns(1, 10, 11), "active is 11"),
        (lambda: swap_active(torch.zeros(1, 10), 10, 1), "patterns is torch.float32"),
        (lambda: swap_active(torch.tensor([[0, 1, 2]]), 5, 3), "changed is 3"),
        (lambda: stored(torch.ones(10)), "patterns has shape"),
        (lambda: stored(torch.ones(2, 9)), "patterns has shape"),
        (lambda: stored(torch.tensor([[1, 2, 10]])), "patterns has the index 10"),
        (lambda: stored(torch.tensor([[1, 2, -2]])), "patterns has the index -2"),
        (lambda: stored(torch.tensor([[1, 2, 2, 3]])), "patterns has a row with the same index"),
        (lambda: stored(torch.tensor([[1, 2, -1, -1]])), "patterns has a row with 2 active"),
        (lambda: stored(torch.ones(2, 10, dtype=torch.long)), "patterns is dense"),
        (lambda: stored(torch.ones(2, 10), torch.tensor([0])), "segment is"),
        (lambda: stored(torch.ones(2, 10), torch.tensor([0, -1])), "segment has -1"),
        (lambda: stored(torch.ones(2, 10)).overlaps(torch.ones(3, 11)), "wanted .* 10"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
