"""Bridges against Sinkhorn by hand, Gaussian chains conditioned by brute force, simulation, and a family that holds the truth."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from replica.generative import IterativeReferenceBridge, LinearisedFlow, entropic_bridge

TURN = torch.tensor([[-0.3, 0.8], [-0.5, -0.1]], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(x: Tensor) -> Tensor:
    """All linear drifts in two dimensions."""
    none = torch.zeros_like(x)
    return torch.stack([torch.cat([x, none], 1), torch.cat([none, x], 1)], 1)


def predators(x: Tensor) -> Tensor:
    return torch.stack([x[:, 0] * (1 - 0.4 * x[:, 1]), x[:, 1] * (0.1 * x[:, 0] - 0.4)], 1)[..., None]


def one_pair(
    features: Callable[[Tensor], Tensor], sigma: float, steps: int, parameters: Tensor, x: Tensor, y: Tensor
) -> IterativeReferenceBridge:
    bridge = IterativeReferenceBridge(features, sigma, steps, 0, generator=seeded())
    return bridge.fit([x, y], [0.0, 1.5], parameters=parameters)


def test_brownian_coupling_is_entropic_transport_of_squared_distance() -> None:
    x, y = torch.randn(12, 2, generator=seeded()).double(), 1 + torch.randn(9, 2, generator=seeded(1)).double()
    sigma, span = 0.8, 1.5
    found = IterativeReferenceBridge(linear, sigma, 4, 0).fit([x, y], [2.0, 2.0 + span])
    kernel = (-torch.cdist(x, y).square() / (2 * sigma**2 * span)).exp()
    u, v = torch.ones(12).double(), torch.ones(9).double()
    for _ in range(3000):
        u = 1 / 12 / (kernel @ v)
        v = 1 / 9 / (kernel.T @ u)
    torch.testing.assert_close(found._intervals[0].plan, u[:, None] * kernel * v, atol=1e-5, rtol=1e-3)
    # Its value is the relative entropy of the plan to p(y|x) over weights.
    plan = u[:, None] * kernel * v
    log_p = kernel.log() - math.log(2 * math.pi * sigma**2 * span)
    wanted = (plan * ((plan * 12 * 9).log() - log_p)).sum()
    assert found.objective[0] == pytest.approx(float(wanted), rel=1e-3)


def chain(steps: int, sigma: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of all steps of Euler's chain of a linear drift, by products of its matrices."""
    width = 1.5 / steps
    turned = torch.eye(2).double() + width * TURN
    powers = [torch.linalg.matrix_power(turned, k) for k in range(steps + 1)]
    mean = torch.stack([power @ x for power in powers])
    covariance = torch.zeros(steps + 1, 2, steps + 1, 2).double()
    for first in range(steps + 1):
        for second in range(steps + 1):
            for made in range(1, min(first, second) + 1):
                covariance[first, :, second] += sigma**2 * width * powers[first - made] @ powers[second - made].T
    return mean, covariance


def test_linear_drifts_are_pinned_as_gaussian_chains_are_conditioned() -> None:
    steps, sigma = 6, 0.5
    x, y = torch.tensor([[1.0, -0.5]]).double(), torch.tensor([[-1.0, 2.0]]).double()
    bridge = one_pair(linear, sigma, steps, TURN.flatten(), x, y)
    mean, covariance = chain(steps, sigma, x[0])
    law = torch.distributions.MultivariateNormal(mean[-1], covariance[-1, :, -1])
    flow = bridge._intervals[0].flow
    assert isinstance(flow, LinearisedFlow)
    torch.testing.assert_close(flow.log_kernel(x, y), law.log_prob(y)[None])  # type: ignore[no-untyped-call]
    for step in (2, 5):
        gain = covariance[step, :, -1] @ torch.linalg.inv(covariance[-1, :, -1])
        points = bridge.at(1.5 * step / steps, 20_000)
        torch.testing.assert_close(points.mean(0), mean[step] + gain @ (y[0] - mean[-1]), atol=0.02, rtol=0)
        wanted = covariance[step, :, step] - gain @ covariance[-1, :, step]
        torch.testing.assert_close(points.T.cov(), wanted, atol=0.01, rtol=0)


def test_the_linearised_flow_is_the_law_of_simulations_where_noise_is_small() -> None:
    x, sigma, steps = torch.tensor([[5.0, 4.0]]).double(), 0.05, 100
    flow = one_pair(predators, sigma, steps, torch.ones(1).double(), x, x)._intervals[0].flow
    many, generator = x.repeat(20_000, 1), seeded(2)
    for _ in range(steps):
        fresh = torch.randn(many.shape, generator=generator).double()
        many = many + flow.width * predators(many)[..., 0] + sigma * flow.width**0.5 * fresh
    torch.testing.assert_close(flow.means[-1, 0], many.mean(0), atol=3e-3, rtol=0)
    torch.testing.assert_close(flow.left[0, 0], many.T.cov(), atol=0, rtol=0.06)


def test_rounds_lower_the_divergence_and_find_the_truth_in_the_family() -> None:
    generator, times = seeded(3), [0.0, 1.0, 2.0, 3.0]
    clouds = []
    for time in times:
        x = torch.tensor([3.0, 0.0]).double() + torch.randn(60, 2, generator=generator).double()
        for _ in range(round(time * 50)):
            x = x + x @ TURN.T / 50 + 0.1 / 50**0.5 * torch.randn(60, 2, generator=generator).double()
        clouds.append(x)
    bridge = IterativeReferenceBridge(linear, 0.3, 20, 8, generator=seeded(4)).fit(clouds, times)
    assert all(
        later < before + 0.02 * abs(before)
        for before, later in zip(bridge.objective, bridge.objective[1:], strict=False)
    )
    assert bridge.objective[-1] < bridge.objective[0] - 1
    off = [float((each - TURN.flatten()).norm()) for each in bridge.history]
    assert off[-1] < min(0.15, off[0] / 2)


def test_paths_go_from_snapshot_to_snapshot() -> None:
    clouds = [torch.randn(count, 2, generator=seeded(count)).double() for count in (4, 7, 5)]
    bridge = IterativeReferenceBridge(linear, 0.5, 3, 1, generator=seeded()).fit(clouds, [0.0, 1.0, 3.0])
    paths = bridge.paths(30)
    assert paths.shape == (30, 7, 2)
    for step, cloud in ((0, clouds[0]), (3, clouds[1]), (6, clouds[2])):
        assert torch.cdist(paths[:, step], cloud).min(1).values.max() < 1e-6
    for time, cloud in ((0.0, clouds[0]), (1.0, clouds[1]), (3.0, clouds[2])):
        assert torch.cdist(bridge.at(time, 20), cloud).min(1).values.max() < 1e-6


def test_bad_arguments_are_named() -> None:
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="sigma, steps, rounds: got 0"):
        IterativeReferenceBridge(linear, 0.0, 3, 1)
    with pytest.raises(ValueError, match="times: got"):
        IterativeReferenceBridge(linear, 0.1, 3, 1).fit([x, x], [1.0, 0.0])
    with pytest.raises(ValueError, match="time: got 2"):
        IterativeReferenceBridge(linear, 0.1, 3, 0).fit([x, x], [0.0, 1.0]).at(2.0, 5)
    with pytest.raises(ValueError, match="log_kernel: got shape"):
        entropic_bridge(x, x, lambda x, y: torch.zeros(2))
