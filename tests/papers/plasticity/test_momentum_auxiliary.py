import pytest
import torch

from replica.lab.claims import Trial
from replica.lab.problems.credit.networks import network
from replica.papers.plasticity.momentum_auxiliary import momentum_auxiliary
from replica.plasticity import FollowedLayer

trial = Trial(100, "smoke")


@pytest.mark.parametrize("average", [True, False])
def test_the_entry_hands_on_its_hyperparameters(average):
    net = network("conv", (1, 40), 10, depth=4, width=4, generator=trial.generator("network"))
    rule = momentum_auxiliary(trial, learning_rate=0.004, momentum=0.7, average=average)
    trainer = rule.build(net, torch.nn.functional.cross_entropy, torch.zeros(2, 1, 40))
    followers = [part for part in trainer.auxiliaries.modules() if isinstance(part, FollowedLayer)]
    assert len(followers) == 3
    assert all((follower.average is not None) == average for follower in followers)
    assert all(follower.bias is not None for follower in followers)
    assert followers[0].momentum == 0.7
    assert trainer.optimisers[0].param_groups[0]["lr"] == 0.004
