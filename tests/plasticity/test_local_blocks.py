import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from replica.plasticity.local_blocks import auxiliary_network, fresh_copy, layer_stack, lean_averages
from replica.training import conv_net, mlp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def strided(channels=(1, 4, 6, 6, 8), strides=(1, 2, 1, 2), kind=nn.Conv2d):
    torch.manual_seed(0)
    net = nn.Sequential()
    for number, (ins, outs) in enumerate(pairwise(channels)):
        net.append(nn.Sequential(kind(ins, outs, 3, strides[number], 1), nn.ReLU()))
    pool = nn.AdaptiveAvgPool2d(1) if kind is nn.Conv2d else nn.AdaptiveAvgPool1d(1)
    return net.append(nn.Sequential(pool, nn.Flatten(), nn.Linear(channels[-1], 3)))


class Elman(nn.Module):
    def __init__(self, ins, outs):
        super().__init__()
        self.cell = nn.RNN(ins, outs, batch_first=True)

    def forward(self, sequence):
        return self.cell(sequence)[0]


class Last(nn.Module):
    def forward(self, sequence):
        return sequence[:, -1]


def test_children_without_weights_belong_to_the_layer_before():
    net = conv_net((1, 4, 8, 8), 10, pool_after=(2,), generator=seeded())
    stack = layer_stack(net, torch.zeros(2, 1, 8, 8))
    kinds = [[type(part).__name__ for part in layer] for layer in stack.layers]
    assert kinds == [
        ["Conv2d", "ReLU"],
        ["Conv2d", "ReLU", "MaxPool2d"],
        ["Conv2d", "ReLU", "AdaptiveAvgPool2d", "Flatten"],
    ]
    assert stack.head is net.head
    assert [tuple(shape) for shape in stack.takes] == [(1, 8, 8), (4, 8, 8), (8, 4, 4), (8,)]


def test_normalisation_belongs_to_its_layer_and_keeps_its_state():
    net = nn.Sequential(
        nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)
    )
    net[1].eval()
    before = copy.deepcopy(net.state_dict())
    assert len(layer_stack(net, torch.randn(6, 5))) == 2
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert [module.training for module in net] == [True, False, True, True, True, True]


@pytest.mark.parametrize("net", [nn.Sequential(nn.Linear(3, 2)), nn.Sequential(nn.ReLU()), nn.Sequential()])
def test_a_network_without_hidden_layers_is_refused(net):
    with pytest.raises(ValueError, match="network"):
        layer_stack(net, torch.zeros(1, 3))


def test_blocks_cover_all_layers_once_and_evenly():
    stack = layer_stack(mlp((4, *[5] * 11, 3), generator=seeded()), torch.zeros(1, 4))
    for count in range(1, 12):
        ranges = stack.blocks(count)
        assert [number for first, end in ranges for number in range(first, end)] == list(range(11))
        lengths = [end - first for first, end in ranges]
        assert max(lengths) - min(lengths) <= 1
    assert stack.blocks() == stack.blocks(11)
    for wrong in (0, 12):
        with pytest.raises(ValueError, match="blocks"):
            stack.blocks(wrong)


def test_a_last_block_of_its_own_length():
    stack = layer_stack(mlp((4, *[5] * 11, 3), generator=seeded()), torch.zeros(1, 4))
    assert stack.blocks(last=4) == (*((number, number + 1) for number in range(7)), (7, 11))
    assert stack.blocks(3, last=5) == ((0, 3), (3, 6), (6, 11))
    assert stack.blocks(last=11) == ((0, 11),)
    assert stack.blocks(last=1) == stack.blocks()
    for wrong in (0, 12):
        with pytest.raises(ValueError, match="last: got"):
            stack.blocks(last=wrong)
    for count in (1, 9):
        with pytest.raises(ValueError, match="blocks: got"):
            stack.blocks(count, last=4)


