"""Trainers that have an optimiser for each layer: what those remember belongs to the trainer's state_dict."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class OptimiserStates(nn.Module):
    """A module whose ``state_dict`` holds its optimisers too, so that training goes on where it was."""

    def learning(self) -> Sequence[torch.optim.Optimizer]:
        """The optimisers, always in the same order."""
        raise NotImplementedError

    def get_extra_state(self) -> dict[str, Any]:
        """The optimisers' part of ``state_dict``."""
        return {"optimisers": [optimiser.state_dict() for optimiser in self.learning()]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Give the optimisers back what ``state_dict`` held of them."""
        for optimiser, own in zip(self.learning(), state["optimisers"], strict=True):
            optimiser.load_state_dict(own)
