import math

import pytest
import torch
from torch import nn

from replica.kernels import (
    HermiteActivation,
    KernelInterpolation,
    SineActivation,
    WideNetwork,
    dual_activation,
    empirical_tangent_kernel,
    neural_tangent_kernel,
    nngp_kernel,
    optimal_activation,
    tangent_kernel_at_one,
)

ACTIVATIONS = {
    "relu": torch.relu,
    "erf": torch.erf,
    "gelu": nn.GELU(),
    "optimal 1": optimal_activation(1),
    "optimal 4": optimal_activation(4),
    "sine 3": optimal_activation(3, family="sine"),
    "h2": HermiteActivation((0, 0, 1)),
}


def orthant(count, dim, seed=0, dtype=torch.float64):
    points = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype).abs()
    return points / points.norm(dim=1, keepdim=True)


def plain_loop(xi, activation, depth):
    dual = dual_activation(activation)
    sigma = kernel = xi
    for _ in range(depth):
        kernel = dual.value(sigma) + kernel * dual.slope(sigma)
        sigma = dual.value(sigma)
    return sigma, kernel


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("depth", [0, 1, 6])
def test_kernels_are_the_recursion(name, depth):
    xi = torch.linspace(-0.99, 1, 50, dtype=torch.float64)
    sigma, kernel = plain_loop(xi, ACTIVATIONS[name], depth)
    assert torch.allclose(nngp_kernel(xi, ACTIVATIONS[name], depth), sigma, rtol=1e-12, atol=1e-15)
    assert torch.allclose(neural_tangent_kernel(xi, ACTIVATIONS[name], depth), kernel, rtol=1e-12, atol=1e-15)
    assert float(kernel[-1].log()) == pytest.approx(tangent_kernel_at_one(ACTIVATIONS[name], depth), abs=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (5,), (200, 170), (2, 3, 4), (0, 3)])
def test_any_shape_and_dtype_and_blocks_change_nothing(dtype, shape):
    xi = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    found = neural_tangent_kernel(xi, torch.erf, 3)
    assert found.shape == shape
    assert found.dtype == dtype
    assert torch.allclose(found, plain_loop(xi, torch.erf, 3)[1], rtol=1e-5 if dtype == torch.float32 else 1e-13)


def test_symmetric_computes_half_and_mirrors():
    points = orthant(70, 4)
    xi = (points @ points.T).clamp(-1, 1)
    full = neural_tangent_kernel(xi, optimal_activation(3), 9)
    assert torch.allclose(neural_tangent_kernel(xi, optimal_activation(3), 9, symmetric=True), full, rtol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 8, 33, 120])