def test_lean_averages_are_averages():
    """Beside the pooling they take the place of: values and gradients; other pooling stays."""
    for pools, grid in (
        (nn.AdaptiveAvgPool1d, (7,)),
        (nn.AdaptiveAvgPool2d, (4, 6)),
        (nn.AdaptiveAvgPool3d, (2, 3, 4)),
    ):
        net = nn.Sequential(nn.ReLU(), nn.Sequential(pools(1), nn.Flatten()), nn.Linear(3, 2)).double()
        inputs = torch.randn(5, 3, *grid, dtype=torch.float64, generator=seeded(), requires_grad=True)
        wanted = net(inputs)
        (slope,) = torch.autograd.grad(wanted.square().sum(), inputs)
        found = lean_averages(net)(inputs)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(torch.autograd.grad(found.square().sum(), inputs)[0], slope)
        assert not isinstance(net[1][0], pools)
    kept = nn.Sequential(nn.AdaptiveAvgPool2d((1, 2)), nn.AdaptiveAvgPool2d(2))
    assert [type(part) for part in lean_averages(kept)] == [nn.AdaptiveAvgPool2d] * 2


@pytest.mark.parametrize("sides", [(12, 12), (13, 12)])
def test_positions_are_averaged_as_adaptive_pooling_does(sides):
    """Where sizes divide and where they do not."""
    net = residual()
    stack = layer_stack(net, torch.zeros(2, 1, *sides))
    first = net[0](torch.randn(5, 1, *sides))
    pool = auxiliary_network(stack, 0, (3,), seeded())[0]
    torch.testing.assert_close(pool(first), nn.functional.adaptive_avg_pool2d(first, stack.takes[3][1:]))


def test_a_head_that_averages_takes_positions_as_they_are():
    net = strided(channels=(1, 4, 4, 4, 4))
    stack = layer_stack(net, torch.zeros(2, 1, 12, 12))
    assert len(auxiliary_network(stack, 0, (), seeded())) == 1


def test_blocks_in_turn_are_the_network():
    net = strided()
    inputs = torch.randn(5, 1, 12, 12)
    stack = layer_stack(net, inputs)
    for count in (1, 2, 3, 4):
        state = inputs
        for module in stack.modules(stack.blocks(count)):
            state = module(state)
        assert torch.equal(state, net(inputs))


def test_a_fresh_copy_has_the_form_the_size_and_other_weights():
    layer = nn.Sequential(nn.Linear(200, 100), nn.BatchNorm1d(100))
    with torch.no_grad():
        layer[0].weight.mul_(7)
        layer[1].weight.fill_(2)
    copied = fresh_copy(layer, seeded())
    assert not torch.allclose(copied[0].weight, layer[0].weight)
    assert abs(float((copied[0].weight.square().mean() / layer[0].weight.square().mean()).detach()) - 1) < 0.05
    assert torch.equal(copied[0].bias, layer[0].bias)
    assert torch.equal(copied[1].weight, layer[1].weight)
    again, other = fresh_copy(layer, seeded()), fresh_copy(layer, seeded(1))
    assert torch.equal(copied[0].weight, again[0].weight)
    assert not torch.equal(copied[0].weight, other[0].weight)


def test_a_fresh_copy_of_fixed_layers_learns():
    layer = nn.Linear(3, 2).requires_grad_(False)
    assert all(parameter.requires_grad for parameter in fresh_copy(layer).parameters())


@pytest.mark.parametrize("chosen", [(), (1,), (3,), (2, 3), (1, 2, 3), (0, 0)])
def test_auxiliary_networks_of_a_convolutional_net_reach_scores(chosen):
    net = strided()
    stack = layer_stack(net, torch.zeros(2, 1, 12, 12))
    first = net[0](torch.randn(5, 1, 12, 12))
    found = auxiliary_network(stack, 0, chosen, seeded())
    assert found(first).shape == (5, 3)
    assert torch.equal(found(first), auxiliary_network(stack, 0, chosen, seeded())(first))


def test_nothing_is_put_between_layers_that_fit():
    net = strided(channels=(1, 4, 4, 4, 4), strides=(1, 1, 1, 1))
    stack = layer_stack(net, torch.zeros(2, 1, 6, 6))
    assert len(auxiliary_network(stack, 0, (2, 3), seeded())) == 3


