"""Language models by character: a text cut into stretches, and the loss and bits of the next token."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class CharacterText:
    """Characters as numbers, the first nine tenths for training and the rest held out.

    Args:
        text: What is read.
        device: Where its numbers lie.

    Attributes:
        alphabet: Its characters in order; a token is a place in it.
        train: Tokens to learn from.
        held_out: Tokens that are not learned from.

    Example:
        >>> text = CharacterText("abracadabra" * 10)
        >>> text.alphabet, text.train.shape, text.held_out[:3]
        (['a', 'b', 'c', 'd', 'r'], torch.Size([99]), tensor([0, 1, 4]))
    """

    def __init__(self, text: str, device: torch.device | None = None) -> None:
        self.alphabet = sorted(set(text))
        number = {character: i for i, character in enumerate(self.alphabet)}
        values = torch.tensor([number[character] for character in text], device=device)
        self.train, self.held_out = values[: 9 * len(values) // 10], values[9 * len(values) // 10 :]

    @staticmethod
    def windows(
        tokens: Int[Tensor, " text"], count: int, length: int, generator: torch.Generator
    ) -> Int[Tensor, "count length"]:
        """Stretches of tokens from random places."""
        starts = torch.randint(len(tokens) - length, (count, 1), generator=generator, device=tokens.device)
        return tokens[starts + torch.arange(length, device=tokens.device)]

    def stream(self, count: int, length: int, generator: torch.Generator) -> Iterator[tuple[Tensor]]:
        """Training batches without end."""
        while True:
            yield (self.windows(self.train, count, length, generator),)


def next_token_loss(model: nn.Module, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of each token given those before, in nats."""
    logits: Tensor = model(tokens[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


@torch.no_grad()
def bits_per_token(model: nn.Module, tokens: Int[Tensor, "count length"]) -> float:
    """Mean cross-entropy of each token given those before, in bits; at most 256 stretches are read at once."""
    total = sum(float(next_token_loss(model, part)) * len(part) for part in tokens.split(256))
    return total / math.log(2) / len(tokens)


@torch.no_grad()
def next_token_accuracy(model: nn.Module, tokens: Int[Tensor, "count length"]) -> float:
    """Share of tokens after the first that the model holds most likely; at most 256 stretches are read at once."""
    hits = sum(int((model(part[:, :-1]).argmax(-1) == part[:, 1:]).sum()) for part in tokens.split(256))
    return hits / tokens[:, 1:].numel()
