"""The studies of perturbed_collapse on cases that are known, and its judges on made tables."""

import math

import numpy as np
import pandas as pd
import pytest

from replica.lab.claims import Trial
from replica.papers.landscapes.perturbed_collapse import CHANGED, decays, flows, paper, responses


def test_variability_is_judged_by_its_largest_rise_and_the_worst_minimiser():
    path = [("a", 0.0, 2.0), ("a", 1.0, 1.0), ("a", 2.0, 0.5), ("b", 0.0, 8.0), ("b", 1.0, 4.0), ("b", 2.0, 4.4)]
    rows = [{"start": start, "time": time, "ratio": ratio} for start, time, ratio in path]
    ends = [("a", 1.0, 3.0), ("a", 10.0, 1.9), ("a", 100.0, 1.8), ("b", 1.0, 2.0), ("b", 10.0, 2.0), ("b", 100.0, 4.0)]
    rows += [{"start": start, "attraction": beta, "ratio": ratio} for start, beta, ratio in ends]
    found = paper.claims["variability_falls"].measures(pd.DataFrame(rows))
    assert found["largest_rise"] == pytest.approx(math.log(1.1))
    assert found["log_variability_over_given"] == pytest.approx(math.log(0.95))
    assert found["log_variability_under_little_attraction"] == pytest.approx(math.log(1.5))
    assert found["variability_given"] == 2.0


def test_flow_starts_at_the_given_features_for_all_starts():
    rows = pd.DataFrame(flows(Trial(100, "smoke")))
    starts = rows[rows["time"] == 0].set_index("start")["ratio"]
    assert set(starts.index) == {"near", "no classes", "far from 0"}
    # The variability of neither start without classes depends on where the origin is.
    assert starts["no classes"] == pytest.approx(starts["far from 0"], rel=1e-5)
    assert starts["near"] < starts["no classes"]
    assert len(rows[rows["attraction"].notna()]) == 9


def test_response_is_judged_by_slopes_and_the_theorem():
    sizes = np.array([0.01, 0.1])
    rows = [
        {"attraction": beta, "size": size, "error": size**power, "without_response": size ** (power / 2)}
        for beta, power in ((1.0, 2.0), (100.0, 3.0))
        for size in sizes
    ]
    spectrum = {"attenuation": 1.1, "crosstalk": 2 * 0.005 * 0.995 * 0.9, "second": 0.0}
    rows.append(spectrum | {"feature_decay": -2.0, "weight_decay": 1.0})
    found = paper.claims["response_near_collapse"].measures(pd.DataFrame(rows))
    assert found["slope"] == pytest.approx(2)
    assert found["slope_without_response"] == pytest.approx(1.5)
    assert found["attenuation_error"] == pytest.approx(0.1)
    assert found["crosstalk_error"] == pytest.approx(0.1)
    assert found["log_ratio_of_elasticities"] == pytest.approx(math.log(2))


def test_elasticities_are_those_of_the_spectrum():
    """To first order in 1/β: s and −s − 2 (1 − s) λ_H for equal decays, s the share of noise along the frame."""
    found = responses(Trial(100, "smoke"))[-1]
    share = found["weight_decay"]
    assert 0.2 < share < 0.9  # three classes in five dimensions
    assert found["feature_decay"] == pytest.approx(-share - 2 * (1 - share) * 0.005, rel=0.02)
    assert found["attenuation"] == pytest.approx(1, rel=0.02)


def test_decays_are_judged_by_how_far_they_move_collapse():
    variability = {
        "neither": 1.0,
        "features": 0.5,
        "no features": 4.0,
        "last": 2.0,
        "no last": 1.0,
        "other batches": 8.0,
    }
    rows = [{"changed": name, "accuracy": 1.0, "variability": value} for name, value in variability.items()]
    rows[2]["accuracy"] = 0.9
    found = paper.claims["feature_decay_matters_more"].measures(pd.DataFrame(rows))
    assert found["log_moves"] == pytest.approx(math.log(2) * (1.5 - 0.5))
    assert found["doubling_features_decay"] == pytest.approx(-math.log(2))
    assert found["zeroing_features_decay"] == pytest.approx(math.log(4))
    assert (found["train_accuracy"], found["largest_move"]) == (0.9, pytest.approx(math.log(4)))
    assert found["move_by_chance"] == pytest.approx(math.log(8))


def test_networks_share_their_start_and_batches_and_every_decay_tells(monkeypatch):
    found = {row["changed"]: row["variability"] for row in decays(Trial(100, "smoke"))}
    assert list(found) == ["neither", "other batches", *CHANGED]
    assert len(set(found.values())) == 6
    monkeypatch.setattr("replica.papers.landscapes.perturbed_collapse.CHANGED", {"nothing": (1, 1)})
    neither, _, nothing = decays(Trial(100, "smoke"))
    assert neither["variability"] == nothing["variability"]
