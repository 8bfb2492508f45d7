"""A way to merge of one's own, to enter into the problem merge:

replica compare merge --entry examples/my_merging.py:TrimmedSum
"""

import copy

import torch


class TrimmedSum:
    """The start plus the largest tenth of what training changed in each network, all added up."""

    def __init__(self, kept: float = 0.1, scale: float = 1.0) -> None:
        self.kept, self.scale = kept, scale

    def merge(self, base, networks, held_out):
        """Take the common start, the networks, and by network a pair of inputs and labels; give one network."""
        merged = copy.deepcopy(base)
        start, states = base.state_dict(), [net.state_dict() for net in networks]
        for name, weights in start.items():
            if weights.is_floating_point():
                changes = torch.stack([state[name] - weights for state in states])
                least = changes.abs().flatten(1).quantile(1 - self.kept, dim=1).view(-1, *[1] * weights.dim())
                start[name] = weights + self.scale * (changes * (changes.abs() >= least)).sum(0)
        merged.load_state_dict(start)
        return merged
