"""Distances between samples, by SciPy's one-dimensional ones, closed forms of Gaussians and brute force."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from sklearn.neighbors import NearestNeighbors

from replica.training import energy_distance, neighbour_test, novelty, precision_and_recall, sliced_wasserstein


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("others", [40, 25, 97])
def test_along_a_line_it_is_scipys(others: int) -> None:
    first, second = draw(40, 1), draw(others, 1, seed=1) * 2 + 1
    expected = wasserstein_distance(first[:, 0].numpy(), second[:, 0].numpy())
    assert float(sliced_wasserstein(first, second, directions=3, power=1)) == pytest.approx(expected)


def test_of_round_gaussians_it_is_known() -> None:
    first, second = draw(4000, 5), 3 * draw(4000, 5, seed=1)
    second = second + torch.tensor([2.0, 0, 0, 0, 0])
    found = sliced_wasserstein(first, second, directions=2000, generator=torch.Generator().manual_seed(0))
    assert float(found) == pytest.approx((4 / 5 + (3 - 1) ** 2) ** 0.5, rel=0.02)
    assert float(sliced_wasserstein(first.view(4000, 5, 1), first.view(4000, 5, 1))) == 0


def test_energies_are_pairs_by_hand_and_unbiased() -> None:
    first, second = draw(7, 3), draw(5, 3, seed=1) + 1
    across = np.mean([float((a - b).norm()) for a in first for b in second])
    within = [
        np.mean([float((a - b).norm()) for i, a in enumerate(s) for j, b in enumerate(s) if i != j])
        for s in (first, second)
    ]
    assert float(energy_distance(first, second)) == pytest.approx(2 * across - sum(within))
    same = [float(energy_distance(draw(30, 2, seed=2 * seed), draw(30, 2, seed=2 * seed + 1))) for seed in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 200**0.5


def test_neighbours_tell_laws_apart_and_copies_betray_themselves() -> None:
    data, same, other = draw(300, 40), draw(300, 40, seed=1), draw(200, 40, seed=2) * 1.5
    assert neighbour_test(data, same) == pytest.approx(0.5, abs=0.1)
    assert neighbour_test(data, draw(200, 40, seed=2) + 3) > 0.95
    assert neighbour_test(data, data + 1e-3 * same) < 0.05
    assert novelty(data + 1e-3 * same, data, other) < 0.01
    assert novelty(same, data, draw(300, 40, seed=3)) == pytest.approx(1, abs=0.05)
    with pytest.raises(ValueError, match="held_out: got rows that are all training rows"):
        novelty(same, data, data)


def test_precision_and_recall_are_those_of_neighbourhoods_by_scikit_learn() -> None:
    data, samples = draw(120, 4), draw(80, 4, seed=1) * 1.5
    shares = []
    for points, around in ((samples, data), (data, samples)):
        index = NearestNeighbors(n_neighbors=4).fit(around.numpy())
        radii = index.kneighbors(around.numpy())[0][:, -1]
        gaps = torch.cdist(points, around).numpy()
        shares.append((gaps <= radii).any(1).mean())
    assert precision_and_recall(samples, data, neighbours=3) == pytest.approx(tuple(shares))
    few = precision_and_recall(data[:10].repeat(8, 1) + 1e-3 * samples, data)
    assert few[0] == 1
    assert few[1] < 0.5
    with pytest.raises(ValueError, match=r"want rows of one shape, 6 or more of each"):
        precision_and_recall(samples[:5], data)
