"""Scaling with width: the paper's table, the symmetry, and the semantics of the package mup."""

import copy
import math

import pytest
import torch
from torch import nn

from replica.kernels import AbcParametrization, classify

DEPTHS = (1, 2, 5)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch():
    inputs = torch.randn(6, 3, generator=seeded(1), dtype=torch.float64)
    return inputs, torch.randn(6, 2, generator=seeded(2), dtype=torch.float64)


def trained(net, optimiser, steps=5):
    inputs, targets = batch()
    seen = []
    for _ in range(steps):
        optimiser.zero_grad()
        output = net(inputs)
        (output - targets).square().mean().backward()
        optimiser.step()
        seen.append(output.detach())
    return torch.stack(seen)


def network(parametrization, width=12, base_width=4, **options):
    return parametrization.network(
        3, 2, width, activation=torch.tanh, base_width=base_width, generator=seeded(), dtype=torch.float64, **options
    )


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_table_of_the_paper(depth):
    make = AbcParametrization
    assert make.mup(depth).classify() == ("feature learning", 0)
    assert make.ntk(depth).classify() == ("kernel", 0.5)
    # With one hidden layer only the readout learns there.
    assert make.standard(depth, rate_exponent=1).classify() == ("kernel", 0.5 if depth > 1 else 1.5)
    assert make.standard(depth).classify() == ("unstable", -1 if depth > 1 else 0)
    assert classify((0, *(0.5,) * depth), (0,) * (depth + 1), 1).kind == "trivial"
    # Between tangent and maximal update: what the readout's start loses, its learning need not.
    half = AbcParametrization(make.mup(depth).a, (*(0.5,) * depth, 0.25), 0.0)
    assert half.classify() == ("unstable", -0.25)
    assert AbcParametrization.mean_field().classify() == ("feature learning", 0)


@pytest.mark.parametrize("shift", [-0.5, 0.3])
@pytest.mark.parametrize(
    "start", [AbcParametrization.mup(2), AbcParametrization.ntk(2), AbcParametrization.mean_field()]
)
def test_shifted_exponents_are_the_same_training(start, shift):
    other = start.shifted(shift)
    assert other.classify().kind == start.classify().kind
    assert other.classify().r == pytest.approx(start.classify().r)
    runs = [trained(net, torch.optim.SGD(net.parameter_groups(0.3))) for net in map(network, (start, other))]
    torch.testing.assert_close(*runs)


def by_the_package(net, growth):
    """The same start in the form of mup: plain input and hidden layers, a readout whose input is divided by the growth."""
    layers = [nn.Linear(*reversed(weight.shape), bias=False, dtype=torch.float64) for weight in net.weights]
    with torch.no_grad():
        for layer, weight, multiplier in zip(layers, net.weights, net.multipliers, strict=True):
            layer.weight.copy_(multiplier * weight)
        layers[-1].weight.mul_(growth)

    class Divided(nn.Module):
        def forward(self, x):
            return x / growth

    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), Divided(), layers[2])


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_maximal_update_is_that_of_the_package_mup(optimiser):
    net = network(AbcParametrization.mup(2, optimiser))
    growth = 3.0
    theirs = by_the_package(net, growth)
    first, hidden, readout = (theirs[index].weight for index in (0, 2, 5))
    # Its optimisers: vectors (one side grows) and matrices (both do), by SGD and by Adam.
    vector, matrix = (growth, 1.0) if optimiser == "sgd" else (1.0, 1 / growth)
    groups = [{"params": [first, readout], "lr": 0.1 * vector}, {"params": [hidden], "lr": 0.1 * matrix}]
    kind = torch.optim.SGD if optimiser == "sgd" else (lambda groups: torch.optim.Adam(groups, eps=1e-30))
    torch.testing.assert_close(
        trained(net, kind(net.parameter_groups(0.1))), trained(theirs, kind(groups)), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_the_package_itself(optimiser):
    mup = pytest.importorskip("mup")

    def make(width):
        return nn.Sequential(
            nn.Linear(3, width, bias=False), nn.Tanh(), nn.Linear(width, width, bias=False), nn.Tanh(),
            mup.MuReadout(width, 2, bias=False),
        ).double()  # fmt: skip

    net, theirs = network(AbcParametrization.mup(2, optimiser)), make(12)
    mup.set_base_shapes(theirs, make(4), delta=make(8))
    same = by_the_package(net, 3.0)
    with torch.no_grad():
        for ours, layer in zip((0, 2, 5), (0, 2, 4), strict=True):
            theirs[layer].weight.copy_(same[ours].weight)
    kind = {"sgd": mup.MuSGD, "adam": mup.MuAdam}[optimiser]
    options = {"eps": 1e-30} if optimiser == "adam" else {}
    plain = torch.optim.SGD if optimiser == "sgd" else torch.optim.Adam
    torch.testing.assert_close(
        trained(net, plain(net.parameter_groups(0.1), **options)),
        trained(theirs, kind(theirs.parameters(), lr=0.1, **options)), rtol=1e-6, atol=1e-9,
    )  # fmt: skip


def test_at_the_base_width_all_are_one_and_starts_have_their_variances():
    runs = [
        trained(net, torch.optim.SGD(net.parameter_groups(0.2)))
        for net in (network(kind, 8, 8) for kind in (AbcParametrization.mup(2), AbcParametrization.ntk(2)))
    ]
    torch.testing.assert_close(*runs)
    net = AbcParametrization.ntk(2).network(50, 40, 1000, gain=math.sqrt(2), generator=seeded())
    scales = [float(m * w.detach().std()) for m, w in zip(net.multipliers, net.weights, strict=True)]
    assert scales == pytest.approx([math.sqrt(2 / 50), math.sqrt(2 / 1000), math.sqrt(1 / 1000)], rel=0.02)
    silent = network(AbcParametrization.mup(1), zero_readout=True)
    assert not silent(batch()[0]).any()
    assert silent.features(batch()[0]).any()
    assert torch.equal(copy.deepcopy(silent).weights[0], silent.weights[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classify((0,), (0,), 0), "a, b, c: got 1, 1 and 1 layers"),
        (lambda: classify((0, 1), (0, 1), (0, 1, 2)), "a, b, c: got 2, 2 and 3"),
        (lambda: AbcParametrization((0, 1), (0,)), "a, b, c: got 2, 1"),
        (lambda: AbcParametrization.mup(2, "lion"), "optimiser: got 'lion'"),
        (lambda: AbcParametrization.mup(2).network(3, 0, 4), "outputs: got 0"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
