"""Layers by random features: their mean against the function, the arc-cosine kernel, bundles against the layers they bundle."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from replica.kernels import KernelAdapter, ScalableKernelLayer, UniversalRandomFeatures, bundle


class Sine(nn.Module):
    def forward(self, x):
        return x.sin()


def points(count, dim, seed=0, norm=1.0):
    drawn = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return norm * drawn / drawn.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(("activation", "function"), [("sin", torch.sin), ("cos", torch.cos)])
def test_the_features_meet_in_the_function(activation, function):
    x, w = points(20, 5), points(20, 5, seed=1)
    layer = UniversalRandomFeatures(5, 100_000, activation, generator=torch.Generator().manual_seed(2)).double()
    torch.testing.assert_close(layer(x) @ layer.of_weights(w).T, function(x @ w.T), atol=0.06, rtol=0)


def test_the_error_falls_as_the_root_of_the_features():
    x, w = points(30, 8), points(30, 8, seed=1)
    errors = []
    for features in (64, 4096):
        off = [
            (layer(x) @ layer.of_weights(w).T - (x @ w.T).sin()).square().mean()
            for layer in (
                UniversalRandomFeatures(8, features, "sin", generator=torch.Generator().manual_seed(s)).double()
                for s in range(20)
            )
        ]
        errors.append(torch.stack(off).mean().sqrt())
    assert math.log(errors[0] / errors[1]) / math.log(64) == pytest.approx(0.5, abs=0.06)


def test_rectified_features_are_the_arc_cosine_kernel():
    x, w = points(10, 4, norm=2.0), points(10, 4, seed=1)
    layer = UniversalRandomFeatures(4, 400_000, "relu", generator=torch.Generator().manual_seed(3)).double()
    angle = torch.acos((x @ w.T / 2).clamp(-1, 1))
    expected = 2 * (angle.sin() + (math.pi - angle) * angle.cos()) / (2 * math.pi)
    torch.testing.assert_close(layer(x) @ layer.of_weights(w).T, expected, atol=0.02, rtol=0)


def small(*sizes):
    layers = []
    for seed, (before, after) in enumerate(pairwise(sizes)):
        linear = nn.Linear(before, after).double()
        with torch.no_grad():
            linear.weight.copy_(points(after, before, seed=seed, norm=0.6))
            linear.bias.fill_(0.1)
        layers += [linear, Sine()]
    return nn.Sequential(*layers)


def test_a_layer_is_approximated_with_its_bias():
    network, x = small(6, 3), points(15, 6, seed=4)
    layer = ScalableKernelLayer.from_linear(network[0], "sin", 100_000, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(layer(x), network(x), atol=0.05, rtol=0)
    assert sum(p.numel() for p in ScalableKernelLayer(64, 10, 16).parameters()) == 160


def test_a_bundle_is_its_layers_one_after_the_other():
    """Merged matrices compute what the unmerged layers do with the same projections."""
    network, x = small(5, 4, 3), points(7, 5, seed=6)
    for activation in ("sin", "cos", "relu"):
        found = bundle(network, (40, 60), activation, generator=torch.Generator().manual_seed(7))
        generator = torch.Generator().manual_seed(7)
        maps = [UniversalRandomFeatures(dim + 1, size, activation, generator=generator).double()
                for dim, size in ((5, 40), (4, 60))]  # fmt: skip
        for kernel_map, linear in zip(maps, (network[0], network[2]), strict=True):
            weights = torch.cat([linear.weight, linear.bias[:, None]], 1)
            x_one = torch.cat([x, torch.ones(len(x), 1)], 1)
            x = kernel_map(x_one) @ kernel_map.of_weights(weights).T
        torch.testing.assert_close(found(points(7, 5, seed=6)), x)
        x = points(7, 5, seed=6)


def test_a_bundle_approximates_the_network():
    network, x = small(5, 4, 3), points(12, 5, seed=8)
    found = bundle(network, 8_000, "sin", generator=torch.Generator().manual_seed(9))
    torch.testing.assert_close(found(x), network(x), atol=0.15, rtol=0)


def test_the_solution_is_where_gradient_descent_would_end():
    network, x = small(5, 4, 2), points(60, 5, seed=10)
    y = torch.randn(60, 2, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    found = bundle(network, (30, 10), "relu", generator=torch.Generator().manual_seed(12)).solve(x, y)
    features = found.features(x).detach()
    residual = (y - features @ found.weight.T).T @ features  # = λ W at the optimum
    decay = (residual * found.weight).sum() / found.weight.square().sum()
    assert decay > 0
    torch.testing.assert_close(residual, decay * found.weight)


def test_an_adapter_changes_nothing_at_the_start():
    x = points(4, 6)
    assert torch.equal(KernelAdapter(6, 8).double()(x), x)


@pytest.mark.parametrize("wrong", [(0, 4, "sin"), (4, 5, "sin"), (4, 4, "tanh")])
def test_what_makes_no_features_is_refused(wrong):
    with pytest.raises(ValueError, match=r"activation|dim, features"):
        UniversalRandomFeatures(*wrong)
