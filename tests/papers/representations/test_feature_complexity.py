import pandas as pd
import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.papers.representations.feature_complexity import (
    MERGED,
    NORM,
    RANDOM,
    WHOLE,
    images,
    largest,
    merging,
    paper,
)
from replica.representations import FeatureComplexity


def planted():
    """Two networks whose layers rank alike but for one swap."""
    rows = []
    for run, shift, features in (("first", 0.0, (4, 9, 7, 8, 12)), ("second", 0.02, (5, 9, 8, 7, 20))):
        rows.append({"run": run, "method": WHOLE, "accuracy": 0.97 - shift, "seed": 0})
        for beta, lost in ((0.05, 0.0), (0.1, 0.0), (0.15, 0.1), (0.2, 0.1)):
            for method, accuracy in ((MERGED, 0.95), (NORM, 0.91 - lost), (RANDOM, 0.5)):
                facts = {"run": run, "beta": beta, "removed": beta * 5 + shift, "seed": 0}
                rows.append({**facts, "method": method, "accuracy": accuracy - shift})
        for layer, left in enumerate(features, 1):
            rows.append({"run": run, "layer": layer, "features": left, "untrained_share": 1 - shift, "seed": 0})
    return pd.DataFrame(rows)


def test_judges_on_a_planted_table():
    free, better, layers = (
        paper.claims[name].measures(planted())
        for name in ("parameters_for_free", "better_than_removing", "complexity_of_layers")
    )
    assert free == pytest.approx(
        {"accuracy_lost": 0.02, "parameters_removed": 0.51, "lost_at_random": 0.47, "accuracy": 0.96}
    )
    assert better == pytest.approx(
        {"gain_over_norm": 0.09, "gain_over_random": 0.45, "lost_at_random": 0.47, "accuracy": 0.96}
    )
    # Ranks 1 4 2 3 5 and 1 4 3 2 5: 1 − 6 Σd² / (5 · 24).
    assert layers == pytest.approx({"rank_correlation": 0.9, "untrained_share": 0.99, "accuracy": 0.96})


def test_layers_that_keep_all_do_not_correlate():
    table = planted()
    table.loc[table["run"] == "first", "features"] = 32
    assert paper.claims["complexity_of_layers"].measures(table)["rank_correlation"] == 0


def test_the_largest_units_by_weights_in_and_out_are_kept():
    net = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([3.0, 1.0, 2.0]).reshape(3, 1, 1, 1))
        net[3].weight.zero_()
        net[3].weight[:, 4:8] = 1.5  # of unit 1: 1 + 8 · 2.25 = 19 in all, unit 0 has 9, unit 2 has 4
    found = FeatureComplexity(("0",), (3,), (2,), (((0,), (1, 2)),), (27, 18))
    assert largest(net, found)["0"].tolist() == [1, 0]


def test_images_that_test_were_not_trained_on_and_both_runs_differ():
    inputs, labels, tests, truth = images(Trial(100, "laptop"))
    assert (len(inputs), len(labels), len(tests), len(truth)) == (1000, 1000, 797, 797)
    assert not (inputs[:, None] == tests[:50]).flatten(2).all(2).any()
    rows = pd.DataFrame(merging(Trial(100, "smoke")))
    wholes = rows[rows["method"] == WHOLE]["accuracy"]
    assert len(wholes) == 2
    assert wholes.nunique() == 2
    assert (rows["untrained_share"].dropna() > 0.9).all()
