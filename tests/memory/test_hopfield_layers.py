import math

import pytest
import torch
from torch import nn

from replica.memory import HopfieldAssociation, HopfieldLookup, HopfieldPooling, ModernHopfield


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sharpened(layer, scale=20.0):
    """The start is so near to zero that all weights are nearly equal; this makes associations that differ."""
    with torch.no_grad():
        for part in (layer.query, layer.key, layer.value, layer.out):
            part.weight *= scale
            part.bias += 0.1
    return layer


def twin_attention(layer, heads):
    """PyTorch's attention with the weights of a HopfieldAssociation."""
    attention = nn.MultiheadAttention(layer.state_dim, heads, batch_first=True, dtype=layer.out.weight.dtype)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key.weight, layer.value.weight]))
        attention.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key.bias, layer.value.bias]))
        attention.out_proj.load_state_dict(layer.out.state_dict())
    return attention


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("mask", ["none", "padding", "causal", "added", "both", "each head"])
def test_one_step_without_normalisation_is_multihead_attention(dtype, heads, mask):
    layer = sharpened(HopfieldAssociation(16, heads=heads, normalize=False, generator=seeded())).to(dtype)
    state, stored, values = (normal(3, n, 16, seed=s, dtype=dtype) for s, n in enumerate((5, 7, 7)))
    padding = torch.tensor([[0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 0, 0, 0, 1], [0] * 7]).bool()
    causal = torch.ones(5, 7).triu(1).bool()
    masks = {
        "none": {},
        "padding": {"key_padding_mask": padding},
        "causal": {"attention_mask": causal},
        "added": {"attention_mask": normal(5, 7, seed=9, dtype=dtype)},
        "both": {"key_padding_mask": padding, "attention_mask": causal},
        "each head": {"attention_mask": normal(3, heads, 5, 7, seed=9, dtype=dtype) > 1},
    }[mask]
    peer = dict(masks)
    if "attention_mask" in peer:
        peer["attn_mask"] = peer.pop("attention_mask")
        if peer["attn_mask"].dim() == 4:
            peer["attn_mask"] = peer["attn_mask"].flatten(0, 1)
    expected, weights = twin_attention(layer, heads)(state, stored, values, **peer, average_attn_weights=False)
    torch.testing.assert_close(layer(state, stored, values, **masks), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.associations(state, stored, **masks), weights, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_steps_are_updates_of_the_modern_hopfield_network(steps):
    layer = HopfieldAssociation(6, normalize=False, bias=False, steps=steps, tolerance=0.0, beta=1.3).double()
    with torch.no_grad():
        for part in (layer.query, layer.key, layer.value, layer.out):
            part.weight.copy_(torch.eye(6))
    state, stored = normal(2, 4, 6, dtype=torch.float64), normal(2, 9, 6, seed=1, dtype=torch.float64)
    for i in range(2):
        memory = ModernHopfield(stored[i], beta=1.3)
        torch.testing.assert_close(layer(state, stored)[i], memory.retrieve(state[i], steps=steps).state)


def test_a_result_does_not_depend_on_its_batch():
    layer = sharpened(HopfieldAssociation(8, heads=2, steps=50, tolerance=1e-3, generator=seeded()))
    state, stored = normal(4, 5, 8), normal(4, 6, 8, seed=1)
    together = layer(state, stored)
    for i in range(4):
        for j in range(5):
            alone = layer(state[i : i + 1, j : j + 1], stored[i : i + 1])
            torch.testing.assert_close(together[i, j], alone[0, 0], atol=1e-5, rtol=1e-5)


def test_updates_stop_when_states_stand_still(monkeypatch):
    calls = []
    attend = nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        nn.functional, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or attend(*a, **k)
    )
    layer = sharpened(HopfieldAssociation(8, steps=1000, tolerance=1e-3, generator=seeded()))
    layer(normal(2, 5, 8), normal(2, 6, 8, seed=1))
    assert 2 < len(calls) < 500
    calls.clear()
    layer.steps, layer.tolerance = 3, 0.0
    layer(normal(2, 5, 8), normal(2, 6, 8, seed=1))
    assert len(calls) == 3