def test_copies_of_convolutions_halve_what_arrives_one_by_one():
    """12 × 12 arrive where 6 × 6 or 3 × 3 are taken: each copy halves once, by its own stride or by one it gets."""
    net = strided(channels=(1, 4, 4, 4, 4, 4), strides=(1, 2, 1, 2, 1))
    stack = layer_stack(net, torch.zeros(2, 1, 12, 12))
    found = {
        chosen: auxiliary_network(stack, 0, chosen, seeded()) for chosen in ((1,), (2,), (3,), (4,), (2, 4), (4, 4))
    }
    strides = {chosen: [layer[0].stride[0] for layer in list(own)[:-1]] for chosen, own in found.items()}
    assert strides == {(1,): [2], (2,): [2], (3,): [2], (4,): [2], (2, 4): [2, 2], (4, 4): [2, 2]}
    sides = {chosen: own[:-1](net[0](torch.randn(1, 1, 12, 12))).shape[-1] for chosen, own in found.items()}
    assert sides == {(1,): 6, (2,): 6, (3,): 6, (4,): 6, (2, 4): 3, (4, 4): 3}
    assert [layer[0].stride[0] for layer in stack.layers] == [1, 2, 1, 2, 1]  # the network itself is as it was


class Residual(nn.Module):
    def __init__(self, ins, outs, stride):
        super().__init__()
        self.way, self.short = nn.Conv2d(ins, outs, 3, stride, 1), nn.Conv2d(ins, outs, 1, stride)

    def forward(self, inputs):
        return self.short(inputs) + self.way(inputs).relu()


def residual(channels=(1, 4, 6, 6, 8), strides=(1, 2, 1, 2)):
    net = nn.Sequential(
        *(Residual(ins, outs, own) for (ins, outs), own in zip(pairwise(channels), strides, strict=True))
    )
    return net.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 3)))


def test_what_arrives_is_averaged_to_what_the_copy_of_another_layer_takes():
    """By hand: positions averaged in pairs, channels mapped, then the chosen layer and the head."""
    net = residual()
    stack = layer_stack(net, torch.zeros(2, 1, 12, 12))
    first = net[0](torch.randn(5, 1, 12, 12))
    found = auxiliary_network(stack, 0, (3,), seeded())
    pool, mapping, layer, head = found
    by_hand = nn.functional.avg_pool2d(first, 2)
    by_hand = torch.einsum("nchw,dc->ndhw", by_hand, mapping.weight[:, :, 0, 0])
    torch.testing.assert_close(mapping(pool(first)), by_hand)
    torch.testing.assert_close(head(layer(by_hand)), found(first))
    assert (
        float((mapping(pool(first)).square().mean() / pool(first).square().mean()).detach()) < 4
    )  # signals keep their size


def test_signals_and_sequences_reach_scores():
    waves = strided(kind=nn.Conv1d)
    stack = layer_stack(waves, torch.zeros(2, 1, 20))
    assert auxiliary_network(stack, 0, (3,), seeded())(waves[0](torch.randn(5, 1, 20))).shape == (5, 3)
    sequences = nn.Sequential(Elman(3, 6), Elman(6, 4), Elman(4, 4), Last(), nn.Linear(4, 2))
    stack = layer_stack(sequences, torch.zeros(2, 7, 3))
    given = sequences[0](torch.randn(5, 7, 3))
    for chosen in ((), (2,), (1, 2)):
        assert auxiliary_network(stack, 0, chosen, seeded())(given).shape == (5, 2)
    greedy = auxiliary_network(stack, 0, (), seeded())
    longer = torch.cat([torch.zeros(5, 3, 6), given], dim=1)
    torch.testing.assert_close(greedy(given), greedy(longer))  # the last step is all it sees


def test_layers_that_cannot_follow_are_named():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.Flatten(), nn.Linear(32, 16)), nn.Linear(16, 2))
    stack = layer_stack(net, torch.zeros(1, 1, 6, 6))
    with pytest.raises(ValueError, match=r"network: a layer takes inputs of shape \(2, 4, 4\)"):
        auxiliary_network(stack, 1, (1, 1), seeded())
