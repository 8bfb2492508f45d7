"""A random finite-state machine, whose states are written in two digits: a language of which every state is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

DIGITS = 10
START = 10
"""The token before the first state."""


class StateMachine:
    """One hundred states, each of which moves to one of its successors, all equally likely.

    A state is written in two digits, so that no single token tells it (Tamkin, Taufeeque & Goodman 2023, "Codebook Features").

    Args:
        successors: How many each state has, from 1 to 100.
        generator: Source of the machine and of its walks.

    Attributes:
        successors: Shape ``(100, successors)``, int64.

    Example:
        >>> machine = StateMachine(10, torch.Generator().manual_seed(0))
        >>> tokens, path = machine.walk(3, 4)
        >>> tokens.shape, path.shape, bool((10 * tokens[:, 1::2] + tokens[:, 2::2] == path).all())
        (torch.Size([3, 9]), torch.Size([3, 4]), True)
    """

    def __init__(self, successors: int, generator: torch.Generator) -> None:
        if not 1 <= successors <= DIGITS**2:
            raise ValueError(f"successors: got {successors}, want from 1 to {DIGITS**2}")
        order = torch.rand(DIGITS**2, DIGITS**2, generator=generator, device=generator.device).argsort(-1)
        self.successors = order[:, :successors]
        self.generator = generator

    def walk(self, count: int, length: int) -> tuple[Int[Tensor, "count tokens"], Int[Tensor, "count length"]]:
        """Walks from random states: tokens, the start token first, and the states gone through."""
        device = self.successors.device
        draw: dict[str, Any] = {"generator": self.generator, "device": device}
        states = [torch.randint(len(self.successors), (count,), **draw)]
        for _ in range(length - 1):
            edge = torch.randint(self.successors.shape[1], (count,), **draw)
            states.append(self.successors[states[-1], edge])
        path = torch.stack(states, dim=1)
        digits = torch.stack([path // DIGITS, path % DIGITS], dim=-1).flatten(1)
        return torch.cat([torch.full((count, 1), START, device=device), digits], dim=1), path

    def stream(self, count: int, length: int) -> Iterator[tuple[Tensor]]:
        """Fresh batches of tokens without end."""
        while True:
            yield (self.walk(count, length)[0],)
