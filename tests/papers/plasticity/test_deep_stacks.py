from functools import partial

import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.plasticity.deep_stacks import adam, memory, memory_over_layers, operations, samples, stack
from replica.plasticity import AugLocal, MomentumAuxiliary

trial = Trial(100, "smoke")
BACKPROP = partial(AugLocal, blocks=1, optimiser=adam(1e-3))


@pytest.fixture(scope="module")
def data():
    return samples(trial)


def test_samples_are_standardised_and_apart(data):
    assert data.inputs.shape == (64, 1, 40)
    assert data.asked.shape == (40, 1, 40)
    assert float(data.inputs.mean()) == pytest.approx(0, abs=1e-5)
    assert float(data.inputs.std()) == pytest.approx(1, abs=1e-5)
    rows = torch.cat([data.inputs, data.asked]).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows)


def test_what_lies_there_is_weights_and_two_moments_each(data):
    parameters = list(stack(trial, 3).parameters())
    _, kept = memory(trial, data, 3, BACKPROP)
    counters = 4 * len(parameters)  # Adam's count of steps, one a parameter
    assert kept == 3 * 4 * sum(parameter.numel() for parameter in parameters) + counters


def test_averages_lie_there_without_moments(data):
    make = partial(MomentumAuxiliary, optimiser=adam(1e-3))
    _, both = memory(trial, data, 3, make)
    _, bias = memory(trial, data, 3, partial(make, average=False))
    second, third = list(stack(trial, 3))[1:3]
    followed = [parameter for layer in (second, third) for parameter in layer.parameters()]
    assert both - bias == 4 * sum(parameter.numel() for parameter in followed)


def test_arithmetic_of_a_step_is_that_of_its_products(data):
    """32 rows; forward, and back to inputs and to weights, but not to the network's input."""
    found = operations(trial, data, 3, BACKPROP)
    first = 2 * 32 * 40 * 4 * 1 * 3
    second, third = 2 * 32 * 20 * 4 * 4 * 3, 2 * 32 * 10 * 4 * 4 * 3  # halved once after each third of the layers
    head = 2 * 32 * 4 * 10
    strides = [layer[0].stride[0] for layer in list(stack(trial, 3))[:-1]]
    assert strides == [2, 2, 1]
    assert found == 2 * first // 2 + 3 * (second // 2 + third + head)


def test_savings_are_shares_of_backpropagations_memory():
    methods = {"backprop": BACKPROP, "same": BACKPROP}
    saved, series = memory_over_layers(trial, methods, "same")
    assert saved == [0.0, 0.0]
    assert series["layers"] == [2, 2, 4, 4]
