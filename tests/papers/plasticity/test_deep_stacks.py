from dataclasses import replace
from functools import partial

import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.plasticity.deep_stacks import (
    RATES,
    memory,
    memory_over_layers,
    operations,
    samples,
    stack,
    trained,
    trained_alike,
)
from replica.plasticity import AugLocal, MomentumAuxiliary

trial = Trial(100, "smoke")
BACKPROP = partial(AugLocal, blocks=1)


@pytest.fixture(scope="module")
def data():
    return samples(trial)


def test_samples_are_standardised_and_apart(data):
    assert data.inputs.shape == (64, 1, 40)
    assert data.held.shape == (16, 1, 40)
    assert data.asked.shape == (40, 1, 40)
    known = torch.cat([data.inputs, data.held])
    assert float(known.mean()) == pytest.approx(0, abs=1e-5)
    assert float(known.std()) == pytest.approx(1, abs=1e-5)
    rows = torch.cat([known, data.asked]).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows)


def test_every_method_tries_the_same_rates_and_test_samples_choose_none(data):
    tried = []

    def make(network, example, *, optimiser, generator):
        trainer = AugLocal(network, example, depth=0, optimiser=optimiser, generator=generator)
        tried.append((trainer.optimisers[0].param_groups[0]["lr"], [p.detach().clone() for p in trainer.parameters()]))
        return trainer

    found = trained(trial, data, 3, make)
    assert [rate for rate, _ in tried] == list(RATES)
    assert all(torch.equal(one, other) for one, other in zip(tried[0][1], tried[1][1], strict=True))
    assert found.rate in RATES
    blind = trained(trial, replace(data, truth=torch.full_like(data.truth, 10)), 3, make)
    assert blind == (0.0, found.rate)


def test_the_rate_that_tells_more_held_out_samples_goes_on(data):
    """Held-out labels that only one of the two trained networks gives decide for that one."""
    told = {}

    class Watched(AugLocal):
        def forward(self, inputs):
            scores = super().forward(inputs)
            if torch.equal(inputs, data.held):
                told[self.optimisers[0].param_groups[0]["lr"]] = scores.argmax(1)
            return scores

    make = partial(Watched, blocks=1)
    trained(trial, data, 3, make)
    assert not torch.equal(told[RATES[0]], told[RATES[1]])
    for rate in RATES:
        assert trained(trial, replace(data, held_labels=told[rate]), 3, make).rate == rate


def test_variants_share_the_rate_that_is_better_in_the_mean(data):
    alone = {name: trained(trial, data, 3, partial(AugLocal, depth=depth)) for name, depth in (("a", 0), ("b", 1))}
    both = trained_alike(trial, data, 3, {"a": partial(AugLocal, depth=0), "b": partial(AugLocal, depth=1)})
    assert both["a"].rate == both["b"].rate
    for name, found in both.items():
        assert found.rate != alone[name].rate or found == alone[name]
    assert {both["a"].rate} <= {found.rate for found in alone.values()}


def test_what_lies_there_is_weights_and_two_moments_each():
    parameters = list(stack(trial, 3, (8, 8)).parameters())
    _, kept = memory(trial, 3, BACKPROP)
    counters = 4 * len(parameters)  # Adam's count of steps, one a parameter
    assert kept == 3 * 4 * sum(parameter.numel() for parameter in parameters) + counters


def test_averages_lie_there_without_moments():
    _, both = memory(trial, 3, MomentumAuxiliary)
    _, bias = memory(trial, 3, partial(MomentumAuxiliary, average=False))
    second, third = list(stack(trial, 3, (8, 8)))[1:3]
    followed = [parameter for layer in (second, third) for parameter in layer.parameters()]
    assert both - bias == 4 * sum(parameter.numel() for parameter in followed)


@pytest.mark.parametrize(
    ("make", "alive"),
    [
        (partial(AugLocal, depth=0), 3),  # what comes in, what goes out, the gradient before the ReLU
        (MomentumAuxiliary, 5),  # also the two outputs of the followed layer, or gradients in their place
        (partial(MomentumAuxiliary, average=False), 4),
        (partial(AugLocal, depth=3), 4),  # the gradient behind the ReLU too, as it is not the same for all positions
    ],
)
def test_a_step_holds_few_outputs_of_a_layer_however_many_the_layers(make, alive):
    """Counted by hand in outputs of a layer of 4 channels on 64 digits, while the digits are not halved yet."""
    output = 64 * 4 * 64 * 4
    for depth in (12, 18):
        step, _ = memory(trial, depth, make)
        assert alive <= step / output < alive + 0.15


def test_backpropagation_holds_the_outputs_of_all_layers():
    output = 64 * 4 * 64 * 4
    step, _ = memory(trial, 12, BACKPROP)
    assert 3 + 9 / 4 <= step / output < 3 + 9 / 4 + 0.5  # three layers see 8 × 8 positions, nine give 4 × 4


def test_arithmetic_of_a_step_is_that_of_its_products(data):
    """32 rows; forward, and back to inputs and to weights, but not to the network's input."""
    found = operations(trial, data, 3, BACKPROP)
    first = 2 * 32 * 40 * 4 * 1 * 3
    second, third = 2 * 32 * 20 * 4 * 4 * 3, 2 * 32 * 10 * 4 * 4 * 3  # halved once after each third of the layers
    head = 2 * 32 * 4 * 10
    strides = [layer[0].stride[0] for layer in list(stack(trial, 3, (40,)))[:-1]]
    assert strides == [2, 2, 1]
    assert found == 2 * first // 2 + 3 * (second // 2 + third + head)


def test_memory_is_judged_at_one_depth_and_shown_over_all():
    found, series = memory_over_layers(trial, {"backprop": BACKPROP, "same": BACKPROP})
    assert found["same"] / found["backprop"] == 1.0
    assert found["same"] == memory(trial, 4, BACKPROP)
    assert series["layers"] == [2, 2, 4, 4]
    assert series["megabytes"][-1] == pytest.approx(sum(found["same"]) / 1e6)
