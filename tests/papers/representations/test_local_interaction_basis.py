"""The study of local_interaction_basis: what it counts, and its judges on made tables."""

import math

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.representations.local_interaction_basis import (
    LAYERS,
    LIB,
    PCA,
    RANDOM,
    adder,
    fewest,
    needed,
    needed_of,
    pairs,
    paper,
    trained,
    turned,
)
from replica.representations import principal_basis
from replica.training import Replicas


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def table():
    """One network needs half of principal components' edges in the MLP, as many in the unembedding; another as many all over."""
    rows = []
    for number, edges in enumerate(
        ({LIB: (10, 40), PCA: (20, 40), RANDOM: (60, 60)}, {LIB: (8, 8), PCA: (8, 8), RANDOM: (16, 16)})
    ):
        for basis, both in edges.items():
            for section, count in zip(("MLP", "unembedding"), both, strict=True):
                known = {"seed": 0, "net": number, "basis": basis, "section": section, "accuracy": 0.99}
                rows.append({**known, "edges": count, "nodes": count // 4, "possible_edges": 100, "possible_nodes": 20})
    return pd.DataFrame(rows)


def test_judges_average_networks_of_logarithms_of_sums_over_sections():
    found = paper.claims["fewer_edges"].measures(table())
    wanted = {
        "log_edge_ratio": math.log(50 / 60) / 2,
        "log_edge_ratio_of_mlp": math.log(1 / 2) / 2,
        "log_edge_ratio_of_unembedding": 0,
        "log_ratio_of_random": math.log(2),
        "accuracy": 0.99,
        "share_of_edges": 76 / 400,
    }
    assert found == pytest.approx(wanted)
    found = paper.claims["no_more_nodes"].measures(table())
    wanted = {"log_node_ratio": math.log(12 / 15) / 2, "log_ratio_of_random": math.log(2), "accuracy": 0.99}
    assert found == pytest.approx(wanted | {"share_of_nodes": 19 / 80})


def test_bisection_finds_the_first_that_is_enough():
    assert [fewest(lambda count, least=least: count >= least, 9) for least in (0, 4, 9)] == [0, 4, 9]


def test_pairs_are_all_pairs_and_nets_learn_to_add():
    inputs, sums = pairs(5)
    assert torch.equal((inputs[:, :5].argmax(1) + inputs[:, 5:].argmax(1)) % 5, sums)
    assert len(inputs.unique(dim=0)) == 25
    nets = Replicas([adder(5, 8, 32, seeded(seed)) for seed in range(2)])
    trained(nets, inputs, sums, 200, 0.01)
    assert (nets(inputs).argmax(-1) == sums).all()


def test_directions_turned_at_random_have_the_same_span():
    net, (inputs, sums) = adder(5, 6, 12, seeded()).double(), pairs(5)
    start, end, _ = principal_basis(net, LAYERS, inputs.double())
    other = turned(start, seeded(1))
    torch.testing.assert_close(other.encoder @ other.decoder, start.encoder @ start.decoder)
    assert not torch.allclose(other.encoder, start.encoder)
    found = needed_of(net, start, end, inputs.double(), inputs.double(), sums)
    assert found["possible_edges"] == 36
    assert 0 <= found["nodes"] <= 6


def test_a_trial_repeats_bit_for_bit():
    rows = pd.DataFrame(needed(Trial(100, "smoke")))
    assert len(rows) == 2 * 3 * 2
    pd.testing.assert_frame_equal(rows, pd.DataFrame(needed(Trial(100, "smoke"))))