def test_padding_changes_nothing():
    for layer in (
        HopfieldAssociation(8, 5, heads=2, steps=4, generator=seeded()),
        HopfieldPooling(5, state_dim=8, pools=3, heads=2, steps=4, generator=seeded()),
    ):
        sharpened(layer if isinstance(layer, HopfieldAssociation) else layer.association)
        state = (normal(2, 3, 8),) if isinstance(layer, HopfieldAssociation) else ()
        stored = normal(2, 6, 5, seed=1)
        padded = torch.cat([stored, 1e3 * normal(2, 4, 5, seed=2)], 1)
        mask = torch.arange(10).expand(2, 10) >= 6
        torch.testing.assert_close(layer(*state, padded, key_padding_mask=mask), layer(*state, stored))
        weights = layer.associations(*state, padded, key_padding_mask=mask)
        assert (weights[..., 6:] == 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_an_empty_set_reads_out_zero_with_finite_gradients():
    pooling = HopfieldPooling(5, steps=3, heads=1, generator=seeded())
    stored = normal(2, 4, 5).requires_grad_()
    mask = torch.tensor([[True] * 4, [False] * 4])
    pooled = pooling(stored, key_padding_mask=mask)
    torch.testing.assert_close(pooled[0], pooling.association.out.bias)
    pooled.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in pooling.parameters())
    assert (pooling.associations(stored, key_padding_mask=mask)[0] == 0).all()


def test_pooling_ignores_order_and_ends_in_mean_and_choice():
    pooling = sharpened_pooling = HopfieldPooling(6, pools=2, out_dim=4, generator=seeded())
    sharpened(pooling.association)
    bags = normal(3, 9, 6)
    order = torch.randperm(9, generator=seeded(1))
    assert pooling(bags).shape == (3, 8)
    torch.testing.assert_close(pooling(bags[:, order]), pooling(bags))
    flat = pooling.associations(bags)
    with torch.no_grad():
        sharpened_pooling.association.log_beta.fill_(math.log(1e-8))
        torch.testing.assert_close(pooling.associations(bags), torch.full((3, 1, 2, 9), 1 / 9))
        sharpened_pooling.association.log_beta.fill_(math.log(1e6))
        chosen = pooling.associations(bags)
    torch.testing.assert_close(chosen.max(-1).values, torch.ones(3, 1, 2))
    assert (chosen.argmax(-1) == flat.argmax(-1)).all()


def test_a_batch_of_one_serves_the_other_side():
    layer = sharpened(HopfieldAssociation(8, heads=2, steps=3, generator=seeded()))
    one, many = normal(1, 4, 8), normal(5, 6, 8, seed=1)
    torch.testing.assert_close(layer(one, many), layer(one.expand(5, -1, -1), many))
    torch.testing.assert_close(layer(many, one), layer(many, one.expand(5, -1, -1)))
    torch.testing.assert_close(layer.associations(one, many), layer.associations(one.expand(5, -1, -1), many))


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_lookup_of_given_patterns_is_association_with_them(batch):
    patterns, values = normal(11, 6), normal(11, 3, seed=1)
    lookup = HopfieldLookup(8, patterns=patterns, values=values, out_dim=5, heads=2, learn=False, generator=seeded())
    state = normal(*batch, 8, seed=2)
    flat = state.reshape(1, -1, 8)
    expected = lookup.association(flat, patterns[None], values[None]).reshape(*batch, 5)
    assert lookup(state).shape == (*batch, 5)
    torch.testing.assert_close(lookup(state), expected)
    assert lookup.associations(state).shape == (2, *batch, 11)
    assert not {"patterns", "values"} & {name for name, _ in lookup.named_parameters()}
    learned = HopfieldLookup(8, patterns=patterns, values=values, generator=seeded())
    assert {"patterns", "values"} <= {name for name, _ in learned.named_parameters()}


