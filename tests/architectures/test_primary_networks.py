"""Primary networks, against torch's distributions and layers."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from replica.architectures.primary_networks import BayesianLinear, BayesianNet, RescalingNet


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_divergence_is_that_of_the_normal_distributions():
    layer = BayesianLinear(7, 5, seeded())
    nn.init.normal_(layer.log_ratio, generator=seeded(1))
    _, divergence = layer(torch.rand(2, 7), torch.zeros(2, 5))
    prior = math.sqrt(2 / 7)
    weights = Normal(layer.mean, 0.1 * prior * layer.log_ratio.exp())
    torch.testing.assert_close(divergence, kl_divergence(weights, Normal(0.0, prior)).sum())


def test_outputs_have_the_distribution_of_drawn_weights():
    layer, draw = BayesianLinear(7, 5, seeded()), seeded(2)
    nn.init.normal_(layer.log_ratio, mean=2.0, std=0.5, generator=seeded(1))
    inputs = torch.rand(1, 7, generator=seeded(3))
    noise = torch.randn(20_000, 5, generator=draw)
    with torch.no_grad():
        ours, _ = layer(inputs.expand(20_000, 7), noise)
        deviation = 0.1 * layer.prior * layer.log_ratio.exp()
        weights = layer.mean + deviation * torch.randn(20_000, 5, 7, generator=draw)
    theirs = weights @ inputs[0]
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(ours.std(0), theirs.std(0), atol=0, rtol=0.05)


def test_bayesian_net_without_deviation_is_an_ordinary_net():
    net = BayesianNet((6, 4, 3), seeded())
    for layer in net.layers:
        nn.init.constant_(layer.log_ratio, -30.0)
    inputs = torch.randn(5, 6, generator=seeded(1))
    scores, _ = net(inputs, (torch.randn(5, 4), torch.randn(5, 3)))
    first, second = net.layers
    hidden = nn.functional.leaky_relu(inputs @ first.mean.T + first.bias)
    torch.testing.assert_close(scores, hidden @ second.mean.T + second.bias, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 5, 8])
def test_rescaling_net_is_these_layers(size):
    net = RescalingNet((3, 4), seeded())
    first, second, last = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1), nn.Linear(16, 10)
    for layer, weight, bias in zip((first, second, last), net.weights, net.biases, strict=True):
        layer.weight, layer.bias = weight, bias
    layers = nn.Sequential(
        first, nn.LeakyReLU(), nn.AdaptiveAvgPool2d(size), second, nn.LeakyReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), last,
    )  # fmt: skip
    images = torch.rand(4, 1, 8, 8, generator=seeded(1))
    torch.testing.assert_close(net(images, size), layers(images))
