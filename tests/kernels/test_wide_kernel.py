import math

import numpy as np
import pytest
import torch
from torch import nn

from replica.kernels import (
    SineActivation,
    dual_activation,
    neural_tangent_kernel,
    nngp_kernel,
    through_layers,
    wide_kernel,
    wide_kernel_diagonal,
    wide_kernels,
    wide_layer,
)
from replica.kernels.hermite_layer import HermiteLayer

CLOSED = {
    "identity": nn.Identity(),
    "relu": torch.relu,
    "leaky": nn.LeakyReLU(0.2),
    "abs": torch.abs,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
    "sine 1.3": SineActivation(1.3),
    "gelu": nn.GELU(),
}
SMOOTH = {"erf": torch.erf, "sin": torch.sin, "sine 1.3": SineActivation(1.3), "gelu": nn.GELU(), "tanh": torch.tanh}
WIDE = {"depth": 3, "weight_variance": 1.7, "bias_variance": 0.2}


def inputs(count, dim=5, seed=0, scale=1.0, dtype=torch.float64):
    return scale * torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gauss_hermite(activation, kxx, kxz, kzz, count=80):
    """E[φ(u) φ(v)] and E[φ'(u) φ'(v)] by a product rule in the plane."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(count))
    weights = weights / weights.sum()
    correlation = kxz / math.sqrt(kxx * kzz)
    u = (math.sqrt(kxx) * nodes[:, None]).expand(count, count)
    v = math.sqrt(kzz) * (correlation * nodes[:, None] + math.sqrt(1 - correlation**2) * nodes)
    found = []
    for order in range(2):
        at_u, at_v = (derivative(activation, z.flatten().clone(), order).view(count, count) for z in (u, v))
        found.append(float((weights[:, None] * weights * at_u * at_v).sum()))
    return found


def derivative(activation, z, order):
    if not order:
        return activation(z)
    z.requires_grad_()
    return torch.autograd.grad(activation(z).sum(), z)[0]


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("covariance", [(1.0, 0.5, 1.0), (2.0, -0.3, 0.5), (0.3, 0.29, 0.3), (1.5, 0.9, 0.7)])
def test_moments_are_those_of_quadrature_in_the_plane(name, covariance):
    found = wide_layer(SMOOTH[name]).moments(*(torch.tensor(part, dtype=torch.float64) for part in covariance))
    assert [float(part) for part in found] == pytest.approx(gauss_hermite(SMOOTH[name], *covariance), abs=2e-6)


@pytest.mark.parametrize("name", CLOSED)
def test_moments_are_those_of_samples(name):
    kxx, kxz, kzz = (torch.tensor(part, dtype=torch.float64) for part in (2.0, -0.7, 0.6))
    normal = inputs(400_000, 2, seed=3)
    u = kxx.sqrt() * normal[:, 0]
    v = kxz / kxx.sqrt() * normal[:, 0] + (kzz - kxz**2 / kxx).sqrt() * normal[:, 1]
    layer = wide_layer(CLOSED[name])
    for order, found in enumerate(layer.moments(kxx, kxz, kzz)):
        samples = derivative(CLOSED[name], u.clone(), order) * derivative(CLOSED[name], v.clone(), order)
        assert abs(float(samples.mean() - found)) < 5 * float(samples.std()) / math.sqrt(len(samples)) + 1e-12


@pytest.mark.parametrize("name", CLOSED)
def test_the_slope_is_the_derivative_and_own_moments_are_the_ends(name):
    layer = wide_layer(CLOSED[name])
    kxx, kzz = torch.tensor([0.4, 1.0, 2.5, 0.0]).double(), torch.tensor([1.1, 1.0, 0.2, 0.5]).double()
    kxz = torch.tensor([0.3, -0.6, 0.1, 0.0]).double().requires_grad_()
    value, slope = layer.moments(kxx, kxz, kzz)
    (by_autograd,) = torch.autograd.grad(value.sum(), kxz)
    assert torch.allclose(by_autograd[:3], slope[:3], rtol=1e-10)
    for one, other in zip(layer.own_moments(kxx), layer.moments(kxx, kxx, kxx), strict=True):
        assert torch.allclose(one[:3], other[:3], rtol=1e-7)  # an angle of rounding is 1e-8


@pytest.mark.parametrize("name", ["sin", "gelu", "erf"])
def test_the_hermite_expansion_agrees_with_closed_forms(name):
    points, others = inputs(6), inputs(4, seed=1, scale=0.5)
    series = wide_kernels(points, others, activation=HermiteLayer(CLOSED[name]), **WIDE)
    closed = wide_kernels(points, others, activation=CLOSED[name], **WIDE)
    for one, other in zip(series, closed, strict=True):
        assert torch.allclose(one, other, rtol=1e-4 if name == "erf" else 1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_kernels_off_the_sphere_are_the_recursion_by_quadrature(name):
    """Jacot et al. 2018, their Theorem 1 by hand: Σ and Θ of inputs of all lengths, without any of the library's layers."""
    points = inputs(4, 3) * torch.tensor([[0.2], [0.7], [1.5], [3.0]], dtype=torch.float64)
    found = wide_kernels(points, activation=SMOOTH[name], depth=2, weight_variance=1.7, bias_variance=0.2)
    for i, j in ((0, 1), (0, 3), (1, 2), (2, 3), (3, 3)):
        x, z = points[i], points[j]
        kxx, kxz, kzz = (1.7 * float(a @ b) / 3 + 0.2 for a, b in ((x, x), (x, z), (z, z)))
        theta = kxz
        for _ in range(2):
            cross, slope = gauss_hermite(SMOOTH[name], kxx, kxz, kzz)
            own = [gauss_hermite(SMOOTH[name], k, k, k)[0] for k in (kxx, kzz)]
            kxx, kxz, kzz = (1.7 * part + 0.2 for part in (own[0], cross, own[1]))
            theta = kxz + 1.7 * slope * theta
        assert float(found.nngp[i, j]) == pytest.approx(kxz, rel=1e-4)
        assert float(found.ntk[i, j]) == pytest.approx(theta, rel=1e-4)


