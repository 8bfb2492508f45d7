"""Relative representations: what the judges make of known tables, and what is stitched."""

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.representations.relative_representations import (
    LATENT,
    accuracy,
    mapped,
    paper,
    relative_representations,
    split,
    stitched,
    trained,
)


def test_judges_of_known_tables() -> None:
    values = {"relative": (0.95, 0.9), "absolute": (0.9, 0.15), "mapped": (0.9, 0.85), "other anchors": (0.2, 0.1)}
    rows = [
        {"kind": kind, "pair": pair, "accuracy": value + shift}
        for kind, pairs in values.items()
        for pair, value in zip(("whole", "stitched"), pairs, strict=True)
        for shift in (-0.01, 0.01)
    ]
    kept = paper.claims["zero_shot_stitching"].judge(pd.DataFrame(rows))
    assert kept == pytest.approx({"kept": 0.9 / 0.95, "accuracy_of_whole": 0.95, "gain_over_other_anchors": 0.8})
    gains = paper.claims["incoherent_spaces"].judge(pd.DataFrame(rows))
    expected = {"gain_over_absolute": 0.75, "absolute_over_chance": 0.05, "gain_of_mapped": -0.05}
    assert gains == pytest.approx({**expected, "accuracy_of_absolute_whole": 0.9})
    table = pd.DataFrame({"accuracy": [0.5, 0.7, 0.9], "relative": [0.1, 0.2, 0.9], "absolute": [0.3, 0.2, 0.1]})
    found = paper.claims["similarity_tells_performance"].judge(table.assign(CKA=[1.0, 3.0, 2.0], reference=0.95))
    assert found["rank_correlation"] == pytest.approx(1)
    assert found["gain_over_absolute"] == pytest.approx(2)
    assert found["rank_correlation_of_cka"] == pytest.approx(0.5)


def test_pairs_are_counted_once_and_whole_networks_are_what_was_trained() -> None:
    trial = Trial(100, "smoke")
    table = pd.DataFrame(stitched(trial))
    assert table.groupby(["kind", "pair"]).size().tolist() == [2] * 8
    data = split(trial)
    assert len(data.anchors) == LATENT
    assert not (data.unseen[:, None] == data.images).all(2).any(1).float().mean() > 0.01, "tested digits are new"
    nets = [trained(trial, data, f"absolute {number}", relative=False, epochs=1) for number in range(2)]
    expected = [accuracy(net[1], net[0](data.unseen), data) for net in nets]
    whole = table[(table["kind"] == "absolute") & (table["pair"] == "whole")]
    assert whole["accuracy"].tolist() == pytest.approx(expected)
    for kind in ("absolute", "relative"):
        nets = [trained(trial, data, f"{kind} {number}", relative=kind == "relative", epochs=1) for number in range(2)]
        across = table[(table["kind"] == kind) & (table["pair"] == "stitched")]["accuracy"].tolist()
        expected = [accuracy(nets[1 - i][1], nets[i][0](data.unseen), data) for i in range(2)]
        assert across == pytest.approx(expected), "the one's encoder, the other's decoder"


def test_the_entry_sees_angles_alone() -> None:
    X = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1))).Q
    assert relative_representations(Trial(0)).similarity(X, 5 * X @ turn) == pytest.approx(1, abs=1e-6)
    assert relative_representations(Trial(0)).similarity(X, X @ turn + 3) < 0.9
    assert relative_representations(Trial(0), centred=True).similarity(X, X @ turn + 3) == pytest.approx(1, abs=1e-6)


def test_mapped_undoes_what_anchors_show() -> None:
    X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    Y = 0.3 * X @ turn - 2
    torch.testing.assert_close(mapped(X, X[:10], Y[:10]), Y)
