"""A map of one's own, to enter into the problem transport:

replica compare transport --entry examples/my_transport.py:SortedLines
"""

import torch
from torch import Tensor


class SortedLines:
    """Moves points along random lines, one after another, so that their order on each matches that of the target."""

    def __init__(self, lines: int = 50) -> None:
        self.lines = lines

    def fit(self, source: Tensor, target: Tensor) -> None:
        """Take clouds of shape (points, dim) and (others, dim), and keep where each line's quantiles go."""
        levels = torch.linspace(0, 1, 65)
        turns = torch.randn(self.lines, source.shape[1], generator=torch.Generator().manual_seed(0))
        self.moves = []
        for line in turns / turns.norm(dim=1, keepdim=True):
            start, end = ((cloud @ line).quantile(levels) for cloud in (source, target))
            self.moves.append((line, start, end))
            source = source + self.moved(source @ line, start, end)[:, None] * line

    def map(self, points: Tensor) -> Tensor:
        """Give where points go, of the same shape."""
        for line, start, end in self.moves:
            points = points + self.moved(points @ line, start, end)[:, None] * line
        return points

    @staticmethod
    def moved(along: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """How far a place on a line is from where its quantile goes."""
        place = torch.searchsorted(start, along).clamp(1, len(start) - 1)
        share = (along - start[place - 1]) / (start[place] - start[place - 1]).clamp_min(1e-9)
        return end[place - 1] + share.clamp(0, 1) * (end[place] - end[place - 1]) - along
