import pytest
import torch

from replica.lab.claims import Trial
from replica.lab.claims.paper import run_study
from replica.papers.representations import convergent_learning
from replica.papers.representations.convergent_learning import (
    LAYERS,
    explained,
    matched,
    networks,
    paper,
    standardising_rotation,
)
from replica.representations import UnitMap, UnitStatistics, canonical_correlations, match_units


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen(first, second):
    statistics = UnitStatistics(first.shape[1], second.shape[1])
    statistics.update(first, second)
    return statistics


def test_networks_differ_in_weights_and_order_and_their_images_are_apart():
    nets, again = networks(Trial(0, "smoke")), networks(Trial(0, "smoke"))
    assert not torch.equal(nets.first.conv1.weight, nets.second.conv1.weight)
    for ours, theirs in zip(nets.first.parameters(), again.first.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not nets.first.training
    start = networks(Trial(0, "smoke"), trained=False)
    assert not torch.equal(start.first.head.weight, nets.first.head.weight)
    rows = [image for part in (nets.fitting, nets.measuring) for batch in part for image in batch]
    assert len(rows) == 100
    for batch in nets.fitting:
        for other in nets.measuring:
            assert not (batch[:, None] == other).flatten(2).all(2).any()
    layers = nets.measured()
    assert [(layer.first, layer.second) for layer in layers] == [(6, 6), *[(8, 8)] * 4]
    assert len(layers) == len(LAYERS)


def test_matched_and_explained_leave_dead_units_out():
    first, second = normal(100, 3), normal(100, 3, seed=1)
    first[:, 0] = second[:, 2] = 1.0
    statistics = seen(first, second)
    assert matched(statistics).shape == (2,)
    nothing = UnitMap(torch.zeros(3, 3, dtype=torch.float64), statistics.mean[3:])
    assert explained(nothing, statistics) == pytest.approx(0)
    own = seen(first, first)
    identity = UnitMap(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    assert explained(identity, own) == pytest.approx(1)
    assert matched(own).mean() == pytest.approx(1)


def test_rotated_units_span_the_same_and_match_less():
    units = normal(3000, 12) * torch.arange(1, 13) + 2
    units[:, 4] = 0.0
    statistics = seen(units, units)
    matrix = standardising_rotation(statistics, torch.Generator().manual_seed(0))
    turned = statistics.mapped(matrix)
    assert matrix.shape == (12, 11)
    assert not matrix[4].any()
    torch.testing.assert_close(turned.deviation[12:], torch.ones(11, dtype=torch.float64), atol=0.1, rtol=0)
    torch.testing.assert_close(canonical_correlations(turned), torch.ones(11, dtype=torch.float64), atol=1e-6, rtol=0)
    assert match_units(turned.between.abs()).similarity.mean() < 0.7


def test_copies_in_another_order_agree_fully(monkeypatch):
    made = networks(Trial(0, "smoke"))
    order = torch.arange(6).roll(1)
    with torch.no_grad():
        made.second.load_state_dict(made.first.state_dict())
        made.second.conv1.weight.copy_(made.second.conv1.weight[order])
        made.second.conv1.bias.copy_(made.second.conv1.bias[order])
        made.second.conv2.weight.copy_(made.second.conv2.weight[:, order])
    monkeypatch.setattr(convergent_learning, "networks", lambda trial, trained=True: made)
    rows = run_study(convergent_learning.layers_compared, Trial(0, "smoke"))
    found = {}
    for claim in paper.claims.values():
        found |= claim.measures(rows)
    assert found["strong_share"] == 1
    assert found["weak_share"] == 0
    for name in ("cost_of_few", "gain_of_few", "unexplained_conv1", "span_over_units", "distributed"):
        assert found[name] == pytest.approx(0, abs=1e-4), name
    assert found["local"] > 0.05
