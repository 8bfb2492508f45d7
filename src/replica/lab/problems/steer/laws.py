"""Generators whose laws are known: a mixture of Gaussians and a Markov chain, each with its exact denoiser and its atoms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from replica.training.chain_messages import forward_messages, letter_chances, seen_letters

GRID = 400
"""Cells a side of the square on which laws of points are summed up."""
FAR = 5.0
"""Half the side of that square, beyond which the mixtures have no mass to speak of."""


@dataclass(frozen=True)
class MixtureLaw:
    """Points of a mixture of round Gaussians, made from noise along a sin and cos path by ancestral steps.

    Args:
        means: Shape ``(components, 2)``.
        deviation: Of every component.
        steps: From noise to data.
    """

    means: Tensor
    deviation: float
    steps: int
    letters: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return (self.means.shape[1],)

    def level(self, step: int) -> tuple[float, float]:
        """How much there is of data and of noise before a step."""
        angle = math.pi / 2 * step / self.steps
        return math.sin(angle), math.cos(angle)

    def start(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Noise."""
        return torch.randn((count, *self.shape), generator=generator, device=self.means.device)

    def denoise(self, state: Tensor, step: int) -> Tensor:
        """The mean of the data behind a noisy state; it may be differentiated."""
        a, m = self.level(step)
        total = (a * self.deviation) ** 2 + m**2
        off = state[:, None] - a * self.means
        chances = torch.softmax(-off.square().sum(2) / (2 * total), 1)
        means = self.means + a * self.deviation**2 / total * off
        return (chances[..., None] * means).sum(1)

    def draw(self, state: Tensor, predicted: Tensor, step: int, generator: torch.Generator | None) -> Tensor:
        """The state after a step."""
        (a, m), (a_next, m_next) = self.level(step), self.level(step + 1)
        m_next = m_next if step + 1 < self.steps else 0.0
        fresh = m_next * math.sqrt(max(0.0, 1 - (a * m_next / (a_next * m)) ** 2))
        left = math.sqrt(max(0.0, m_next**2 - fresh**2)) / m
        normal = torch.randn(state.shape, generator=generator, device=state.device)
        return a_next * predicted + left * (state - a * predicted) + fresh * normal

    def log_prob(self, states: Tensor) -> Tensor:
        """The log-density of data."""
        squares = torch.cdist(states, self.means).square() / (2 * self.deviation**2)
        constant = math.log(2 * math.pi * self.deviation**2) * self.means.shape[1] / 2 + math.log(len(self.means))
        return (-squares).logsumexp(1) - constant

    def atoms(self) -> Tensor:
        """The centres of all cells of a square."""
        side = (torch.arange(GRID, device=self.means.device) + 0.5) * (2 * FAR / GRID) - FAR
        return torch.cartesian_prod(side, side)

    def within(self, atoms: Tensor, generator: torch.Generator | None) -> Tensor:
        """Points drawn from cells."""
        return atoms + (torch.rand(atoms.shape, generator=generator, device=atoms.device) - 0.5) * (2 * FAR / GRID)


@dataclass(frozen=True)
class ChainLaw:
    """Sequences of a Markov chain, made from masks by filling one place a step, drawn at random.

    Args:
        initial: Chances of the first letter.
        transition: Chances of the next letter (column) after each (row).
        length: Of a sequence.
    """

    initial: Tensor
    transition: Tensor
    length: int

    @property
    def steps(self) -> int:
        """One a place."""
        return self.length

    @property
    def letters(self) -> int:
        """How many there are; this number is the mask."""
        return len(self.initial)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return (self.length,)

    def level(self, step: int) -> tuple[float, float]:
        """The share of places that are filled before a step, and of those that are masked."""
        return step / self.length, 1 - step / self.length

    def start(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Masks alone."""
        return torch.full((count, self.length), self.letters, device=self.initial.device)

    def denoise(self, state: Tensor, step: int) -> Tensor:
        """Chances of each letter at each place, given those that are seen."""
        return letter_chances(self.initial, self.transition, seen_letters(state, self.letters, self.transition))

    def draw(self, state: Tensor, predicted: Tensor, step: int, generator: torch.Generator | None) -> Tensor:
        """The state with one more letter."""
        order = torch.rand(state.shape, generator=generator, device=state.device)
        place = order.masked_fill(state != self.letters, 2).argmin(1, keepdim=True)
        chances = predicted.gather(1, place[..., None].expand(-1, -1, self.letters))[:, 0]
        return state.scatter(1, place, torch.multinomial(chances, 1, generator=generator))

    def log_prob(self, states: Tensor) -> Tensor:
        """The log-probability of sequences."""
        seen = seen_letters(states, self.letters, self.transition)
        return forward_messages(self.initial, self.transition, seen)[1]

    def atoms(self) -> Tensor:
        """All sequences."""
        letter = torch.arange(self.letters, device=self.initial.device)
        return torch.cartesian_prod(*[letter] * self.length)

    def within(self, atoms: Tensor, generator: torch.Generator | None) -> Tensor:
        """Sequences as they are."""
        return atoms


Law = MixtureLaw | ChainLaw
