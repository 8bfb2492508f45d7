import math

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.cross_decomposition import CCA

from replica.representations import UnitStatistics, canonical_correlations, match_units, mean_canonical_correlation


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seen(first, second):
    statistics = UnitStatistics(first.shape[1], second.shape[1])
    statistics.update(first, second)
    return statistics


def test_planted_rotation_subspaces_match_and_bases_do_not():
    units = normal(5000, 24)
    rotation = torch.linalg.qr(normal(24, 24, seed=1)).Q
    statistics = seen(units, units @ rotation)
    torch.testing.assert_close(
        canonical_correlations(statistics), torch.ones(24, dtype=torch.float64), atol=1e-6, rtol=0
    )
    assert match_units(statistics.between.abs()).similarity.mean() < 0.5
    assert (
        match_units(
            seen(units, units[:, torch.randperm(24, generator=torch.Generator().manual_seed(3))]).between
        ).similarity.min()
        > 1 - 1e-9
    )


def test_cosines_of_scipys_principal_angles():
    first, second = normal(300, 4), torch.cat([normal(300, 4)[:, :2], normal(300, 3, seed=1)], 1) @ normal(5, 5, seed=2)
    centred = [(x - x.mean(0)).numpy() for x in (first, second)]
    angles = torch.from_numpy(subspace_angles(*centred)).flip(0)
    torch.testing.assert_close(canonical_correlations(seen(first, second)), angles.cos(), atol=1e-6, rtol=0)


def test_scikit_learns_first_correlation():
    shared = normal(500, 1)
    first, second = shared + normal(500, 3, seed=1), shared + normal(500, 2, seed=2)
    ours = canonical_correlations(seen(first, second))[0]
    one, other = CCA(1, max_iter=2000, tol=1e-10).fit_transform(first.numpy(), second.numpy())
    assert float(ours) == pytest.approx(np.corrcoef(one[:, 0], other[:, 0])[0, 1], abs=1e-5)


@pytest.mark.parametrize("shape", [(3, 3), (5, 2)])
def test_no_invertible_map_changes_them(shape):
    first, second = normal(400, 5), normal(400, shape[0], seed=1)
    second[:, 0] += first[:, 0]
    found = canonical_correlations(seen(first, second))
    changed = canonical_correlations(seen(first @ normal(5, 5, seed=2) + 4, second @ normal(*2 * shape[:1], seed=3)))
    assert len(found) == min(5, shape[0])
    torch.testing.assert_close(found, changed, atol=1e-7, rtol=0)


def test_fresh_samples_take_out_what_the_fit_invents():
    fit, fresh = (seen(normal(60, 20, seed=s), normal(60, 20, seed=s + 10)) for s in (0, 1))
    assert canonical_correlations(fit).mean() > 0.4
    assert abs(canonical_correlations(fit, held_out=fresh).mean()) < 0.1
    torch.testing.assert_close(
        canonical_correlations(fit, held_out=fit), canonical_correlations(fit), atol=1e-9, rtol=0
    )


def test_keep_takes_the_leading_directions():
    scale = torch.tensor([10.0, 3.0, 0.1], dtype=torch.float64)
    first = torch.linalg.qr(normal(1000, 3) - normal(1000, 3).mean(0)).Q * math.sqrt(1000) * scale
    second = first @ torch.linalg.qr(normal(3, 3, seed=1)).Q
    statistics = seen(first, second)
    for keep, directions in ((0.5, 1), (0.95, 2), (1.0, 3)):
        assert len(canonical_correlations(statistics, keep=keep)) == directions


def test_dead_and_dependent_units_are_no_directions():
    first = torch.cat([normal(200, 2), torch.ones(200, 1)], 1)
    second = torch.cat([first[:, :2], first[:, :1] - first[:, 1:2]], 1)
    found = canonical_correlations(seen(first, second))
    torch.testing.assert_close(found, torch.ones(2, dtype=torch.float64))


def test_wrong_arguments_are_named():
    statistics = seen(normal(50, 2), normal(50, 3, seed=1))
    with pytest.raises(ValueError, match=r"keep: got 0, want a share"):
        canonical_correlations(statistics, keep=0)
    with pytest.raises(ValueError, match=r"held_out: got 3 and 2 units, want 2 and 3"):
        canonical_correlations(statistics, held_out=statistics.swapped())
    with pytest.raises(ValueError, match=r"second: got a layer whose units never vary"):
        canonical_correlations(seen(normal(50, 2), torch.ones(50, 2)))


@pytest.mark.parametrize("keep", [0.8, 0.99, 1.0])
def test_the_mean_from_activations_is_the_mean_from_statistics(keep: float) -> None:
    generator = torch.Generator().manual_seed(5)
    first = torch.randn(80, 6, generator=generator, dtype=torch.float64) * torch.tensor([9, 5, 3, 2, 1, 0.5])
    second = first[:, :4] @ torch.randn(4, 9, generator=generator, dtype=torch.float64)
    second = second + torch.randn(80, 9, generator=generator, dtype=torch.float64)
    statistics = UnitStatistics(6, 9)
    statistics.update(first, second)
    expected = canonical_correlations(statistics, keep=keep).mean().item()
    assert mean_canonical_correlation(first, second, keep=keep).item() == pytest.approx(expected)


def test_the_mean_with_more_units_than_samples_and_many_pairs_at_once() -> None:
    generator = torch.Generator().manual_seed(6)
    layers = torch.randn(3, 20, 50, generator=generator, dtype=torch.float64)
    assert mean_canonical_correlation(layers[0], layers[1], keep=1.0).item() == pytest.approx(1), "all span all"
    pairs = mean_canonical_correlation(layers[:, None], layers, keep=0.7)
    assert pairs.shape == (3, 3)
    assert pairs.diagonal().tolist() == pytest.approx([1, 1, 1])
    assert pairs[0, 1].item() == pytest.approx(mean_canonical_correlation(layers[0], layers[1], keep=0.7).item())
    assert pairs[0, 1] < 0.95
    with pytest.raises(ValueError, match="keep: got 0, want a share above 0"):
        mean_canonical_correlation(layers[0], layers[1], keep=0)
    with pytest.raises(ValueError, match="second: got 19 samples, want 20"):
        mean_canonical_correlation(layers[0], layers[1, :19])
