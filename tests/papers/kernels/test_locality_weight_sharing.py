"""The studies of locality_weight_sharing: judges on curves whose needs are planted, batches, and what is learned."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from replica.data.sets.teachers.dynamic_signals import DynamicSignals, bayes_error
from replica.lab.claims import Trial
from replica.papers.kernels.locality_weight_sharing import (
    GOAL,
    Batches,
    curves,
    learned,
    needed,
    noise_of,
    paper,
    stacked,
)


def planted(needs, **columns):
    """Curves error = 5 % · need / examples, straight in logarithms, by method and the value of a column."""
    ((column, values),) = columns.items()
    return pd.DataFrame(
        {"method": method, column: value, "examples": examples, "error": GOAL * need(value) / examples}
        for method, need in needs.items()
        for value in values
        for examples in 2.0 ** np.arange(3, 14)
    )


def test_judges_find_planted_needs():
    needs = {"CNN": lambda k: 20 * (k + 64) / k, "LCN": lambda k: 20 * (k + 64)}
    found = paper.claims["growth_with_patches"].measures(planted(needs, patches=(8, 16, 32)))
    of_sum = np.polyfit(np.log([8, 16, 32]), np.log([72, 80, 96]), 1)[0]  # of ln(k + d)
    assert found["slope_of_ratio"] == pytest.approx(1)
    assert (found["slope_convolutional"], found["slope_locally_connected"]) == pytest.approx((of_sum, of_sum + 1))
    assert found["not_reached"] == 0
    found = paper.claims["growth_with_dimension"].measures(
        planted({"CNN": lambda d: 2 * d, "LCN": lambda d: 5 * d**1.5}, dim=(16, 48, 128))
    )
    assert (found["slope_convolutional"], found["slope_locally_connected"]) == pytest.approx((1, 1.5))
    few = planted({"CNN": lambda k: 20, "LCN": lambda k: 1e6 if k == 32 else 100}, patches=(8, 16, 32))
    assert paper.claims["growth_with_patches"].measures(few)["not_reached"] == 1


def test_a_curve_that_is_not_reached_can_only_weaken_the_ordering():
    table = planted({"CNN": lambda _: 20, "LCN": lambda _: 200, "FCN": lambda _: 1e5}, patches=(16,))
    found = paper.claims["ordering"].measures(table[table["examples"] <= 2048])
    assert found["locally_connected_over_convolutional"] == pytest.approx(np.log(10))
    assert found["fully_over_locally_connected"] == pytest.approx(np.log(2048 / 200))
    reached = [found[f"{name}_not_reached"] for name in ("convolutional", "locally_connected", "fully_connected")]
    assert reached == [0, 0, 1]


def test_five_per_cent_is_within_reach_at_all_sizes():
    assert max(bayes_error(k, noise_of(k)) for k in (8, 16, 32)) < GOAL / 4
    assert noise_of(8) == pytest.approx(2 * noise_of(32))


def test_batches_pair_inputs_with_targets_and_pass_over_each_once():
    inputs = torch.arange(2 * 100.0).view(2, 100, 1, 1)
    batches = Batches(inputs, inputs[:, :, 0, 0], torch.Generator().manual_seed(0))
    first, second = itertools.islice(batches, 2)
    assert all(torch.equal(seen[:, :, 0, 0], targets) for seen, targets in (first, second))
    both = torch.cat([first[1], second[1]], dim=1).sort(dim=1).values
    assert torch.equal(both, inputs[:, :, 0, 0])


def test_training_finds_the_signal():
    streams = [np.random.default_rng(seed).spawn(3) for seed in range(2)]
    teachers = [DynamicSignals(6, 8, 0.25, own[0]) for own in streams]
    data = stacked([teacher.examples(256, own[1]) for teacher, own in zip(teachers, streams, strict=True)])
    nets = learned("cnn", *data, torch.Generator().manual_seed(0), steps=200)
    filters = nets.parameters["weight"][:, 0].detach().double()
    signals = torch.from_numpy(np.stack([teacher.signal for teacher in teachers]))
    assert (torch.nn.functional.cosine_similarity(filters, signals).abs() > 0.9).all()


def test_curves_double_until_the_goal():
    table = pd.DataFrame(curves(Trial(0, "smoke"), [(2, 3)]))
    for _, own in table.groupby("method"):
        assert own["examples"].tolist() == [8 * 2**step for step in range(len(own))]
        assert (own["error"].iloc[:-1] > GOAL).all()
    assert needed(table[:1]).value == 8
