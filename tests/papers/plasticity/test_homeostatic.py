"""Streams with swapped labels: who meets what, and what is counted, against loops written out by hand; the entries in credit."""

import numpy as np
import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.papers.plasticity.homeostatic import BATCH, LEARNERS, data, live, paper, regular
from replica.plasticity import HomeostaticLearner
from replica.plasticity.homeostatic_perceptrons import HomeostaticPerceptrons

TRIAL = Trial(7, "smoke")


def test_swaps_come_at_regular_distances() -> None:
    swaps = regular(13, (0, 3, 6))
    assert not swaps[:, 0].any()
    assert np.flatnonzero(swaps[:, 1]).tolist() == [3, 6, 9, 12]
    assert np.flatnonzero(swaps[:, 2]).tolist() == [6, 12]


def test_a_constant_learner_at_rest_is_plain_gradient_descent_tested_before_it_learns() -> None:
    batches, rate = 30, torch.tensor([[[0.1]]])
    inputs, labels = data(TRIAL)
    start = HomeostaticPerceptrons(
        (64, 80, 60, 10), ("none",), rate[0], generator=TRIAL.generator("network"), choices=TRIAL.generator("c")
    )
    net = nn.Sequential(nn.Linear(64, 80), nn.ELU(), nn.Linear(80, 60), nn.ELU(), nn.Linear(60, 10))
    with torch.no_grad():
        for layer, weight, bias in zip(net[::2], start.weights, start.biases, strict=True):
            layer.weight.copy_(weight[0].T)
            layer.bias.copy_(bias[0, 0])
    descent = torch.optim.SGD(net.parameters(), 0.1)
    rows = torch.randperm(len(inputs), generator=TRIAL.generator("stream-rows"))
    correct = []
    for chosen in rows[: batches * BATCH].split(BATCH):
        scores = net(inputs[chosen])
        correct.append(float((scores.argmax(-1) == labels[chosen]).float().mean()))
        descent.zero_grad()
        nn.functional.cross_entropy(scores, labels[chosen]).backward()
        descent.step()
    found = live(TRIAL, "stream", regular(batches, (0,)), rate, ("none",))
    torch.testing.assert_close(found.correct.flatten(), torch.tensor(correct))


def test_learners_and_streams_do_not_disturb_each_other() -> None:
    swaps = regular(40, (4, 9))
    together = live(TRIAL, "streams", swaps, torch.tensor([0.1, 0.3]).expand(3, 2, -1))
    alone = live(TRIAL, "streams", swaps, torch.full((1, 2, 1), 0.1), ("foresight",))
    assert list(LEARNERS) == ["homeostatic", "constant", "random"]
    for everyone, one in zip(together, alone, strict=True):
        torch.testing.assert_close(everyone[:, :1, :, :1], one)


def test_names_swapped_all_the_time_cannot_be_learned_and_streams_before_a_swap_are_one() -> None:
    lives = live(TRIAL, "streams", regular(300, (0, 150, 1)), torch.full((1, 3, 1), 0.1), ("none",))
    assert torch.equal(lives.correct[:150, 0, 0], lives.correct[:150, 0, 1])
    assert not torch.equal(lives.correct[150:, 0, 0], lives.correct[150:, 0, 1])
    rest, once, always = lives.correct.mean(0).flatten().tolist()
    assert rest > once > 0.6
    assert always < 0.3


def test_the_entry_hands_its_hyperparameters_on() -> None:
    rule = paper.entries["homeostatic"].make(TRIAL, learning_rate=0.02, effect=0.25, simulate="batch")
    learner = rule.build(nn.Sequential(nn.Linear(4, 3)), nn.functional.cross_entropy, torch.zeros(2, 4))
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
        for batch, truth in zip(inputs, labels, strict=True):
            learner.step(batch, truth)
        weights.append(net[0].weight.detach().clone())
        rates.append(float(learner.rate))
    assert torch.equal(weights[0], weights[1])
    assert rates == [pytest.approx(0.05)] * 2
