import warnings

import pytest
import torch
from sklearn.linear_model import Lasso

from replica.representations import covariance_lasso, geometric_penalties, lasso_path


def problem(count=200, inputs=8, targets=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(inputs) + 0.15 * torch.randn(inputs, inputs, generator=generator, dtype=torch.float64)
    x = torch.randn(count, inputs, generator=generator, dtype=torch.float64) @ mixing
    y = x @ torch.randn(inputs, targets, generator=generator, dtype=torch.float64)
    y = y + torch.randn(count, targets, generator=generator, dtype=torch.float64)
    x, y = x - x.mean(0), y - y.mean(0)
    return x.to(dtype), y.to(dtype), (x.T @ x / count).to(dtype), (x.T @ y / count).to(dtype)


@pytest.mark.parametrize("penalty", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_is_scikit_learns_lasso(penalty, seed):
    x, y, covariance, cross = problem(seed=seed)
    found = covariance_lasso(covariance, cross, penalty, tolerance=1e-10)
    for target in range(3):
        peer = Lasso(alpha=penalty, tol=1e-12, max_iter=200_000).fit(x.numpy(), y[:, target].numpy())
        torch.testing.assert_close(found[:, target], torch.from_numpy(peer.coef_), atol=1e-6, rtol=0)
        assert torch.equal(found[:, target] != 0, torch.from_numpy(peer.coef_ != 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_meets_the_optimality_conditions(dtype):
    _, _, covariance, cross = problem(inputs=30, targets=20, dtype=dtype)
    weights = covariance_lasso(covariance, cross, 0.5, tolerance=1e-5)
    slope = cross - covariance @ weights
    limit = 5e-5 * float(cross.abs().max())
    assert weights.dtype == dtype
    assert (slope.abs() <= 0.5 + limit).all()
    used = weights != 0
    assert 0 < used.sum() < used.numel()
    torch.testing.assert_close(slope[used], 0.5 * weights[used].sign(), atol=limit, rtol=0)


def test_limits():
    _, _, covariance, cross = problem()
    assert not covariance_lasso(covariance, cross, float(cross.abs().max())).any()
    dense = covariance_lasso(covariance, cross, 0.0, tolerance=1e-10)
    torch.testing.assert_close(dense, torch.linalg.solve(covariance, cross), atol=1e-6, rtol=1e-6)
    shrunk = torch.nn.functional.softshrink(cross, 0.7)
    torch.testing.assert_close(covariance_lasso(torch.eye(8, dtype=torch.float64), cross, 0.7), shrunk)
    assert not covariance_lasso(torch.zeros(2, 2), torch.zeros(2, 1), 0.1).any()


def test_a_path_is_its_points_whatever_the_order():
    _, _, covariance, cross = problem()
    penalties = geometric_penalties(float(cross.abs().max()), 1e-2, 12)
    path = lasso_path(covariance, cross, penalties, tolerance=1e-9)
    assert path.shape == (12, 8, 3)
    assert not path[0].any()
    for i in (3, 11):
        torch.testing.assert_close(path[i], covariance_lasso(covariance, cross, penalties[i]), atol=1e-5, rtol=0)
    back = lasso_path(covariance, cross, penalties[::-1], tolerance=1e-9).flip(0)
    torch.testing.assert_close(back, path, atol=1e-5, rtol=0)


def test_targets_do_not_disturb_each_other():
    _, _, covariance, cross = problem()
    together = covariance_lasso(covariance, cross, 0.3, tolerance=1e-9)
    alone = torch.cat([covariance_lasso(covariance, cross[:, i : i + 1], 0.3, tolerance=1e-9) for i in range(3)], 1)
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_says_when_it_has_not_arrived():
    _, _, covariance, cross = problem()
    with pytest.warns(RuntimeWarning, match="not within 1e-12 after 12 steps"):
        covariance_lasso(covariance, cross, 0.1, tolerance=1e-12, max_steps=12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        covariance_lasso(covariance, cross, 0.1)
        covariance_lasso(torch.eye(2), torch.tensor([[0.5], [0.1]]), 0.2, max_steps=3)


def test_penalties_fall_in_equal_ratios():
    assert geometric_penalties(1.0, 0.01, 3) == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, x: covariance_lasso(c[:2], x, 0.1), r"covariance: got shape \(2, 8\), want a square"),
        (lambda c, x: covariance_lasso(c, x[:2], 0.1), r"cross: got shape \(2, 3\), want \(8, targets\)"),
        (lambda c, x: covariance_lasso(c, x, -0.1), r"penalty: got -0.1, want 0 or more"),
        (lambda c, x: covariance_lasso(c, x, 0.1, start=x[:, :1]), r"start: got shape \(8, 1\)"),
        (lambda c, x: lasso_path(c, x, []), r"penalties: got none"),
        (lambda c, x: geometric_penalties(1.0, 2.0), r"smallest: got 2.0 with largest 1.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    _, _, covariance, cross = problem()
    with pytest.raises(ValueError, match=message):
        call(covariance, cross)
