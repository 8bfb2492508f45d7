"""One network trained at many learning rates, and which of them is the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from replica.lab.problems.scaling.built import Built

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
"""Adam's."""
_LAST = 0.2
"""The share of steps, the last ones, over whose minibatches the loss is averaged."""

Update = Callable[[dict[str, Tensor], Mapping[str, Tensor], Mapping[str, Tensor]], None]


@dataclass(frozen=True)
class Runs:
    """One network trained at many rates.

    Args:
        losses: Where each run ends: the mean loss of its last minibatches, shape ``(rates,)``; may be NaN or infinite.
        weights: The learned parameters of all runs, ``(rates, *shape)`` each.
    """

    losses: NDArray[np.float64]
    weights: Mapping[str, Tensor]


def train(
    built: Built, rates: Sequence[float], inputs: Tensor, labels: Tensor, batches: Sequence[Tensor], optimiser: str
) -> Runs:
    """Train one network at many rates, on the same minibatches from the same start.

    Args:
        built: The network.
        rates: What its groups' scales are multiples of.
        inputs: Shape ``(rows, inputs)``.
        labels: Class numbers, shape ``(rows,)``.
        batches: The rows of each step.
        optimiser: ``"sgd"`` without momentum, or ``"adam"``.
    """
    module = built.module
    started = {name: parameter.detach() for name, parameter in module.named_parameters()}
    multiples = torch.tensor(rates, dtype=torch.float32, device=inputs.device)

    def loss(weights: Mapping[str, Tensor], batch: Tensor, truth: Tensor) -> Tensor:
        scores: Tensor = functional_call(module, dict(weights), (batch,))
        return nn.functional.cross_entropy(scores, truth)

    stacked = {
        name: started[name].repeat(len(rates), *[1] * started[name].dim()).view(len(rates), *started[name].shape)
        for name in built.scales
    }
    paces = {
        name: (multiples * scale).view(-1, *[1] * started[name].dim()) for name, scale in built.scales.items()
    }  # the rate of each run, to be multiplied with its tensor
    update = {"sgd": _descend, "adam": _adam}[optimiser]()
    slopes = vmap(grad_and_value(loss), in_dims=(0, None, None))
    seen = []
    for rows in batches:
        gradients, values = slopes(stacked, inputs[rows], labels[rows])
        seen.append(values)
        update(stacked, gradients, paces)
    last = torch.stack(seen[-max(1, round(_LAST * len(seen))) :]).double().mean(0)
    return Runs(last.cpu().numpy(), stacked)


def scores_of(built: Built, runs: Runs, number: int, inputs: Tensor) -> Tensor:
    """What one of the runs gives, shape ``(rows, outputs)``."""
    with torch.no_grad():
        scores: Tensor = functional_call(
            built.module, {name: tensor[number] for name, tensor in runs.weights.items()}, (inputs,)
        )
    return scores


def _descend() -> Update:
    def update(weights: dict[str, Tensor], gradients: Mapping[str, Tensor], paces: Mapping[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            weights[name].addcmul_(gradient, paces[name], value=-1)

    return update


def _adam() -> Update:
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    steps = 0

    def update(weights: dict[str, Tensor], gradients: Mapping[str, Tensor], paces: Mapping[str, Tensor]) -> None:
        nonlocal steps
        steps += 1
        for name, gradient in gradients.items():
            mean = first.setdefault(name, torch.zeros_like(gradient)).lerp_(gradient, 1 - _BETAS[0])
            square = second.setdefault(name, torch.zeros_like(gradient)).lerp_(gradient.square(), 1 - _BETAS[1])
            spread = (square / (1 - _BETAS[1] ** steps)).sqrt_().add_(_EPSILON)
            weights[name].addcmul_(mean / spread, paces[name] / (1 - _BETAS[0] ** steps), value=-1)

    return update


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
