"""The studies of scalable_kernel_layers: the rival adapters, what is trained, the split of classes, and judges on made tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.papers.kernels.scalable_kernel_layers import (
    ADAPTERS,
    Bottleneck,
    LowRank,
    accuracy,
    cross_entropy,
    errors_by_features,
    paper,
    signals,
    train,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_adapters_change_nothing_at_the_start_and_have_the_numbers_that_they_are_said_to_have():
    x, counts = torch.randn(5, 64, generator=generator()), {}
    for name, (_, make) in ADAPTERS.items():
        adapter = make(64, generator(1))
        torch.testing.assert_close(adapter(x), x)
        counts[name] = sum(weight.numel() for weight in adapter.parameters())
    assert counts["read-out alone"] == 0
    assert counts["bottleneck, 20"] == 2 * 64 * 20 + 20 == 2580
    assert counts["kernel, 8"] == counts["low rank, 4"] == 512
    assert counts["bottleneck, 4"] == 516  # its biases


def test_rivals_are_their_formulas():
    x = torch.randn(5, 6, generator=generator())
    bottleneck, low = Bottleneck(6, 3, generator(1)), LowRank(6, 2, generator(2))
    with torch.no_grad():
        bottleneck.up.copy_(torch.randn(6, 3, generator=generator(3)))
        low.up.copy_(torch.randn(6, 2, generator=generator(4)))
        layer = bottleneck.down[0] if isinstance(bottleneck.down, nn.Sequential) else bottleneck.down
        expected = x + (x @ layer.weight.T + layer.bias).clamp_min(0) @ bottleneck.up.T
    torch.testing.assert_close(bottleneck(x), expected)
    torch.testing.assert_close(low(x) - x, torch.einsum("ri,bi,or->bo", low.down, x, low.up))
    assert torch.linalg.matrix_rank(low(torch.eye(6)) - torch.eye(6)) == 2


def test_only_what_requires_gradients_is_trained_and_accuracy_counts():
    x = torch.randn(300, 4, generator=generator())
    y = (x[:, 0] > 0).long()
    frozen, head = nn.Linear(4, 4), nn.Linear(4, 2)
    nn.init.eye_(frozen.weight)
    for zero in (frozen.bias, head.weight, head.bias):
        nn.init.zeros_(zero)
    frozen.requires_grad_(False)
    before, model = frozen.weight.clone(), nn.Sequential(frozen, head)
    train(model, cross_entropy, (x, y), 30, 3e-2, generator(5))
    assert torch.equal(frozen.weight, before)
    assert accuracy(model, x, y) > 0.9
    assert accuracy(nn.Identity(), torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 1, 1, 2])) == 0.75


def test_signals_are_standardised_and_every_class_is_on_both_sides_of_the_split():
    inputs, labels = signals(Trial(100, "smoke"))
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-4)
    assert float(inputs.std()) == pytest.approx(1, abs=1e-4)
    other = labels[labels >= 5] - 5
    split = 3 * len(other) // 5
    for part in (other[:split], other[split:]):
        assert torch.bincount(part, minlength=5).min() > 0.1 * len(part)


def test_measured_errors_fall_and_judges_find_planted_slopes():
    found = pd.DataFrame(errors_by_features(Trial(100, "smoke")))
    assert (found.groupby("activation")["error"].first() > found.groupby("activation")["error"].last()).all()
    counts = np.array([64, 256, 1024, 4096])
    rows = [
        {"activation": name, "features": count, "error": 2.0 * count**slope}
        for name, slope in (("sin", -0.5), ("cos", -0.4))
        for count in counts
    ]
    measures = paper.claims["approximates_layer"].measures(pd.DataFrame(rows[::-1]))
    assert measures == pytest.approx({"sine": -0.5, "cosine": -0.4, "error_of_sine": 2 / 64})


def test_judges_of_accuracy_are_signed():
    score = dict(zip(ADAPTERS, ((0.60, 0), (0.80, 5160), (0.74, 1032), (0.75, 1024), (0.77, 1024)), strict=True))
    table = pd.DataFrame([{"adapter": k, "accuracy": a, "parameters": n} for k, (a, n) in score.items()])
    found = paper.claims["fewer_parameters"].measures(table)
    wanted = {"accuracy_lost": 0.03, "gain_over_small_bottleneck": 0.03, "gain_over_low_rank": 0.02}
    wanted |= {"gain_of_large_bottleneck": 0.2, "share_of_parameters": 1024 / 5160}
    assert found == pytest.approx(wanted)
    networks = {"explicit optimum": 0.60, "trained by Adam": 0.58, "perceptron": 0.65}
    table = pd.DataFrame([{"network": name, "accuracy": value} for name, value in networks.items()])
    found = paper.claims["bypasses_backpropagation"].measures(table)
    wanted = {"accuracy_behind_descent": -0.02, "accuracy_behind_perceptron": 0.05, "accuracy_of_descent": 0.58}
    assert found == pytest.approx(wanted)
