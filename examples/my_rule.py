"""A learning rule of one's own, to enter into the problem credit:

replica compare credit --depth 4 --entry examples/my_rule.py:SignedStep
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from replica.lab.claims import LogUniform


class SignedStep:
    """Every weight moves by the same small step, in the direction that the loss's gradient tells (Riedmiller and Braun, 1993)."""

    space: ClassVar = {"step_size": LogUniform(1e-5, 1e-2)}  # what --tune may try

    def __init__(self, step_size: float = 1e-3) -> None:
        self.step_size = step_size

    def build(self, network: nn.Sequential, loss, example: Tensor) -> None:
        """The network to train (layer1, layer2, …, head), the loss of scores and labels, and some inputs without labels."""
        self.network, self.loss = network, loss

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """One update on a minibatch."""
        parameters = list(self.network.parameters())
        gradients = torch.autograd.grad(self.loss(self.network(inputs), labels), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= self.step_size * gradient.sign()
