"""A way of one's own to steer a generator, and a reward, to enter into the problem steer:

replica compare steer --data examples/my_steering.py:height --entry examples/my_steering.py:BestOfTwo
"""

import torch
from torch import Tensor


def height(points: Tensor) -> Tensor:
    """Reward points, shape (batch, 2), for being high up; whole units count."""
    return points[:, 1].floor()


class BestOfTwo:
    """Of two samples the one of the higher reward."""

    def steer(self, model, reward, count: int) -> Tensor:
        """Make samples with 2 x model.steps calls of the network each, where --calls is 2 or more."""
        first, second = model.sample(count), model.sample(count)
        better = reward(second) > reward(first)
        return torch.where(better[:, None], second, first)
