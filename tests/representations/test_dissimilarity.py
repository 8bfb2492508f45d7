"""Dissimilarity matrices and their correlation: beside SciPy, and under what must not matter."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, rankdata, spearmanr

from replica.representations import average_ranks, dissimilarities, rdm_correlation

LAYERS = torch.randn(3, 12, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1


def test_dissimilarities_beside_scipy() -> None:
    for measure, name in (("euclidean", "sqeuclidean"), ("correlation", "correlation")):
        found = dissimilarities(LAYERS, measure)  # type: ignore[arg-type]
        for layer, matrix in zip(LAYERS, found, strict=True):
            expected = squareform(pdist(layer.numpy(), name)) / (7 if measure == "euclidean" else 1)
            np.testing.assert_allclose(matrix, expected, atol=1e-12)
        assert torch.equal(found, found.mT)


def test_far_from_the_origin_distances_are_as_good() -> None:
    layer = LAYERS[0].float()
    torch.testing.assert_close(dissimilarities(layer + 1000), dissimilarities(layer), rtol=1e-3, atol=1e-3)


def test_ranks_and_correlations_beside_scipy() -> None:
    tied = torch.randint(0, 9, (4, 5, 30), generator=torch.Generator().manual_seed(1)).double()
    tied[tied == 8] = torch.inf
    np.testing.assert_array_equal(average_ranks(tied), rankdata(tied.numpy(), axis=-1))
    matrices = dissimilarities(LAYERS.round())
    above = np.triu_indices(12, 1)
    for kind, peer in (("pearson", pearsonr), ("spearman", spearmanr)):
        pairs = rdm_correlation(matrices[:, None], matrices, kind)  # type: ignore[arg-type]
        assert pairs.shape == (3, 3)
        for i in range(3):
            for j in range(3):
                expected = peer(matrices[i].numpy()[above], matrices[j].numpy()[above]).statistic
                assert pairs[i, j].item() == pytest.approx(expected)
    one, other = (matrix.numpy()[above] for matrix in matrices[:2])
    cosine = one @ other / np.sqrt(one @ one * (other @ other))
    assert rdm_correlation(matrices[0], matrices[1], "cosine").item() == pytest.approx(cosine)


def test_only_ranks_bear_a_bent_scale() -> None:
    matrix = dissimilarities(LAYERS[0])
    assert rdm_correlation(matrix, matrix**3).item() == pytest.approx(1)
    assert rdm_correlation(matrix, matrix**3, "pearson").item() < 0.99
    assert rdm_correlation(matrix, 5 * matrix + 1, "pearson").item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: dissimilarities(torch.rand(4)), r"activations: got shape \(4,\)"),
        (lambda: dissimilarities(torch.rand(4, 2), "cosine"), "measure: got 'cosine'"),  # type: ignore[arg-type]
        (lambda: dissimilarities(torch.full((4, 2), 0.1), "correlation"), "the same activation in all units"),
        (lambda: rdm_correlation(torch.rand(4, 4), torch.rand(5, 5)), r"second: got shape \(5, 5\)"),
        (lambda: rdm_correlation(torch.eye(2), torch.eye(2)), "both 3 or more"),
        (lambda: rdm_correlation(torch.rand(4, 4), 1 - torch.eye(4)), "second: got the same dissimilarity for all"),
        (lambda: rdm_correlation(torch.rand(4, 4), torch.rand(4, 4), "tau"), "kind: got 'tau'"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_refused(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
