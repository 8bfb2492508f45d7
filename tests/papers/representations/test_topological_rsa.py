"""Topological RSA: what the judges make of a known table, and that the whole range of quantiles is ranked RSA."""

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.baselines.similarity import representational_similarity
from replica.papers.representations.topological_rsa import geodesic_rsa, paper, topological_rsa

NAMED = {
    "topological": [0.8, 0.7, 0.6, 0.5],
    "RDM": [0.8, 0.6, 0.5, 0.4],
    "geodesic": [0.5, 0.5, 0.5, 0.5],
    "guess": [0.2, 0.2, 0.2, 0.2],
}
TABLE = {
    "method": [method for method in NAMED for _ in range(4)],
    "noise": [0.0, 0.5, 1.0, 2.0] * 4,
    "named": [value for values in NAMED.values() for value in values],
}


def test_judges_of_a_known_table() -> None:
    table = pd.DataFrame(TABLE).sample(frac=1, random_state=0)
    gains = paper.claims["layer_identification"].judge(table)
    assert gains["gain_over_rdm"] == pytest.approx((0 + 0.1 + 0.1 + 0.1) / 4)
    assert gains["gain_without_noise"] == pytest.approx(0)
    assert gains["geodesic_gain_over_rdm"] == pytest.approx(0.5 - 0.575)
    assert gains["accuracy_of_rdm_without_noise"] == pytest.approx(0.8)
    assert gains["gain_over_guess"] == pytest.approx(0.45)
    losses = paper.claims["robust_to_noise"].judge(table)
    assert losses["loss_saved"] == pytest.approx(0.3 - 0.2)
    assert losses["geodesic_loss_saved"] == pytest.approx(0.3)
    assert losses["loss_of_rdm"] == pytest.approx(0.3)


def test_entries_meet_ranked_rsa_in_the_limit() -> None:
    X, Y = torch.randn(2, 30, 6, generator=torch.Generator().manual_seed(0))
    trial = Trial(0)
    ranked = representational_similarity(trial).similarity(X, Y)
    assert topological_rsa(trial, 0.0, 1.0).similarity(X, Y) == pytest.approx(ranked)
    assert topological_rsa(trial).similarity(X, Y) != pytest.approx(ranked)
    assert geodesic_rsa(trial, 0.02).similarity(X, X) == pytest.approx(1), "islands and all"
