"""Lanczos's method on matrices whose spectrum is planted."""

import pytest
import torch

from replica.training import top_eigenvalues

DOUBLE = torch.float64


def planted(spectrum, seed=0, dtype=DOUBLE):
    values = torch.tensor(spectrum, dtype=dtype)
    turn = torch.linalg.qr(
        torch.randn(len(values), len(values), generator=torch.Generator().manual_seed(seed), dtype=dtype)
    )[0]
    return turn * values @ turn.T


def start(*shape, seed=1, dtype=DOUBLE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_finds_a_planted_spectrum_from_the_top_and_says_how_well(dtype):
    matrix = planted([9, 8.9, 4] + [i / 100 for i in range(197)], dtype=dtype)
    found = top_eigenvalues(lambda v: matrix @ v, start(200, dtype=dtype), 3, tolerance=1e-5)
    assert found.converged
    assert found.products < 60
    torch.testing.assert_close(found.values, torch.tensor([9, 8.9, 4], dtype=dtype), rtol=2e-5, atol=0)
    left = (matrix @ found.vectors.T - found.vectors.T * found.values).norm(dim=0)
    torch.testing.assert_close(left, found.residuals, rtol=0.05, atol=2e-5)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(3, dtype=dtype), rtol=0, atol=1e-5)


def test_the_largest_is_not_the_largest_in_size():
    matrix = planted([-100, 5, 1, -3, 0, 2])
    found = top_eigenvalues(lambda v: matrix @ v, start(6), 2)
    torch.testing.assert_close(found.values, torch.tensor([5.0, 2.0], dtype=DOUBLE))


def test_too_few_products_are_no_convergence():
    matrix = planted([1 - i / 1e4 for i in range(300)])
    found = top_eigenvalues(lambda v: matrix @ v, start(300), tolerance=1e-6, most=8)
    assert not found.converged
    assert found.products == 8
    assert 1 - float(found.values) <= float(found.residuals)


def test_many_matrices_at_once_are_each_alone_and_nan_stays_where_it_is():
    matrices = torch.stack([planted([3, 1, 0, -1, 0.5], seed) for seed in range(3)])
    matrices[1] = torch.nan
    found = top_eigenvalues(lambda v: (matrices @ v[..., None])[..., 0], start(3, 5), 2)
    assert found.converged.tolist() == [True, False, True]
    assert found.values[1].isnan().all()
    torch.testing.assert_close(found.values[[0, 2]], torch.tensor([[3.0, 1], [3, 1]], dtype=DOUBLE))


def test_a_start_in_an_invariant_space_goes_on_outside_it():
    spectrum = torch.tensor([6.0, 5, 1, 1, 1, 0, 2, 3], dtype=DOUBLE)
    found = top_eigenvalues(lambda v: spectrum * v, torch.eye(8, dtype=DOUBLE)[2], 2, tolerance=1e-8)
    torch.testing.assert_close(found.values, torch.tensor([6.0, 5.0], dtype=DOUBLE))
    one = top_eigenvalues(lambda v: 4 * v, start(1))
    assert (one.values.item(), one.converged.item(), one.products) == (4, True, 1)
    nothing = top_eigenvalues(torch.zeros_like, start(7))
    assert (nothing.values.item(), nothing.converged.item()) == (0, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count: got 0"),
        ({"count": 4}, "count: got 4, want 1 to 3"),
        ({"tolerance": -1.0}, "tolerance: got -1"),
        ({"count": 3, "most": 2}, "most: got 2"),
        ({"start": torch.zeros(3)}, "start: got a vector of zeros"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        top_eigenvalues(**{"product": lambda v: v, "start": torch.ones(3), **options})
