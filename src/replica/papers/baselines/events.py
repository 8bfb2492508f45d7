"""The problem events' own methods: the commonest class, counts alone, a GRU, a convolutional and a spiking network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from replica.lab.claims import LogUniform, Trial, Uniform
from replica.lab.problems.baseline import Baselines
from replica.training import EventClassifier

baselines = Baselines()
RATES = {"learning_rate": LogUniform(5e-4, 5e-2)}


class Majority:
    """Tells the commonest class of all recordings: what a method is worth that does not look."""

    def fit(self, events: Tensor, labels: Tensor) -> None:
        """Count the classes."""
        self.shares = torch.bincount(labels).float() / len(labels)

    def predict(self, events: Tensor) -> Tensor:
        """Their shares, for every recording."""
        return self.shares.expand(len(events), -1)


class CountsLinear(nn.Module):
    """A linear read-out of how often each unit fired: what can be told without time.

    Args:
        units: Units.
        classes: Classes.
    """

    def __init__(self, units: int, classes: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(units))
        self.register_buffer("variance", torch.ones(units))
        self.head = nn.Linear(units, classes)

    def forward(self, events: Tensor) -> Tensor:
        """Scores of ``(batch, time, units)`` events."""
        counts = events.sum(dim=1)
        scaled = nn.functional.batch_norm(
            counts,
            self.mean,
            self.variance,
            training=self.training and len(counts) > 1,  # one recording has no spread to be scaled by
        )
        scores: Tensor = self.head(scaled)
        return scores


class Gru(nn.Module):
    """A gated recurrent network (Cho et al., 2014), read out from the mean and the last of its states.

    Args:
        units: Units.
        classes: Classes.
        width: Recurrent units.
    """

    def __init__(self, units: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.recurrent = nn.GRU(units, width, batch_first=True)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, events: Tensor) -> Tensor:
        """Scores of ``(batch, time, units)`` events."""
        states, last = self.recurrent(events)
        scores: Tensor = self.head(torch.cat([states.mean(dim=1), last[0]], dim=1))
        return scores

    def operations(self, events: Tensor) -> Mapping[str, float]:
        """Multiply-accumulates of an inference, which PyTorch's counter does not see on every device."""
        steps = events.shape[1]
        return {"operations": float(steps * _weights(self.recurrent) + _weights(self.head)), "spikes": 0.0}


