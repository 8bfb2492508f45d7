import pytest
import torch
from torch import nn

from replica.representations import iterative_feature_merging, keep_units
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
