"""The studies of opposing_signals on cases that are known, and its judges on made tables."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.landscapes import LossSpikeTracker, OpposingGroups
from replica.papers.landscapes import opposing_signals as module
from replica.papers.landscapes.opposing_signals import (
    cosine,
    model_outliers,
    paper,
    spiking_descent,
    squared,
    toy_paths,
)


def judged(claim, rows):
    return paper.claims[claim].measures(pd.DataFrame(rows))


def test_toy_is_judged_by_who_is_higher_beyond_the_edge():
    gaps, sharpness = [1.0, -1.0, 1.0, 2.0, 3.0, 4.0], [2.5, 2.5, 2.5, 1.5, 0.5, 0.5]
    rows = [
        {"data": "outliers", "step": step, "gap": gap, "sharpness": sharp, "rise": step / 10, "loss": 0.0}
        for step, (gap, sharp) in enumerate(zip(gaps, sharpness, strict=True))
    ]
    rows += [
        {"data": "no outliers", "step": step, "gap": 1.0, "sharpness": 3.0, "rise": -step, "loss": 0} for step in (1, 2)
    ]
    rows += [
        {"data": "flow", "signal": signal, "end": 3 * signal**2, "error": signal / 100} for signal in (1.0, 2.0, 4.0)
    ]
    found = judged("toy", rows)
    expected = {"alternation": 2 / 3, "alternation_below_half_the_edge": 0, "largest_rise": 0.5}
    expected |= {"largest_rise_without_outliers": -1, "sharpness_exponent": 2, "closed_form_error": 0.04}
    assert found == pytest.approx(expected)


def test_toy_study_turns_at_the_edge_alone():
    rows = pd.DataFrame(toy_paths(Trial(100, "smoke")))
    found = judged("toy", rows)
    assert (found["alternation"], found["largest_rise_without_outliers"]) == (1, pytest.approx(0, abs=1e-12))
    assert found["sharpness_exponent"] == pytest.approx(1, abs=1e-3)
    beyond = rows[(rows["data"] == "outliers") & (rows["sharpness"] > 2)]
    assert beyond["step"].min() > 20
    assert rows[rows["data"] == "no outliers"]["sharpness"].max() < 1


def test_groups_are_judged_beside_their_null():
    found = {
        "groups": "found",
        "share": 0.3,
        "cosine": -0.8,
        "loss": 2.0,
        "spikes": 30.0,
        "sharpness": 2.1,
        "accuracy": 0.95,
    }
    rows = [found, {"groups": "equal loss", "share": 0.1, "cosine": 0.1, "loss": 1.0}]
    gates = {"spikes": 30, "rate_times_sharpness": 2.1}
    expected = {"gain_over_equal_loss": 0.2, "share_of_rises": 0.3, "share_of_equal_loss": 0.1, "accuracy": 0.95}
    assert judged("outliers_carry_the_spikes", rows) == pytest.approx(
        gates | expected | {"log_loss_over_equal_loss": math.log(2)}
    )
    expected = {"cosine": -0.8, "below_equal_loss": -0.9, "cosine_of_equal_loss": 0.1}
    assert judged("groups_oppose", rows) == pytest.approx(gates | expected)


def test_the_models_outliers_are_judged_by_recall():
    found = {
        "how": "rises and falls",
        "recall": 0.9,
        "recall_over_spike": 0.5,
        "sides": 0.8,
        "spikes": 7.0,
        "cosine": -0.2,
    }
    rows = [found | {"share": 0.6}, {"how": "highest loss", "recall": 0.1}]
    expected = {"recall": 0.9, "recall_over_spike": 0.5, "sides": 0.8, "spikes": 7, "cosine": -0.2}
    expected |= {"share_of_rises": 0.6, "recall_by_loss": 0.1}
    assert judged("outliers_of_the_model_are_found", rows) == pytest.approx(expected)


def test_cosine_is_of_mean_gradients_and_losses_are_of_each_example():
    net = torch.nn.Linear(2, 10, bias=False)
    torch.nn.init.zeros_(net.weight)
    inputs, labels = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-3.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 1, 1, 2])
    losses = squared(net, inputs, labels)
    torch.testing.assert_close(losses, torch.full((4,), 0.5))
    assert cosine(net, losses, OpposingGroups(torch.tensor([0, 1]), torch.tensor([2]))) == pytest.approx(-1)
    assert cosine(net, losses, OpposingGroups(torch.tensor([0, 1]), torch.tensor([3]))) == pytest.approx(0)


def test_groups_are_picked_in_some_spikes_and_judged_in_others(monkeypatch):
    picked, shared = [], []

    def find(changes, size):
        picked.append(changes)
        return OpposingGroups(torch.tensor([0]), torch.tensor([1]))

    class Tracker(LossSpikeTracker):
        def share_of_rises(self, members, steps):
            shared.append(self.changes[list(steps)])
            return super().share_of_rises(members, steps)

    monkeypatch.setattr(module, "find_opposing_groups", find)
    monkeypatch.setattr(module, "LossSpikeTracker", Tracker)
    rows = spiking_descent(Trial(100, "smoke"))
    assert rows[0]["spikes"] == len(picked[0]) + len(shared[0])
    assert torch.equal(shared[0], shared[1])
    assert (shared[0].mean(1) > 0).all()
    assert (picked[0].mean(1) > 0).all()
    assert not (torch.cdist(picked[0], shared[0]) == 0).any()
    assert rows[0]["sharpness"] > 1.5


def test_outliers_of_the_model_carry_its_spike():
    rows = model_outliers(Trial(100, "smoke"))
    assert rows[0]["share"] > 0.8
    assert 0.5 <= rows[0]["recall"] <= 1
    assert rows[0]["spikes"] > 3
    assert np.isfinite(rows[0]["cosine"])
