"""A trainer of a network as a learning rule in the protocol of the problem credit."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class LearningRule:
    """Builds a trainer around the problem's network; the trainer has all the rest of the protocol.

    Args:
        make: ``make(network, example, loss=loss)`` gives a trainer with ``step(inputs, labels)``, and perhaps with ``gradients``
            and ``predict``.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> rule = LearningRule(lambda network, example, loss: SimpleNamespace(step=lambda inputs, labels: None))
        >>> trainer = rule.build(nn.Sequential(nn.Linear(3, 2)), nn.functional.cross_entropy, torch.zeros(1, 3))
        >>> rule.step(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self.trainer: Any = None

    def build(self, network: nn.Sequential, loss: Callable[[Tensor, Tensor], Tensor], example: Tensor) -> Any:
        """Take over a network; returns the trainer, which is called in the rule's place."""
        self.trainer = self.make(network, example, loss=loss)
        return self.trainer

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """One update on a batch."""
        self.trainer.step(inputs, labels)