@pytest.mark.parametrize("activation", ["Relu", "Erf"])
def test_against_neural_tangents_off_the_sphere(activation):
    pytest.importorskip("neural_tangents", exc_type=ImportError)
    import jax
    from neural_tangents import stax

    jax.config.update("jax_enable_x64", True)
    points, others = (3 * part for part in (inputs(6), inputs(4, seed=1, scale=0.3)))
    dense = {"W_std": math.sqrt(1.7), "b_std": math.sqrt(0.2), "parameterization": "ntk"}
    hidden = [layer for _ in range(3) for layer in (stax.Dense(64, **dense), getattr(stax, activation)())]
    kernel = stax.serial(*hidden, stax.Dense(1, **dense))[2]
    theirs = kernel(points.numpy(), others.numpy(), ("nngp", "ntk"))
    ours = wide_kernels(points, others, activation={"Relu": torch.relu, "Erf": torch.erf}[activation], **WIDE)
    np.testing.assert_allclose(ours.nngp, theirs.nngp, rtol=1e-4)
    np.testing.assert_allclose(ours.ntk, theirs.ntk, rtol=1e-4)


@pytest.mark.parametrize("activation", [torch.relu, torch.erf, torch.tanh])
def test_whole_matrices_are_the_recursion_over_all_entries(activation):
    points, others = inputs(70), inputs(9, seed=1, scale=3.0)
    layer = wide_layer(activation)

    def by_hand(first, second):
        kxx, kxz, kzz = (
            one * 1.7 / 5 + 0.2 for one in (first.square().sum(1, True), first @ second.T, second.square().sum(1))
        )
        kernel = kxz
        for _ in range(3):
            slope = 1.7 * layer.moments(kxx, kxz, kzz)[1]
            kxx, kxz, kzz = (
                1.7 * part + 0.2
                for part in (layer.own_moments(kxx)[0], layer.moments(kxx, kxz, kzz)[0], layer.own_moments(kzz)[0])
            )
            kernel = kxz + slope * kernel
        return kxz, kernel

    for first, second in ((points, None), (points, others), (others, points)):
        found = wide_kernels(first, second, activation=activation, **WIDE)
        for one, other in zip(found, by_hand(first, first if second is None else second), strict=True):
            assert torch.allclose(one, other, rtol=1e-7)
        for kind in ("nngp", "ntk"):
            assert torch.equal(
                wide_kernel(first, second, activation=activation, kind=kind, **WIDE), getattr(found, kind)
            )


