"""The judges of monge_gap on made tables, and that its rivals differ in the penalty alone."""

import math

import pandas as pd
import pytest
import torch

from replica.generative import MongeGapMap
from replica.lab.claims import Trial
from replica.papers.generative.monge_gap import (
    METHODS,
    CostPenaltyMap,
    cost_penalty_map,
    gaussians,
    monge_gap_map,
    moons,
    paper,
)


def table(**columns: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"method": name, **{key: column[name] for key, column in columns.items()}} for name in METHODS]
    )


def test_errors_to_the_optimal_map_are_judged_beside_the_same_network() -> None:
    error = {"gap": 0.02, "no gap": 0.16, "cost": 0.04, "mean shift": 0.32}
    landing = {"gap": 0.5, "no gap": 0.4, "cost": 1.0, "mean shift": 2.0}
    found = paper.claims["gaussian_maps"].measures(table(map_error=error, landing=landing))
    assert found["log_error_over_without"] == pytest.approx(-math.log(8))
    assert found["log_error_over_cost_penalty"] == pytest.approx(-math.log(2))
    assert found["log_error_over_mean_shift"] == pytest.approx(-math.log(16))
    assert (found["error_without"], found["landing_lost"]) == (0.16, pytest.approx(0.1))


def test_waste_is_judged_with_what_landing_it_costs_and_a_map_that_stays_wins_nothing() -> None:
    excess = {"gap": 0.02, "no gap": 0.32, "cost": 0.0, "mean shift": 0.0}
    landing = {"gap": 0.3, "no gap": 0.25, "cost": 0.9, "mean shift": 0.8}
    found = paper.claims["other_costs"].measures(table(excess=excess, landing=landing))
    assert found["log_excess_over_without"] == pytest.approx(-math.log(16))
    assert found["log_excess_over_cost_penalty"] == pytest.approx(math.log(2000)), "0 counts as 1e-5"
    assert found["landing_lost"] == pytest.approx(0.05)
    assert found["landing_lost_by_cost_penalty"] == pytest.approx(0.65)
    assert found["landing_gain_over_mean_shift"] == pytest.approx(0.55)
    assert found["excess_without"] == 0.32


def test_rivals_share_start_and_batches_and_differ_in_the_penalty() -> None:
    source, target = torch.randn(2, 30, 2, generator=torch.Generator().manual_seed(0))
    makes = {"gap": monge_gap_map, "none": lambda trial: monge_gap_map(trial, strength=0.0), "cost": cost_penalty_map}
    starts, ends = {}, {}
    for name, make in makes.items():
        for steps, found in ((0, starts), (3, ends)):
            method = make(Trial(100, "smoke"))
            method.rate = 0.01 if steps else 0.0
            method.fit(source, target, steps=max(steps, 1))
            found[name] = method.map(source)
    assert torch.equal(starts["gap"], starts["none"])
    assert torch.equal(starts["gap"], starts["cost"])
    assert not torch.equal(ends["gap"], ends["none"])
    assert not torch.equal(ends["cost"], ends["none"])


def test_the_control_pays_the_mean_cost_and_all_have_one_rate() -> None:
    net = torch.nn.Linear(2, 2)
    source = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    mapped = net(source).detach()
    paid = CostPenaltyMap(net).penalty(source, mapped)
    torch.testing.assert_close(paid, (mapped - source).square().sum(1).mean() / 2, rtol=1e-4, atol=1e-6)
    assert float(MongeGapMap(net).penalty(source, mapped)) < float(paid)
    assert [study.arena.options("laptop")["steps"] for study in (gaussians, moons)] == [150, 300]
    rates = {settings["learning_rate"] for _, settings in (METHODS["gap"], METHODS["no gap"])}
    assert rates == {cost_penalty_map(Trial(0)).rate}