def test_logarithms_agree_where_the_kernel_is_in_range(name, depth):
    xi = torch.tensor([0, 1e-3, 0.2, 0.7, 0.97, 1], dtype=torch.float64)
    log = neural_tangent_kernel(xi, ACTIVATIONS[name], depth, log=True)
    _, kernel = plain_loop(xi, ACTIVATIONS[name], depth)
    seen = kernel > 1e-250
    assert not log.isnan().any()
    assert torch.allclose(log[seen], kernel[seen].log(), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("activation", [optimal_activation(2), optimal_activation(7), torch.erf, nn.GELU()])
def test_closed_form_of_the_last_layers_is_the_loop(activation):
    xi, depth = torch.tensor([1e-3, 0.2, 0.7, 0.97], dtype=torch.float64), 600
    dual = dual_activation(activation)
    log_sigma = log_kernel = xi.log()
    for _ in range(depth):
        sigma = log_sigma.exp()
        log_kernel = log_kernel + dual.slope(sigma).log()
        log_sigma = dual.order * log_sigma + dual.reduced(sigma)[0].log()
        log_kernel = torch.logaddexp(log_sigma, log_kernel)
    found = neural_tangent_kernel(xi, activation, depth, log=True)
    assert torch.allclose(found, log_kernel, rtol=1e-9, atol=1e-8)


def test_gradients():
    xi = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    for activation in (torch.erf, optimal_activation(3), SineActivation(1.1), torch.relu):
        assert torch.autograd.gradcheck(lambda x, a=activation: neural_tangent_kernel(x, a, 4), xi)
        assert torch.autograd.gradcheck(lambda x, a=activation: neural_tangent_kernel(x, a, 4, log=True), xi)


def test_against_neural_tangents():
    pytest.importorskip("neural_tangents", exc_type=ImportError)
    import jax
    from neural_tangents import stax

    jax.config.update("jax_enable_x64", True)
    points = orthant(12, 5)
    xi = (points @ points.T).clamp(-1, 1)
    amplitude = math.sqrt(-2 / math.expm1(-2 * 1.3**2))
    for layer, first, inner, activation in (
        (stax.Relu(), math.sqrt(5), math.sqrt(2), torch.relu),
        (stax.Sin(a=amplitude, b=1.3), math.sqrt(5), 1.0, SineActivation(1.3)),
    ):
        layers = []
        for index in range(4):
            layers += [stax.Dense(1, W_std=first if index == 0 else inner, b_std=None), layer]
        kernel = stax.serial(*layers, stax.Dense(1, W_std=inner, b_std=None))[2](points.numpy(), None, ("nngp", "ntk"))
        assert torch.allclose(torch.tensor(kernel.nngp.tolist()).double(), nngp_kernel(xi, activation, 4), atol=1e-6)
        ours = neural_tangent_kernel(xi, activation, 4)
        assert torch.allclose(torch.tensor(kernel.ntk.tolist()).double(), ours, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("name", "depth", "width"), [("erf", 2, 1024), ("sine 3", 2, 1024), ("optimal 4", 1, 200_000)])
def test_wide_network_has_the_kernel(name, depth, width):
    # The polynomial's fourth moment is in the hundreds: at two layers it would take millions of units.
    activation = ACTIVATIONS[name]
    if name == "erf":
        norm = math.sqrt(2 / math.pi * math.asin(2 / 3))
        activation = lambda z: torch.erf(z) / norm  # noqa: E731
    points = orthant(5, 3, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    networks = [WideNetwork(3, width, depth, activation, generator=generator) for _ in range(3)]
    mean = torch.stack([empirical_tangent_kernel(network, points) for network in networks]).mean(0).double()
    limit = neural_tangent_kernel((points @ points.T).double().clamp(-1, 1), ACTIVATIONS[name], depth)
    assert float((mean - limit).norm() / limit.norm()) < 0.1


def test_empirical_kernel_is_the_sum_over_parameters():
    network = WideNetwork(3, 7, 2, torch.erf, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, second = orthant(3, 3), orthant(2, 3, seed=1)
    by_hand = torch.zeros(3, 2, dtype=torch.float64)
    for i in range(3):
        for j in range(2):
            left = torch.autograd.grad(network(first[i : i + 1]).sum(), list(network.parameters()))
            right = torch.autograd.grad(network(second[j : j + 1]).sum(), list(network.parameters()))
            by_hand[i, j] = sum((a * b).sum() for a, b in zip(left, right, strict=True))
    assert torch.allclose(empirical_tangent_kernel(network, first, second), by_hand, rtol=1e-12)


def test_network_has_state_and_its_generator_decides():
    one, same = (WideNetwork(3, 8, 2, torch.erf, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    other = WideNetwork(3, 8, 2, torch.erf, generator=torch.Generator().manual_seed(5))
    points = torch.eye(3)
    assert torch.equal(one(points), same(points))
    assert not torch.equal(one(points), other(points))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(points), other(points))
    assert one(torch.zeros(2, 4, 3)).shape == (2, 4)


@pytest.mark.parametrize("depth", [2, 6])
def test_interpolation_is_kernel_regression_and_passes_through_the_points(depth):
    points, queries = orthant(12, 6), orthant(9, 6, seed=1)
    targets = torch.randn(12, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    activation = optimal_activation(3)
    network = KernelInterpolation(points, targets, activation, depth, ridge=0.0)
    gram = neural_tangent_kernel((points @ points.T).clamp(-1, 1), activation, depth)
    cross = neural_tangent_kernel((queries @ points.T).clamp(-1, 1), activation, depth)
    assert torch.allclose(network.predict(queries).values, cross @ torch.linalg.solve(gram, targets), atol=1e-9)
    assert torch.allclose(network.predict(points).values, targets, atol=1e-6)


def test_interpolation_survives_repeated_points():
    points = orthant(6, 4).repeat(2, 1)
    targets = torch.arange(6, dtype=torch.float64).repeat(2)[:, None]
    found = KernelInterpolation(points, targets, optimal_activation(3), 5, ridge=0.0).predict(points[:6]).values
    assert torch.allclose(found, targets[:6], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nngp_kernel(torch.zeros(2), torch.erf, -1), "depth"),
        (lambda: nngp_kernel(torch.zeros(2, dtype=torch.int64), torch.erf, 1), "correlation"),
        (lambda: neural_tangent_kernel(torch.tensor([1.5]), torch.erf, 1), "correlation"),
        (lambda: neural_tangent_kernel(torch.tensor([math.nan]), torch.erf, 1), "correlation"),
        (lambda: neural_tangent_kernel(torch.tensor([-0.5]), torch.erf, 1, log=True), "log=True"),
        (lambda: neural_tangent_kernel(torch.zeros(2, 3), torch.erf, 1, symmetric=True), "square"),
        (lambda: tangent_kernel_at_one(torch.erf, -1), "depth"),
        (lambda: WideNetwork(3, 0, 2, torch.erf), "width"),
        (lambda: empirical_tangent_kernel(nn.Linear(2, 3), torch.eye(2)), "network"),
        (lambda: KernelInterpolation(torch.eye(2), torch.eye(2), torch.erf, 1, ridge=-1.0), "ridge"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_logarithms_in_single_precision():
    xi = torch.linspace(0, 1, 20)
    for name in ("relu", "h2", "optimal 4"):
        single = neural_tangent_kernel(xi, ACTIVATIONS[name], 6, log=True)
        assert torch.allclose(single.exp(), neural_tangent_kernel(xi, ACTIVATIONS[name], 6), rtol=1e-3)
