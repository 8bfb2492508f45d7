import torch

from replica.lab.claims import Trial
from replica.lab.problems.credit.networks import network
from replica.papers.plasticity.auglocal import auglocal

trial = Trial(100, "smoke")


def test_the_entry_hands_on_its_hyperparameters():
    net = network("conv", (1, 40), 10, depth=4, width=4, generator=trial.generator("network"))
    rule = auglocal(trial, learning_rate=0.004, depth=1, taper=0.0)
    trainer = rule.build(net, torch.nn.functional.cross_entropy, torch.zeros(2, 1, 40))
    assert [len(chosen) for chosen in trainer.selected] == [1, 1, 1]
    assert trainer.optimisers[0].param_groups[0]["lr"] == 0.004
