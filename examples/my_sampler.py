"""A model of one's own, to enter into the problem sample:

replica compare sample --data two-moons --entry examples/my_sampler.py:BetweenNeighbours
"""

import torch
from torch import Tensor


class BetweenNeighbours:
    """Draws a row, one of its nearest neighbours, and a point between the two, as SMOTE does (Chawla et al., 2002)."""

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = neighbours

    def fit(self, data: Tensor) -> None:
        """Take rows of shape (count, ...): columns of mean 0 and deviation 1, or images."""
        flat = data.flatten(1)
        self.data = data
        self.nearest = torch.cdist(flat, flat).topk(self.neighbours + 1, largest=False).indices[:, 1:]

    def sample(self, count: int) -> Tensor:
        """Give new rows of the same shape; the seed of a trial is set before."""
        first = torch.randint(len(self.data), (count,))
        second = self.nearest[first, torch.randint(self.neighbours, (count,))]
        share = torch.rand(count, *[1] * (self.data.dim() - 1))
        return self.data[first] + share * (self.data[second] - self.data[first])
