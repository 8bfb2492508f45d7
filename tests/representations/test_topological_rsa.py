"""Geo-topological transform, geodesic distances, layer identification: by hand, by brute force, and in their limits."""

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import shortest_path
from scipy.stats import rankdata

from replica.representations import (
    dissimilarities,
    geodesic_distances,
    geotopological_transform,
    layer_identification,
    rdm_correlation,
)

POINTS = torch.randn(3, 14, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
MATRICES = dissimilarities(POINTS)
ABOVE = np.triu_indices(14, 1)


def transformed(values: np.ndarray, lower: float, upper: float, ranked: bool) -> np.ndarray:
    """The transform as it is defined, one value after another."""
    if ranked:
        values = rankdata(values)
        values = (values - values.min()) / (values.max() - values.min())
    low, high = np.quantile(values, lower), np.quantile(values, upper)
    return np.array([0.0 if v < low else 1.0 if v > high else (v - low) / (high - low) for v in values])


@pytest.mark.parametrize("ranked", [True, False])
@pytest.mark.parametrize(("lower", "upper"), [(0.2, 0.8), (0.0, 0.5), (0.4, 1.0)])
def test_the_transform_is_as_defined(lower: float, upper: float, ranked: bool) -> None:
    found = geotopological_transform(MATRICES, lower, upper, ranked=ranked)
    assert torch.equal(found, found.mT)
    assert not found.diagonal(dim1=-2, dim2=-1).any()
    for matrix, plain in zip(found, MATRICES, strict=True):
        expected = transformed(plain.numpy()[ABOVE], lower, upper, ranked)
        np.testing.assert_allclose(matrix.numpy()[ABOVE], expected, atol=1e-12)


def test_the_whole_range_is_ranked_rsa_and_none_of_it_a_graph() -> None:
    ranks = geotopological_transform(MATRICES, 0.0, 1.0)
    torch.testing.assert_close(
        rdm_correlation(ranks[0], ranks[1], "pearson"), rdm_correlation(MATRICES[0], MATRICES[1])
    )
    graph = geotopological_transform(MATRICES, 0.3, 0.3)
    assert set(graph.unique().tolist()) == {0, 1}
    assert (graph[0].numpy()[ABOVE] == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(geotopological_transform(MATRICES**3), geotopological_transform(MATRICES))


@pytest.mark.parametrize("ranked", [True, False])
@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_geodesics_are_scipys_shortest_paths(share: float, ranked: bool) -> None:
    found = geodesic_distances(MATRICES, share, ranked=ranked)
    for matrix, plain in zip(found, MATRICES, strict=True):
        values = plain.numpy()[ABOVE]
        if ranked:
            values = (rankdata(values) - 1) / (len(values) - 1)
        # SciPy takes numbers near 0 for no edge: lift the shortest a little.
        edges = np.where(values <= np.quantile(values, share), np.maximum(values, 1e-6), 0)
        graph = np.zeros((14, 14))
        graph[ABOVE] = edges
        np.testing.assert_allclose(matrix, shortest_path(graph, method="D", directed=False), atol=1e-5)


def test_geodesics_go_round_a_ring() -> None:
    angle = torch.arange(12, dtype=torch.float64) * 2 * torch.pi / 12
    ring = dissimilarities(torch.stack([angle.cos(), angle.sin()], 1)).sqrt()
    round_it = geodesic_distances(ring, share=12 / 66, ranked=False)
    steps = (torch.arange(12)[:, None] - torch.arange(12)).abs()
    torch.testing.assert_close(round_it / round_it[0, 1], torch.minimum(steps, 12 - steps).double())


def test_layers_are_named_across_instances_and_islands_count_as_far() -> None:
    turned = torch.stack([POINTS @ torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0] for _ in range(2)])
    found = layer_identification(MATRICES, dissimilarities(turned))
    assert found.similarity.shape == (2, 3, 3)
    assert found.named.tolist() == [[0, 1, 2]] * 2
    assert found.accuracy.tolist() == [1, 1]
    swapped = layer_identification(MATRICES, MATRICES[[1, 0, 2]])
    assert swapped.named.tolist() == [1, 0, 2]
    assert swapped.accuracy.item() == pytest.approx(1 / 3)
    assert swapped.similarity[0, 2].item() == pytest.approx(
        np.corrcoef(*(MATRICES[i].numpy()[ABOVE] for i in (0, 2)))[0, 1]
    )
    islands = geodesic_distances(MATRICES, 0.05)
    assert islands.isinf().any()
    assert layer_identification(islands, islands).accuracy == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: geotopological_transform(MATRICES, 0.8, 0.2), "lower, upper: got 0.8 and 0.2"),
        (lambda: geotopological_transform(MATRICES[..., :2, :2]), r"dissimilarities: got shape \(3, 2, 2\)"),
        (lambda: geotopological_transform(1 - torch.eye(4)), "the same for all pairs"),
        (lambda: geodesic_distances(MATRICES, 0), "share: got 0"),
        (lambda: geodesic_distances(MATRICES * torch.nan), "or NaN"),
        (lambda: layer_identification(MATRICES[0], MATRICES), r"data: got shape \(14, 14\)"),
        (
            lambda: layer_identification(MATRICES, MATRICES[:2]),
            "candidates: got 2, want at least one for each of the 3",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_numbers_are_rsatoolboxs() -> None:
    """Made once with rsatoolbox 0.3.2: RDMs, their transform with and without ranks, and three correlations."""
    first = torch.tensor([[0, 1, 3], [1, 4, 2], [2, 2, 7], [5, 0, 1], [3, 6, 4]], dtype=torch.float64)
    second = first.flip(1) * torch.tensor([1, 2, 0.7])
    rdm, other, above = dissimilarities(first), dissimilarities(second), np.triu_indices(5, 1)
    euclidean = [3.666667, 7, 10, 11.666667, 10, 11, 4, 16.333333, 8.666667, 16.333333]
    correlation = [0.857143, 0.055089, 1.61859, 0.857143, 1.188982, 1.866025, 0, 1.327327, 1.188982, 1.866025]
    bent = [0, 0.096774, 0.580645, 0.849462, 0.580645, 0.741935, 0, 1, 0.365591, 1]
    ranked = [0, 0.036364, 0.490909, 0.945455, 0.490909, 0.763636, 0, 1, 0.218182, 1]
    assert rdm[above].tolist() == pytest.approx(euclidean, abs=1e-6)
    assert dissimilarities(first, "correlation")[above].tolist() == pytest.approx(correlation, abs=1e-6)
    assert geotopological_transform(rdm, 0.2, 0.8, ranked=False)[above].tolist() == pytest.approx(bent, abs=1e-6)
    assert geotopological_transform(rdm, 0.2, 0.8)[above].tolist() == pytest.approx(ranked, abs=1e-6)
    for kind, value in (("pearson", 0.671016), ("spearman", 0.640256), ("cosine", 0.909479)):
        assert float(rdm_correlation(rdm, other, kind)) == pytest.approx(value, abs=1e-6)
