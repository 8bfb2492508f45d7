"""The studies of generalization_dynamics: judges on made tables, tasks and starts, training against descent by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.kernels.generalization_dynamics import (
    INPUTS,
    NOISE,
    linear_networks,
    networks,
    paper,
    relu_task,
    summary,
    trained,
)


def generator():
    return torch.Generator().manual_seed(0)


def test_judge_of_linear_networks_finds_what_is_planted():
    """Errors 3 % over theory; the most is lost at load 1; the start adds 1 − α, and 0.02 more at one load."""
    rows = []
    for start in (0.0, 1.0):
        for load, lost in ((0.1, 0.1), (0.5, 0.5), (1.0, 4.0), (2.0, 0.3)):
            rise = start * max(1 - load, 0) + (0.02 if start and load == 0.1 else 0)
            own = {"load": load, "ratio": 1.0, "start": start}
            rows += [
                {**own, "time": 1.0, "error": 1.03, "theory": 1.0, "best": 1.0},
                {**own, "time": 2.0, "error": 2.0, "theory": 2.0, "best": 1.0},
                {**own, "time": None, "error": 1.03 + lost + rise, "theory": None, "best": 1.0},
            ]
    found = paper.claims["linear_training"].measures(pd.DataFrame(rows))
    assert found["largest_relative_gap"] == pytest.approx(0.03)
    assert found["worst_load"] == 1.0
    assert found["largest_gap_of_optimum"] == pytest.approx(0.03)
    assert found["largest_deviation_of_start"] == pytest.approx(0.02)


def test_judge_of_large_networks_reads_its_rows():
    def rows(kind, by_share):
        return [
            summary(kind, share, round(100 * share), torch.tensor([9.0, least, last], dtype=torch.float64) - NOISE)
            for share, (last, least) in by_share.items()
        ]

    fixed = rows("first layer fixed", {0.125: (2.0, 1.8), 0.5: (3.0, 1.5), 1: (8.0, 1.6), 8: (1.6, 1.25)})
    found = paper.claims["large_networks"].measures(
        pd.DataFrame(fixed + rows("all weights trained", {0.25: (2.0, 2.0), 1: (3.0, 1.5), 8: (1.5, 1.5)}))
    )
    assert found["less_overtraining"] == pytest.approx(math.log(5) - math.log(1.28))
    assert found["overtraining_of_largest"] == pytest.approx(math.log(1.28))
    assert found["less_overtraining_all_weights"] == pytest.approx(math.log(2))
    assert found["gain_over_best_smaller"] == pytest.approx(math.log(2.0 / 1.6))


def test_judge_of_starts_takes_means_of_logs():
    table = {"scale": [0.1, 0.1, 1.0, 1.0], "error": [1.0, 4.0, 2.0, 18.0], "training_error": [0.0, 0.1, 0.2, 0.3]}
    found = paper.claims["small_weights"].measures(pd.DataFrame(table))
    assert found["penalty"] == pytest.approx(math.log(3))
    assert found["largest_training_error"] == pytest.approx(0.25)


def test_errors_are_the_signals_before_training_and_the_noises_after():
    table = pd.DataFrame(linear_networks(Trial(3, "smoke")))
    first = table[table["time"] == table["time"].min()]
    before = 1 + 1 / first["ratio"] + first["start"]
    assert np.allclose(first["theory"], before, rtol=0.04)
    assert (first["error"] / before).mean() == pytest.approx(1, abs=0.2)  # of 20 inputs and 4 runs
    last = table[table["time"].isna() & (table["load"] == 2)]
    assert np.allclose(last["theory"], 2 / last["ratio"])  # 1 / (α − 1) of the noise is learned
    assert (last["error"] / last["theory"]).mean() == pytest.approx(1, abs=0.2)


def test_tasks_have_variance_one_and_noise_in_samples_alone():
    X, y, tested, truth = relu_task(200, generator())
    assert (X.shape, y.shape, tested.shape, truth.shape) == ((200, INPUTS), (200,), (1000, INPUTS), (1000,))
    assert float(truth.var()) == pytest.approx(1, abs=0.1)
    assert float(relu_task(4000, generator())[1].var()) == pytest.approx(1 + NOISE, rel=0.1)


def test_starts_scale_with_their_factor():
    nets = networks([1.0, 0.1], 4000, generator())
    assert torch.allclose(
        nets.parameters["0.weight"].std(dim=(1, 2)) * INPUTS**0.5, torch.tensor([1.0, 0.1]).double(), rtol=0.02
    )
    assert torch.allclose(
        nets.parameters["2.weight"].std(dim=(1, 2)) * 4000**0.5, torch.tensor([1.0, 0.1]).double(), rtol=0.05
    )


def test_training_is_descent_at_half_of_what_the_kernels_trace_allows():
    tasks = [relu_task(12, torch.Generator().manual_seed(seed), tests=30) for seed in (0, 1)]
    errors, losses = trained(networks([1.0, 0.3], 15, generator()), tasks, 4)
    again, rates = [networks([1.0, 0.3], 15, generator()).model(place) for place in (0, 1)], []
    for net, (X, *_) in zip(again, tasks, strict=True):
        gradients = []
        for row in X:
            net.zero_grad()
            net(row[None]).sum().backward()
            gradients.append(sum(float(p.grad.square().sum()) for p in net.parameters()))
        rates.append(np.mean(gradients))
    for place, (net, (X, y, tested, truth)) in enumerate(zip(again, tasks, strict=True)):
        descent = torch.optim.SGD(net.parameters(), 0.5 / max(rates))
        for step in range(5):
            loss = (net(X)[:, 0] - y).square().mean()
            assert float(errors[step, place]) == pytest.approx(
                float((net(tested)[:, 0] - truth).square().mean().detach())
            )
            if step == 3:
                assert float(losses[place]) == pytest.approx(float(loss.detach()))
            descent.zero_grad()
            loss.backward()
            descent.step()
