import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.papers.plasticity.counter_current import fresh, linear_cka, paper, similarities
from replica.papers.plasticity.split_digits import split
from replica.plasticity import CounterCurrentLearning


def test_similarity_is_kornbliths():
    first, second = torch.randn(30, 4), torch.randn(30, 5)
    one, other = first - first.mean(0), second - second.mean(0)
    wanted = (one.T @ other).norm() ** 2 / ((one.T @ one).norm() * (other.T @ other).norm())
    assert linear_cka(first, second) == pytest.approx(float(wanted), rel=1e-4)
    rotation = torch.linalg.qr(torch.randn(4, 4)).Q
    assert linear_cka(first, 3 * first @ rotation + 1) == pytest.approx(1, abs=1e-5)


def test_levels_are_compared_from_inputs_to_scores():
    trial = Trial(0, "smoke")
    inputs, labels, _, _ = split(trial, 0, "conv")
    net = fresh(trial, 0, "conv", inputs, nn.ELU)
    trainer = CounterCurrentLearning(net, inputs)
    found = similarities(trainer, inputs, labels)
    assert found.shape == (7, 7)
    codes = torch.eye(10)[labels]
    assert float(found[6, 6]) == pytest.approx(linear_cka(net(inputs).detach(), codes), abs=1e-5)
    assert float(found[0, 0]) == pytest.approx(linear_cka(inputs, trainer.signals()[0][labels].detach()), abs=1e-5)


def test_splits_are_apart_and_standardised():
    first, again = split(Trial(1), 0, "mlp"), split(Trial(1), 0, "mlp")
    other = split(Trial(1), 1, "mlp")
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert len(first[0]) + len(first[2]) == 1797
    assert float(first[0].mean()) == pytest.approx(0, abs=1e-5)
    assert float(first[0].std()) == pytest.approx(1, abs=1e-5)


def test_entries_say_which_networks_they_take():
    assert {entry.needs["network"] for entry in paper.entries.values()} == {("mlp", "conv")}
