import pytest
import torch
from torch import nn

from replica.papers.plasticity.counter_current import linear_cka, similarities
from replica.plasticity import CounterCurrentLearning


def test_similarity_is_kornbliths():
    first, second = torch.randn(30, 4), torch.randn(30, 5)
    one, other = first - first.mean(0), second - second.mean(0)
    wanted = (one.T @ other).norm() ** 2 / ((one.T @ one).norm() * (other.T @ other).norm())
    assert linear_cka(first, second) == pytest.approx(float(wanted), rel=1e-4)
    rotation = torch.linalg.qr(torch.randn(4, 4)).Q
    assert linear_cka(first, 3 * first @ rotation + 1) == pytest.approx(1, abs=1e-5)


def test_levels_are_compared_from_inputs_to_scores():
    inputs, labels = torch.randn(40, 6), torch.arange(40) % 10
    net = nn.Sequential(nn.Sequential(nn.Linear(6, 8), nn.ELU()), nn.Linear(8, 10))
    trainer = CounterCurrentLearning(net, inputs)
    found = similarities(trainer, inputs, labels)
    assert found.shape == (3, 3)
    codes = torch.eye(10)[labels]
    assert float(found[2, 2]) == pytest.approx(linear_cka(net(inputs).detach(), codes), abs=1e-5)
    assert float(found[0, 0]) == pytest.approx(linear_cka(inputs, trainer.signals()[0][labels].detach()), abs=1e-5)
