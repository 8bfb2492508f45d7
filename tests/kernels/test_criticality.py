"""Critical starts against published values, their definition, and the networks that are started from them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from replica.kernels import critical_initialization, initialize_critically, kernel_recursion, universality_class

CLASSES = {
    "scale-invariant": (torch.relu, F.leaky_relu, torch.abs, lambda z: 2.0 * z),
    "zero": (torch.tanh, torch.sin, torch.erf, torch.atan, F.softsign, F.elu, F.selu, F.hardtanh, F.relu6),
    "half-stable": (F.gelu, F.silu, F.mish),
    "none": (torch.sigmoid, F.softplus, torch.cos, torch.exp, torch.square, F.tanhshrink),
}
EACH = [(activation, name) for name, members in CLASSES.items() for activation in members]


@pytest.mark.parametrize(("activation", "name"), EACH)
def test_activations_are_of_their_class(activation, name: str) -> None:
    assert universality_class(activation) == name
    if name == "none":
        with pytest.raises(ValueError, match="without a critical start"):
            critical_initialization(activation)


@pytest.mark.parametrize(
    ("activation", "published"),
    [
        (nn.ReLU(), (math.nan, 2.0, 0.0)),
        (nn.LeakyReLU(0.5), (math.nan, 1.6, 0.0)),
        (nn.Tanh(), (0.0, 1.0, 0.0)),
        (nn.SELU(), (0.0, 2 / (1.0507009873554805**2 * (1 + 1.6732632423543772**2)), 0.0)),
        (nn.GELU(), ((3 + math.sqrt(17)) / 2, 1.98305826, 0.17292239)),
        (nn.SiLU(), (14.32017362, 1.98800468, 0.55514317)),
    ],
)
def test_critical_starts_are_the_published_ones(activation: nn.Module, published: tuple[float, ...]) -> None:
    assert tuple(critical_initialization(activation)) == pytest.approx(published, rel=1e-7, nan_ok=True)


@pytest.mark.parametrize("activation", CLASSES["half-stable"])
def test_at_a_critical_start_kernel_and_gradients_stay(activation) -> None:
    kernel, weight_variance, bias_variance = critical_initialization(activation)
    flow = kernel_recursion(activation, 4, weight_variance=weight_variance, bias_variance=bias_variance, first=kernel)
    torch.testing.assert_close(flow.kernel, torch.full((4,), kernel, dtype=torch.float64))
    for susceptibility in (flow.parallel, flow.perpendicular):
        torch.testing.assert_close(susceptibility, torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU(), nn.SiLU()])
def test_networks_started_there_keep_signals_and_gradients(activation: nn.Module) -> None:
    """Twelve layers of 400 units, inputs of mean square 1, means over four networks."""
    generator, sizes, slopes = torch.Generator().manual_seed(0), [], []
    for _ in range(4):
        layers = [nn.Linear(50 if number == 0 else 400, 400) for number in range(12)]
        net = nn.Sequential(*(part for layer in layers for part in (layer, activation)))
        start = initialize_critically(net, activation, generator=generator)
        inputs = torch.randn(40, 50, generator=generator)
        first = layers[0](inputs / inputs.square().mean(1, keepdim=True).sqrt())
        last = net[1:-1](first)
        (slope,) = torch.autograd.grad((last * torch.randn(last.shape, generator=generator)).sum(), first)
        sizes.append(float(last.detach().square().mean() / first.detach().square().mean()))
        slopes.append(float(slope.square().mean()))
    assert sum(sizes) / 4 == pytest.approx(1, abs=0.2)
    assert sum(slopes) / 4 == pytest.approx(1, abs=0.3)
    assert start == critical_initialization(activation)


def test_convolutions_and_modules_without_layers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Tanh(), nn.Conv2d(64, 64, 3, bias=False))
    initialize_critically(net, torch.tanh, generator=torch.Generator().manual_seed(0))
    assert float(net[2].weight.detach().var()) == pytest.approx(1 / (64 * 9), rel=0.05)
    assert not net[0].bias.any()
    with pytest.raises(ValueError, match="module: got ReLU"):
        initialize_critically(nn.ReLU(), torch.relu)
