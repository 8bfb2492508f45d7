"""Descent of a network's first-order expansion: where it is the network's own, and against its kernel."""

import pytest
import torch
from torch import nn

from replica.kernels import AbcParametrization, empirical_tangent_kernel, tangent_descent


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def data():
    drawn = torch.randn(7, 4, generator=seeded(1), dtype=torch.float64)
    return drawn[:, :3], drawn[:, 3:].sin()


def network(width=16):
    return AbcParametrization.ntk(2).network(
        3, 1, width, activation=torch.tanh, base_width=4, generator=seeded(), dtype=torch.float64
    )


def squared(outputs):
    return (outputs - data()[1]).square().mean()


def trained(net, rate, steps):
    optimiser = torch.optim.SGD(net.parameters(), rate)
    for _ in range(steps):
        optimiser.zero_grad()
        squared(net(data()[0])).backward()
        optimiser.step()
    return net(data()[0]).detach()


def test_what_is_linear_in_its_weights_is_its_own_expansion():
    layer = nn.Linear(3, 1, dtype=torch.float64)
    found = tangent_descent(layer, squared, data()[0], rates=0.3, steps=9)
    torch.testing.assert_close(found, trained(layer, 0.3, 9))


def test_it_is_descent_with_the_tangent_kernel():
    net, (inputs, targets) = network(), data()
    kernel = empirical_tangent_kernel(net, inputs)
    outputs = net(inputs).detach()
    for _ in range(5):
        outputs = outputs - 0.5 * kernel @ (2 * (outputs - targets) / len(inputs))
    start = [weight.detach().clone() for weight in net.parameters()]
    torch.testing.assert_close(tangent_descent(net, squared, inputs, rates=0.5, steps=5), outputs)
    assert all(torch.equal(*pair) for pair in zip(start, net.parameters(), strict=True))


def test_each_layer_moves_at_its_own_rate():
    net, (inputs, targets) = network(), data()
    rates = {"weights.0": 1e-9, "weights.1": 1e-9, "weights.2": 0.5}
    features = net.features(inputs).detach()
    outputs = net(inputs).detach()
    for _ in range(3):  # the readout alone
        outputs = outputs - 0.5 * net.multipliers[-1] ** 2 * features @ features.T @ (
            2 * (outputs - targets) / len(inputs)
        )
    torch.testing.assert_close(
        tangent_descent(net, squared, inputs, rates=rates, steps=3), outputs, rtol=1e-6, atol=1e-8
    )


def test_wide_networks_come_near_it():
    gaps = [
        float(
            (tangent_descent(network(w), squared, data()[0], rates=0.5, steps=5) - trained(network(w), 0.5, 5)).norm()
        )
        for w in (32, 2048)
    ]
    assert gaps[1] < 0.3 * gaps[0]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="steps: got -1"):
        tangent_descent(network(), squared, data()[0], rates=0.1, steps=-1)
    with pytest.raises(ValueError, match=r"rates: got none for \['weights.1'"):
        tangent_descent(network(), squared, data()[0], rates={"weights.0": 0.1}, steps=1)
