import copy

import pytest
import torch
from torch import nn

from replica.memory import (
    CodebookLayer,
    activate_code,
    activate_codes,
    attach_codebooks,
    bypass_codebooks,
    codebooks_of,
    initialize_codebooks,
    reconstruction_loss,
    record_codes,
    replace_dead_codes,
)
from replica.training import CausalTransformer


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def model(**options):
    plain = CausalTransformer(7, dim=8, layers=2, heads=2, context=6, generator=seeded(), dtype=torch.float64)
    codebooks = {
        "blocks.0.attention.heads": CodebookLayer(8, 12, groups=2, generator=seeded(1), dtype=torch.float64),
        "blocks.1.mlp": CodebookLayer(8, 20, active=2, generator=seeded(2), dtype=torch.float64),
    }
    coded = copy.deepcopy(plain)
    attach_codebooks(coded, codebooks, **options)
    return plain, coded


TOKENS = torch.randint(7, (5, 6), generator=seeded(3))


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 6), lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh())])
def test_a_wrapped_module_gives_its_own_output_quantised_once(make):
    net = nn.ModuleDict({"inner": make()}).double()
    inputs = torch.randn(9, 4, generator=seeded(), dtype=torch.float64)
    raw = net["inner"](inputs)
    book = CodebookLayer(6, 10, active=3, generator=seeded(), dtype=torch.float64)
    attach_codebooks(net, {"inner": book})
    with record_codes(net) as record:
        output = net["inner"](inputs)
    assert torch.equal(output, book.quantize(raw).output)
    assert len(record["inner"]) == 1


def test_on_the_input_of_a_module():
    net, inputs = nn.ModuleDict({"inner": nn.Linear(4, 6)}).double(), torch.randn(9, 4, generator=seeded()).double()
    plain = copy.deepcopy(net)
    book = CodebookLayer(4, 10, groups=2, generator=seeded(), dtype=torch.float64)
    attach_codebooks(net, {"inner": book}, on="input")
    assert torch.equal(net["inner"](inputs), plain["inner"](book(inputs)))


def test_of_a_tuple_the_first_is_quantised():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    inputs = torch.randn(2, 3, 8, generator=seeded())
    raw, weights = attention(inputs, inputs, inputs)
    net = nn.ModuleDict({"attention": attention})
    book = CodebookLayer(8, 10, generator=seeded())
    attach_codebooks(net, {"attention": book})
    output, same = net["attention"](inputs, inputs, inputs)
    assert torch.equal(output, book(raw))
    assert torch.equal(same, weights)


def test_bypass_gives_the_plain_model_back():
    plain, coded = model()
    assert not torch.allclose(plain(TOKENS), coded(TOKENS))
    with bypass_codebooks(coded):
        torch.testing.assert_close(coded(TOKENS), plain(TOKENS))
    assert not torch.allclose(plain(TOKENS), coded(TOKENS))


def test_the_models_own_weights_keep_their_names():
    plain, coded = model()
    added = set(coded.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(coded.state_dict())
    assert {name.split(".codebook.")[0] for name in added} == set(codebooks_of(coded))
    _, other = model()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    other.load_state_dict(coded.state_dict())
    torch.testing.assert_close(other(TOKENS), coded(TOKENS))
    torch.testing.assert_close(copy.deepcopy(coded)(TOKENS), coded(TOKENS))


def test_a_deep_copy_has_codebooks_of_its_own():
    _, coded = model()
    twin, before = copy.deepcopy(coded), coded(TOKENS)
    with activate_code(codebooks_of(twin)["blocks.1.mlp"], 3):
        assert not torch.equal(twin(TOKENS), before)
        assert torch.equal(coded(TOKENS), before)


def test_record_and_its_loss():
    _, coded = model()
    with record_codes(coded) as record:
        coded(TOKENS)
        with record_codes(coded) as inner:
            coded(TOKENS)
    coded(TOKENS)
    assert [len(kept) for kept in record.values()] == [2, 2]
    assert [len(kept) for kept in inner.values()] == [1, 1]
    assert record["blocks.0.attention.heads"][0].codes.shape == (5, 6, 2, 1)
    torch.testing.assert_close(reconstruction_loss(record), 2 * reconstruction_loss(inner))
    reconstruction_loss(inner).backward()
    assert all(book.codes.grad.abs().max() > 0 for book in codebooks_of(coded).values())
    assert coded.tokens.weight.grad is None


def test_gradients_reach_every_weight_through_the_codebooks():
    _, coded = model()
    coded(TOKENS).logsumexp(-1).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in coded.parameters())
    assert float(coded.tokens.weight.grad.abs().max()) > 0


def test_with_a_code_for_every_activation_nothing_is_lost():
    """k-means with as many centres as activations: the codebook model is the plain model on that data."""
    plain, coded = model()
    for name in list(codebooks_of(coded)):
        groups = codebooks_of(coded)[name].groups
        coded.get_submodule(name).codebook = CodebookLayer(
            8, 30, groups=groups, generator=seeded(), dtype=torch.float64
        )
    initialize_codebooks(coded, lambda: coded(TOKENS), iterations=2, generator=seeded())
    torch.testing.assert_close(coded(TOKENS), plain(TOKENS))


def test_dead_codes_are_replaced_everywhere():
    _, coded = model()
    coded(TOKENS[:1])
    dead = {name: (book.usage == 0).sum(-1) for name, book in codebooks_of(coded).items()}
    moved = replace_dead_codes(coded, lambda: coded(TOKENS), generator=seeded())
    assert all(torch.equal(moved[name], dead[name]) for name in dead)
    assert sum(int(count.sum()) for count in moved.values()) > 0


def test_activate_codes_names_module_group_and_code():
    _, coded = model()
    with (
        activate_codes(coded, [("blocks.0.attention.heads", 1, 5), ("blocks.1.mlp", 0, 3)]),
        record_codes(coded) as record,
    ):
        coded(TOKENS)
    assert (record["blocks.0.attention.heads"][0].codes[:, :, 1] == 5).all()
    assert (record["blocks.1.mlp"][0].codes == 3).any(-1).all()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: attach_codebooks(nn.Linear(2, 2), {"nowhere": CodebookLayer(2, 3)}), "nowhere"),
        (lambda: attach_codebooks(model()[1], {"blocks.1.mlp": CodebookLayer(8, 3)}), "already"),
        (lambda: attach_codebooks(nn.Linear(2, 2), {}, on="side"), "on: got"),
        (lambda: model(on="input"), "Sequential"),
        (lambda: reconstruction_loss({"a": []}), "record"),
        (lambda: initialize_codebooks(model()[1], lambda: None), "run"),
        (lambda: activate_codes(model()[1], [("head", 0, 1)]).__enter__(), "head"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
