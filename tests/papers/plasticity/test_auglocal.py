import torch

from replica.lab.claims import Trial
from replica.papers.plasticity.auglocal import auglocal, methods
from replica.papers.plasticity.deep_stacks import stack

trial = Trial(100, "smoke")


def test_methods_are_the_limits_of_one_rule():
    """Without blocks it is backpropagation; without depth all auxiliary networks are linear classifiers."""
    built = {name: make(stack(trial, 6, (40,)), torch.zeros(2, 1, 40)) for name, make in methods().items()}
    assert {name: len(trainer.blocks) for name, trainer in built.items()} == {"backprop": 1, "AugLocal": 6, "greedy": 6}
    assert built["greedy"].selected == ((),) * 5
    assert built["AugLocal"].selected[0] == (2, 3, 5)


def test_the_entry_hands_on_its_hyperparameters():
    learner = auglocal(trial, learning_rate=0.004, depth=1, taper=0.0)
    learner.build(stack(trial, 4, (40,)), torch.nn.functional.cross_entropy, torch.zeros(2, 1, 40))
    assert [len(chosen) for chosen in learner.trainer.selected] == [1, 1, 1]
    assert learner.trainer.optimisers[0].param_groups[0]["lr"] == 0.004
