"""The baselines of merge: what each gives of networks whose weights are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from replica.lab.claims import Trial
from replica.lab.problems import get
from replica.landscapes import permute_units
from replica.papers.baselines.merge import SCALES, combined, mean_accuracy
from replica.training import mlp

NAMES = [baseline.name for baseline in get("merge").baselines()]


def made(name: str) -> object:
    return next(baseline.make for baseline in get("merge").baselines() if baseline.name == name)(Trial(0))


def linear(weights: list[list[float]]) -> nn.Module:
    net = nn.Linear(len(weights[0]), len(weights), bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor(weights))
    return net


BASE = linear([[0.0, 0.0], [0.0, 0.0]])
FIRST, SECOND = linear([[1.0, 0.0], [-1.0, 0.0]]), linear([[0.0, 3.0], [0.0, -1.0]])
ROWS = [(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 1]))] * 2


def weights(net: nn.Module) -> list[list[float]]:
    found: Tensor = net.weight
    return found.tolist()


def test_each_gives_what_its_name_says() -> None:
    given = BASE, [SECOND, FIRST], ROWS
    assert weights(made("best-single").merge(*given)) == weights(FIRST)
    assert weights(made("average").merge(*given)) == [[0.5, 1.5], [-0.5, -0.5]]
    scores = made("ensemble").merge(*given)(torch.tensor([[1.0, 1.0]]))
    mean = (torch.tensor([1.0, -1.0]).softmax(0) + torch.tensor([3.0, -1.0]).softmax(0)) / 2
    torch.testing.assert_close(scores.softmax(1)[0], mean)


def test_a_scale_is_searched_on_held_out_rows() -> None:
    """A bias that grows with the scale spoils rows of one class above a scale of a half."""
    base, tuned = nn.Linear(1, 2), nn.Linear(1, 2)
    with torch.no_grad():
        base.weight.copy_(torch.tensor([[0.5], [-0.5]]))
        base.bias.copy_(torch.tensor([-0.6, 0.0]))
        tuned.weight.copy_(base.weight)
        tuned.bias.copy_(torch.tensor([1.4, 0.0]))  # of the row -1, right up to 0.8; of the row 0.5, from 0.05
    rows = [(torch.tensor([[-1.0], [0.5]]), torch.tensor([1, 0]))]
    method = made("task-arithmetic")
    merged = method.merge(base, [tuned], rows)
    assert mean_accuracy(merged, rows) == 1
    assert mean_accuracy(base, rows) == mean_accuracy(tuned, rows) == 0.5
    assert method.numbers_learned == 1
    assert (SCALES[0], SCALES[-1], len(SCALES)) == (0, 1, 21)


def test_at_scale_1_one_network_comes_back_with_its_buffers() -> None:
    base, net = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    net.running_mean += 2
    net.num_batches_tracked += 5
    found = combined(base, [net], 1.0).state_dict()
    torch.testing.assert_close(found["running_mean"], net.running_mean)
    assert found["num_batches_tracked"] == 0


def test_units_are_put_in_order_before_they_are_averaged() -> None:
    net = mlp((3, 5, 2), generator=torch.Generator().manual_seed(0))
    other = permute_units(net, {"0": torch.tensor([3, 0, 4, 2, 1])})
    inputs = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    merged = made("weight-matching").merge(net, [net, other, net], [])
    torch.testing.assert_close(merged(inputs), net(inputs))
    assert not torch.allclose(made("average").merge(net, [net, other, net], [])(inputs), net(inputs))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "weight-matching"])  # of one layer has no units
def test_what_it_is_given_stays_as_it_is(name: str) -> None:
    before = [net.weight.clone() for net in (BASE, FIRST, SECOND)]
    made(name).merge(BASE, [FIRST, SECOND], ROWS)
    assert all(torch.equal(net.weight, old) for net, old in zip((BASE, FIRST, SECOND), before, strict=True))
