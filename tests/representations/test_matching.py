from itertools import permutations

import pytest
import torch

from replica.representations import match_units


def uniform(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(5))
def test_assignment_is_the_best_of_all_permutations(seed, dtype):
    similarity = 2 * uniform(6, 6, seed=seed, dtype=dtype) - 1
    found = match_units(similarity)
    best = max(sum(similarity[i, p[i]] for i in range(6)) for p in permutations(range(6)))
    assert found.similarity.dtype == dtype
    assert sorted(found.partner.tolist()) == list(range(6))
    torch.testing.assert_close(found.similarity.sum(), best)
    torch.testing.assert_close(found.similarity, similarity[torch.arange(6), found.partner])


def test_nearest_is_each_ones_best_and_never_below_the_assignment():
    similarity = uniform(20, 15)
    near, one = match_units(similarity, "nearest"), match_units(similarity)
    assert torch.equal(near.partner, similarity.argmax(1))
    assert (near.similarity >= one.similarity).all()


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 2)])
def test_batches_are_matched_one_by_one(batch):
    similarity = uniform(*batch, 5, 4)
    for kind in ("assignment", "nearest"):
        found = match_units(similarity, kind)
        assert found.partner.shape == found.similarity.shape == (*batch, 5)
        rows = zip(similarity.reshape(-1, 5, 4), found.partner.reshape(-1, 5), strict=True)
        for matrix, partner in rows:
            assert torch.equal(match_units(matrix, kind).partner, partner)


def test_more_units_than_partners_leaves_some_without():
    similarity = uniform(5, 3)
    found = match_units(similarity)
    lone = found.partner < 0
    assert lone.sum() == 2
    assert (found.similarity[lone] == 0).all()
    assert sorted(found.partner[~lone].tolist()) == [0, 1, 2]
    wide = match_units(similarity.T)
    assert len(set(wide.partner.tolist())) == 3
    torch.testing.assert_close(wide.similarity.sum(), found.similarity.sum())


def test_gradients_reach_the_matched_similarities_only():
    similarity = uniform(4, 4).requires_grad_()
    found = match_units(similarity)
    found.similarity.sum().backward()
    assert torch.equal(similarity.grad, torch.nn.functional.one_hot(found.partner, 4).double())


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"kind: got 'greedy', want 'assignment' or 'nearest'"):
        match_units(uniform(2, 2), "greedy")
    with pytest.raises(ValueError, match=r"similarity: got shape \(3,\)"):
        match_units(uniform(3))
    with pytest.raises(ValueError, match=r"similarity: got shape \(3, 0\)"):
        match_units(uniform(3, 0))
    with pytest.raises(ValueError, match=r"similarity: got NaN"):
        match_units(torch.full((2, 2), float("nan")))
