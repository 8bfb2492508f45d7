"""The Monge gap against closed forms, an exact assignment and finite differences; maps that are held to it."""

import itertools
import math
from typing import Any

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from replica.generative import MongeGapMap, monge_gap, sinkhorn, sinkhorn_divergence, squared_distance
from replica.training import mlp


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def euclidean(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x[:, None] - y).square().sum(-1).clamp_min(1e-20).sqrt()


def test_the_gap_of_a_gradient_of_a_convex_function_goes_to_zero_with_epsilon() -> None:
    """∇ of ½x'Ax + Σ ln cosh x + b'x."""
    x = draw(60, 2)
    image = x @ torch.tensor([[2.0, 0.7], [0.7, 0.5]], dtype=torch.float64) + x.tanh() + 3
    gaps = [float(monge_gap(x, image, epsilon=epsilon, iterations=50_000)) for epsilon in (1.0, 0.1, 0.01, 0.001)]
    assert all(-epsilon * math.log(60) <= gap for gap, epsilon in zip(gaps, (1.0, 0.1, 0.01, 0.001), strict=True))
    assert all(abs(second) < abs(first) for first, second in itertools.pairwise(gaps))
    assert abs(gaps[-1]) < 0.006


def test_the_gap_of_a_rotation_that_maps_a_cloud_onto_itself_is_all_it_costs() -> None:
    """Rings of 12 points turned by θ = 30° k: no way is cheaper than to stay, and ½‖x − Rx‖² = r²(1 − cos θ)."""
    angle = torch.arange(12, dtype=torch.float64) * math.pi / 6
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    cloud = torch.cat([ring, 2 * ring])
    for k in (1, 3, 6):
        turn = torch.tensor(k * math.pi / 6, dtype=torch.float64)
        matrix = torch.stack([torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])])
        gap = float(monge_gap(cloud, cloud @ matrix.T, epsilon=0.002))
        sure = 0.002 * math.log(24)  # ε times the relative entropy of a plan that is a permutation
        assert gap + sure == pytest.approx(2.5 * (1 - math.cos(float(turn))), abs=1e-4)
        chord = float(monge_gap(cloud, cloud @ matrix.T, euclidean, epsilon=0.002))
        assert chord + sure == pytest.approx(1.5 * 2 * math.sin(float(turn) / 2), abs=1e-4)


def test_the_gap_of_a_rotated_gaussian_is_near_its_closed_form() -> None:
    """Σ = diag(4, ¼) turned by 90°: E½‖x − Rx‖² = tr Σ, and ½W₂² = ½ (2 − ½)² · 2."""
    x = draw(600, 2)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
    x = x * torch.tensor([2.0, 0.5], dtype=torch.float64)
    gap = float(monge_gap(x, torch.stack([-x[:, 1], x[:, 0]], 1), epsilon=0.05, debiased=True, tolerance=1e-3))
    assert gap == pytest.approx(4.25 - 2.25, rel=0.04)


@pytest.mark.parametrize("cost", [squared_distance, euclidean])
def test_it_is_what_an_exact_assignment_saves_and_never_below_its_bound(cost: Any) -> None:
    x, y = draw(50, 3), draw(50, 3, seed=1)
    costs = cost(x, y)
    best = costs[linear_sum_assignment(costs.numpy())].mean()
    saved = float(costs.diagonal().mean() - best)
    assert float(monge_gap(x, y, cost, 0.002, iterations=50_000)) == pytest.approx(saved, abs=0.002 * math.log(50))


def test_debiased_the_identity_has_none_and_the_terms_are_those_of_sinkhorn() -> None:
    x, y = draw(30, 2), draw(30, 2, seed=1)
    assert float(monge_gap(x, x, epsilon=0.5, debiased=True)) == pytest.approx(0, abs=1e-6)
    assert abs(float(monge_gap(x, x, epsilon=0.5))) > 0.1
    across, ours, theirs = (sinkhorn(squared_distance(*pair), 0.5).value for pair in ((x, y), (x, x), (y, y)))
    paid = (x - y).square().sum(1).mean() / 2
    assert float(monge_gap(x, y, epsilon=0.5, debiased=True)) == pytest.approx(
        float(paid - across + (ours + theirs) / 2)
    )


