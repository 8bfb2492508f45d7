"""Baselines of the problem transport beside what is known of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from replica.generative import squared_distance
from replica.lab.claims import Trial
from replica.papers.baselines.transport import AssignedFlow, BuresGaussian, EntropicMap, NearestAssigned


def draw(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_gaussian_map_gives_the_targets_moments_and_undoes_itself() -> None:
    source, target = draw(400, 3) @ draw(3, 3, seed=1), draw(300, 3, seed=2) @ draw(3, 3, seed=3) + 2
    there, back = BuresGaussian(Trial(0)), BuresGaussian(Trial(0))
    there.fit(source, target)
    back.fit(target, source)
    mapped = there.map(source)
    torch.testing.assert_close(mapped.mean(0), target.mean(0), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(mapped.T.cov(correction=0), target.T.cov(correction=0), atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(there.matrix, there.matrix.T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(back.map(mapped), source, atol=2e-2, rtol=1e-2)


def test_the_entropic_map_is_the_plans_means_and_its_limits_are_the_mean_and_the_assignment() -> None:
    source, target = draw(30, 2), draw(30, 2, seed=1)
    blurred, sharp = EntropicMap(Trial(0), epsilon=1e3), EntropicMap(Trial(0), epsilon=1e-3)
    for method in (blurred, sharp):
        method.fit(source, target)
    torch.testing.assert_close(blurred.map(source), target.mean(0).expand(30, 2), atol=1e-2, rtol=0)
    order = linear_sum_assignment(squared_distance(source, target).numpy())[1]
    assert (sharp.map(source) - target[order]).norm(dim=1).median() < 0.02


def test_a_point_that_was_seen_goes_where_it_is_assigned() -> None:
    source, target = draw(25, 2), draw(25, 2, seed=1)
    method = NearestAssigned(Trial(0))
    method.fit(source, target, lambda x, y: (x[:, None] - y).abs().pow(1.5).sum(-1))
    order = linear_sum_assignment((source[:, None] - target).abs().pow(1.5).sum(-1).numpy())[1]
    torch.testing.assert_close(method.map(source), target[order])


def test_a_flow_between_two_pairs_of_lumps_does_not_cross() -> None:
    """Lumps left and right go up to those above them, although either could go to either."""
    at = torch.tensor([[-2.0, 0.0], [2.0, 0.0]]).repeat(60, 1)
    source, target = at + 0.1 * draw(120, 2), at.flip(0) + torch.tensor([0.0, 2.0]) + 0.1 * draw(120, 2, seed=1)
    method = AssignedFlow(Trial(0), batch=64)
    method.fit(source, target, steps=400)
    moved = method.map(source) - source
    assert moved.mean(0).tolist() == pytest.approx([0, 2], abs=0.15)
    assert float(moved[:, 0].abs().max()) < 1
    start = method._velocity(source, 0.0).detach()
    assert float(start[:, 0].abs().mean()) < 0.5, "from the start it goes straight up, not to the middle of all targets"
