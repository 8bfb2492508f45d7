"""A memory of one's own, to enter into the problem recall:

replica compare recall --entry examples/my_memory.py:SoftVote
"""

import torch


class SoftVote:
    """A recalled pattern is the vote of all stored patterns, each weighted by how near it is to the cue."""

    def store(self, patterns: torch.Tensor) -> None:
        """Keep the patterns, (count, dim)."""
        self.patterns = patterns

    def recall(self, cues: torch.Tensor) -> torch.Tensor:
        """Give a pattern for each cue, (batch, dim) to (batch, dim)."""
        return torch.softmax(-torch.cdist(cues, self.patterns), dim=1) @ self.patterns
