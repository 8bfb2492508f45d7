"""A trainer of the wing in the protocol of the problem credit. No paper itself."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Trained:
    """Builds a trainer around the problem's network.

    Args:
        make: ``make(network, example, loss=loss)`` gives a trainer with ``step`` and ``gradients``.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def build(self, network: nn.Sequential, loss: Callable[[Tensor, Tensor], Tensor], example: Tensor) -> Any:
        """The trainer, which has all the rest of the protocol."""
        self.trainer = self.make(network, example, loss=loss)
        return self.trainer

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """One update on a batch."""
        self.trainer.step(inputs, labels)
