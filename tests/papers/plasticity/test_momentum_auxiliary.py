import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.plasticity.deep_stacks import stack
from replica.papers.plasticity.momentum_auxiliary import STYLES, methods, momentum_auxiliary
from replica.plasticity import FollowedLayer

trial = Trial(100, "smoke")


@pytest.mark.parametrize("name", STYLES)
def test_methods_hold_what_they_are_called_by(name):
    (make,) = methods(name).values()
    trainer = make(stack(trial, 4, (40,)), torch.zeros(2, 1, 40))
    followers = [part for part in trainer.auxiliaries.modules() if isinstance(part, FollowedLayer)]
    assert len(trainer.blocks) == (1 if name == "backprop" else 4)
    assert len(followers) == (0 if name in ("backprop", "greedy") else 3)
    assert all((follower.average is not None) == ("average" in name) for follower in followers)
    assert all((follower.bias is not None) == ("bias" in name) for follower in followers)


def test_the_entry_hands_on_its_hyperparameters():
    learner = momentum_auxiliary(trial, learning_rate=0.004, momentum=0.7)
    learner.build(stack(trial, 4, (40,)), torch.nn.functional.cross_entropy, torch.zeros(2, 1, 40))
    assert learner.trainer.auxiliaries[0][0].momentum == 0.7
    assert learner.trainer.optimisers[0].param_groups[0]["lr"] == 0.004
