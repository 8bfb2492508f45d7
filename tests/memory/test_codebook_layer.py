import pytest
import torch
from sklearn.cluster import KMeans
from torch.nn.functional import cosine_similarity, one_hot

from replica.memory import CodebookLayer, ablate_codes, activate_code


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer(dim=12, count=30, seed=0, dtype=torch.float64, **options):
    return CodebookLayer(dim, count, generator=torch.Generator().manual_seed(seed), dtype=dtype, **options)


def by_hand(module, inputs):
    """The definition, one input, one group and one code at a time."""
    part = module.dim // module.groups
    output = torch.empty_like(inputs)
    for index in range(len(inputs)):
        for group in range(module.groups):
            own = slice(group * part, (group + 1) * part)
            angles = torch.stack([cosine_similarity(inputs[index, own], code, dim=0) for code in module.codes[group]])
            best = sorted(range(module.count), key=lambda i, angles=angles: -float(angles[i].detach()))[: module.active]
            output[index, own] = sum(module.codes[group, i] for i in best)
    return output.detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("active", "groups"), [(1, 1), (3, 1), (1, 4), (5, 3)])
def test_output_is_the_sum_of_the_codes_of_greatest_cosine_similarity(active, groups, dtype):
    module, inputs = layer(active=active, groups=groups, dtype=dtype), normal(20, 12, seed=1, dtype=dtype)
    torch.testing.assert_close(module(inputs), by_hand(module, inputs))
    found = module.quantize(inputs)
    assert found.output.dtype == dtype
    assert found.codes.shape == (20, groups, active)
    ranked = module.similarity(inputs).topk(active, dim=-1).indices
    assert torch.equal(found.codes, ranked)


@pytest.mark.parametrize("batch", [(), (1,), (0,), (4, 5), (2, 1, 3)])
def test_any_batch(batch):
    module = layer(active=2, groups=3)
    inputs = normal(*batch, 12, seed=2)
    found = module.quantize(inputs)
    assert found.output.shape == inputs.shape
    assert found.codes.shape == (*batch, 3, 2)
    if batch and all(batch):
        torch.testing.assert_close(found.output.reshape(-1, 12), module(inputs.reshape(-1, 12)))


def test_blocks_of_similarities_change_nothing(monkeypatch):
    module, inputs = layer(active=2, groups=3), normal(50, 12, seed=3)
    whole = module.quantize(inputs).codes
    monkeypatch.setattr("replica.memory.codebook_layer._BLOCK_ENTRIES", 7 * 90)
    assert torch.equal(module.quantize(inputs).codes, whole)


def test_scale_of_activations_and_codes_does_not_change_the_choice():
    module, inputs = layer(active=3), normal(40, 12, seed=1)
    chosen = module.quantize(inputs).codes
    assert torch.equal(module.quantize(7 * inputs).codes, chosen)
    with torch.no_grad():
        module.codes.mul_(normal(1, 30, 1, seed=5).abs() + 0.1)
    assert torch.equal(module.quantize(inputs).codes, chosen)


def test_a_code_is_its_own_quantisation():
    module = layer()
    assert torch.equal(module(module.codes[0]), module.codes[0])
    assert module.quantize(module.codes[0]).codes.flatten().tolist() == list(range(30))
    assert module.quantize(module.codes[0]).reconstruction.item() == 0.0


def test_gradient_passes_straight_to_inputs_and_as_that_of_the_sum_to_codes():
    module, inputs, weights = layer(active=2, groups=3), normal(9, 12, seed=1).requires_grad_(), normal(9, 12, seed=2)
    found = module.quantize(inputs)
    (found.output * weights).sum().backward()
    assert torch.equal(inputs.grad, weights)
    uses = one_hot(found.codes, 30).sum(-2).double()
    expected = torch.einsum("ngc,ngd->gcd", uses, weights.reshape(9, 3, 4))
    torch.testing.assert_close(module.codes.grad, expected)


def test_gradient_of_the_reconstruction_reaches_codes_only():
    module, inputs = layer(active=2), normal(9, 12, seed=1).requires_grad_()
    found = module.quantize(inputs)
    torch.testing.assert_close(found.reconstruction, (found.output - inputs).square().sum(-1).mean())
    found.reconstruction.backward()
    assert inputs.grad is None
    error = 2 * (found.output - inputs).detach() / 9
    torch.testing.assert_close(module.codes.grad[0], one_hot(found.codes[:, 0], 30).sum(1).double().T @ error)


def test_reconstruction_falls_as_it_is_trained():
    module, inputs = layer(count=60), normal(200, 12, seed=1)
    first = module.quantize(inputs).reconstruction.item()
    descent = torch.optim.SGD(module.parameters(), 0.5)
    for _ in range(30):
        descent.zero_grad()
        module.quantize(inputs).reconstruction.backward()
        descent.step()
    assert module.quantize(inputs).reconstruction.item() < 0.8 * first


def test_usage_counts_in_training_only():
    module, inputs = layer(active=2, groups=3), normal(8, 5, 12, seed=1)
    module.eval()(inputs)
    assert int(module.usage.sum()) == 0
    module.train()(inputs)
    codes = module.quantize(inputs).codes.reshape(-1, 3, 2)
    for group in range(3):
        assert torch.equal(module.usage[group], torch.bincount(codes[:, group].flatten(), minlength=30))


def test_dead_codes_move_to_activations_and_the_others_stay():
    module, inputs = layer(active=2, groups=3), normal(40, 12, seed=1)
    module(inputs[:4])
    before, dead = module.codes.detach().clone(), module.usage == 0
    moved = module.replace_dead(inputs, generator=torch.Generator().manual_seed(3))
    assert torch.equal(moved, dead.sum(-1))
    assert 0 < int(moved.sum()) < 90
    assert torch.equal(module.codes[~dead], before[~dead])
    assert int(module.usage.sum()) == 0
    for group in range(3):
        halves = inputs[:, 4 * group : 4 * group + 4] / 2
        assert (torch.cdist(module.codes[group][dead[group]].detach(), halves).amin(-1) < 1e-6).all()


