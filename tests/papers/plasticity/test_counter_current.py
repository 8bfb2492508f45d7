import pytest
import torch
from torch import nn

from replica.kernels import linear_cka
from replica.papers.plasticity.counter_current import similarities
from replica.plasticity import CounterCurrentLearning


def test_levels_are_compared_from_inputs_to_scores():
    inputs, labels = torch.randn(40, 6), torch.arange(40) % 10
    net = nn.Sequential(nn.Sequential(nn.Linear(6, 8), nn.ELU()), nn.Linear(8, 10))
    trainer = CounterCurrentLearning(net, inputs)
    found = similarities(trainer, inputs, labels)
    assert found.shape == (3, 3)
    codes = torch.eye(10)[labels]
    assert float(found[2, 2]) == pytest.approx(float(linear_cka(net(inputs).detach(), codes)), abs=1e-5)
    assert float(found[0, 0]) == pytest.approx(
        float(linear_cka(inputs, trainer.signals()[0][labels].detach())), abs=1e-5
    )
