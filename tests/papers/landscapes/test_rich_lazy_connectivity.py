"""The studies of rich_lazy_connectivity on cases that are known, and its judges on made tables."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.landscapes import DecisionNetwork
from replica.papers.landscapes import rich_lazy_connectivity as module
from replica.papers.landscapes.rich_lazy_connectivity import aligned, alignments, decisions, paper, ranks


def judged(claim, rows):
    return paper.claims[claim].measures(pd.DataFrame(rows))


def test_rank_is_judged_by_the_slope_from_small_weights():
    rows = [
        {"rank": rank, "effective_rank": rank, "weights": "small", "alignment": 0.1 * rank**0.4, "loss": 0.0}
        | {"theory": 0.1 * rank**0.4 * math.exp(0.02)}
        for rank in (1, 2, 8)
    ]
    rows += [rows[0] | {"weights": "usual", "rank": rank, "alignment": 0.2 + rank / 10} for rank in (1, 2, 8)]
    rows[-1]["loss"] = 0.3
    found = judged("rank_makes_linear_networks_lazy", rows)
    expected = {"slope": 0.4, "closed_form_error": 0.02, "gain_at_usual_weights": 0.7, "loss_left": 0.3}
    assert found == pytest.approx(expected | {"change_at_rank_1": 0.9})


def test_alignment_with_the_task_is_judged_over_random_weights_of_the_same_ranks():
    values = {"random": 0.2, "aligned": 0.5, "other task": 0.4}
    rows = [
        {
            "inputs": inputs,
            "rank": rank,
            "start": start,
            "alignment": value + rank / 100,
            "theory": value + rank / 100,
            "loss": 0,
        }
        for inputs in ("white", "strong features")
        for rank in (1, 5)
        for start, value in values.items()
    ]
    rows += [
        {"inputs": inputs, "rank": 20, "start": "random", "alignment": value, "theory": value, "loss": 1e-9}
        for inputs, value in (("white", 0.9), ("strong features", 0.6))
    ]
    found = judged("aligned_low_rank_is_lazier", rows)
    expected = {"gain_of_alignment": 0.3, "gain_of_own_task": 0.1, "gain_over_full_rank_in_strong_features": -0.05}
    assert found == pytest.approx(expected | {"closed_form_error": 0, "loss_left": 1e-9, "change_of_random": 0.77})


def test_recurrent_networks_are_judged_by_full_over_low_ranks():
    kernels = {1: 0.2, 5: 0.4, 30: 0.5, 100: 0.8}
    rows = [
        {
            "rank": rank,
            "kernel_alignment": value,
            "representation_alignment": value / 2,
            "weight_change": math.exp(-value),
        }
        | {"accuracy": value, "reached": 1 - value}
        for rank, value in kernels.items()
    ]
    found = judged("rank_makes_recurrent_networks_lazy", rows)
    expected = {
        "gain": 0.5,
        "gain_over_rank_30": 0.3,
        "gain_of_representation": 0.25,
        "log_ratio_of_weight_change": -0.5,
    }
    assert found == pytest.approx(expected | {"accuracy": 0.2, "reached": 0.2, "change_at_low_rank": 0.7})


def test_linear_studies_follow_the_theory_where_small_weights_do():
    rows = pd.DataFrame(ranks(Trial(100, "smoke")))
    assert rows.groupby("rank")["effective_rank"].nunique().eq(1).all()
    assert rows["theory"].notna().equals(rows["weights"] == "small")
    rows = pd.DataFrame(aligned(Trial(100, "smoke")))
    assert len(rows) == 14
    best = rows[rows["rank"] == 2].set_index(["inputs", "start"])["theory"].unstack()
    assert (best["aligned"] > best["other task"]).all()


def test_kernels_are_of_recurrent_weights_alone_and_compare_networks_with_themselves():
    generator = torch.Generator().manual_seed(0)
    before = DecisionNetwork(torch.randn(5, 5, generator=generator), generator=generator)
    inputs = torch.rand(4, 3, 3, generator=generator)
    same = alignments(before, before, inputs)
    assert same == pytest.approx({"kernel_alignment": 1, "representation_alignment": 1, "weight_change": 0})
    after = DecisionNetwork(before.recurrent + torch.eye(5), generator=torch.Generator().manual_seed(2))
    found = alignments(before, after, inputs)
    assert found["weight_change"] == pytest.approx(math.sqrt(5))
    gradients = []
    for network in (before, after):
        scores = network(inputs)[:, -1].flatten()
        slopes = [torch.autograd.grad(score, network.recurrent, retain_graph=True)[0].flatten() for score in scores]
        gradients.append(torch.stack(slopes))
    first, second = (rows @ rows.T for rows in gradients)
    assert found["kernel_alignment"] == pytest.approx(
        float((first * second).sum() / first.norm() / second.norm()), abs=1e-5
    )


def test_networks_of_a_draw_differ_in_rank_alone_and_stop_at_the_loss(monkeypatch):
    rows = pd.DataFrame(decisions(Trial(100, "smoke")))
    assert rows["rank"].tolist() == [1, 2, 10]
    assert np.allclose(rows["effective_rank"], rows["effective_rank"].sort_values())
    assert (rows["steps"] == 20).all()
    monkeypatch.setattr(module, "GOAL", 10.0)
    rows = pd.DataFrame(decisions(Trial(100, "smoke")))
    assert (rows["steps"] == 10).all()
    assert (rows["reached"] == 1).all()
