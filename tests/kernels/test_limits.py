import math

import numpy as np
import pytest
import torch
from torch import nn

from replica.kernels import (
    HermiteActivation,
    LimitKind,
    SingularKernel,
    dual_activation,
    limit_classifier_type,
    limit_kernel,
    neural_tangent_kernel,
    nngp_kernel,
    optimal_activation,
    singular_kernel,
    tangent_kernel_at_one,
)


@pytest.mark.parametrize("dimension", [1, 1.3, 2, 2.5, 4, 9, 40, 200])
@pytest.mark.parametrize("family", ["polynomial", "sine"])
def test_optimal_activations_have_the_dimension_as_exponent(dimension, family):
    if dimension == 1 and family == "sine":
        return
    found = limit_classifier_type(optimal_activation(dimension, family=family))
    assert found.kind is LimitKind.SINGULAR
    assert found.exponent == pytest.approx(dimension, rel=1e-9)


@pytest.mark.parametrize(
    ("activation", "kind"),
    [
        (torch.relu, LimitKind.MAJORITY),
        (nn.GELU(), LimitKind.MAJORITY),
        (torch.sigmoid, LimitKind.MAJORITY),
        (torch.cos, LimitKind.MAJORITY),
        (torch.tanh, LimitKind.SINGULAR),
        (torch.erf, LimitKind.SINGULAR),
        (torch.sin, LimitKind.SINGULAR),
        (lambda z: torch.cos(z) - math.exp(-0.5), LimitKind.NEAREST_NEIGHBOUR),
        (HermiteActivation((0, 0, 1, 2)), LimitKind.NEAREST_NEIGHBOUR),
    ],
)
def test_kinds(activation, kind):
    assert limit_classifier_type(activation).kind is kind


def test_odd_smooth_functions_are_not_optimal_above_one_dimension():
    assert limit_classifier_type(torch.tanh).exponent < 1


@pytest.mark.parametrize(
    ("activation", "ratio"), [(torch.relu, 1 / 4), (HermiteActivation((1, 1, 1)), 1 / 3), (torch.cos, 1.0)]
)
def test_off_diagonal_of_the_majority_against_deep_kernels(activation, ratio):
    # Square sums of h_0 + h_1 + h_2: B' = (1 + 2) / 3 = 1, as for ReLU, but without its kink.
    depth = 6000
    log = neural_tangent_kernel(torch.tensor([0.2, 0.8], dtype=torch.float64), activation, depth, log=True)
    found = limit_classifier_type(activation)
    assert found.kernel_ratio == pytest.approx(ratio)
    assert (log - tangent_kernel_at_one(activation, depth)).exp().tolist() == pytest.approx([ratio] * 2, rel=1e-2)


def test_fixed_point_of_the_majority():
    for activation in (nn.GELU(), HermiteActivation((0.3, 1, 1))):
        found = limit_classifier_type(activation)
        deep = nngp_kernel(torch.tensor([0.0, 0.5, 0.99], dtype=torch.float64), activation, 2000)
        assert found.kernel_ratio == 0
        assert deep.tolist() == pytest.approx([found.fixed_point] * 3, abs=1e-9)


@pytest.mark.parametrize("activation", [torch.tanh, torch.erf, optimal_activation(1), optimal_activation(4)])
def test_limit_kernel_linearises_the_dual_activation(activation):
    dual = dual_activation(activation)
    gap = torch.logspace(-14, -0.001, 60, dtype=torch.float64)
    here = limit_kernel(gap, dual)
    onward = limit_kernel(dual.complement(gap).clamp_max(1 - 1e-16), dual)
    assert here.converged.all()
    inner = gap < 0.99  # beyond, 1 − δ itself is rounded
    assert torch.allclose(onward.log_value[inner], (here.log_value + math.log(dual.slope_at_zero))[inner], atol=1e-9)
    assert float(limit_kernel(torch.tensor(1 - 1e-9, dtype=torch.float64), dual).log_value.exp()) == pytest.approx(1e-9)


