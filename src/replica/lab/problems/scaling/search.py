"""One network trained at many learning rates, and which of them is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from replica.lab.problems.scaling.built import Built
from replica.training import Replicas, train_replicas

_LAST = 0.2
"""The share of steps, the last ones, over whose minibatches the loss is averaged."""


@dataclass(frozen=True)
class Runs:
    """One network trained at many rates.

    Args:
        losses: Where each run ends: the mean loss of its last minibatches, shape ``(rates,)``; may be NaN or infinite.
        networks: The trained networks.
    """

    losses: NDArray[np.float64]
    networks: Replicas

    def scores(self, number: int, inputs: Tensor) -> Tensor:
        """What one of the networks gives, shape ``(rows, outputs)``."""
        with torch.no_grad():
            scores: Tensor = self.networks.model(number)(inputs)
        return scores


def train(
    built: Built,
    rates: Sequence[float],
    inputs: Tensor,
    labels: Tensor,
    batches: Sequence[Tensor],
    optimiser: Literal["sgd", "adam"],
) -> Runs:
    """Train one network at many rates, on the same minibatches from the same start, as one tensor program.

    Args:
        built: The network.
        rates: What its groups' scales are multiples of.
        inputs: Shape ``(rows, inputs)``.
        labels: Class numbers, shape ``(rows,)``.
        batches: The rows of each step.
        optimiser: ``"sgd"`` without momentum, or ``"adam"``.
    """
    networks = Replicas.of(built.module, len(rates))
    losses = train_replicas(
        networks,
        lambda model, given, truth: nn.functional.cross_entropy(model(given), truth),
        ((inputs[rows], labels[rows]) for rows in batches),
        steps=len(batches),
        rates=rates,
        optimiser=optimiser,
        multiples={name: built.scales.get(name, 0.0) for name in networks.parameters},
    )
    last = losses[-max(1, round(_LAST * len(losses))) :]
    return Runs(last.double().mean(0).cpu().numpy(), networks)


@dataclass(frozen=True)
class Best:
    """The best rate at one size.

    Args:
        log2_rate: Its logarithm to base 2, between the rates that were tried.
        censored: Whether the best of those tried is the lowest or the highest: the true one may lie beyond.
    """

    log2_rate: float
    censored: bool


def best_rate(log2_rates: Sequence[float], losses: Sequence[float]) -> Best:
    """The rate of least loss: the vertex of the parabola through the best rate tried and its neighbours, all in logarithms.

    Args:
        log2_rates: Rates tried, equally spaced in logarithms, at least three.
        losses: Positive and finite, one a rate.

    Example:
        >>> best_rate([0, 1, 2, 3], [8.0, 2.0, 2.0, 8.0]).log2_rate
        1.5
    """
    place = int(np.argmin(losses))
    if place in (0, len(losses) - 1):
        return Best(float(log2_rates[place]), True)
    before, here, after = np.log(np.asarray(losses, np.float64)[place - 1 : place + 2])
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return Best(float(log2_rates[place] + shift * (log2_rates[place + 1] - log2_rates[place])), False)


def drift(sizes: Sequence[int], log2_rates: Sequence[float]) -> float:
    """By how many octaves the best rate moves from the smallest size to the largest, on the line of least squares in logarithms.

    Example:
        >>> round(drift([16, 32, 64], [0.0, -1.0, -2.0]), 6)
        -2.0
    """
    octaves = np.log2(np.asarray(sizes, np.float64))
    slope = np.polyfit(octaves, log2_rates, 1)[0]
    return round(float(slope * (octaves[-1] - octaves[0])), 9)
