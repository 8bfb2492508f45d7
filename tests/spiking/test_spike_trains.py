"""Encoders and statistics of spike trains, on processes whose answers are known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from replica.spiking import (
    Operations,
    branching_factor,
    change_spikes,
    energy_ratio,
    firing_rates,
    interval_variation,
    latency_spikes,
    population_rates,
    rate_spikes,
    synaptic_operations,
    synchrony,
)

DRAW = torch.Generator()


def test_rates_are_probabilities() -> None:
    values = torch.tensor([0.0, 0.2, 0.7, 1.0])
    spikes = rate_spikes(values, 20_000, generator=DRAW.manual_seed(0))
    assert spikes.unique().tolist() == [0, 1]
    spread = 4 * (values * (1 - values) / 20_000).sqrt()
    assert ((firing_rates(spikes) - values).abs() <= spread + 1e-6).all()
    again = rate_spikes(values, 20_000, generator=DRAW.manual_seed(0))
    assert torch.equal(spikes, again)


def test_latency_tells_the_value_back() -> None:
    values = torch.rand(3, 4, generator=DRAW.manual_seed(0))
    spikes = latency_spikes(values, 101)
    assert (spikes.sum(0) == 1).all()
    torch.testing.assert_close(1 - spikes.argmax(0) / 100, values, atol=0.0051, rtol=0)
    assert latency_spikes(values, 101, silent_below=0.5).sum() == (values > 0.5).sum()


def test_changes_follow_the_signal() -> None:
    """Up minus down, times the threshold, is the signal to within one threshold where it moves slowly."""
    time = torch.linspace(0, 6 * math.pi, 2000, dtype=torch.float64)
    signal = torch.stack([time.sin(), 0.5 * (2 * time).cos()], -1)
    spikes = change_spikes(signal, 0.05)
    rebuilt = signal[0] + 0.05 * (spikes[..., 0] - spikes[..., 1]).cumsum(0)
    assert (rebuilt - signal).abs().max() <= 0.05 + 1e-9
    assert not (spikes[..., 0] * spikes[..., 1]).any()


def test_a_population_peaks_at_its_value() -> None:
    values = torch.tensor([0.0, 0.25, 0.8])
    rates = population_rates(values, 21)
    assert (rates.argmax(-1) / 20).tolist() == pytest.approx(values.tolist())
    assert rates.max() <= 1
    # Its neighbours' centres are γ = 1.5 standard deviations away.
    assert float(rates[1, 4]) == pytest.approx(math.exp(-(1.5**2) / 2), rel=1e-4)


def test_clocks_and_coins() -> None:
    clock = torch.zeros(1000, 1)
    clock[::7] = 1
    coin = rate_spikes(torch.full((1,), 0.05), 200_000, generator=DRAW.manual_seed(1))
    assert float(interval_variation(clock)) == pytest.approx(0, abs=1e-3)
    # Geometric intervals: CV = √(1 − p).
    assert float(interval_variation(coin)) == pytest.approx(math.sqrt(0.95), abs=0.02)
    lone = torch.zeros(10, 2)
    lone[3, 0] = 1
    assert interval_variation(lone).isnan().all()


def test_unison_and_independence() -> None:
    train = rate_spikes(torch.full((1,), 0.3), 5000, generator=DRAW.manual_seed(2))
    assert float(synchrony(train.expand(5000, 50))) == pytest.approx(1, abs=1e-5)
    alone = rate_spikes(torch.full((100,), 0.3), 5000, generator=DRAW.manual_seed(3))
    assert float(synchrony(alone)) == pytest.approx(0.1, abs=0.01)
    with pytest.raises(ValueError, match="never changes"):
        synchrony(torch.zeros(10, 3))


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9, 0.98])
def test_branching_is_found(factor: float) -> None:
    rng = np.random.default_rng(0)
    activity = np.empty(20_000)
    activity[0] = 50 / (1 - factor)
    for t in range(1, len(activity)):
        activity[t] = rng.poisson(factor * activity[t - 1] + 50)
    assert branching_factor(torch.tensor(activity)) == pytest.approx(factor, abs=0.03)
    if factor >= 0.9:  # seen through one spike in twenty, the plain slope is too low and many lags are not
        seen = torch.tensor(rng.binomial(activity.astype(int), 0.05).astype(float))
        assert branching_factor(seen) < factor - 0.1
        assert branching_factor(seen, longest=30) == pytest.approx(factor, abs=0.05)


def test_operations_are_counted_by_hand() -> None:
    spikes = torch.zeros(2, 6)
    spikes[0, :2] = 1
    spikes[1, 5] = 1
    net = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 3))
    found = synaptic_operations(net, spikes)
    assert found == Operations(additions=3 * 4, multiplications=2 * 4 * 3, dense=2 * (24 + 12), spikes=3)
    assert found.picojoules() == pytest.approx(0.9 * 12 + 4.6 * 24)
    assert energy_ratio(found) == pytest.approx((0.9 * 12 + 4.6 * 24) / (4.6 * 72))
    image = torch.zeros(1, 2, 5, 5)
    image[0, 0, 2, 2] = 1  # in the middle: reaches 3 × 3 places of 4 channels
    image[0, 1, 0, 0] = 1  # in a corner: 2 × 2
    convolution = nn.Conv2d(2, 4, 3, padding=1)
    assert synaptic_operations(convolution, image).additions == 4 * (9 + 4)
    assert synaptic_operations(convolution, image).dense == 4 * 25 * 2 * 9
    assert not convolution._forward_hooks
    with pytest.raises(ValueError, match="operations"):
        energy_ratio(Operations(0.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (lambda: rate_spikes(torch.tensor([1.5]), 3), "values"),
        (lambda: latency_spikes(torch.tensor([0.5]), 0), "steps"),
        (lambda: change_spikes(torch.zeros(3), 0.0), "threshold"),
        (lambda: population_rates(torch.zeros(2), 1), "units"),
        (lambda: branching_factor(torch.ones(2)), "activity"),
        (lambda: branching_factor(torch.ones(20)), "activity"),
    ],
)
def test_wrong_arguments_are_named(wrong, name) -> None:
    with pytest.raises(ValueError, match=name):
        wrong()
