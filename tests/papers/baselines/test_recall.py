"""The baselines of recall: nearest neighbour by brute force, Hopfield networks by their full matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from replica.lab.problems import Dataset, Recall
from replica.lab.problems.recall.damage import damage_patterns
from replica.papers.baselines.recall import HebbHopfield, NearestNeighbour, PseudoInverseHopfield, RandomGuess

problem = Recall()


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return problem.load("digits", {})


def spins(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


def test_nearest_neighbour_is_brute_force() -> None:
    patterns, cues = torch.rand(20, 7), torch.randn(50, 7)
    method = NearestNeighbour()
    method.store(patterns)
    for cue, found in zip(cues, method.recall(cues), strict=True):
        distances = [(cue - pattern).norm().item() for pattern in patterns]
        torch.testing.assert_close(found, patterns[int(np.argmin(distances))])


def test_random_guess_is_random_and_repeatable() -> None:
    patterns = spins(10, 8)
    guesses = []
    for seed in (0, 0, 1):
        method = RandomGuess(torch.Generator().manual_seed(seed))
        method.store(patterns)
        guesses.append(method.recall(torch.zeros(5000, 8)))
    assert torch.equal(guesses[0], guesses[1])
    assert not torch.equal(guesses[0], guesses[2])
    share = (guesses[0] == patterns[3]).all(dim=1).float().mean().item()
    assert share == pytest.approx(0.1, abs=0.02)


def couplings(patterns: Tensor, rule: str) -> Tensor:
    """The full matrix by the textbook's formula, as an independent check."""
    x = patterns.double()
    between = torch.eye(len(x)).double() if rule == "hebb" else torch.linalg.pinv(x @ x.T)
    matrix = x.T @ between @ x
    return matrix - torch.diag(torch.diagonal(matrix))


def one_by_one(matrix: Tensor, cue: Tensor, generator: torch.Generator, sweeps: int = 100) -> Tensor:
    """Zero-temperature dynamics, one neuron of one cue at a time."""
    state = cue.double().clone()
    for _ in range(sweeps):
        before = state.clone()
        for i in torch.randperm(len(state), generator=generator).tolist():
            local = float(matrix[i] @ state)
            if abs(local) > 1e-4:
                state[i] = 1.0 if local > 0 else -1.0
        if torch.equal(state, before):
            break
    return state.sign()


NETWORKS: Mapping[str, Any] = {"hebb": HebbHopfield, "projection": PseudoInverseHopfield}


@pytest.mark.parametrize("rule", NETWORKS)
@pytest.mark.parametrize("damage", ["flip", "mask", "gaussian"])
@pytest.mark.parametrize("stored", [1, 4, 9])
def test_hopfield_networks_follow_the_full_matrix(rule: str, damage: Any, stored: int) -> None:
    patterns = spins(stored, 21, seed=stored)
    matrix = couplings(patterns, rule)
    for seed in range(4):
        cue = damage_patterns(patterns[:1].numpy(), damage, 0.3, binary=True, rng=np.random.default_rng(seed))
        method = NETWORKS[rule](torch.Generator().manual_seed(seed))
        method.store(patterns)
        found = method.recall(torch.from_numpy(cue))
        expected = one_by_one(matrix, torch.from_numpy(cue)[0], torch.Generator().manual_seed(seed))
        torch.testing.assert_close(found[0].double(), expected)


@pytest.mark.parametrize("rule", NETWORKS)
def test_hopfield_networks_end_in_fixed_points(rule: str) -> None:
    patterns, cues = spins(6, 40), spins(30, 40, seed=1)
    method = NETWORKS[rule]()
    method.store(patterns)
    found = method.recall(cues)
    assert set(found.unique().tolist()) == {-1.0, 1.0}
    fields = found.double() @ couplings(patterns, rule)
    assert (found.double() * fields >= -1e-4).all()
    energy = [
        -0.5 * torch.einsum("bi,ij,bj->b", s.double(), couplings(patterns, rule), s.double()) for s in (cues, found)
    ]
    assert (energy[1] <= energy[0] + 1e-9).all()


def test_a_batch_recalls_what_single_cues_do() -> None:
    patterns, cues = spins(3, 30), spins(8, 30, seed=2)
    found = []
    for batch in (cues.split(1), (cues,)):
        rows = []
        for part in batch:
            method = HebbHopfield(torch.Generator().manual_seed(0))
            method.store(patterns)
            rows.append(method.recall(part))
        found.append(torch.cat(rows))
    torch.testing.assert_close(*found)


def test_capacities_are_the_known_ones() -> None:
    """Random patterns are stable under Hebb's rule well below 0.138 N, and under the projection rule at any load below N."""
    dim = 200
    for rule, stored, expected in (("hebb", 10, 1.0), ("projection", 150, 1.0), ("hebb", 60, 0.0)):
        patterns = spins(stored, dim)
        method = NETWORKS[rule](torch.Generator().manual_seed(0))
        method.store(patterns)
        assert (method.recall(patterns) == patterns).all(dim=1).float().mean().item() == expected, (rule, stored)


def test_the_projection_rule_stores_correlated_patterns(digits: Dataset) -> None:
    patterns = torch.from_numpy(digits.content.binary[:30].astype(np.float32))
    for rule, expected in (("projection", True), ("hebb", False)):
        method = NETWORKS[rule](torch.Generator().manual_seed(0))
        method.store(patterns)
        assert torch.equal(method.recall(patterns), patterns) is expected


def test_dependent_patterns_and_too_many_keep_the_cue() -> None:
    patterns = spins(60, 20)  # they span everything: no field is left
    method = PseudoInverseHopfield()
    method.store(patterns)
    assert method.factor.shape == (20, 20)
    cues = spins(5, 20, seed=1)
    assert torch.equal(method.recall(cues), cues)
    doubled = PseudoInverseHopfield()
    doubled.store(torch.cat([patterns[:4], -patterns[:4]]))
    assert doubled.factor.shape == (20, 4)


def test_a_hopfield_network_stops() -> None:
    with pytest.raises(ValueError, match="max_sweeps must be 1 or more, not 0"):
        HebbHopfield(max_sweeps=0)
    method = HebbHopfield(torch.Generator().manual_seed(0), max_sweeps=1)
    method.store(spins(5, 30))
    assert method.recall(spins(4, 30, seed=1)).shape == (4, 30)