class TemporalConvolutions(nn.Module):
    """Two convolutions along time with pooling, and a linear read-out of the maxima in four stretches of time.

    Args:
        units: Units.
        classes: Classes.
        width: Channels.
        kernel: Steps that a convolution sees; odd.
    """

    def __init__(self, units: int, classes: int, width: int = 64, kernel: int = 9) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(units, width, kernel, padding=kernel // 2), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True),
            nn.Conv1d(width, width, kernel, padding=kernel // 2), nn.ReLU(), nn.AdaptiveMaxPool1d(4), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(4 * width, classes)

    def forward(self, events: Tensor) -> Tensor:
        """Scores of ``(batch, time, units)`` events."""
        scores: Tensor = self.head(self.body(events.transpose(1, 2)))
        return scores


class SpikingNetwork(nn.Module):
    """A feed-forward network of two layers of leaky integrate-and-fire neurons, without delays or recurrence.

    Scores are the mean over time of leaky integrators that the second layer drives. Trained through time with a surrogate
    gradient (Neftci, Mostafa and Zenke, 2019).

    Args:
        units: Units.
        classes: Classes.
        width: Neurons a layer.
        decay: Of the membrane potential in a step, within (0, 1).
    """

    def __init__(self, units: int, classes: int, width: int = 128, decay: float = 0.9) -> None:
        super().__init__()
        self.decay = decay
        self.first, self.second = nn.Linear(units, width), nn.Linear(width, width)
        self.head = nn.Linear(width, classes)
        # Spikes are few: larger weights than a dense network's let the first ones pass.
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight, std=2 / math.sqrt(layer.in_features))

    def forward(self, events: Tensor) -> Tensor:
        """Scores of ``(batch, time, units)`` events."""
        second = self.spikes(events)[1]
        # The mean over time of a leaky integrator weighs each step's input with what is left of it until the end.
        steps = len(second)
        left = torch.arange(steps, 0, -1, device=events.device, dtype=events.dtype)
        weights = (1 - self.decay**left) / ((1 - self.decay) * steps)
        scores: Tensor = self.head(torch.einsum("t,tbu->bu", weights, second))
        return scores

    def spikes(self, events: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes of both layers, shape ``(time, batch, width)``."""
        first = leaky_integrate_and_fire(self.first(events.transpose(0, 1)), self.decay)
        return first, leaky_integrate_and_fire(self.second(first), self.decay)

    @torch.no_grad()
    def operations(self, events: Tensor) -> Mapping[str, float]:
        """Additions of an inference: each event and each spike adds one weight to every neuron it reaches."""
        counts = [float(each.sum()) / len(events) for each in (events, *self.spikes(events))]
        fan_out = (self.first.out_features, self.second.out_features, self.head.out_features)
        added = sum(count * reached for count, reached in zip(counts, fan_out, strict=True))
        return {"operations": added, "spikes": counts[1] + counts[2]}


def leaky_integrate_and_fire(currents: Tensor, decay: float) -> Tensor:
    """Spikes of leaky integrate-and-fire neurons with threshold 1, which a spike lowers by 1.

    v_t = β (v_{t−1} − s_{t−1}) + I_t and s_t = 1 where v_t ≥ 1, else 0. Backward, ds/dv is 1 / (1 + 5 |v − 1|)², and the
    path through the reset is left out (Zenke and Vogels, 2021).

    Args:
        currents: I, shape ``(time, batch, neurons)``.
        decay: β.

    Example:
        >>> leaky_integrate_and_fire(torch.full((4, 1, 1), 0.6), 0.9).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    spikes: Tensor = _Integrate.apply(currents, decay)
    return spikes


class _Integrate(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, currents: Tensor, decay: float) -> Tensor:
        potentials, spikes = torch.empty_like(currents), torch.empty_like(currents)
        left = torch.zeros_like(currents[0])
        for current, potential, spike in zip(currents, potentials, spikes, strict=True):
            torch.add(current, left, alpha=decay, out=potential)
            torch.ge(potential, 1, out=spike)
            torch.sub(potential, spike, out=left)
        context.decay = decay
        context.save_for_backward(potentials)
        return spikes

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (potentials,) = context.saved_tensors
        found = (potentials - 1).abs_().mul_(5).add_(1).square_().reciprocal_().mul_(gradients[0])
        for later, earlier in zip(reversed(found[1:].unbind()), reversed(found[:-1].unbind()), strict=True):
            earlier.add_(later, alpha=context.decay)
        return found, None


def _weights(module: nn.Module) -> int:
    return sum(parameter.numel() for name, parameter in module.named_parameters() if "weight" in name)


def _classifier(make: Callable[[int, int], nn.Module], trial: Trial, learning_rate: float) -> EventClassifier:
    return EventClassifier(
        lambda steps, classes, shape: make(math.prod(shape), classes),
        trial.generator("weights", "cpu"),
        learning_rate=learning_rate,
    )


@baselines.entry("majority", "the commonest class: the trivial method")
def majority(trial: Trial) -> Majority:
    """Takes no randomness."""
    return Majority()


@baselines.entry("counts-linear", "linear in how often each unit fired: blind to time", space=RATES)
def counts_linear(trial: Trial, learning_rate: float = 2e-2) -> EventClassifier:
    """Batch-normalised counts."""
    return _classifier(CountsLinear, trial, learning_rate)


@baselines.entry("gru", "a gated recurrent network (Cho et al., 2014): what people use today", space=RATES)
def gru(trial: Trial, learning_rate: float = 1e-2) -> EventClassifier:
    """64 units."""
    return _classifier(Gru, trial, learning_rate)


@baselines.entry("conv-1d", "two convolutions along time with pooling", space=RATES)
def conv_1d(trial: Trial, learning_rate: float = 4e-3) -> EventClassifier:
    """64 channels."""
    return _classifier(TemporalConvolutions, trial, learning_rate)


@baselines.entry(
    "spiking-net",
    "two layers of leaky integrate-and-fire neurons, with surrogate gradients",
    space={**RATES, "decay": Uniform(0.6, 0.99)},
)
def spiking_net(trial: Trial, learning_rate: float = 5e-3, decay: float = 0.9) -> EventClassifier:
    """128 neurons a layer."""
    return _classifier(partial(SpikingNetwork, decay=decay), trial, learning_rate)
