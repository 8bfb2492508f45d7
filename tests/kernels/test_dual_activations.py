import math

import numpy as np
import pytest
import torch
from torch import nn

from replica.kernels import (
    HermiteActivation,
    PowerSeriesDual,
    SineActivation,
    dual_activation,
    hermite_coefficients,
    optimal_activation,
)
from replica.kernels.dual_activations import CosineDual, ErfDual, ReluDual, SineDual
from replica.kernels.hermite import gaussian_nodes, hermite_series

CLOSED = {
    "relu": (torch.relu, ReluDual()),
    "erf": (torch.erf, ErfDual()),
    "wide erf": (lambda z: torch.erf(2 * z), ErfDual(2.0)),
    "sin": (torch.sin, SineDual()),
    "cos": (torch.cos, CosineDual()),
    "cos 2z": (lambda z: torch.cos(2 * z), CosineDual(4.0)),
    "sine": (SineActivation(1.4), SineDual(1.96)),
    "polynomial": (optimal_activation(5), PowerSeriesDual((0, 2**-2.5, 1 - 2**-1.5, 2**-2.5))),
    "tanh": (torch.tanh, dual_activation(torch.tanh)),
}


def gauss_hermite_pairs(function, correlation, nodes=80):
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    z, w = torch.from_numpy(z), torch.from_numpy(w / math.sqrt(2 * math.pi))
    v = correlation * z[:, None] + math.sqrt(1 - correlation**2) * z
    top = w[:, None] * w * function(z)[:, None] * function(v)
    return float(top.sum() / (w * function(z) ** 2).sum())


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("correlation", [-0.8, 0.0, 0.3, 0.95])
def test_value_is_the_gaussian_expectation(name, correlation):
    function, dual = CLOSED[name]
    nodes, tolerance = (180, 5e-3) if name == "relu" else (120, 1e-6)
    found = float(dual.value(torch.tensor(correlation, dtype=torch.float64)))
    assert found == pytest.approx(gauss_hermite_pairs(function, correlation, nodes), abs=tolerance)


@pytest.mark.parametrize("name", CLOSED)
def test_slope_complement_and_reduced_agree_with_the_value(name):
    _, dual = CLOSED[name]
    xi = torch.linspace(0.01, 0.999, 40, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(dual.value(xi).sum(), xi)
    assert torch.allclose(dual.slope(xi), slope, rtol=1e-9)
    value, both = dual.value_and_slope(xi)
    assert torch.allclose(value, dual.value(xi), rtol=1e-13)
    assert torch.allclose(both, slope, rtol=1e-9)
    reduced, reduced_slope = dual.reduced(xi)
    assert torch.allclose(xi**dual.order * reduced, value, rtol=1e-12)
    assert torch.allclose(xi ** (dual.order - 1) * reduced_slope, slope, rtol=1e-9)
    assert torch.allclose(dual.complement(1 - xi), 1 - value, atol=1e-13)


@pytest.mark.parametrize("name", CLOSED)
def test_ends_and_small_gaps(name):
    function, dual = CLOSED[name]
    ends = dual.value(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert ends.tolist() == pytest.approx([dual.at_zero, 1.0], abs=1e-13)
    small = torch.tensor([1e-15, 1e-9], dtype=torch.float64)
    assert (dual.complement(small) / small).tolist() == pytest.approx([dual.slope_at_one] * 2, rel=1e-4)
    z, w = gaussian_nodes()
    z = z.requires_grad_()
    (derivative,) = torch.autograd.grad(function(z).sum(), z)
    moment = (w * function(z).detach() ** 2).sum()
    assert float((w * derivative).sum() ** 2 / moment) == pytest.approx(dual.slope_at_zero, abs=1e-9)
    assert float((w * derivative**2).sum() / moment) == pytest.approx(dual.slope_at_one, rel=1e-8)


@pytest.mark.parametrize("name", ["erf", "sin", "cos", "sine", "polynomial"])
def test_expansion_of_any_function_meets_the_closed_form(name):
    function, dual = CLOSED[name]
    series = dual_activation(lambda z: function(z))
    xi = torch.linspace(-1, 1, 21, dtype=torch.float64)
    assert type(series) is PowerSeriesDual
    assert series.residual < 1e-10
    assert torch.allclose(series.value(xi), dual.value(xi), atol=1e-10)


def test_expansion_of_a_kink_reports_what_it_leaves_out():
    series = dual_activation(lambda z: torch.relu(z))
    assert 1e-5 < series.residual < 1e-3
    xi = torch.linspace(-1, 1, 21, dtype=torch.float64)
    assert torch.allclose(series.value(xi), ReluDual().value(xi), atol=2 * series.residual)


def test_smooth_activations_lose_nothing():
    for activation in (torch.tanh, nn.GELU(), nn.SiLU(), nn.Softplus()):
        assert dual_activation(activation).residual < 1e-6


def test_relu_is_the_known_arc_cosine_kernel():
    angle = torch.linspace(0.001, 3.1, 30, dtype=torch.float64)
    known = (torch.sin(angle) + (math.pi - angle) * torch.cos(angle)) / math.pi
    assert torch.allclose(ReluDual().value(torch.cos(angle)), known, atol=1e-14)


def test_hermite_polynomials_are_orthonormal():
    z, w = gaussian_nodes()
    each = torch.stack([hermite_series(z, [0.0] * k + [1.0]) for k in range(12)])
    assert torch.allclose(each * w @ each.T, torch.eye(12, dtype=torch.float64), atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_activations_keep_shape_and_dtype_and_have_unit_second_moment(dtype, shape):
    for activation in (HermiteActivation((1, 2, 0, 3)), SineActivation(0.7), optimal_activation(1.5)):
        assert activation(torch.zeros(shape, dtype=dtype)).shape == shape
        assert activation(torch.zeros(shape, dtype=dtype)).dtype == dtype
        assert hermite_coefficients(activation, 0)[1] == pytest.approx(1.0, abs=1e-11)


def test_optimal_activations_are_those_of_the_authors_code():
    # Powers of the dual activations named 2d_opt to 9d_opt, and the arguments of sine, by the sphere's dimension.
    for dim, powers in (
        (1, [0, 1 / 2, 0, 0, 0, 0, 0, 1 / 2]),
        (2, [0, 1 / 2, 0, 1 / 2]),
        (4, [0, 1 / 4, 1 / 2, 1 / 4]),
        (8, [0, 1 / 16, 7 / 8, 1 / 16]),
    ):
        assert [c**2 for c in optimal_activation(dim).coefficients] == pytest.approx(powers, abs=1e-12)
    for dim, square in ((2, 2.676), (4, 6.13539), (8, 13.8258)):
        assert optimal_activation(dim, family="sine").frequency ** 2 == pytest.approx(square, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HermiteActivation((0, 0)), "coefficients"),
        (lambda: SineActivation(-1), "frequency"),
        (lambda: optimal_activation(0.5), "dimension"),
        (lambda: optimal_activation(1, family="sine"), "dimension"),
        (lambda: optimal_activation(2, family="cubic"), "family"),
        (lambda: PowerSeriesDual((1, -1)), "powers"),
        (lambda: ErfDual(0), "scale"),
        (lambda: SineDual(0), "square"),
        (lambda: CosineDual(1e9), "square"),
        (lambda: hermite_coefficients(torch.relu, -1), "degree"),
        (lambda: dual_activation(lambda z: z.sum()), "activation"),
        (lambda: dual_activation(lambda z: 0 * z), "activation"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