def test_lookup_of_a_training_set_is_a_nearest_neighbour():
    patterns, labels = normal(20, 4), torch.eye(20)
    lookup = HopfieldLookup(
        4, patterns=patterns, values=labels, association_dim=4, content_dim=20, out_dim=20, normalize=False, bias=False,
        beta=1e4, learn=False,
    )  # fmt: skip
    with torch.no_grad():
        for part in (
            lookup.association.query,
            lookup.association.key,
            lookup.association.value,
            lookup.association.out,
        ):
            part.weight.copy_(torch.eye(len(part.weight)))
    queries = normal(50, 4, seed=3)
    assert (lookup(queries).argmax(-1) == (queries @ patterns.T).argmax(-1)).all()


def test_learned_layers_learn():
    # Is there a member whose first coordinate exceeds 1.5? A mean cannot tell; the search for such a member can.
    bags = normal(256, 8, 4, seed=5)
    positive = (bags[..., 0].amax(-1) > 1.5).float()
    pooling = HopfieldPooling(
        4, heads=2, association_dim=8, out_dim=1, learn_beta=True, normalize=False, generator=seeded()
    )
    start = pooling.association.beta.clone()
    optimiser = torch.optim.Adam(pooling.parameters(), 0.03)
    for _ in range(150):
        optimiser.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(pooling(bags).squeeze(-1), positive)
        loss.backward()
        optimiser.step()
    assert loss < 0.25
    assert (pooling.association.beta != start).all()


@pytest.mark.parametrize("learn_beta", [False, True])
def test_beta_is_learned_only_if_asked(learn_beta):
    layer = HopfieldAssociation(8, heads=2, beta=0.7, learn_beta=learn_beta)
    torch.testing.assert_close(layer.beta, torch.full((2,), 0.7))
    layer(normal(1, 3, 8), normal(1, 3, 8, seed=1)).square().sum().backward()
    assert (layer.log_beta.grad is not None) == learn_beta
    torch.testing.assert_close(HopfieldAssociation(8, heads=2).beta, torch.full((2,), 0.5))


def test_gradients():
    layer = sharpened(
        HopfieldAssociation(4, 3, heads=2, steps=3, tolerance=0.0, learn_beta=True, generator=seeded())
    ).double()
    state, stored = normal(2, 3, 4, dtype=torch.float64), normal(2, 4, 3, seed=1, dtype=torch.float64)
    mask = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]]).bool()
    log_beta = torch.randn(2, generator=seeded(), dtype=torch.float64, requires_grad=True)

    def run(state, stored, log_beta):
        return torch.func.functional_call(layer, {"log_beta": log_beta}, (state, stored), {"key_padding_mask": mask})

    assert torch.autograd.gradcheck(run, (state.requires_grad_(), stored.requires_grad_(), log_beta))


def test_same_generator_same_layer_and_state_dict_round_trip():
    before = torch.get_rng_state()
    bags = normal(3, 5, 6)
    first, second, other = (HopfieldPooling(6, heads=2, learn_beta=True, generator=seeded(s)) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)  # The global random state is left alone.
    assert torch.equal(first(bags), second(bags))
    assert not torch.equal(first(bags), other(bags))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(bags), other(bags))
    lookup = HopfieldLookup(6, count=5, generator=seeded())
    twin = HopfieldLookup(6, count=5)
    twin.load_state_dict(lookup.state_dict())
    assert torch.equal(lookup(bags), twin(bags))


