import numpy as np
import pytest
import torch
from torch import nn

from replica.representations import iterative_feature_merging
from replica.representations.unit_layers import Chain
from replica.training import conv_net, mlp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def nets():
    conv = conv_net((1, 6, 7), 4, size=(8, 8), pool_after=(1,), generator=seeded()).double()
    pooled = conv_net((1, 6, 7), 4, generator=seeded(1)).double()
    return {"mlp": mlp((5, 9, 8, 3), generator=seeded()).double(), "conv": conv, "pooled": pooled}


def inputs(kind, count=20):
    shape = (count, 5) if kind == "mlp" else (count, 1, 8, 8)
    return torch.randn(shape, generator=seeded(3), dtype=torch.float64)


def planted(net, copies):
    """Unit `to` of a layer becomes a copy of unit `of`."""
    chain = Chain.of(net)
    for layer in (0, 1):
        chain.biases[layer] = torch.linspace(-0.2, 0.3, len(chain.weights[layer])).double()
    for layer, of, to in copies:
        chain.weights[layer][to] = chain.weights[layer][of]
        chain.biases[layer][to] = chain.biases[layer][of]
        chain.weights[layer + 1][:, to] = chain.weights[layer + 1][:, of]
    return chain.net()


@pytest.mark.parametrize("kind", ["mlp", "conv", "pooled"])
def test_copies_are_merged_and_the_output_stays(kind):
    net = planted(nets()[kind], [(0, 1, 4), (1, 0, 2), (1, 3, 6)])
    merged, found = iterative_feature_merging(net, 1e-9)
    assert [before - after for before, after in zip(found.units, found.features, strict=True)] == [1, 2]
    assert (1, 4) in found.groups[0]
    assert {(0, 2), (3, 6)} <= set(found.groups[1])
    torch.testing.assert_close(merged(inputs(kind)), net(inputs(kind)))
    count = sum(parameter.numel() for parameter in merged.parameters())
    assert found.parameters == (sum(parameter.numel() for parameter in net.parameters()), count)
    assert found.parameters_removed == pytest.approx(1 - count / found.parameters[0])


@pytest.mark.parametrize("kind", ["mlp", "conv", "pooled"])
def test_the_order_of_units_does_not_matter(kind):
    net = nets()[kind]
    chain = Chain.of(net)
    order = torch.randperm(len(chain.weights[0]), generator=seeded(5))
    chain.weights[0], chain.biases[0] = chain.weights[0][order], chain.biases[0][order]
    chain.weights[1] = chain.weights[1][:, order]
    twin = chain.net()
    torch.testing.assert_close(twin(inputs(kind)), net(inputs(kind)))
    (ours, first), (theirs, second) = (iterative_feature_merging(model, 0.7) for model in (net, twin))
    assert first.features == second.features
    assert min(first.features) < min(first.units)
    torch.testing.assert_close(ours(inputs(kind)), theirs(inputs(kind)))
    groups = {frozenset(order[list(group)].tolist()) for group in second.groups[0]}
    assert groups == {frozenset(group) for group in first.groups[0]}


@pytest.mark.parametrize(("kind", "beta"), [("mlp", 0.45), ("conv", 0.75), ("pooled", 0.75)])
def test_it_is_what_brute_force_finds(kind, beta):
    """NumPy by hand, a pair in each layer in turn, as the authors have it: weights in summed, weights out averaged."""
    net = nets()[kind]
    W, b = ([part.numpy().copy() for part in parts] for parts in (Chain.of(net).weights, Chain.of(net).biases))
    sizes = [np.ones(len(W[0])), np.ones(len(W[1]))]
    done = 1
    while done:
        done = 0
        for layer in (0, 1):
            n, after = len(W[layer]), W[layer + 1]
            pairs = [(m, k) for m in range(n) for k in range(m + 1, n)]
            apart = [
                ((W[layer][m] - W[layer][k]) ** 2).sum() + ((after[:, m] - after[:, k]) ** 2).sum() for m, k in pairs
            ]
            if n < 2 or min(apart) > beta * max(apart):
                continue
            m, k = pairs[int(np.argmin(apart))]
            W[layer][m] += W[layer][k]
            b[layer][m] += b[layer][k]
            after[:, m] = np.average(after[:, [m, k]], axis=1, weights=sizes[layer][[m, k]])
            sizes[layer][m] += sizes[layer][k]
            W[layer], b[layer] = np.delete(W[layer], k, 0), np.delete(b[layer], k)
            W[layer + 1], sizes[layer] = np.delete(after, k, 1), np.delete(sizes[layer], k)
            done += 1
    merged, found = iterative_feature_merging(net, beta)
    assert found.features == (len(W[0]), len(W[1]))
    assert sum(found.features) <= sum(found.units) - 4
    assert [sorted(map(len, groups)) for groups in found.groups] == [sorted(size.astype(int)) for size in sizes]
    chain = Chain.of(merged)
    for ours, theirs in zip(chain.weights + chain.biases, W + b, strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(theirs))


def test_wrong_arguments_are_told():
    for model, said in (
        (nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)), "got Tanh at '1'"),
        (nn.Sequential(nn.Linear(2, 3)), "got 1 layers of weights"),
        (nn.Linear(2, 3), "got Linear, want a Sequential"),
    ):
        with pytest.raises(ValueError, match=said):
            iterative_feature_merging(model, 0.1)
    with pytest.raises(ValueError, match=r"beta: got 1"):
        iterative_feature_merging(nets()["mlp"], 1)
    with pytest.raises(ValueError, match=r"most: got 2"):
        iterative_feature_merging(nets()["mlp"], 0.1, most=2)
