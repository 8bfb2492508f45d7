"""Hopular's network: against the equations written out with NumPy, and by what must not change it."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from replica.memory import Hopular, HopularBlock, TableColumns

SIZES = (1, 3, 1, 2)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def table(rows: int, seed: int = 0) -> torch.Tensor:
    """Random rows with columns of `SIZES`."""
    g = draw(seed)
    columns = [torch.randn(rows, generator=g) if k == 1 else torch.randint(k, (rows,), generator=g) for k in SIZES]
    return torch.stack([column.double() for column in columns], 1)


def network(**options) -> Hopular:
    return Hopular(SIZES, **{"width": 8, "heads": 2, "blocks": 2, **options}, generator=draw()).double().eval()


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def normal(x: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + norm.eps)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def by_hand(lookup: nn.Module, asked: np.ndarray, stored: np.ndarray, barred: np.ndarray | None = None) -> np.ndarray:
    """Eq. 1 and 2: one softmax a head, one row at a time."""
    weight = {
        name: (getattr(lookup, name).weight.detach().numpy(), getattr(lookup, name).bias.detach().numpy())
        for name in ("query", "key", "value", "out")
    }
    space = weight["query"][0].shape[0] // lookup.heads
    result = np.zeros((len(asked), weight["out"][0].shape[0]))
    for row in range(len(asked)):
        read = []
        for head in range(lookup.heads):
            part = slice(head * space, (head + 1) * space)
            query = weight["query"][0][part] @ asked[row] + weight["query"][1][part]
            keys = stored @ weight["key"][0][part].T + weight["key"][1][part]
            values = stored @ weight["value"][0][part].T + weight["value"][1][part]
            scores = float(lookup.beta[head]) * keys @ query
            if barred is not None:
                scores = np.where(barred[row], -np.inf, scores)
            read.append(softmax(scores) @ values)
        result[row] = weight["out"][0] @ np.concatenate(read) + weight["out"][1]
    return result


@pytest.mark.parametrize(("heads", "scaling"), [(1, 1.0), (2, 10.0), (4, 0.5)])
def test_a_block_is_its_equations(heads, scaling):
    """Algorithm 1, lines 4 to 7, with numbers."""
    block = HopularBlock(3, 8, heads=heads, scaling=scaling, generator=draw()).double().eval()
    g = draw(1)
    state, original = (torch.randn(5, 3, 8, generator=g, dtype=torch.float64) for _ in range(2))
    memory = torch.randn(7, 3, 8, generator=g, dtype=torch.float64)
    exclude = torch.eye(5, 7, dtype=torch.bool)
    found = block(state, original, memory, exclude=exclude).detach().numpy()

    flat, stored = state.flatten(1).numpy(), memory.flatten(1).numpy()
    flat = flat + by_hand(
        block.samples, normal(flat, block.sample_norm), normal(stored, block.sample_norm), exclude.numpy()
    )
    rows = flat.reshape(5, 3, 8)
    expected = [
        row + by_hand(block.features, normal(row, block.feature_norm), normal(own, block.feature_norm))
        for row, own in zip(rows, original.numpy(), strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def test_a_block_can_be_kernel_regression():
    """Nadaraya and Watson's estimator (the paper's Eq. 6): label of the normalised rows, weighted by exp(β z·x)."""
    beta, count = 3.0, 20
    block = HopularBlock(2, 4, heads=1, features=False, generator=draw()).double().eval()
    layer = block.samples
    with torch.no_grad():
        for projection in (layer.query, layer.key, layer.value, layer.out):
            projection.bias.zero_()
            projection.weight.copy_(torch.eye(8))
        layer.value.weight.zero_()
        layer.value.weight[0, -1] = 1.0  # reads the label, the last number
        layer.query.weight[-1] = 0.0  # and does not compare it
        layer.log_beta.fill_(np.log(beta))
    g = draw(2)
    memory = torch.randn(count, 2, 4, generator=g, dtype=torch.float64)
    asked = torch.randn(3, 2, 4, generator=g, dtype=torch.float64)
    gain = (block(asked, asked, memory) - asked)[:, 0, 0].detach().numpy()
    z, x = normal(asked.flatten(1).numpy(), block.sample_norm), normal(memory.flatten(1).numpy(), block.sample_norm)
    kernel = np.exp(beta * z[:, :-1] @ x[:, :-1].T)
    np.testing.assert_allclose(gain, (kernel * x[:, -1]).sum(1) / kernel.sum(1), rtol=1e-9)


def test_the_embedding_is_one_linear_map_a_column():
    net = network()
    columns = net.columns
    values = columns.encode(table(6))
    hidden = torch.rand(6, 4, generator=draw(3)) < 0.3
    found = net.embed(values, hidden).detach()
    for row in range(6):
        for c, size in enumerate(SIZES):
            start = int(columns.starts[c])
            given = torch.zeros(size, dtype=torch.float64) if hidden[row, c] else values[row, start : start + size]
            weight = torch.cat([net.embedding[start : start + size], net.embedding[columns.width + c, None]])
            total = torch.cat([given, hidden[row, c, None].double()]) @ weight
            total = total + net.embedding_bias[c] + net.types[int(size > 1)] + net.positions[c]
            normed = nn.functional.layer_norm(nn.functional.gelu(total), (8,), net.gain[c], net.offset[c])
            torch.testing.assert_close(found[row, c], normed @ net.projection[c] + net.projection_bias[c])


def test_the_order_of_the_memory_does_not_matter():
    net, values = network(), TableColumns(SIZES).encode(table(9))
    order = torch.randperm(9, generator=draw(4))
    torch.testing.assert_close(net(values[:4], values), net(values[:4], values[order]))


def test_an_excluded_row_is_not_looked_at():
    """Whatever stands in a row's own place in the memory, its prediction is the same: no target leaks."""
    net, values = network(), TableColumns(SIZES).encode(table(9))
    hidden = torch.zeros(9, 4, dtype=torch.bool)
    hidden[:, -1] = True
    own = torch.eye(9, dtype=torch.bool)
    before = net(values, values, hidden=hidden, exclude=own)
    changed = values.clone()
    changed[2] += 5.0
    after = net(values, changed, hidden=hidden, exclude=own)
    torch.testing.assert_close(before[2], after[2])
    assert not torch.allclose(before[3], after[3])
    assert not torch.allclose(net(values, values, hidden=hidden)[2], net(values, changed, hidden=hidden)[2])


