import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from replica.kernels import KernelRegressor, kernel_gradient_flow, ridge_by_leave_one_out

DOUBLE = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


@pytest.mark.parametrize("columns", [5, 12, 30])
@pytest.mark.parametrize("intercept", [False, True])
def test_errors_are_those_of_leaving_out_and_weights_scikit_learns(columns, intercept):
    features, y = draw(12, columns), draw(12, 2, seed=1) + 4
    strengths = torch.tensor([1e-3, 0.5, 20.0], dtype=DOUBLE)
    found = ridge_by_leave_one_out(features, y, strengths, intercept=intercept)
    missed = torch.zeros(3, 12, 2, dtype=DOUBLE)
    for place, strength in enumerate(strengths):
        for row in range(12):
            rest = np.arange(12) != row
            peer = Ridge(float(strength), fit_intercept=intercept).fit(features[rest], y[rest])
            missed[place, row] = y[row] - torch.from_numpy(peer.predict(features[row : row + 1])[0])
    assert torch.allclose(found.errors, missed.square().mean(1).sqrt(), rtol=1e-6)
    peer = Ridge(found.ridge, fit_intercept=intercept).fit(features, y)
    assert np.allclose(found.weights.T, peer.coef_, rtol=1e-7)
    assert np.allclose(found.predict(features), peer.predict(features), rtol=1e-7)


@pytest.mark.parametrize("intercept", [False, True])
def test_features_and_their_kernel_agree(intercept):
    features, y, asked = draw(20, 50), draw(20, seed=1), draw(4, 50, seed=2)
    found = ridge_by_leave_one_out(features, y, intercept=intercept)
    kernel = KernelRegressor(lambda a, b: a @ b.T, ridge=found.strengths.tolist(), intercept=intercept)
    kernel.fit(features.numpy(), y.numpy())
    assert kernel.ridge_ == pytest.approx(found.ridge)
    assert np.allclose(kernel.leave_one_out_, found.errors, rtol=1e-5)
    assert np.allclose(kernel.predict(asked.numpy()), found.predict(asked), rtol=1e-6)


@pytest.mark.parametrize("columns", [4, 60])
def test_hard_features_give_right_answers(columns):
    features, y = draw(30, columns), draw(30, seed=1)
    for matrix, targets in (
        (torch.cat([features, torch.ones(30, 2, dtype=DOUBLE)], 1), y),
        (features[:5].repeat(6, 1), y[:5].repeat(6)),
        (torch.zeros_like(features), y),
        (features[:1], y[:1]),
        (1e100 * features, 1e200 * y),
        (features, 1e12 + y),
        (features, torch.ones(30, dtype=DOUBLE)),
        (features.float(), y.float()),
    ):
        found = ridge_by_leave_one_out(matrix, targets)
        predicted = found.predict(matrix)
        assert torch.isfinite(predicted).all()
        assert predicted.dtype == matrix.dtype
        assert float((predicted - targets).norm()) <= 1.01 * float((targets - targets.mean()).norm()) + 1e-6
        assert torch.isfinite(found.errors).all()


def test_gradient_flow_solves_its_equation_and_ends_in_the_interpolant():
    root = draw(8, 8)
    kernel, y, start = root @ root.T / 8, draw(8, 2, seed=1), draw(8, 2, seed=2)
    cross, cross_start = draw(3, 8, seed=3), draw(3, 2, seed=4)
    times = torch.tensor([0.0, 0.5, torch.inf], dtype=DOUBLE)
    on, off = kernel_gradient_flow(kernel, y, times, start=start), None
    off = kernel_gradient_flow(kernel, y, times, cross=cross, start=start, cross_start=cross_start)
    assert torch.allclose(on[0], start)
    assert torch.allclose(off[0], cross_start)
    now, elsewhere, steps = start.clone(), cross_start.clone(), 20_000
    for _ in range(steps):
        slope = y - now
        elsewhere += cross @ slope * 0.5 / steps
        now += kernel @ slope * 0.5 / steps
    assert torch.allclose(on[1], now, atol=2e-4)
    assert torch.allclose(off[1], elsewhere, atol=1e-3)
    assert torch.allclose(on[2], y)
    assert torch.allclose(off[2], cross_start + cross @ torch.linalg.solve(kernel, y - start), rtol=1e-6)
    assert torch.allclose(
        kernel_gradient_flow(kernel, y, times, cross=kernel, start=start, cross_start=start), on, atol=1e-7
    )


