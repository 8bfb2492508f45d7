"""A trainer of this wing as a learning rule: its settings come first, the network that it trains later."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .local_training import Loss, Optimiser


def adam(learning_rate: float) -> Optimiser:
    """Makes Adam for the parameters that it is given."""
    return partial(torch.optim.Adam, lr=learning_rate)


class LearningRule:
    """Builds a trainer around the network that somebody else made, as problems on learning rules want it.

    Args:
        trainer: ``trainer(network, example, loss=loss, **settings)`` gives an object with ``step(inputs, labels)``, such as
            `AugLocal` or `TargetProjection`.
        **settings: Its other arguments.

    Example:
        >>> import torch
        >>> from replica.plasticity import AugLocal, LearningRule, adam
        >>> from replica.training import conv_net
        >>> rule = LearningRule(AugLocal, depth=1, optimiser=adam(0.01))
        >>> network, images = conv_net((1, 4, 8), 3), torch.randn(6, 1, 8, 8)
        >>> trainer = rule.build(network, torch.nn.functional.cross_entropy, images)
        >>> rule.step(images, torch.arange(6) % 3)
        >>> trainer.network is network
        True
    """

    def __init__(self, trainer: Callable[..., Any], **settings: Any) -> None:
        self.trainer, self.settings = trainer, settings

    def build(self, network: nn.Sequential, loss: Loss, example: Float[Tensor, "batch *shape"]) -> Any:
        """The trainer of this network, which is shown a few inputs."""
        self.built = self.trainer(network, example, loss=loss, **self.settings)
        return self.built

    def step(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> None:
        """One update of what was built, on a batch."""
        self.built.step(inputs, labels)