def test_the_sphere_is_a_special_case():
    points = inputs(8, 4)
    points = points / points.norm(dim=1, keepdim=True)
    xi, activation = (points @ points.T).clamp(-1, 1), SineActivation(1.2)
    found = wide_kernels(points * 2, activation=activation, depth=4)  # x·z / d = ξ
    assert torch.allclose(found.nngp, nngp_kernel(xi, activation, 4), rtol=1e-12)
    assert torch.allclose(found.ntk, neural_tangent_kernel(xi, activation, 4), rtol=1e-12)
    relu = wide_kernels(points * 2, depth=4, weight_variance=2.0)
    assert torch.allclose(relu.ntk, 2 * neural_tangent_kernel(xi, torch.relu, 4), rtol=1e-6)


def test_diagonal_symmetry_and_repeated_rows():
    points = inputs(40).repeat(2, 1)
    for activation in (torch.relu, torch.erf, nn.GELU()):
        for kind in ("nngp", "ntk"):
            gram = wide_kernel(points, activation=activation, kind=kind, **WIDE)
            assert torch.equal(gram, gram.T)
            assert torch.equal(gram.diagonal(), wide_kernel_diagonal(points, activation=activation, kind=kind, **WIDE))
            assert torch.allclose(gram[:40, 40:].diagonal(), gram.diagonal()[:40], rtol=1e-12)
            assert float(torch.linalg.eigvalsh(gram)[0]) > -1e-9


@pytest.mark.parametrize("activation", [torch.relu, torch.erf, nn.GELU(), torch.tanh])
def test_gradients_and_single_precision_and_odd_inputs(activation):
    points = inputs(3, 2).requires_grad_()
    for kind in ("nngp", "ntk"):
        assert torch.autograd.gradcheck(
            lambda x, k=kind: wide_kernel(x, inputs(2, 2, seed=1), activation=activation, kind=k, depth=2), points
        )
        gram = wide_kernel(points, activation=activation, kind=kind, **WIDE)
        assert torch.isfinite(torch.autograd.grad(gram.sum(), points)[0]).all()
        with torch.no_grad():
            assert torch.allclose(gram, wide_kernel(points, activation=activation, kind=kind, **WIDE), rtol=1e-7)
            single = wide_kernel(points.float(), activation=activation, kind=kind, **WIDE)
        assert single.dtype == torch.float32
        assert torch.allclose(single.double(), gram, rtol=1e-3)
    odd = torch.cat([torch.zeros(2, 2), 1e6 * torch.eye(2)]).double()
    assert torch.isfinite(wide_kernel(odd, activation=activation, depth=3)).all()
    assert wide_kernel(odd[:0], activation=activation).shape == (0, 0)


def test_blocks_of_patches_go_through_the_same_layer():
    gram = torch.stack([inputs(5, seed=seed) @ inputs(5, seed=seed).T for seed in range(3)], -1)  # (5, 5, patches)
    own = gram.diagonal(dim1=0, dim2=1).T  # (5, patches)
    value, slope = wide_layer(torch.relu).moments(own[:, None], gram, own[None])
    alone = wide_layer(torch.relu).moments(own[:, None, 1], gram[..., 1], own[None, :, 1])
    assert value.shape == slope.shape == (5, 5, 3)
    assert torch.equal(value[..., 1], alone[0])
    assert torch.equal(slope[..., 1], alone[1])
    assert through_layers(gram, lambda _, k: (k, None), 2, tangent=False)[1] is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wide_kernel(torch.zeros(3)), "X"),
        (lambda: wide_kernel(torch.zeros(3, 2, dtype=torch.int64)), "X"),
        (lambda: wide_kernel(torch.full((3, 2), math.nan)), "X"),
        (lambda: wide_kernel(torch.zeros(3, 2), torch.zeros(3, 4)), "Z"),
        (lambda: wide_kernel(torch.eye(2), depth=-1), "depth"),
        (lambda: wide_kernel(torch.eye(2), weight_variance=0.0), "weight_variance"),
        (lambda: wide_kernel(torch.eye(2), bias_variance=-1.0), "bias_variance"),
        (lambda: wide_kernel(torch.eye(2), kind="gp"), "kind"),
        (lambda: wide_kernel(torch.eye(2), activation=lambda z: z.sum(1)), "activation"),
        (lambda: wide_layer(dual_activation(torch.erf)), "activation"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