def test_hidden_values_are_not_seen():
    net, values = network(), TableColumns(SIZES).encode(table(5))
    hidden = torch.zeros(5, 4, dtype=torch.bool)
    hidden[:, 1] = True
    other = values.clone()
    other[:, 1:4] = other[:, 1:4].roll(1, 1)
    torch.testing.assert_close(net(values, values, hidden=hidden), net(other, values, hidden=hidden))
    assert not torch.allclose(net(values, values), net(other, values))


def test_each_memory_can_be_left_out():
    values = TableColumns(SIZES).encode(table(6))
    alone = network(samples=False)
    torch.testing.assert_close(alone(values, values), alone(values, values.flip(1)))
    assert all(block.features is None for block in network(features=False).blocks)
    assert network(features=False)(values, values).shape == values.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "count"), [(1, 1), (1, 7), (5, 2)])
def test_shapes_and_types(rows, count, dtype):
    net = network().to(dtype)
    values = net.columns.encode(table(7).to(dtype))
    found = net(values[:rows], values[:count])
    assert found.shape == (rows, 7)
    assert found.dtype == dtype
    found.sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters() if weight.grad is not None)


def test_weights_come_from_the_generator_and_go_round():
    first, second, third = (Hopular(SIZES, width=4, heads=2, generator=draw(seed)).eval() for seed in (0, 0, 1))
    values = first.columns.encode(table(4).float())
    assert torch.equal(first(values, values), second(values, values))
    assert not torch.equal(first(values, values), third(values, values))
    third.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(first(values, values), third(values, values))


def test_gradients_by_differences():
    net = Hopular((1, 2), width=2, heads=1, blocks=1, generator=draw()).double().eval()
    values = torch.randn(3, 3, generator=draw(5), dtype=torch.float64, requires_grad=True)
    memory = torch.randn(4, 3, generator=draw(6), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net, (values, memory))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"width": 0}, "width"),
        ({"blocks": 0}, "blocks"),
        ({"scaling": 0.0}, "scaling"),
        ({"lookup_dropout": 1.0}, "lookup"),
    ],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        network(**options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"values": torch.zeros(2, 6)}, "values"),
        ({"memory": torch.zeros(0, 7)}, "memory"),
        ({"hidden": torch.zeros(2, 3, dtype=torch.bool)}, "hidden"),
        ({"exclude": torch.zeros(2, 4)}, "exclude"),
    ],
)
def test_bad_shapes_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        network().float()(**{"values": torch.zeros(2, 7), "memory": torch.zeros(4, 7), **options})