@pytest.mark.parametrize("debiased", [False, True])
def test_gradients_through_the_plan_held_fixed_are_those_of_finite_differences(debiased: bool) -> None:
    x, y = draw(4, 2).requires_grad_(), draw(4, 2, seed=1).requires_grad_()
    exact: dict[str, Any] = {"tolerance": 1e-10, "iterations": 20_000, "debiased": debiased}
    for cost in (squared_distance,) if debiased else (squared_distance, euclidean):
        assert torch.autograd.gradcheck(lambda a, b, c=cost: monge_gap(a, b, c, 0.5, **exact), (x, y), atol=1e-5)


def test_the_gap_turns_a_fitted_map_into_the_optimal_one() -> None:
    """A cloud twice as wide as high onto itself, from a map that begins turned by 180°."""
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(200, 2, generator=generator) * torch.tensor([2.0, 1.0])
    errors, landed = {}, {}
    for strength in (0.0, 1.0):
        net = torch.nn.Linear(2, 2)
        with torch.no_grad():
            net.weight.copy_(-torch.eye(2))
            net.bias.zero_()
        carried = MongeGapMap(net, strength=strength).fit(
            cloud, cloud, steps=100, batch=100, learning_rate=0.05, generator=torch.Generator().manual_seed(1)
        )
        mapped = carried(cloud).detach()
        errors[strength] = float((mapped - cloud).square().sum(1).mean())
        landed[strength] = float(sinkhorn_divergence(mapped, cloud, epsilon=0.5))
    assert errors[0.0] > 10, "without the gap it lands, and stays turned"
    assert errors[1.0] < 0.5
    assert max(landed.values()) < 0.15, "of 1.6 between the cloud and its mean"


def test_without_strength_the_loss_is_the_divergence_but_for_what_no_map_changes() -> None:
    x, y = draw(40, 2).float(), draw(40, 2, seed=1).float() + 1
    carried = MongeGapMap(mlp((2, 4, 2), generator=torch.Generator().manual_seed(0)), strength=0.0, residual=True)
    mapped = carried(x).detach()
    torch.testing.assert_close(mapped - x, carried.net(x))
    epsilon = 0.1 * float(squared_distance(mapped, y).mean())
    whole = sinkhorn_divergence(mapped, y, epsilon=epsilon)
    rest = sinkhorn(squared_distance(y, y), epsilon).value / 2
    assert float(carried.loss(x, y).detach()) == pytest.approx(float(whole + rest), rel=1e-2)
    held = MongeGapMap(carried.net, strength=2.0, residual=True)
    gap = float((held.loss(x, y) - carried.loss(x, y)).detach())
    own = 0.01 * float(squared_distance(x, mapped).mean())
    assert gap == pytest.approx(2 * float(monge_gap(x, mapped, epsilon=own)), rel=1e-2)
    carried.fit(x[:3], y[:5], steps=2, batch=128)
    assert MongeGapMap(torch.nn.Identity()).fit_epsilon == 0.1


def test_what_is_no_pair_of_clouds_is_named() -> None:
    with pytest.raises(ValueError, match=r"source, target: got shapes \(4, 2\) and \(3, 2\)"):
        monge_gap(draw(4, 2), draw(3, 2))
    with pytest.raises(ValueError, match="epsilon: got 0"):
        monge_gap(draw(4, 2), draw(4, 2), epsilon=0)
    with pytest.raises(ValueError, match=r"source, target: got shapes \(4, 2\) and \(4, 3\)"):
        MongeGapMap(torch.nn.Linear(2, 2)).fit(draw(4, 2), draw(4, 3))
