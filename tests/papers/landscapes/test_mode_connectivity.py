"""The judges of mode_connectivity on made tables, and its study at smoke scale."""

import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.landscapes import barrier, permute_units
from replica.papers.landscapes.mode_connectivity import (
    connected_layers,
    correlation,
    entropy,
    forked,
    looked_at,
    paper,
    started,
)
from replica.training import Replicas


def made() -> pd.DataFrame:
    forks = [
        ("forks", time, fork, height) for time, fork, height in ((5, 0, 9.0), (9, 0, 2.0), (9, 0, 4.0), (9, 6, 0.5))
    ]
    rows = [*forks, ("starts", 9, np.nan, 7.0), ("matched", 9, np.nan, 3.0)]
    return pd.DataFrame(rows, columns=["kind", "time", "fork", "height"]).assign(accuracy=0.9)


def test_the_fall_is_from_the_first_to_the_last_fork_at_the_end_of_training():
    found = paper.claims["barrier_falls_with_shared_steps"].measures(made())
    assert found == {
        "fall": 2.5,
        "independent_over_first_fork": 4.0,
        "lowered_by_matching": 4.0,
        "barrier_at_start": 3.0,
        "train_accuracy": pytest.approx(0.9),
    }


def test_predictions_are_judged_by_ranks_before_matching():
    table = made()
    table["predicted"] = table["height"] ** 3
    table["by_three"] = -table["height"]
    table["distance"] = table["end_curvature"] = 1.0
    table.loc[table["kind"] == "matched", "predicted"] = 1e9
    found = paper.claims["curvature_predicts_height"].measures(table)
    assert (found["rank_correlation"], found["by_three_curvatures"]) == (pytest.approx(1), pytest.approx(-1))
    assert (
        found["over_distance"] == found["over_end_curvature"] == pytest.approx(1)
    )  # what does not vary predicts nothing
    assert found["high_barrier"] == pytest.approx(table["height"][:5].quantile(0.9))


def test_layers_are_judged_together_and_within_pairs_that_have_a_barrier():
    heights, predicted = [0.0, 0.2, 0.1, 0.0, 0.005, 0.0], [0.0, 3.0, 2.0, 1.0, 0.0, 1.0]
    table = pd.DataFrame(
        {"kind": "layers", "start": 0, "fork": [0, 0, 0, 1, 1, 1], "height": heights, "predicted": predicted}
    )
    table = table.assign(by_three=1.0, distance=1.0)
    found = paper.claims["curvature_predicts_layers"].measures(table)
    assert found["within_pairs"] == pytest.approx(1)
    assert found["rank_correlation"] == pytest.approx(correlation(table)) == found["over_distance"]
    assert 0 < found["rank_correlation"] < 1
    assert found["layers_with_barrier"] == pytest.approx(2 / 6)


def test_rows_are_those_of_the_parts():
    generator = torch.Generator().manual_seed(0)
    one, other = started(8, generator), started(8, generator)
    assert all(not layer.bias.any() for layer in one[::2])
    assert float(one[2].weight.detach().var()) == pytest.approx(1 / 8, rel=0.4)
    batch = torch.randn(30, 40, generator=generator), torch.arange(30) % 10
    pairs = Replicas([one]), Replicas([other])
    (whole,), (layer,) = looked_at([{}], pairs, batch), looked_at([{}], pairs, batch, "2")
    assert whole["height"] == pytest.approx(float(barrier(one, other, entropy, [batch]).height))
    moved = sum(
        float((a - b).detach().square().sum()) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )
    assert whole["distance"] == pytest.approx(moved, rel=1e-5)
    assert layer["distance"] == pytest.approx(float((one[2].weight - other[2].weight).square().sum()), rel=1e-5)


def test_every_pair_is_looked_at():
    rows = pd.DataFrame(forked(Trial(100, "smoke")))
    counts = rows.groupby("kind").size()
    assert counts.to_dict() == {"forks": 2 * (5 + 4), "layers": 2 * 5 * 4, "starts": 2, "matched": 2}
    last = rows[(rows["kind"] == "forks") & (rows["time"] == rows["time"].max())]
    distance = last.groupby("fork")["distance"].mean()
    assert distance.is_monotonic_decreasing  # what is shared for longer has less time to part
    matched, before = (rows[rows["kind"] == kind]["distance"].mean() for kind in ("matched", "starts"))
    assert matched < before


def test_only_layers_without_a_barrier_are_averaged():
    generator = torch.Generator().manual_seed(0)
    one = started(8, generator)
    with torch.no_grad():
        one[0].weight *= 3
        other = permute_units(one, {"0": torch.arange(8).flip(0)})
        other[6].weight += 1  # a step in the last layer alone, where the loss is convex
        other[0].weight *= -1  # and one that turns the first layer around
    inputs = torch.randn(60, 40, generator=generator)
    rows = [(inputs, one(inputs).argmax(1))]
    merged = connected_layers(Trial(100, "smoke"), tolerance=0.01).merge(one, [one, other], rows)
    torch.testing.assert_close(merged[6].weight, one[6].weight + 0.5)
    torch.testing.assert_close(merged[0].weight, one[0].weight)
    everything = connected_layers(Trial(100, "smoke"), tolerance=1e9).merge(one, [one, other], rows)
    assert not torch.allclose(everything[0].weight, one[0].weight)
