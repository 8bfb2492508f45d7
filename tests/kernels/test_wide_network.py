import pytest
import torch
from torch import nn

from replica.kernels import WideNetwork, empirical_tangent_kernel, wide_kernels

DOUBLE = torch.float64


def draw(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def wide(width=9, depth=2, activation=torch.erf, seed=0, dtype=DOUBLE, **options):
    options = {"weight_variance": 1.5, "bias_variance": 0.3, "divide_inputs": True, **options}
    generator = torch.Generator().manual_seed(seed)
    return WideNetwork(4, width, depth, activation, generator=generator, dtype=dtype, **options)


@pytest.mark.parametrize("activation", [torch.relu, torch.erf])
def test_many_networks_have_the_kernels_of_the_limit(activation):
    points = draw(5, 4) * torch.tensor([[0.3], [1.0], [1.0], [2.0], [3.0]], dtype=DOUBLE)
    limit = wide_kernels(points, activation=activation, depth=2, weight_variance=1.5, bias_variance=0.3)
    tangent, products = [], []
    for seed in range(100):
        network = wide(256, activation=activation, seed=seed, outputs=20)
        with torch.no_grad():
            products.append(network(points) @ network(points).T / 20)
        tangent.append(network.tangent_kernel(points))
    for found, wanted in ((products, limit.nngp), (tangent, limit.ntk)):
        samples = torch.stack(found)
        noise = samples.std(0) / 10
        assert float(noise.norm() / wanted.norm()) < 0.05
        assert bool(((samples.mean(0) - wanted).abs() < 4.5 * noise + 0.01 * wanted.abs()).all())


@pytest.mark.parametrize("outputs", [None, 1, 3])
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_the_layers_products_are_the_gradients_products(outputs, bias):
    network = wide(outputs=outputs, bias_variance=bias)
    first, second = draw(6, 4), draw(3, 4, seed=1)
    for pair in ((first,), (first, second)):
        by_gradients = empirical_tangent_kernel(network, *pair, outputs="mean")
        assert torch.allclose(network.tangent_kernel(*pair), by_gradients, rtol=1e-10)
    network.requires_grad_(False)
    assert torch.allclose(network.tangent_kernel(first, second), by_gradients, rtol=1e-10)
    assert all(weight.grad is None for weight in network.parameters())


def test_outputs_and_blocks():
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    first, second = draw(6, 4), draw(3, 4, seed=1)
    every = empirical_tangent_kernel(network, first, second, outputs="all")
    assert every.shape == (6, 3, 3, 3)
    jacobians = []
    for point in (first[2], second[1]):
        rows = [torch.autograd.grad(network(point)[k], list(network.parameters())) for k in range(3)]
        jacobians.append(torch.stack([torch.cat([part.flatten() for part in row]) for row in rows]))
    assert torch.allclose(every[2, 1], jacobians[0] @ jacobians[1].T)
    diagonal = every.diagonal(dim1=2, dim2=3)
    assert torch.allclose(empirical_tangent_kernel(network, first, second, outputs="mean"), diagonal.mean(2))
    for outputs, wanted in ((0, diagonal[..., 0]), (2, diagonal[..., 2]), ("all", every)):
        found = empirical_tangent_kernel(network, first, second, outputs=outputs, block=2)
        assert torch.allclose(found, wanted)
    own = empirical_tangent_kernel(network, first, outputs="all", block=4)
    assert torch.allclose(own, own.permute(1, 0, 3, 2))


def test_a_small_step_of_gradient_descent_moves_the_function_along_the_kernel():
    network, points, asked = wide(20, outputs=2), draw(6, 4), draw(3, 4, seed=1)
    y, rate = draw(6, 2, seed=2), 1e-6
    kernel = empirical_tangent_kernel(network, asked, points, outputs="all").detach()
    before, residual = network(asked).detach(), (y - network(points)).detach()
    (network(points) - y).square().sum().div(2).backward()
    with torch.no_grad():
        for weight in network.parameters():
            weight -= rate * weight.grad
    moved = (network(asked) - before).detach() / rate
    assert torch.allclose(moved, torch.einsum("mnab,nb->ma", kernel, residual), rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wide(outputs=0), "outputs"),
        (lambda: wide(weight_variance=0.0), "weight_variance"),
        (lambda: wide(bias_variance=-1.0), "bias_variance"),
        (lambda: empirical_tangent_kernel(nn.Linear(2, 3), torch.eye(2)), "network"),
        (lambda: empirical_tangent_kernel(nn.Linear(2, 3), torch.eye(2), outputs=3), "outputs"),
        (lambda: empirical_tangent_kernel(nn.Linear(2, 3), torch.eye(2), outputs="sum"), "outputs"),
        (lambda: empirical_tangent_kernel(nn.Linear(2, 3), torch.eye(2), outputs=0, block=0), "block"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
