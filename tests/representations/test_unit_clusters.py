import pytest
import torch
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from replica.representations import UnitStatistics, cluster_units, spectral_embedding


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def planted(sizes=(5, 7, 9), noise=0.2, seed=0, dtype=torch.float64):
    """Blocks of similar units in a random order, and which block each is in."""
    truth = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    truth = truth[torch.randperm(len(truth), generator=seeded(seed))]
    rough = noise * torch.rand(len(truth), len(truth), generator=seeded(seed + 1), dtype=dtype)
    return (truth[:, None] == truth) * 0.7 + (rough + rough.T) / 2, truth


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(4))
def test_planted_groups_are_found_as_scikit_learn_finds_them(seed, dtype):
    affinity, truth = planted(seed=seed, dtype=dtype)
    labels = cluster_units(affinity, 3).labels
    peer = SpectralClustering(3, affinity="precomputed", random_state=0, assign_labels="kmeans").fit_predict(affinity)
    assert adjusted_rand_score(truth, labels) == 1
    assert adjusted_rand_score(peer, labels) == 1
    assert sorted(set(labels.tolist())) == [0, 1, 2]


def test_groups_of_two_networks_with_rotated_bases():
    groups = [torch.randn(4000, 2, generator=seeded(seed)) for seed in range(3)]
    turn = torch.linalg.qr(torch.randn(2, 2, generator=seeded(9))).Q
    first = torch.cat([torch.cat([group, group @ torch.ones(2, 1)], 1) for group in groups], 1)
    second = torch.cat([group @ turn for group in groups], 1)
    statistics = UnitStatistics(9, 6)
    statistics.update(first, second)
    labels = cluster_units(statistics.correlation.abs(), 3).labels
    assert adjusted_rand_score([0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 1, 1, 2, 2], labels) == 1


def test_embedding_is_that_of_the_normalised_laplacian():
    affinity, _ = planted()
    affinity.fill_diagonal_(0)
    degree = affinity.sum(0)
    laplacian = torch.eye(21) - affinity / (degree * degree[:, None]).sqrt()
    vectors = torch.linalg.eigh(laplacian).eigenvectors[:, :3]
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    found = spectral_embedding(affinity, 3)
    torch.testing.assert_close(found @ found.T, vectors @ vectors.T)
    # Separate blocks come to one point each, and these points are at right angles.
    apart, truth = planted(noise=0.0)
    points = spectral_embedding(apart, 3)
    torch.testing.assert_close(points @ points.T, (truth[:, None] == truth).double(), atol=1e-8, rtol=0)


def test_order_shows_the_blocks_and_units_without_a_neighbour_are_apart():
    affinity, truth = planted(noise=0.0)
    affinity[4, :] = affinity[:, 4] = 0
    found = cluster_units(affinity, 3)
    assert found.labels[4] == -1
    assert found.order[-1] == 4
    assert sorted(found.order.tolist()) == list(range(21))
    changes = (truth[found.order[:-1]].diff() != 0).sum()
    assert changes == 2


def test_same_input_same_groups_and_one_group_is_all():
    affinity, _ = planted(noise=1.0)
    assert torch.equal(cluster_units(affinity, 5).labels, cluster_units(affinity.clone(), 5).labels)
    assert not cluster_units(affinity, 1).labels.any()
    assert cluster_units(affinity, 21).labels.unique().numel() == 21
    before = affinity.clone()
    cluster_units(affinity, 2)
    assert torch.equal(before, affinity)


def test_wrong_arguments_are_named():
    affinity, _ = planted()
    with pytest.raises(ValueError, match=r"affinity: got shape \(2, 21\)"):
        cluster_units(affinity[:2], 2)
    with pytest.raises(ValueError, match=r"affinity: got negative"):
        cluster_units(-affinity, 2)
    with pytest.raises(ValueError, match=r"affinity: .*asymmetric"):
        cluster_units(affinity.triu(), 2)
    with pytest.raises(ValueError, match=r"clusters: got 22, want 1 to 21"):
        cluster_units(affinity, 22)
    with pytest.raises(ValueError, match=r"dim: got 0"):
        cluster_units(affinity, 0)
