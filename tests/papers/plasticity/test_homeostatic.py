"""Streams with swapped labels: who meets what, and what is counted, against loops written out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.papers.plasticity.homeostatic import (
    BATCH,
    CLASSES,
    RATES,
    SPACING,
    StackedPerceptron,
    at_rest,
    at_their_best,
    begin_alike,
    data,
    live,
    paper,
    regular,
    swaps_a_thousand_rows,
)
from replica.plasticity import HomeostaticLearner

TRIAL = Trial(7, "smoke")


def test_swaps_come_at_regular_distances() -> None:
    swaps = regular(13, (0, 3, 6))
    assert not swaps[:, 0].any()
    assert np.flatnonzero(swaps[:, 1]).tolist() == [3, 6, 9, 12]
    assert np.flatnonzero(swaps[:, 2]).tolist() == [6, 12]
    assert swaps_a_thousand_rows(10) == pytest.approx(10)
    assert swaps_a_thousand_rows(0) == 0


def test_side_by_side_perceptrons_are_perceptrons() -> None:
    stack = StackedPerceptron((5, 8, 3), 2, torch.Generator().manual_seed(0))
    alone = nn.Sequential(nn.Linear(5, 8), nn.ELU(), nn.Linear(8, 3))
    with torch.no_grad():
        for place, layer in enumerate((alone[0], alone[2])):
            layer.weight.copy_(stack.weights[place][1].T)
            layer.bias.copy_(stack.biases[place][1, 0])
    inputs = torch.randn(2, 4, 5)
    torch.testing.assert_close(stack(inputs)[1], alone(inputs[1]))
    assert torch.equal(stack(inputs[:1].expand(2, -1, -1))[0], stack(inputs[:1].expand(2, -1, -1))[1])


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_a_constant_learner_at_rest_is_plain_gradient_descent_asked_before_it_learns(rate: float) -> None:
    batches = 30
    inputs, labels = data(TRIAL)
    net = StackedPerceptron((inputs.shape[1], 80, 60, CLASSES), 1, TRIAL.generator("network"))
    descent = torch.optim.SGD(net.parameters(), rate)
    rows = torch.randperm(len(inputs), generator=TRIAL.generator("stream-rows"))
    right = []
    for number in range(batches):
        chosen = rows[number * BATCH : (number + 1) * BATCH]
        scores = net(inputs[chosen][None])[0]
        right.append(float((scores.argmax(-1) == labels[chosen]).float().mean()))
        descent.zero_grad()
        nn.functional.cross_entropy(scores, labels[chosen]).backward()
        descent.step()
    found = live(TRIAL, "stream", "none", regular(batches, (0,)), torch.tensor([[rate]]))
    torch.testing.assert_close(found.right[:, 0, 0], torch.tensor(right))
    torch.testing.assert_close(found.rate, torch.full((batches, 1, 1), rate))


def test_learners_do_not_disturb_each_other() -> None:
    swaps = regular(40, (4, 9))
    together = live(TRIAL, "streams", "foresight", swaps, torch.tensor([[0.1, 0.3], [0.1, 0.3]]))
    one = live(TRIAL, "streams", "foresight", swaps, torch.tensor([[0.1], [0.1]]))
    torch.testing.assert_close(together.right[:, :, :1], one.right)
    torch.testing.assert_close(together.rate[:, :, :1], one.rate)


def test_names_swapped_all_the_time_cannot_be_learned_and_streams_before_a_swap_are_one() -> None:
    lives = live(TRIAL, "streams", "none", regular(300, (0, 150, 1)), torch.full((3, 1), 0.1))
    assert torch.equal(lives.right[:150, 0], lives.right[:150, 1])
    assert not torch.equal(lives.right[150:, 0], lives.right[150:, 1])
    rest, once, always = lives.accuracy[:, 0].tolist()
    assert rest > once > 0.6
    assert always < 0.3


def test_every_learner_starts_alike_where_it_should_and_is_tuned_on_streams_of_its_own() -> None:
    assert at_rest(TRIAL) in RATES
    alike = begin_alike(TRIAL, SPACING)
    assert {name: history.rate[0].unique().tolist() for name, history in alike.items()} == {
        name: [pytest.approx(at_rest(TRIAL))] for name in ("homeostatic", "constant", "random")
    }
    for history in at_their_best(TRIAL, regular(24, (5,))).values():
        assert float(history.rate[0]) in torch.tensor(RATES)


def test_the_entry_hands_its_hyperparameters_on() -> None:
    entry = paper.entries["homeostatic"]
    rule = entry.make(TRIAL, learning_rate=0.02, effect=0.25, simulate="batch")
    net = nn.Sequential(nn.Linear(4, 3))
    learner = rule.build(net, nn.functional.cross_entropy, torch.zeros(2, 4))
    assert isinstance(learner, HomeostaticLearner)
    assert learner.simulate == "batch"
    assert float(learner.rate) == pytest.approx(0.02)
    assert float(learner.amount) == pytest.approx(0.005)


def test_the_control_in_credit_differs_by_homeostasis_alone() -> None:
    inputs, labels = torch.randn(30, 8, 4), torch.randint(3, (30, 8))
    weights, rates = [], []
    for name, options in (("homeostatic", {"effect": 0.0}), ("gradient-descent", {})):
        net = nn.Sequential(nn.Linear(4, 3))
        nn.init.constant_(net[0].weight, 0.1)
        nn.init.zeros_(net[0].bias)
        learner = paper.entries[name].make(TRIAL, **options).build(net, nn.functional.cross_entropy, inputs[0])
        for batch, answers in zip(inputs, labels, strict=True):
            learner.step(batch, answers)
        weights.append(net[0].weight.detach().clone())
        rates.append(float(learner.rate))
    assert torch.equal(weights[0], weights[1])
    assert rates == [pytest.approx(0.05)] * 2
