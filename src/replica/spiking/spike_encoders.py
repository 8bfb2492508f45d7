"""Spike trains from numbers: by rate, by latency, by change, and by a population of tuned units."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def rate_spikes(
    values: Float[Tensor, "*shape"], steps: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "steps *shape"]:
    """Bernoulli spikes: at each step a spike with the probability that the value gives, independent of all others.

    Args:
        values: Probabilities of a spike a step, in [0, 1].
        steps: Length of the trains.
        generator: Source of the spikes.

    Raises:
        ValueError: if a value is outside [0, 1] or there is no step.

    Example:
        >>> rate_spikes(torch.tensor([0.0, 1.0]), 3)
        tensor([[0., 1.],
                [0., 1.],
                [0., 1.]])
    """
    _check(values, steps)
    drawn = torch.rand(steps, *values.shape, generator=generator, device=values.device, dtype=values.dtype)
    return (drawn < values).to(values.dtype)


def latency_spikes(
    values: Float[Tensor, "*shape"], steps: int, *, silent_below: float = 0.0
) -> Float[Tensor, "steps *shape"]:
    """One spike each, the sooner the larger the value: at step ⌊(1 − value)(steps − 1) + ½⌋ (Thorpe et al. 2001).

    Args:
        values: In [0, 1].
        steps: Length of the trains.
        silent_below: Values up to this one give no spike.

    Raises:
        ValueError: if a value is outside [0, 1] or there is no step.

    Example:
        >>> latency_spikes(torch.tensor([1.0, 0.5, 0.0]), 3).T
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 0.]])
    """
    _check(values, steps)
    times = ((1 - values) * (steps - 1) + 0.5).floor().long()
    spikes = torch.zeros(steps, *values.shape, device=values.device, dtype=values.dtype)
    return spikes.scatter_(0, times[None], (values > silent_below).to(values.dtype)[None])


def change_spikes(signal: Float[Tensor, "time *shape"], threshold: float) -> Float[Tensor, "time *shape two"]:
    """ON and OFF spikes where a signal has moved by a threshold since the last spike, as an event camera sends them.

    The reference moves by one threshold a spike; one spike a step at most.

    Args:
        signal: Values over time; the first is the first reference.
        threshold: Of change, above 0, in the signal's unit.

    Returns:
        Spikes, the last axis being rise and fall.

    Raises:
        ValueError: if the threshold is not above 0.

    Source: Lichtsteiner, Posch and Delbruck 2008, section II.

    Example:
        >>> change_spikes(torch.tensor([0.0, 0.6, 1.2, 0.0]), 0.5)[:, 0]
        tensor([0., 1., 1., 0.])
    """
    if not threshold > 0:
        raise ValueError(f"threshold: got {threshold}, want more than 0")
    reference = signal[0].clone()
    found = torch.zeros(*signal.shape, 2, device=signal.device, dtype=signal.dtype)
    for value, spikes in zip(signal[1:], found[1:], strict=True):
        rise, fall = value - reference >= threshold, reference - value >= threshold
        spikes[..., 0], spikes[..., 1] = rise, fall
        reference.add_(threshold * (rise.to(signal.dtype) - fall.to(signal.dtype)))
    return found


def population_rates(
    values: Float[Tensor, "*shape"], units: int, *, overlap: float = 1.5
) -> Float[Tensor, "*shape units"]:
    """Rates of units tuned to different values: Gaussian bumps with centres evenly over [0, 1].

    Args:
        values: In [0, 1].
        units: Tuned units a value, 2 or more.
        overlap: γ: bumps have the standard deviation 1 / (γ (units − 1)).

    Returns:
        Rates in [0, 1], for `rate_spikes` or `latency_spikes`.

    Raises:
        ValueError: if a value is outside [0, 1], there are fewer than two units, or the overlap is not above 0.

    Source: Bohte, Kok and La Poutré 2002, section 3.2 (with centres from end to end).

    Example:
        >>> population_rates(torch.tensor(0.5), 3).argmax()
        tensor(1)
    """
    _check(values, 1)
    if units < 2 or not overlap > 0:
        raise ValueError(f"units, overlap: got {units}, {overlap}, want 2 or more and above 0")
    centres = torch.linspace(0, 1, units, device=values.device, dtype=values.dtype)
    spread = 1 / (overlap * (units - 1))
    return torch.exp(-(((values[..., None] - centres) / (math.sqrt(2) * spread)) ** 2))


def _check(values: Tensor, steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps: got {steps}, want 1 or more")
    if values.numel() and not (float(values.min()) >= 0 and float(values.max()) <= 1):
        raise ValueError(f"values: got from {float(values.min()):g} to {float(values.max()):g}, want them in [0, 1]")
