import copy

import pytest
import torch
from torch.nn.functional import cross_entropy, softmax

from replica.training import CausalTransformer, fit
from replica.training.transformer import CausalAttention, _rotate, _turns


def model(seed=0, **options):
    sizes = {"dim": 16, "layers": 2, "heads": 2, "context": 12, "dtype": torch.float64, **options}
    return CausalTransformer(7, generator=torch.Generator().manual_seed(seed), **sizes)


TOKENS = torch.randint(7, (4, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1, 5, 12])
def test_shapes_and_types(length, dtype):
    logits = model(dtype=dtype)(TOKENS[:, :length])
    assert logits.shape == (4, length, 7)
    assert logits.dtype == dtype


def test_no_position_sees_those_after_it():
    net = model()
    changed = TOKENS.clone()
    changed[:, 6] = (changed[:, 6] + 1) % 7
    before, after = net(TOKENS), net(changed)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert (before[:, 6:] - after[:, 6:]).abs().amax(-1).min() > 1e-9
    torch.testing.assert_close(net(TOKENS[:, :5]), before[:, :5])


def test_attention_is_that_of_its_formula():
    layer = CausalAttention(12, 3).double()
    states = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen = []
    layer.heads.register_forward_hook(lambda m, a, out: seen.append(out))
    layer(states)
    query, key, value = (layer.query_key_value(states)[..., 12 * i : 12 * i + 12] for i in range(3))
    for head in range(3):
        own = slice(4 * head, 4 * head + 4)
        for t in range(5):
            weights = []
            for s in range(t + 1):
                # Complex numbers turn by the angle between the positions.
                q = torch.complex(query[:, t, own][:, :2], query[:, t, own][:, 2:])
                k = torch.complex(key[:, s, own][:, :2], key[:, s, own][:, 2:])
                turn = torch.polar(torch.ones(2).double(), (t - s) * torch.tensor([1.0, 10_000.0**-0.5]).double())
                weights.append((q * turn * k.conj()).real.sum(-1) / 2)
            read = torch.einsum("bs,bsd->bd", softmax(torch.stack(weights, -1), -1), value[:, : t + 1, own])
            torch.testing.assert_close(seen[0][:, t, own], read, atol=1e-6, rtol=1e-6)


def test_rotation_keeps_lengths_and_depends_on_differences_only():
    first, second = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turns = _turns(20, 8, first)
    first, second = _rotate(first.expand(20, 8), *turns), _rotate(second.expand(20, 8), *turns)
    torch.testing.assert_close(first.norm(dim=-1), first[:1].norm(dim=-1).expand(20))
    products = first @ second.T
    torch.testing.assert_close(products[3:, 3:], products[:-3, :-3], atol=1e-5, rtol=1e-5)


def test_the_start_comes_from_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second, third = model(), model(), model(seed=5)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first(TOKENS), second(TOKENS))
    assert not torch.equal(first(TOKENS), third(TOKENS))
    third.load_state_dict(first.state_dict())
    assert torch.equal(first(TOKENS), third(TOKENS))
    assert torch.equal(copy.deepcopy(first)(TOKENS), first(TOKENS))


def test_gradients_reach_every_weight():
    net = model()
    cross_entropy(net(TOKENS).flatten(0, 1), TOKENS.flatten()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()
        assert float(parameter.grad.abs().max()) > 0, name


def test_it_learns_to_copy_and_samples_what_it_learnt():
    generator = torch.Generator().manual_seed(0)

    def stream():
        while True:
            half = torch.randint(7, (32, 3), generator=generator)
            yield (half.repeat(1, 2),)

    def loss(net, tokens):
        return cross_entropy(net(tokens[:, :-1])[:, 2:].flatten(0, 1), tokens[:, 3:].flatten())

    net = CausalTransformer(7, dim=32, layers=1, heads=2, context=6, generator=generator)
    history = fit(net, loss, stream(), optimiser=torch.optim.AdamW(net.parameters(), 1e-2), steps=100)
    assert history.losses[-1] < 0.2
    prompt = torch.randint(7, (50, 3), generator=generator)
    drawn = net.sample(prompt, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, net.sample(prompt, 3, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(drawn[:, :3], prompt)
    assert float((drawn[:, 3:] == prompt).float().mean()) > 0.85


def test_samples_follow_the_models_distribution_and_may_outgrow_the_context():
    net = model()
    drawn = net.sample(TOKENS[:1, :3].expand(5_000, 3), 1, generator=torch.Generator().manual_seed(0))[:, 3]
    expected = net(TOKENS[:1, :3])[0, -1].softmax(-1)
    torch.testing.assert_close(torch.bincount(drawn, minlength=7) / 5_000, expected.float(), atol=0.03, rtol=0)
    assert net.sample(TOKENS, 9).shape == (4, 21)
    assert torch.equal(net.sample(TOKENS, 0), TOKENS)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: model(heads=3), "heads"),
        (lambda: model(heads=16), "heads"),
        (lambda: model(layers=0), "layers"),
        (lambda: model(hidden=0), "hidden"),
        (lambda: model(context=5)(TOKENS), "tokens: got 12"),
        (lambda: model().sample(TOKENS[:, :0], 1), "prompt"),
        (lambda: model().sample(TOKENS, -1), "steps"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
