"""The studies of deep_learning_theory: moments of known layers, gradients of known growth, and judges on made tables."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from replica.kernels import critical_initialization
from replica.lab.claims import Trial
from replica.papers.kernels.deep_learning_theory import (
    ACTIVATIONS,
    GAINS,
    CriticalStart,
    first_kernel,
    gradient_growth,
    network,
    paper,
    preactivations,
)


def test_moments_of_the_first_layers_in_closed_form():
    """Gaussian at first; after one rectified layer E z⁴ = 3 K² (1 + 5/n)."""
    square, fourth = preactivations(Trial(100), 10, 2, 60_000)
    kernels = torch.tensor([first_kernel(critical_initialization(kind())) for kind in ACTIVATIONS.values()]).double()
    torch.testing.assert_close(square[0], kernels, rtol=0.01, atol=0)
    torch.testing.assert_close(fourth[0], 3 * kernels**2, rtol=0.02, atol=0)
    assert list(ACTIVATIONS)[:2] == ["ReLU", "tanh"]
    assert (float(square[1, 0]), float(fourth[1, 0])) == pytest.approx((1, 3 * 1.5), rel=0.05)
    torch.testing.assert_close(square[1, 2:], kernels[2:], rtol=0.02, atol=0)  # fixed points stay
    assert first_kernel(critical_initialization(nn.Tanh())) == 1.0


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.3])
def test_growth_of_gradients_through_rotations(gain):
    nets = []
    for seed in range(2):
        net = nn.Sequential(*(part for _ in range(6) for part in (nn.Linear(8, 8), nn.Identity())), nn.Linear(8, 10))
        for layer in net[:-1:2]:
            with torch.no_grad():
                drawn = torch.randn(8, 8, generator=torch.Generator().manual_seed(seed))
                layer.weight.copy_(gain * torch.linalg.qr(drawn)[0])
        nets.append(net)
    found = gradient_growth(nets, torch.randn(5, 8), torch.arange(5))
    assert found == pytest.approx(math.log(gain), abs=1e-5)  # back by 4 layers, each of that gain


def test_starts_differ_by_the_variance_of_all_weights_but_the_first():
    critical = network(Trial(100), nn.Tanh, "critical", 12, 4)
    for start, times in GAINS.items():
        net = network(Trial(100), nn.Tanh, start, 12, 4)
        for place, (one, other) in enumerate(zip(net[::2], critical[::2], strict=True)):
            torch.testing.assert_close(one.weight, other.weight * (math.sqrt(times) if place else 1))
    own = network(Trial(100), nn.Tanh, "PyTorch", 12, 4)
    assert float(own[2].weight.detach().abs().max()) <= 1 / math.sqrt(12) + 1e-6
    assert [type(layer) for layer in own] == [nn.Linear, nn.Tanh] * 4 + [nn.Linear]


def test_rates_of_layers_are_those_of_their_class():
    for name, falls in (("tanh", True), ("ReLU", False)):
        net, groups = CriticalStart(Trial(100), name).build(10, 3, 32, 2, torch.Generator().manual_seed(0))
        assert sum(weight.numel() for weight in net.parameters()) == sum(g["params"][0].numel() for g in groups)
        shared = 1 if falls else 2
        wanted = [64 / fan / shared for fan in (10, 32, 32)], [1 / n for n in ((1, 2, 3) if falls else (2, 2, 2))]
        assert [g["lr_scale"] for g in groups] == pytest.approx(
            [scale for pair in zip(*wanted, strict=True) for scale in pair]
        )
        _, adam = CriticalStart(Trial(100), name).build(10, 3, 32, 2, torch.Generator().manual_seed(0), "adam")
        assert [g["lr_scale"] ** 2 for g in adam] == pytest.approx([g["lr_scale"] for g in groups])


def moments(factor=1.0, kurtosis=lambda ratio, vertex: vertex):
    rows = []
    for name, slope in (("ReLU", 15.0), ("tanh", 2.0)):
        for width in (32, 256):
            for layer in range(1, 2 + width // 8):
                ratio = (layer - 1) / width
                row = {"activation": name, "width": width, "layer": layer, "ratio": ratio, "vertex": slope * ratio}
                predicted = 1 / layer if name == "tanh" else 1.0
                row |= {"predicted": predicted, "infinite": 1.1 * predicted, "variance": factor * predicted}
                rows.append(row | {"kurtosis": kurtosis(ratio, slope * ratio)})
    return pd.DataFrame(rows)


def test_variances_are_judged_at_the_largest_width():
    found = paper.claims["layer_equations"].measures(moments(1.04))
    assert found["worst_deviation_of_variance"] == pytest.approx(0.04)
    assert found["gain_of_the_correction"] == pytest.approx(1 - 1.04 / 1.1 - 0.04)
    layers = np.arange(1, 34)
    assert found["deviation_of_a_constant"] == pytest.approx((1 - 1 / layers).mean())


def test_slopes_of_kurtosis_and_what_it_depends_on():
    measures = paper.claims["depth_over_width"].measures
    exact = measures(moments())
    assert exact["worst_deviation_of_slope"] == pytest.approx(0, abs=1e-12)
    assert exact["slope_relu"] == pytest.approx(15)
    assert exact["mismatch_at_equal_ratio"] == pytest.approx(0)
    assert exact["mismatch_at_equal_depth"] == pytest.approx(math.log(8))
    assert measures(moments(kurtosis=lambda ratio, vertex: 0.7 * vertex))["worst_deviation_of_slope"] == pytest.approx(
        0.3
    )


def test_criticality_is_judged_by_the_smaller_gap_to_the_best_rival():
    starts = ("critical", "a quarter", "four times", "PyTorch")
    losses = {"ReLU": (0.3, 2.0, 2.2, 1.0), "tanh": (0.4, 2.3, 0.9, 1.9)}
    growth = {"ReLU": (0.01, -0.7, 0.7, -0.9), "tanh": (-0.05, -0.6, 0.2, -0.9)}
    rows = [
        {"activation": name, "start": start, "depth": 30, "loss": loss, "growth": grown}
        for name in losses
        for start, loss, grown in zip(starts, losses[name], growth[name], strict=True)
    ]
    rows.append({"activation": "tanh", "start": "twice", "depth": 30, "loss": 0.2, "growth": 0.04})
    rows += [{"activation": name, "start": "PyTorch", "depth": 3, "loss": 0.1, "growth": 0.0} for name in losses]
    found = paper.claims["criticality"].measures(pd.DataFrame(rows))
    wanted = {"loss_gap": 0.5, "growth_of_gradient": 0.01, "growth_of_gradient_tanh": -0.05, "loss_shallow": 0.1}
    wanted |= {"least_growth_off_critical": 0.2, "loss_gap_to_twice_tanh": -0.2, "loss_critical": 0.4}
    assert found == pytest.approx(wanted | {"growth_of_gradient_twice_tanh": 0.04})
