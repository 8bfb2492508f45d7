"""The interior point reaches the optimum: a certificate from the dual, ADMM's own end, and scales that change nothing."""

import pytest
import torch

from replica.landscapes import activation_patterns, convex_relu_admm, convex_relu_interior, sampled_patterns


def rows(count: int = 60, dim: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    X[:, -1] = 1
    return X, torch.sin(2 * X[:, :1]) + X[:, :2].prod(1, keepdim=True)


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 3.0])
def test_dual_certifies_eight_digits_and_the_network_has_the_objective(penalty: float) -> None:
    X, y = rows()
    patterns = sampled_patterns(X, 12, generator=torch.Generator().manual_seed(1))
    found = convex_relu_interior(X, y, patterns, penalty=penalty, tolerance=1e-8)
    assert abs(found.gap) < 1e-8
    assert found.steps < 60
    hidden, outer = found.layers()
    network = (found.network()(X) - y).square().sum() / 2 + penalty / 2 * (hidden.square().sum() + outer.square().sum())
    assert network.item() == pytest.approx(found.objective, rel=1e-9)
    inside = (2 * patterns.double() - 1)[:, None] * (found.weights[0].transpose(0, 1) @ X.T)
    assert float(inside.min()) > -1e-6  # each unit follows its pattern


def test_it_ends_where_admm_ends() -> None:
    X, y = rows(25, 3)
    both = torch.cat([y, X[:, :1].abs()], 1)
    patterns = activation_patterns(X)
    slow = convex_relu_admm(X, both, patterns, penalty=0.1, steps=20_000, tolerance=1e-6)
    fast = convex_relu_interior(X, both, patterns, penalty=0.1, tolerance=1e-9)
    assert fast.objective == pytest.approx(slow.objective, rel=2e-6)
    torch.testing.assert_close(fast.network()(X), slow.network()(X), atol=2e-2, rtol=0)
    assert fast.bound <= slow.objective


def test_units_change_nothing_and_single_precision_is_single_only_outside() -> None:
    X, y = rows(30, 3)
    patterns = sampled_patterns(X, 6, generator=torch.Generator().manual_seed(1))
    found = convex_relu_interior(X, y, patterns, penalty=0.2)
    scaled = convex_relu_interior(1e4 * X, 1e5 * y, patterns, penalty=0.2 * 1e9)
    assert scaled.objective == pytest.approx(1e10 * found.objective, rel=1e-6)
    single = convex_relu_interior(X.float(), y.float(), patterns, penalty=0.2)
    assert single.weights.dtype == torch.float32
    assert single.objective == pytest.approx(found.objective, rel=1e-5)


def test_a_penalty_above_all_use_leaves_nothing() -> None:
    X, y = rows(20, 3)
    found = convex_relu_interior(X, y, activation_patterns(X), penalty=1e4)
    assert found.objective == pytest.approx(float(y.square().sum()) / 2, rel=1e-6)
    assert float(found.network()(X).abs().max()) < 1e-2
    with pytest.raises(ValueError, match="penalty: got 0, want above 0"):
        convex_relu_interior(X, y, activation_patterns(X), penalty=0)
