import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from replica.representations import iterative_feature_merging, keep_units, unit_distances
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


def test_it_is_what_brute_force_finds():
    """NumPy by hand, one hidden layer after the other, as the authors have it: weights in summed, weights out averaged."""
    net, beta = nets()["mlp"], 0.45
    W = [layer.weight.detach().numpy().copy() for layer in net if isinstance(layer, nn.Linear)]
    b = [layer.bias.detach().numpy().copy() for layer in net if isinstance(layer, nn.Linear)]
    sizes = [np.ones(9), np.ones(8)]
    while True:
        done = 0
        for layer in (0, 1):
            n = len(W[layer])
            pairs = [(m, k) for m in range(n) for k in range(m + 1, n)]
            apart = [
                ((W[layer][m] - W[layer][k]) ** 2).sum() + ((W[layer + 1][:, m] - W[layer + 1][:, k]) ** 2).sum()
                for m, k in pairs
            ]
            if n < 2 or min(apart) > beta * max(apart):
                continue
            m, k = pairs[int(np.argmin(apart))]
            W[layer][m] += W[layer][k]
            b[layer][m] += b[layer][k]
            W[layer + 1][:, m] = np.average(W[layer + 1][:, [m, k]], axis=1, weights=sizes[layer][[m, k]])
            sizes[layer][m] += sizes[layer][k]
            W[layer], b[layer] = np.delete(W[layer], k, 0), np.delete(b[layer], k)
            W[layer + 1], sizes[layer] = np.delete(W[layer + 1], k, 1), np.delete(sizes[layer], k)
            done += 1
        if not done:
            break
    merged, found = iterative_feature_merging(net, beta)
    assert found.features == (len(W[0]), len(W[1]))
    assert min(found.features) > 1
    assert sum(found.features) < 14
    assert [sorted(map(len, groups)) for groups in found.groups] == [sorted(size.astype(int)) for size in sizes]
    for layer, weight, bias in zip((0, 2, 4), W, b, strict=True):
        torch.testing.assert_close(merged[layer].weight.detach(), torch.from_numpy(weight))
        torch.testing.assert_close(merged[layer].bias.detach(), torch.from_numpy(bias))


def test_distances_are_scipys():
    inward, outward = (torch.randn(shape, generator=seeded(2)).double() + 5 for shape in ((6, 3, 4), (5, 6, 2)))
    rows = np.concatenate([inward.flatten(1), outward.movedim(1, 0).flatten(1)], 1)
    np.testing.assert_allclose(unit_distances(inward, outward), cdist(rows, rows, "sqeuclidean"), atol=1e-9)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_kept_units_are_the_net_with_the_others_weights_out_at_nought(kind):
    net = nets()[kind]
    names = Chain.of(net).names
    small = keep_units(net, {names[0]: [4, 0], names[1]: torch.tensor([1, 2, 5])})
    chain = Chain.of(net)
    for layer, kept in enumerate(([4, 0], [1, 2, 5])):
        gone = [unit for unit in range(len(chain.weights[layer])) if unit not in kept]
        chain.weights[layer + 1][:, gone] = 0
    torch.testing.assert_close(small(inputs(kind)), chain.net()(inputs(kind)))
    with pytest.raises(ValueError, match=r"kept: got .*, want the name of a hidden layer"):
        keep_units(net, {names[2]: [0]})


def test_batch_normalisation_is_folded_and_the_net_left_alone():
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(144, 5),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Linear(5, 2),
    ).double()
    net(inputs("conv", 50))  # running means
    net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.testing.assert_close(keep_units(net, {})(inputs("conv")), net(inputs("conv")))
    merged, found = iterative_feature_merging(net, 0.9, most=0.5)
    assert found.layers == ("0.0", "2")
    assert found.features == (2, 3)
    assert not merged.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


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
