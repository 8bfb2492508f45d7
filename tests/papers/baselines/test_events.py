"""The baselines of events: spiking neurons by a plain loop, networks that see time and those that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from replica.data import EventSet, delayed_coincidences
from replica.lab.claims import Trial
from replica.lab.problems import Dataset, Events, Outcome
from replica.papers.baselines.events import SpikingNetwork, leaky_integrate_and_fire
from replica.training import EventClassifier

problem = Events()


def small(count: int = 90, steps: int = 5, units: int = 6) -> Dataset:
    """Three classes, each with two units of its own."""
    labels = np.arange(count) % 3
    events = np.zeros((count, steps, units), np.uint8)
    events[np.arange(count), np.arange(count) % steps, 2 * labels] = 1
    events[:, 0, 2 * labels + 1] = 0
    return Dataset("small", "", EventSet(events, labels, ("a", "b", "c"), (units,)), "small", (units,))


def run(make: Callable[[Trial], Any], dataset: Dataset | None = None, seed: int = 0, **options: Any) -> Outcome:
    return problem.run(Trial(seed), make, dataset or small(), problem.resolve(options), examples=True)


def test_neurons_are_the_plain_loop() -> None:
    currents = torch.randn(15, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.3
    spikes = leaky_integrate_and_fire(currents, 0.8)
    potential = torch.zeros(3, 4, dtype=torch.float64)
    for current, spike in zip(currents, spikes, strict=True):
        potential = 0.8 * potential + current
        torch.testing.assert_close(spike, (potential >= 1).double())
        potential = potential - spike
    assert 0.1 < float(spikes.mean()) < 0.9


def test_gradients_are_those_of_the_plain_loop() -> None:
    class Step(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, over: Tensor) -> Tensor:
            context.save_for_backward(over)
            return (over >= 0).to(over.dtype)

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> Tensor:
            (over,) = context.saved_tensors
            return gradient / (1 + 5 * over.abs()) ** 2

    generator = torch.Generator().manual_seed(1)
    currents = (torch.randn(12, 2, 3, dtype=torch.float64, generator=generator) + 0.3).requires_grad_()
    weights = torch.randn(12, 2, 3, dtype=torch.float64, generator=generator)
    (found,) = torch.autograd.grad((leaky_integrate_and_fire(currents, 0.9) * weights).sum(), currents)
    potential, total = torch.zeros(2, 3, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for current, weight in zip(currents, weights, strict=True):
        potential = 0.9 * potential + current
        spike = Step.apply(potential - 1)
        total = total + (spike * weight).sum()
        potential = potential - spike.detach()
    torch.testing.assert_close(found, torch.autograd.grad(total, currents)[0])


def test_the_read_out_is_a_leaky_integrators_mean() -> None:
    torch.manual_seed(0)
    net = SpikingNetwork(4, 3, width=6, decay=0.7)
    events = (torch.rand(2, 9, 4) < 0.5).float()
    with torch.no_grad():
        second = net.spikes(events)[1]
        level, mean = torch.zeros(2, 3), torch.zeros(2, 3)
        for spikes in second:
            level = 0.7 * level + spikes @ net.head.weight.T
            mean += level / 9
        torch.testing.assert_close(net(events), mean + net.head.bias)


@pytest.mark.parametrize("name", ["counts-linear", "gru", "conv-1d", "spiking-net"])
def test_networks_repeat_and_leave_the_global_generator_alone(name: str) -> None:
    (baseline,) = (each for each in problem.baselines() if each.name == name)
    outcomes = []
    for seed in (3, 3, 4):
        torch.manual_seed(0)
        state = torch.random.get_rng_state()
        outcome = problem.run(Trial(seed, "smoke"), baseline.make, small(), problem.resolve({}))
        assert torch.equal(torch.random.get_rng_state(), state)
        outcomes.append({key: float(value) for key, value in outcome.metrics.items() if key != "train_seconds"})
    assert outcomes[0] == outcomes[1]


def test_only_networks_that_see_time_read_latencies() -> None:
    made = delayed_coincidences(400, classes=3, lost=0.0, noise=0.0, seed=1)
    dataset = Dataset("few", "", made, "few", made.shape)
    accuracy = {
        baseline.name: float(run(baseline.make, dataset, seed=7, epochs=20).metrics["accuracy"])
        for baseline in problem.baselines()
    }
    assert max(accuracy["majority"], accuracy["counts-linear"]) < 0.5
    assert min(accuracy["gru"], accuracy["conv-1d"]) > 0.75
    assert accuracy["spiking-net"] > 0.5


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="learning_rate is 0"):
        EventClassifier(lambda *_: nn.Identity(), learning_rate=0)
    with pytest.raises(ValueError, match="labels: got 2 for 3"):
        EventClassifier(lambda *_: nn.Identity()).fit(torch.zeros(3, 2, 2), torch.zeros(2))
