"""Perceptrons with written-out steps, against the general learner on the same streams."""

import pytest
import torch
from torch import nn

from replica.plasticity import HomeostaticLearner
from replica.plasticity.concept_shift import LabelSwaps
from replica.plasticity.homeostatic_perceptrons import HomeostaticPerceptrons

SIZES, CLASSES = (6, 12, 8, 4), 4


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class Stack(nn.Module):
    """The same perceptrons by torch's own functions."""

    def __init__(self, weights, biases):
        super().__init__()
        self.weights = nn.ParameterList(weight.clone() for weight in weights)
        self.biases = nn.ParameterList(bias.clone() for bias in biases)

    def forward(self, inputs):
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = bias + inputs @ weight
            inputs = inputs if number == len(self.weights) - 1 else nn.functional.elu(inputs)
        return inputs


def test_they_are_the_learner_written_out() -> None:
    kinds = ("foresight", "none", "random")
    rates = torch.tensor([[0.05, 0.2]] * 3, dtype=torch.float64)
    ours = HomeostaticPerceptrons(SIZES, kinds, rates, generator=seeded(0), choices=seeded(1), effect=0.3)
    theirs = [
        HomeostaticLearner(
            Stack([w[:2] for w in ours.weights], [b[:2] for b in ours.biases]), nn.functional.cross_entropy, rates[0],
            regulation=kind, effect=0.3, replicas=2, generator=seeded(1),
        )
        for kind in kinds
    ]  # fmt: skip
    names, draw = LabelSwaps(CLASSES, 2, generator=seeded(2)), seeded(3)
    for number in range(150):
        if number % 15 == 14:
            becomes = names.swap()
            ours.rename(becomes.repeat(3, 1))
            for learner in theirs:
                learner.rename(becomes)
        inputs = torch.randn(10, 6, generator=draw, dtype=torch.float64)
        labels = names.rename(inputs[:, :CLASSES].argmax(1))
        correct = ours.step(inputs, labels.repeat(3, 1))
        expected = [learner.step(inputs.expand(2, -1, -1), labels).argmax(-1) == labels for learner in theirs]
        torch.testing.assert_close(correct, torch.cat(expected).double().mean(1))
        torch.testing.assert_close(ours.rate, torch.cat([learner.rate for learner in theirs]))
    assert 5 < int(theirs[0].taken.sum()) < 295
    for weight, parts in zip(
        ours.weights, zip(*(learner.network.weights for learner in theirs), strict=True), strict=True
    ):
        torch.testing.assert_close(weight, torch.cat([part.detach() for part in parts]))


def test_foresight_comes_first() -> None:
    with pytest.raises(ValueError, match="foresight first"):
        HomeostaticPerceptrons(SIZES, ("none", "foresight"), torch.ones(2, 1), generator=seeded(0), choices=seeded(1))
