"""A learner of one's own, to enter into the problem stream:

replica compare stream --entry examples/my_learner.py:NearestItems
"""

from typing import ClassVar

import torch
from torch import Tensor

from replica.lab.claims import Integer


class NearestItems:
    """Keeps the last few items of every class, and gives an item the class of the nearest one."""

    space: ClassVar = {"kept": Integer(5, 50)}  # what --tune may try

    def __init__(self, kept: int = 20) -> None:
        self.kept = kept

    def start(self, info) -> None:
        """Told before the stream: how many classes there will be, the shape of an item, the setting, …"""
        self.items: list[Tensor] = [torch.empty(0) for _ in range(info.classes)]

    def learn(self, inputs: Tensor, labels: Tensor, task: int | None) -> None:
        """One minibatch: inputs (batch, *shape), labels (batch,)."""
        for label in labels.unique().tolist():
            new = inputs[labels == label].flatten(1)
            self.items[label] = torch.cat([self.items[label].view(-1, new.shape[1]), new])[-self.kept :]

    def predict(self, inputs: Tensor, task: int | None) -> Tensor:
        """A score for each class, (batch, classes): the greatest wins."""
        scores = torch.full((len(inputs), len(self.items)), -torch.inf)
        for label, items in enumerate(self.items):
            if len(items):
                scores[:, label] = -torch.cdist(inputs.flatten(1), items).amin(dim=1)
        return scores
