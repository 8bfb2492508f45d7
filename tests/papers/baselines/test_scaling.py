"""The baselines of scaling: how they start, in closed form, and what the NTK parametrisation amounts to."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.papers.baselines.scaling import He, NtkLinear, NtkParametrization, PytorchDefault, Xavier


def net_of(kind: type, width: int = 400, depth: int = 2, seed: int = 0) -> nn.Sequential:
    net, groups = kind(Trial(0)).build(64, 10, width, depth, torch.Generator().manual_seed(seed))
    assert [group["lr_scale"] for group in groups] == [1.0]
    return net


@pytest.mark.parametrize(
    ("kind", "variances"),
    [
        (PytorchDefault, (1 / (3 * 64), 1 / (3 * 400), 1 / (3 * 400))),
        (He, (2 / 64, 2 / 400, 2 / 400)),
        (Xavier, (2 / 464, 2 / 800, 2 / 410)),
        (NtkParametrization, (1, 1, 1)),
    ],
)
def test_weights_start_with_their_variance(kind: type, variances: tuple[float, ...]) -> None:
    layers = [layer for layer in net_of(kind) if isinstance(layer, (nn.Linear, NtkLinear))]
    for layer, variance in zip(layers, variances, strict=True):
        assert float(layer.weight.detach().var()) == pytest.approx(variance, rel=0.07)
        assert kind is PytorchDefault or not layer.bias.any()


@pytest.mark.parametrize("kind", [He, NtkParametrization])
def test_signals_keep_their_size_in_depth(kind: type) -> None:
    inputs = torch.randn(200, 64, generator=torch.Generator().manual_seed(1))
    sizes = [float(net_of(kind, 500, 8, seed)[:-1](inputs).square().mean().detach()) for seed in range(4)]
    assert sum(sizes) / 4 == pytest.approx(1.0, rel=0.15)


def test_the_ntk_parametrisation_is_another_way_to_write_scaled_rates() -> None:
    """One step on W in x ↦ s W x is a step on w = s W at s² times the rate."""
    generator = torch.Generator().manual_seed(0)
    layer = NtkLinear(50, 4, 2.0, generator)
    plain = nn.Linear(50, 4)
    with torch.no_grad():
        plain.weight.copy_(math.sqrt(2 / 50) * layer.weight)
        plain.bias.copy_(0.1 * layer.bias)
    inputs, labels = torch.randn(8, 50, generator=generator), torch.arange(8) % 4
    for _ in range(3):
        for each, (of_weight, of_bias) in ((layer, (1.0, 1.0)), (plain, (2 / 50, 0.01))):
            each.zero_grad()
            nn.functional.cross_entropy(each(inputs), labels).backward()
            with torch.no_grad():
                each.weight -= 0.5 * of_weight * each.weight.grad
                each.bias -= 0.5 * of_bias * each.bias.grad
    torch.testing.assert_close(layer(inputs), plain(inputs))