def test_gradient_flow_of_a_singular_kernel_moves_only_what_it_sees():
    y = torch.tensor([1.0, 2.0, 5.0], dtype=DOUBLE)
    flat = torch.ones(3, 3, dtype=DOUBLE)
    times = torch.tensor([0.1, 1e9, torch.inf], dtype=DOUBLE)
    found = kernel_gradient_flow(flat, y, times)
    assert torch.allclose(found[0], torch.full((3,), 8 / 3 * (1 - np.exp(-0.3)), dtype=DOUBLE))
    assert torch.allclose(found[2], torch.full((3,), 8 / 3, dtype=DOUBLE))
    assert torch.allclose(
        kernel_gradient_flow(flat, y, times, cross=flat[:1])[2], torch.full((1,), 8 / 3, dtype=DOUBLE)
    )


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_gradient_flow_at_an_eigenvalue_of_exactly_0(dtype):
    """What is not seen there moves other points for ever, at one speed; at the end of time it counts as rounding."""
    times = torch.tensor([0.0, 3.0, torch.inf], dtype=dtype)
    y, cross = torch.tensor([5.0, 4.0], dtype=dtype), torch.tensor([[1.0, 1.0], [7.0, 0.0], [0.0, 2.0]], dtype=dtype)
    kernel = torch.diag(torch.tensor([0.0, 2.0], dtype=dtype))
    seen = 1 - math.exp(-6)
    on = torch.tensor([[0, 0], [0, 4 * seen], [0, 4]], dtype=dtype)
    assert torch.allclose(kernel_gradient_flow(kernel, y, times), on)
    off = torch.tensor([[0, 0, 0], [15 + 2 * seen, 7 * 15, 4 * seen], [2, 0, 4]], dtype=dtype)
    assert torch.allclose(kernel_gradient_flow(kernel, y, times, cross=cross), off)
    rounding = kernel + torch.diag(torch.tensor([1e-20, 0.0], dtype=dtype))  # not inverted at the end
    assert torch.allclose(kernel_gradient_flow(rounding, y, times, cross=cross), off)
    nothing = torch.zeros(2, 2, dtype=dtype)
    assert torch.equal(kernel_gradient_flow(nothing, y, times, start=y + 1), (y + 1).expand(3, 2))
    begun = torch.ones(3, dtype=dtype)
    moved = kernel_gradient_flow(nothing, y, times, cross=cross, cross_start=begun)
    assert torch.allclose(moved, begun + torch.stack([0 * begun, 3 * cross @ y, 0 * begun]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ridge_by_leave_one_out(torch.zeros(3), torch.zeros(3)), "features"),
        (lambda: ridge_by_leave_one_out(torch.full((3, 1), torch.nan), torch.zeros(3)), "features"),
        (lambda: ridge_by_leave_one_out(torch.eye(3), torch.zeros(2)), "y"),
        (lambda: ridge_by_leave_one_out(torch.eye(3), torch.zeros(3), torch.tensor([0.0])), "strengths"),
        (lambda: kernel_gradient_flow(torch.zeros(2, 3), torch.zeros(2), torch.zeros(1)), "kernel"),
        (lambda: kernel_gradient_flow(torch.eye(2), torch.zeros(3), torch.zeros(1)), "y"),
        (lambda: kernel_gradient_flow(torch.eye(2), torch.zeros(2), torch.tensor([-1.0])), "times"),
        (lambda: kernel_gradient_flow(torch.eye(2), torch.zeros(2), torch.zeros(1), cross=torch.eye(3)), "cross"),
        (lambda: kernel_gradient_flow(torch.eye(2), torch.zeros(2), torch.zeros(1), start=torch.zeros(3)), "start"),
        (
            lambda: kernel_gradient_flow(torch.eye(2), torch.zeros(2), torch.zeros(1), cross_start=torch.zeros(2)),
            "cross_start",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
