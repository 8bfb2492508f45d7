"""A measure of one's own, to enter into the problem similarity:

replica compare similarity --entry examples/my_similarity.py:SharedNeighbours
"""

import torch
from torch import Tensor


class SharedNeighbours:
    """How many of its nearest stimuli a stimulus keeps from one layer to the other."""

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = neighbours

    def similarity(self, X: Tensor, Y: Tensor) -> float:
        """Take activations of shape (stimuli, units) and (stimuli, others); the greater the more alike."""
        return float((self.nearest(X) * self.nearest(Y)).sum(dim=1).mean()) / self.neighbours

    def nearest(self, X: Tensor) -> Tensor:
        """Stimuli by stimuli, 1 for a neighbour."""
        far = torch.cdist(X, X).fill_diagonal_(torch.inf)
        return torch.zeros_like(far).scatter_(1, far.topk(self.neighbours, largest=False).indices, 1.0)
