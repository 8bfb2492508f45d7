from itertools import combinations

import pytest
import torch
from sklearn.linear_model import Lasso, LinearRegression

from replica.representations import UnitStatistics, dense_map, few_to_one_map, sparse_map


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def units(count=400, seed=0):
    """Six correlated units with offsets; four targets that two, one, all and none of them make."""
    first = (normal(count, 6, seed=seed) @ (torch.eye(6, dtype=torch.float64) + 0.2) + 3).relu() * torch.arange(1, 7)
    second = torch.stack(
        [first[:, 0] - 2 * first[:, 3], 5 * first[:, 2], first.sum(1), normal(count, seed=seed + 1)], 1
    )
    return first, second + 0.1 * normal(count, 4, seed=seed + 2) + 7


def seen(first, second):
    statistics = UnitStatistics(first.shape[1], second.shape[1])
    statistics.update(first, second)
    return statistics


def test_dense_map_is_scikit_learns_regression_and_its_error_that_of_the_samples():
    first, second = units()
    found, peer = dense_map(seen(first, second)), LinearRegression().fit(first.numpy(), second.numpy())
    torch.testing.assert_close(found.weights, torch.from_numpy(peer.coef_).T, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(found.intercept, torch.from_numpy(peer.intercept_), atol=1e-8, rtol=1e-8)
    others, targets = units(seed=50)
    error = (targets - torch.from_numpy(peer.predict(others.numpy()))).square().mean(0) / targets.var(0, correction=0)
    torch.testing.assert_close(found.unexplained(seen(others, targets)), error)


def test_sparse_map_is_scikit_learns_lasso_on_standardised_units():
    first, second = units()
    statistics = seen(first, second)
    standard = [(x - x.mean(0)) / x.std(0, correction=0) for x in (first, second)]
    for penalty in (0.02, 0.2, 0.6):
        found = sparse_map(statistics, penalty)
        peer = Lasso(alpha=penalty, tol=1e-12, max_iter=100_000).fit(standard[0].numpy(), standard[1].numpy())
        expected = torch.from_numpy(peer.coef_).T * second.std(0, correction=0) / first.std(0, correction=0)[:, None]
        torch.testing.assert_close(found.weights, expected, atol=1e-4, rtol=1e-4)
    assert not sparse_map(statistics, 1.0).weights.any()
    torch.testing.assert_close(sparse_map(statistics, 1.0).unexplained(statistics), torch.ones(4, dtype=torch.float64))


def test_few_finds_the_makers_and_never_takes_more():
    first, second = units()
    statistics = seen(first, second)
    for most in range(1, 7):
        assert (few_to_one_map(statistics, most).counts <= most).all()
    two = few_to_one_map(statistics, 2)
    assert set(two.weights[:, 0].nonzero()[:, 0].tolist()) == {0, 3}
    torch.testing.assert_close(
        two.weights[[0, 3], 0], torch.tensor([1.0, -2.0], dtype=torch.float64), atol=0.02, rtol=0
    )
    assert (two.unexplained(statistics)[:2] < 0.01).all()


def test_one_is_the_best_single_unit_of_either_sign():
    first, second = units()
    statistics = seen(first, -second)
    strength, best = statistics.between.abs().max(0)
    found = few_to_one_map(statistics, 1)
    assert torch.equal(found.weights.abs().argmax(0), best)
    torch.testing.assert_close(found.unexplained(statistics), 1 - strength.square())


def test_few_is_near_the_best_of_all_subsets():
    first, second = units()
    statistics = seen(first, second)
    few = few_to_one_map(statistics, 2).unexplained(statistics)
    for target in range(3):
        errors = []
        for pair in combinations(range(6), 2):
            support = torch.zeros(6, 4, dtype=torch.bool)
            support[list(pair)] = True
            errors.append(dense_map(statistics, support=support).unexplained(statistics)[target])
        assert min(errors) - 1e-9 <= few[target] <= min(errors) + 0.1


def test_support_limits_the_map_and_all_of_it_is_the_dense_one():
    statistics = seen(*units())
    every = torch.ones(6, 4, dtype=torch.bool)
    torch.testing.assert_close(dense_map(statistics, support=every).weights, dense_map(statistics).weights)
    none = dense_map(statistics, support=~every)
    assert not none.weights.any()
    torch.testing.assert_close(none.unexplained(statistics), torch.ones(4, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"support: got shape \(6, 3\), want \(6, 4\)"):
        dense_map(statistics, support=every[:, :3])


def test_dead_and_dependent_units_do_no_harm():
    first, second = units()
    first = torch.cat([first, first[:, :1] + first[:, 1:2], torch.ones(400, 1)], 1).float()
    second = torch.cat([second, torch.full((400, 1), 2.0)], 1).float()
    statistics = seen(first, second)
    for found in (dense_map(statistics, tolerance=1e-6), few_to_one_map(statistics, 3), sparse_map(statistics, 0.1)):
        assert found.weights.isfinite().all()
        assert found.weights.abs().max() < 50
        assert not found.weights[7].any()
        assert found.unexplained(statistics)[4] == 1
    assert (dense_map(statistics, tolerance=1e-6).unexplained(statistics)[:3] < 0.01).all()


def test_wrong_arguments_are_named():
    statistics = seen(*units())
    with pytest.raises(ValueError, match=r"most: got 0, want 1 or more"):
        few_to_one_map(statistics, 0)
    with pytest.raises(ValueError, match=r"penalty: got -1"):
        sparse_map(statistics, -1)
    with pytest.raises(ValueError, match=r"statistics: got 4 and 6 units, want those of the map, \(6, 4\)"):
        dense_map(statistics).unexplained(statistics.swapped())