def test_dropout_acts_in_training_only():
    layer = sharpened(HopfieldAssociation(8, dropout=0.5, generator=seeded()))
    state, stored = normal(1, 3, 8), normal(1, 9, 8, seed=1)
    assert not torch.equal(layer(state, stored), layer(state, stored))
    layer.eval()
    assert torch.equal(layer(state, stored), layer(state, stored))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("heads", lambda: HopfieldAssociation(8, heads=3)),
        ("heads", lambda: HopfieldAssociation(8, heads=0)),
        ("steps", lambda: HopfieldAssociation(8, steps=0)),
        ("beta", lambda: HopfieldAssociation(8, beta=-1.0)),
        ("tolerance", lambda: HopfieldAssociation(8, tolerance=-1.0)),
        ("dropout", lambda: HopfieldAssociation(8, dropout=1.0)),
        ("pools", lambda: HopfieldPooling(8, pools=0)),
        ("count", lambda: HopfieldLookup(8)),
        ("count", lambda: HopfieldLookup(8, count=0)),
        ("count", lambda: HopfieldLookup(8, count=2, patterns=torch.zeros(2, 8))),
        ("patterns", lambda: HopfieldLookup(8, patterns=torch.zeros(8))),
        ("stored_dim", lambda: HopfieldLookup(8, patterns=torch.zeros(2, 8), stored_dim=9)),
        ("values", lambda: HopfieldLookup(8, patterns=torch.zeros(2, 8), values=torch.zeros(3, 8))),
        ("state", lambda: HopfieldLookup(8, count=2)(torch.zeros(3, 7))),
        ("state", lambda: HopfieldAssociation(8)(torch.zeros(3, 8), torch.zeros(1, 3, 8))),
        ("state", lambda: HopfieldAssociation(8)(torch.zeros(3, 2, 8), torch.zeros(2, 3, 8))),
        ("stored", lambda: HopfieldAssociation(8)(torch.zeros(1, 2, 8), torch.zeros(1, 2, 9))),
        (
            "values",
            lambda: HopfieldAssociation(8)(torch.zeros(1, 2, 8), torch.zeros(1, 2, 8), torch.zeros(1, 3, 8)),
        ),
        (
            "key_padding_mask",
            lambda: HopfieldPooling(8)(torch.zeros(1, 2, 8), key_padding_mask=torch.zeros(1, 2)),
        ),
        (
            "attention_mask",
            lambda: HopfieldAssociation(8)(
                torch.zeros(1, 2, 8), torch.zeros(1, 3, 8), attention_mask=torch.zeros(3, 2)
            ),
        ),
    ],
)
def test_bad_arguments_are_named_in_one_line(name, call):
    with pytest.raises(ValueError, match=f"^{name}: got .*want .*") as caught:
        call()
    assert "\n" not in str(caught.value)


def waves(*shape, start):
    count = math.prod(shape)
    return torch.sin(1.7 * torch.arange(start, start + count, dtype=torch.float64)).reshape(shape)


def test_agrees_with_the_authors_code():
    # Figures from `Hopfield` of github.com/ml-jku/hopfield-layers (commit f56f929) with these weights and inputs.
    expected = [
        [[8.290397, -1.029616], [3.537769, -3.466917], [3.564358, -3.504062]],
        [[-0.247827, -3.51478], [-0.24845, -3.514366], [-0.24845, -3.514366]],
    ]
    layer = HopfieldAssociation(4, 5, 6, association_dim=3, out_dim=2, heads=2, beta=0.9, steps=3, tolerance=0.0)
    layer = layer.double()
    with torch.no_grad():
        for start, part in enumerate((layer.query, layer.key, layer.value), start=1):
            part.weight.copy_(waves(*part.weight.shape, start=start))
        for part, bias in zip((layer.query, layer.key, layer.value), waves(18, start=4).split(6), strict=True):
            part.bias.copy_(0.1 * bias)
        layer.out.weight.copy_(waves(2, 6, start=5))
        layer.out.bias.copy_(0.1 * waves(2, start=6))
    state, stored, values = waves(2, 3, 4, start=7), waves(2, 4, 5, start=8), waves(2, 4, 6, start=9)
    padding = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]]).bool()
    found = layer(state, stored, values, key_padding_mask=padding)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=2e-6, rtol=0)
