"""Recursions of kernel and vertex against closed forms, exact moments, the kernels of wide networks, and simulation."""

from __future__ import annotations

import math

import pytest
import torch

from replica.kernels import kernel_recursion, vertex_recursion, wide_kernel
from replica.kernels.finite_width import gaussian_means


@pytest.mark.parametrize("kernel", [1e-4, 0.3, 2.0, 9.0])
def test_means_of_the_sine_are_its_closed_forms(kernel: float) -> None:
    means, fade = gaussian_means(torch.sin, kernel), math.exp(-2 * kernel)
    assert means.square == pytest.approx((1 - fade) / 2)
    assert means.growth == pytest.approx(fade)
    assert means.curvature == pytest.approx(-2 * fade, abs=1e-8)
    assert means.slope_square == pytest.approx((1 + fade) / 2)
    assert means.fourth == pytest.approx(3 / 8 - fade / 2 + fade**4 / 8, rel=1e-9)


def test_the_kernel_of_erf_is_williams_arcsine() -> None:
    flow = kernel_recursion(torch.erf, 12, weight_variance=1.3, bias_variance=0.2, first=0.7)
    kernel = 0.7
    for found in flow.kernel.tolist():
        assert found == pytest.approx(kernel)
        kernel = 0.2 + 1.3 * 2 / math.pi * math.asin(2 * kernel / (1 + 2 * kernel))


@pytest.mark.parametrize("activation", [torch.tanh, torch.relu, torch.nn.functional.gelu])
def test_kernels_and_susceptibilities_are_those_of_wide_networks(activation) -> None:
    """χ⊥ is how the covariance of two near inputs grows; χ∥ how the variance of one does."""
    variances = {"weight_variance": 1.7, "bias_variance": 0.1}
    flow = kernel_recursion(activation, 4, first=1.7 * 0.6 + 0.1, **variances)
    x = torch.tensor([[math.sqrt(0.6), 0.0]], dtype=torch.float64) * math.sqrt(2)
    wide = [float(wide_kernel(x, activation=activation, depth=depth, kind="nngp", **variances)) for depth in range(4)]
    torch.testing.assert_close(flow.kernel, torch.tensor(wide, dtype=torch.float64), rtol=1e-6, atol=0)
    step = 1e-5
    higher = kernel_recursion(activation, 2, first=float(flow.kernel[0]) + step, **variances).kernel[1]
    lower = kernel_recursion(activation, 2, first=float(flow.kernel[0]) - step, **variances).kernel[1]
    assert float((higher - lower) / (2 * step)) == pytest.approx(float(flow.parallel[0]), rel=1e-6)


def test_networks_without_nonlinearity_have_the_exact_moments_of_products() -> None:
    """E[G²] / E[G]² is Π (1 + 2/n), of ReLU Π (1 + 5/n), whose first order the vertex is."""
    widths = [300, 500, 2000, 700]
    for activation, gain, share in ((lambda z: 1.0 * z, 1.0, 2.0), (torch.relu, 2.0, 5.0)):
        flow = vertex_recursion(activation, widths, weight_variance=gain, first=3.0)
        exact = torch.tensor([0, *[share / width for width in widths]], dtype=torch.float64).cumsum(0)
        torch.testing.assert_close(flow.vertex / 9, exact)
        torch.testing.assert_close(flow.excess_kurtosis, 3 * exact)
        assert flow.correction.abs().max() < 1e-9


@pytest.mark.parametrize("activation", [torch.tanh, torch.sin, torch.erf])
def test_activations_of_one_class_come_to_the_same_numbers(activation) -> None:
    """K → 1 / (−a₁ l), V n / K² → (2/3) l and D n / K → −l / 3 with a₁ = φ'''/φ' at 0: −2 for tanh, −1 for sin, −2 for erf."""
    gain = math.pi / 4 if activation is torch.erf else 1.0
    bend = 1.0 if activation is torch.sin else 2.0
    depth, width = 1500, 100
    flow = vertex_recursion(activation, [width] * (depth - 1), weight_variance=gain)
    assert float(flow.kernel[-1]) * bend * depth == pytest.approx(1, rel=0.01)
    assert float(flow.vertex[-1] / flow.kernel[-1] ** 2) * width / depth == pytest.approx(2 / 3, rel=0.01)
    assert float(flow.correction[-1] / flow.kernel[-1]) * width / depth == pytest.approx(-1 / 3, rel=0.02)


def test_networks_drawn_at_random_have_the_predicted_metric() -> None:
    """20,000 networks of tanh: the mean and the variance of G, the variance that they give to the next layer."""
    generator, nets, width, depth = torch.Generator().manual_seed(0), 20_000, 40, 9
    layer = torch.randn(nets, width, generator=generator)
    metric = torch.ones(nets)
    for _ in range(depth - 1):
        metric = 0.01 + 1.1 * layer.tanh().square().mean(1)
        # What weights and biases make of one input is Gaussian, given the layer below.
        layer = metric.sqrt()[:, None] * torch.randn(nets, width, generator=generator)
    flow = vertex_recursion(torch.tanh, [width] * (depth - 1), weight_variance=1.1, bias_variance=0.01)
    assert float(metric.mean()) == pytest.approx(float(flow.kernel[-1] + flow.correction[-1]), rel=0.005)
    assert float(metric.mean()) < float(flow.kernel[-1]) * 0.98  # the correction is seen
    assert float(metric.var()) == pytest.approx(float(flow.vertex[-1]), rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_variance": -1.0}, "weight_variance: got -1.0"),
        ({"bias_variance": math.inf}, "bias_variance: got inf"),
        ({"first": 0.0}, "kernel: got 0.0, want a finite number above 0"),
        ({"depth": 0}, "depth: got 0"),
        ({"activation": torch.sum}, "want an elementwise function"),
        ({"activation": torch.exp, "first": 90.0}, "grows too fast"),
    ],
)
def test_what_does_not_fit_is_told(change: dict, message: str) -> None:
    given = {"activation": torch.tanh, "depth": 2, "weight_variance": 1.0} | change
    with pytest.raises(ValueError, match=message):
        kernel_recursion(given.pop("activation"), given.pop("depth"), **given)
    with pytest.raises(ValueError, match=r"widths: got \(3, 0\)"):
        vertex_recursion(torch.tanh, (3, 0), weight_variance=1.0)
