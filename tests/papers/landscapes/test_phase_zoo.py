"""The judges of phase_zoo on made tables, its data, averages and smoke study."""

import pandas as pd
import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.landscapes import permute_units
from replica.papers.landscapes.phase_zoo import (
    PHASES,
    SEEDS,
    averages,
    drawn,
    explained,
    paper,
    phase_average,
    phased,
    zoo,
)
from replica.training import Replicas, mlp

CELLS = {
    "I": (2.0, -0.3, 0.1),
    "II": (2.0, 0.3, 0.1),
    "III": (0.3, -0.3, 0.95),
    "IV-A": (0.3, 0.0, 0.5),
    "IV-B": (0.3, 0.0, 0.95),
}


def made() -> pd.DataFrame:
    rows = [
        {"width": width, "rate": 0.1 * (1 + place), "loss": loss, "connectivity": connectivity, "similarity": similarity,
         "accuracy": place / 10 + shift, "averaged": place / 10 + shift + (0.1 if phase == "IV-B" else -0.1 * place)}
        for width, shift in ((4, -0.01), (8, 0.01))
        for place, (phase, (loss, connectivity, similarity)) in enumerate(CELLS.items())
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_phases_are_told_and_counted():
    table = made()
    assert list(phased(table)["phase"]) == [*PHASES, *PHASES]
    found = paper.claims["phases_covered"].measures(table)
    assert found == {"phases": 5.0, "rarest": 0.2}
    fewer = paper.claims["phases_covered"].measures(table[table["loss"] < 1])
    assert fewer == {"phases": 3.0, "rarest": 0.0}


def test_variance_of_accuracy_is_parted():
    table = made()
    found = paper.claims["phases_explain_accuracy"].measures(table)
    between, within = 2 * sum((place / 10 - 0.2) ** 2 for place in range(5)), 10 * 0.01**2
    assert found["explained"] == pytest.approx(between / (between + within))
    assert found["beyond_width"] == pytest.approx(1)
    high_or_small = 2 * (2 * 0.15**2 + 3 * 0.1**2)
    assert found["beyond_loss"] == pytest.approx((between - high_or_small) / (between + within))
    assert found["explained_by_chance"] == pytest.approx(4 / 9)
    assert explained(table["accuracy"], table["width"] * 0) == pytest.approx(0)


def test_averaging_is_judged_by_gains_over_single_networks():
    found = paper.claims["phase_matters_for_averaging"].measures(made())
    assert found["gain"] == pytest.approx(0.1)
    assert found["gain_over_elsewhere"] == pytest.approx(0.1 + 0.15)
    assert found["gain_over_overfitted"] == pytest.approx(0.4)
    assert (found["in_phase"], found["elsewhere"]) == (pytest.approx(0.2), pytest.approx(0.8))
    assert found["added_by_phase"] > 0
    without = paper.claims["phase_matters_for_averaging"].measures(made().query("similarity < 0.9"))
    assert (without["in_phase"], without["gain_over_elsewhere"]) == (0, 0)


def test_a_tenth_of_training_labels_is_wrong_and_none_of_the_test():
    X, Y, test, truth = drawn(Trial(100, "smoke"), 500)
    clean = {tuple(row.tolist()): int(label) for row, label in zip(*_digits(), strict=True)}
    wrong = sum(clean[tuple(row.tolist())] != int(label) for row, label in zip(X, Y, strict=True))
    assert wrong == 50
    assert all(clean[tuple(row.tolist())] == int(label) for row, label in zip(test, truth, strict=True))


def _digits():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images / 8 - 1).float(), labels


def test_averages_put_units_in_order_first():
    generator = torch.Generator().manual_seed(0)
    nets = [mlp((4, 8, 6, 3), generator=generator) for _ in range(2)]
    shuffled = [
        permute_units(net, {"0": torch.randperm(8, generator=generator), "2": torch.randperm(6, generator=generator)})
        for net in nets
        for _ in range(SEEDS - 1)
    ]
    models = [nets[0], *shuffled[: SEEDS - 1], nets[1], *shuffled[SEEDS - 1 :]]
    for found, net in zip(averages(Replicas(models)), nets, strict=True):
        for one, other in zip(found.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(one, other)


def test_only_connected_similar_networks_are_averaged():
    generator = torch.Generator().manual_seed(0)
    net = mlp((4, 16, 3), activation=nn.Tanh, generator=generator)
    inputs = torch.randn(50, 4, generator=generator)
    rows = [(inputs, net(inputs).argmax(1))]
    near, far = (
        permute_units(net, {"0": torch.arange(16).flip(0)}),
        mlp((4, 16, 3), activation=nn.Tanh, generator=generator),
    )
    near[2].bias.data += 0.2  # the same for all classes
    merged = phase_average(Trial(100, "smoke"), similarity=0.99).merge(net, [net, near, far], rows)
    torch.testing.assert_close(merged[2].bias, net[2].bias + 0.1)
    every = phase_average(Trial(100, "smoke"), tolerance=10.0, similarity=0.0).merge(net, [net, near, far], rows)
    assert not torch.allclose(every[2].weight, net[2].weight)


def test_every_cell_is_measured():
    rows = pd.DataFrame(zoo(Trial(100, "smoke")))
    assert list(zip(rows["width"], rows["rate"], strict=True)) == [(2, 0.01), (2, 0.1), (4, 0.01), (4, 0.1)]
    assert rows.drop(columns=["width", "rate"]).notna().all(axis=None)
    assert rows["accuracy"].between(0, 1).all()