@pytest.mark.parametrize("activation", [optimal_activation(2), optimal_activation(2, family="sine"), torch.erf])
def test_limit_kernel_is_where_deep_kernels_go(activation):
    dual = dual_activation(activation)
    xi = torch.tensor([0.05, 0.4, 0.9], dtype=torch.float64)
    limit = limit_kernel(1 - xi, dual).log_value.exp()
    rate = dual.slope_at_zero
    layers, depth = (200 if rate > 0.9 else 40), 10**7
    gaussian = nngp_kernel(xi, dual, layers) / rate**layers
    assert torch.allclose(gaussian, limit, rtol=1e-7)
    tangent = neural_tangent_kernel(xi, dual, depth, log=True) - depth * math.log(rate) - math.log(depth + 1)
    assert torch.allclose(tangent.exp(), limit, rtol=1e-4)


@pytest.mark.parametrize("exponent", [1, 2, 3.7, 8])
def test_pole_has_the_exponent_and_a_periodic_factor(exponent):
    dual = dual_activation(optimal_activation(exponent))
    gap = torch.logspace(-13, -8, 200, dtype=torch.float64)
    bounded = limit_kernel(gap, dual).log_value + exponent / 2 * gap.log()
    assert float(bounded.max() - bounded.min()) < 0.1
    again = limit_kernel(gap * dual.slope_at_one, dual).log_value + exponent / 2 * (gap * dual.slope_at_one).log()
    assert torch.allclose(bounded, again, atol=1e-6)


@pytest.mark.parametrize("exponent", [1, 1.5, 2, 4, 8])
@pytest.mark.parametrize("shape", [(500,), (20, 5, 5)])
def test_table_is_the_limit_kernel(exponent, shape):
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gap = torch.exp(-50 * uniform)
    kernel = SingularKernel(exponent=exponent)
    assert kernel(gap).shape == shape
    assert torch.allclose(kernel(gap), limit_kernel(gap, optimal_activation(exponent)).log_value, rtol=0, atol=1e-5)
    near_zero = torch.tensor([1e-3, 1e-9], dtype=torch.float64)
    exact = limit_kernel(1 - near_zero, optimal_activation(exponent)).log_value
    assert torch.allclose(kernel(1 - near_zero), exact, atol=1e-5)
    assert kernel.residual < 1e-12


def test_table_in_float32_and_at_the_ends():
    kernel = SingularKernel(exponent=3)
    gap = torch.tensor([0.0, 1e-30, 1e-3, 0.5, 1.0, 1.7])
    single, double = kernel(gap), kernel(gap.double())
    assert single.dtype == torch.float32
    assert single.isfinite().all()
    assert double.isfinite().all()
    assert torch.allclose(single[2:4].double(), double[2:4], atol=1e-4)
    assert (double.diff() <= 0).all()


def test_table_has_gradients_and_state():
    kernel = SingularKernel(torch.erf)
    gap = torch.tensor([1e-4, 0.3], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(kernel(gap).sum(), gap)
    step = 1e-4 * gap.detach()
    exact = (
        limit_kernel(gap.detach() + step, torch.erf).log_value - limit_kernel(gap.detach() - step, torch.erf).log_value
    )
    assert torch.allclose(slope, exact / (2 * step), rtol=1e-2)
    other = SingularKernel(exponent=2)
    other.load_state_dict(kernel.state_dict())
    assert torch.equal(other.table, kernel.table)


def test_hilbert_weights_of_neighbours_fall_as_one_over_their_rank():
    # Where α = d, the k-th neighbour's weight is proportional to 1 / k: the boundary between summable and not.
    rng = np.random.default_rng(0)
    points = np.abs(rng.normal(size=(20_000, 3)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    centre = np.ones(3) / math.sqrt(3)
    gap = np.sort(((points - centre) ** 2).sum(1) / 2)
    weights = SingularKernel(exponent=2)(torch.from_numpy(gap)).exp().numpy()
    ranks = np.arange(1, 3001)
    slope = np.polyfit(np.log(ranks[20:]), np.log(weights[20:3000]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.08)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: limit_classifier_type(nn.Identity()), "linear"),
        (lambda: limit_kernel(torch.tensor([0.5]), torch.relu), "majority"),
        (lambda: limit_kernel(torch.tensor([1.5]), torch.erf), "gap"),
        (lambda: SingularKernel(), "exactly one"),
        (lambda: SingularKernel(torch.erf, exponent=2), "exactly one"),
        (lambda: SingularKernel(HermiteActivation((0, 0, 1))), "nearest"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_table_that_has_not_converged_warns(monkeypatch):
    monkeypatch.setattr(singular_kernel, "_MOST_LAYERS", 2)
    with pytest.warns(RuntimeWarning, match="SingularKernel: residual .* after 2 layers"):
        SingularKernel(exponent=2)