def test_initialize_is_k_means_of_well_separated_clusters():
    centres = 10 * normal(6, 12, seed=4)
    points = (centres.repeat(50, 1) + 0.1 * normal(300, 12, seed=5)).reshape(3, 100, 12)
    peer = KMeans(6, n_init=4, random_state=0).fit(points.reshape(-1, 12).numpy())
    # Lloyd's algorithm may end in a worse optimum: the best of a few starts must be the peer's.
    losses = []
    for seed in range(8):
        module = layer(count=6)
        module.initialize(points, iterations=20, generator=torch.Generator().manual_seed(seed))
        losses.append(float(torch.cdist(points.reshape(-1, 12), module.codes[0]).amin(-1).square().sum().detach()))
    assert min(losses) == pytest.approx(peer.inertia_, rel=1e-6)
    assert all(loss >= peer.inertia_ * (1 - 1e-6) for loss in losses)


def test_initialize_divides_by_the_active_codes_and_takes_few_activations():
    few = normal(5, 12, seed=1)
    module = layer(count=8, active=2)
    module.initialize(few, iterations=0, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(module.codes).all()
    distance = torch.cdist(2 * module.codes[0].detach(), few)
    assert int((distance.amin(-1) < 1e-6).sum()) == 5
    assert (distance.amin(-1) < 0.02 * few.norm(dim=-1).max()).all()
    one = layer(count=1)
    one.initialize(few, iterations=3)
    torch.testing.assert_close(one.codes[0, 0].detach(), few.mean(0))


def test_the_same_generator_gives_the_same_codes():
    first, second = layer(seed=3), layer(seed=3)
    inputs = normal(100, 12, seed=1)
    for module in (first, second):
        module.initialize(inputs, generator=torch.Generator().manual_seed(1))
        module(inputs[:3])
        module.replace_dead(inputs, generator=torch.Generator().manual_seed(2))
    assert torch.equal(first.codes, second.codes)


def test_forced_code_takes_the_place_of_the_least_similar():
    module, inputs = layer(active=3, groups=2), normal(6, 12, seed=1)
    free = module.quantize(inputs).codes
    absent = next(i for i in range(30) if not (free[:, 1] == i).any())
    with activate_code(module, absent, group=1):
        forced = module.quantize(inputs).codes
    assert torch.equal(forced[:, 0], free[:, 0])
    assert torch.equal(forced[:, 1, 0], torch.full((6,), absent))
    assert torch.equal(forced[:, 1, 1:], free[:, 1, :2])
    present = int(free[2, 1, 2])
    with activate_code(module, present, group=1):
        assert torch.equal(module.quantize(inputs).codes[2], free[2])
    assert torch.equal(module.quantize(inputs).codes, free)


def test_forced_codes_of_each_input_and_where():
    module, inputs = layer(), normal(4, 5, 12, seed=1)
    free = module(inputs)
    codes = torch.tensor([[1], [2], [3], [4]])
    where = torch.tensor([False, True, False, False, True])
    with activate_code(module, codes, where=where):
        steered = module(inputs)
    assert torch.equal(steered[:, ~where], free[:, ~where])
    assert torch.equal(steered[:, 1], module.codes[0, 1:5])
    assert torch.equal(steered[:, 4], module.codes[0, 1:5])


def test_nested_forcing_and_release_after_an_error():
    module, inputs = layer(active=2), normal(4, 12, seed=1)
    free = module(inputs)
    with activate_code(module, 3), activate_code(module, 8):
        assert module.quantize(inputs).codes.tolist() == [[[8, 3]]] * 4
    with pytest.raises(RuntimeError, match="stop"), activate_code(module, 3):
        raise RuntimeError("stop")
    assert torch.equal(module(inputs), free)


def test_ablated_codes_leave_their_places_to_the_next():
    module, inputs = layer(active=2, groups=2), normal(9, 12, seed=1)
    order = module.similarity(inputs).argsort(dim=-1, descending=True)
    banned = order[0, 1, :2].tolist()
    with ablate_codes(module, banned, group=1):
        codes = module.quantize(inputs).codes
        assert codes[0, 1].tolist() == order[0, 1, 2:4].tolist()
        assert not torch.isin(codes[:, 1], torch.tensor(banned)).any()
        assert torch.equal(codes[:, 0], order[:, 0, :2])
    assert torch.equal(module.quantize(inputs).codes, order[:, :, :2])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: CodebookLayer(0, 5), "dim"),
        (lambda: CodebookLayer(4, 0), "count"),
        (lambda: CodebookLayer(4, 5, active=6), "active"),
        (lambda: CodebookLayer(4, 5, active=0), "active"),
        (lambda: CodebookLayer(4, 5, groups=3), "groups"),
        (lambda: layer()(torch.zeros(3, 11)), "12"),
        (lambda: layer()(torch.tensor(1.0)), "inputs"),
        (lambda: layer().initialize(torch.zeros(0, 12)), "inputs"),
        (lambda: layer().initialize(torch.zeros(3, 12), iterations=-1), "iterations"),
        (lambda: activate_code(layer(), 30).__enter__(), "code"),
        (lambda: activate_code(layer(), -1).__enter__(), "code"),
        (lambda: activate_code(layer(), 1, group=1).__enter__(), "group"),
        (lambda: ablate_codes(layer(), range(30)).__enter__(), "left"),
        (lambda: ablate_codes(layer(), [31]).__enter__(), "code"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
