"""Sinkhorn against the plain iteration in the log domain, linear programming, a closed form, and finite differences."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from replica.generative import sinkhorn, sinkhorn_divergence, squared_distance


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_logs(cost: torch.Tensor, epsilon: float, a: torch.Tensor, b: torch.Tensor, steps: int = 5000) -> torch.Tensor:
    """The plan of the plainest iteration."""
    f = torch.zeros_like(a)
    for _ in range(steps):
        g = -epsilon * (a.log()[:, None] + (f[:, None] - cost) / epsilon).logsumexp(0)
        f = -epsilon * (b.log() + (g - cost) / epsilon).logsumexp(1)
    return a[:, None] * b * ((f[:, None] + g - cost) / epsilon).exp()


@pytest.mark.parametrize("epsilon", [2.0, 0.2, 0.02])
def test_it_is_the_plain_iteration_and_keeps_marginals(epsilon: float) -> None:
    cost = squared_distance(draw(13, 3), draw(9, 3, seed=1) + 1)
    a, b = draw(13, seed=2).softmax(0), draw(9, seed=3).softmax(0)
    found = sinkhorn(cost, epsilon, row_weights=a, column_weights=b, iterations=20_000, tolerance=1e-10)
    plan = found.plan()
    torch.testing.assert_close(plan, by_logs(cost, epsilon, a, b), atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(plan.sum(0), b, atol=1e-9, rtol=0)
    torch.testing.assert_close(plan.sum(1), a, atol=1e-9, rtol=0)
    entropy = (plan * (plan / (a[:, None] * b)).clamp_min(1e-300).log()).sum()
    torch.testing.assert_close(found.value, (plan * cost).sum() + epsilon * entropy, rtol=1e-7, atol=1e-9)


def test_small_epsilon_is_the_best_assignment_and_single_precision_stands_it() -> None:
    cost = squared_distance(draw(40, 2), draw(40, 2, seed=1) + 3)
    rows, columns = linear_sum_assignment(cost.numpy())
    exact = cost.numpy()[rows, columns].mean()
    for kind in (torch.float64, torch.float32):
        found = sinkhorn(cost.to(kind), 1e-3 * float(cost.mean()), iterations=20_000, tolerance=1e-4)
        assert float((found.plan() * cost).sum()) == pytest.approx(exact, rel=5e-3)


def test_batches_are_problems_of_their_own() -> None:
    costs = torch.stack([squared_distance(draw(8, 2, seed=seed), draw(8, 2, seed=seed + 9)) for seed in range(3)])
    together = sinkhorn(costs, 0.1, tolerance=1e-9).plan()
    alone = torch.stack([sinkhorn(cost, 0.1, tolerance=1e-9).plan() for cost in costs])
    torch.testing.assert_close(together, alone, atol=1e-7, rtol=0)


def test_gradients_are_the_plan_and_those_of_finite_differences() -> None:
    x, y = draw(6, 2).requires_grad_(), draw(6, 2, seed=1)
    cost = squared_distance(x, y).detach().requires_grad_()
    found = sinkhorn(cost, 0.3, tolerance=1e-12, iterations=20_000)
    (slope,) = torch.autograd.grad(found.value, cost)
    torch.testing.assert_close(slope, found.plan(), atol=1e-8, rtol=0)
    assert torch.autograd.gradcheck(
        lambda points: sinkhorn_divergence(points, y, epsilon=0.3, tolerance=1e-12, iterations=20_000), x, atol=1e-5
    )


def test_the_divergence_of_gaussians_is_near_bures() -> None:
    """W₂² of N(0, 1) and N(m, s²) is m² + (1 − s)²; the cost has its half."""
    grid = torch.from_numpy(np.linspace(0.5 / 400, 1 - 0.5 / 400, 400))
    normal = torch.distributions.Normal(0.0, 1.0).icdf(grid)[:, None]
    found = sinkhorn_divergence(normal, 2 * normal + 1, epsilon=0.01, tolerance=1e-6)
    assert float(found) == pytest.approx((1 + 1) / 2, rel=0.02)
    with pytest.raises(ValueError, match="row_weights: got a sum"):
        sinkhorn(torch.zeros(2, 2), 1.0, row_weights=torch.ones(2))
