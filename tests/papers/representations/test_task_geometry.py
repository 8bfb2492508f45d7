"""Task geometry: what the judges make of a known table, and that cells share noise and starts."""

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.representations.task_geometry import ACTIVATIONS, CORNER, Grid, geometry, loss, networks, paper
from replica.representations import latent_task
from replica.training import Replicas, mlp

CELLS = ("0: a", CORNER, "1: ab", "2: a")
VALUES = {  # by activation and training: of the three cells
    ("tanh", "before"): (0.5, 0.0, 0.3, 0.4),
    ("tanh", "after"): (0.9, 0.1, 0.8, 0.7),
    ("ReLU", "before"): (0.4, 0.2, 0.5, 0.4),
    ("ReLU", "after"): (0.6, 0.5, 0.9, 0.6),
}


def test_judges_of_a_known_table() -> None:
    rows = [
        {"cell": cell, "activation": activation, "training": training, "accuracy": 0.99 - 0.5 * (cell == CORNER)}
        | dict.fromkeys(("target", "input", "parallelism", "generalization"), value)
        for (activation, training), values in VALUES.items()
        for cell, value in zip(CELLS, values, strict=True)
    ]
    table = pd.DataFrame(rows).sample(frac=1, random_state=0)
    target, inputs, parallel = (paper.claims[name].measures(table) for name in paper.claims)
    assert target == pytest.approx(
        {
            "gain_in_xor_corner": -0.4,
            "accuracy": 0.99,
            "target_alignment_gain": (0.3 - 0.1 + 0.1) / 3,
            "share_of_cells": 2 / 3,
            "target_alignment_learned": 0.8 - 0.4,
            "gain_before_training": (0.1 - 0.2 + 0) / 3,
        }
    )
    assert inputs["input_alignment_gain"] == pytest.approx(-0.1)
    assert inputs["share_of_cells"] == pytest.approx(1 / 3)
    assert inputs["gain_in_xor_corner"] == pytest.approx(0.4)
    assert inputs["input_alignment_lost"] == pytest.approx(0.4 - 0.8)
    assert inputs["gain_before_training"] == pytest.approx(0.1 / 3)
    assert parallel["parallelism_gain_learned"] == pytest.approx(0.1 + 0.1 / 3)
    assert parallel["parallelism_of_relu"] == pytest.approx(0.7)


def test_cells_share_inputs_but_for_the_product_and_count_single_targets_once() -> None:
    grid = Grid((0.0, 1.0), Trial(100))
    inputs, labels, conditions = grid.draw(20, torch.Generator().manual_seed(0))
    torch.testing.assert_close(inputs[0], inputs[2])
    product = latent_task(1.0, ["ab"], generator=Trial(100).generator("directions")).means - grid.means[0]
    torch.testing.assert_close(inputs[3] - inputs[0], product[conditions])
    assert grid.names == ["0: a", "0: ab", "0: a ab", "1: a", "1: ab", "1: a ab"]
    assert torch.equal(labels[2], grid.tasks[2].labels[conditions])
    single = torch.tensor([[1.0, 0.0]])
    given = torch.zeros(20, 2), labels[0].float()
    assert loss(lambda rows: rows, *given, single[0]) == pytest.approx(0.6931, abs=1e-4)
    assert loss(lambda rows: rows + torch.tensor([0.0, 99.0]), *given, single[0]) == pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS.values())
def test_the_hidden_layer_is_what_the_network_computes(activation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that copies the inputs, in the tanh's linear part and where ReLU lets all pass, has their geometry."""
    grid = Grid((0.5,), Trial(100))
    net = mlp((50, 50, 2), activation=activation)
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(50) * 1e-2)
        net[0].bias.fill_(0.1 * (activation is torch.nn.ReLU))
    rows = geometry(Replicas.of(net, 3), grid, torch.Generator().manual_seed(0))
    assert [row["input"] for row in rows] == pytest.approx([1] * 3, abs=1e-3)
    assert rows[0]["parallelism"] == pytest.approx(0.6, abs=1e-2)  # (4 − 4δ²) / (4 + 4δ²)


def test_a_trial_repeats_bit_for_bit() -> None:
    rows = networks(Trial(100, "smoke"))
    assert rows == networks(Trial(100, "smoke"))
    assert len(rows) == 2 * 2 * 6
