"""A network of one's own that reads events, to enter into the problem events:

replica compare events --data coincidences --entry examples/my_event_network.py:leaky_counts
"""

import torch
from torch import Tensor, nn

from replica.training import EventClassifier


class LeakyCounts(nn.Module):
    """A perceptron that sees each unit's events through several leaky counters: recent ones count more, each at its own pace."""

    def __init__(self, units: int, classes: int, decays: tuple[float, ...] = (0.5, 0.8, 0.95), width: int = 64) -> None:
        super().__init__()
        self.decays = decays
        self.net = nn.Sequential(
            nn.Linear(len(decays) * units, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, classes),
        )

    def forward(self, events: Tensor) -> Tensor:
        """Scores (batch, classes) for events (batch, time, units): what is left of all events at the end."""
        ages = torch.arange(events.shape[1] - 1, -1, -1, device=events.device)
        left = torch.stack([decay**ages for decay in self.decays])  # (decays, time)
        return self.net(torch.einsum("dt,btu->bdu", left, events).flatten(1))


def leaky_counts():
    """The entry: trained like every network of the problem. A class of yours with fit and predict does as well."""
    return EventClassifier(lambda steps, classes, shape: LeakyCounts(torch.Size(shape).numel(), classes))
