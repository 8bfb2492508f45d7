"""Convex training of a two-layer ReLU network, two ways, beside CVXPY's conic solver; Fastfood beside a dense projection."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from replica.landscapes import (
    DenseProjection,
    FastfoodProjection,
    convex_relu_admm,
    convex_relu_interior,
    sampled_patterns,
)

from .case import Case

ROWS, DIM, PATTERNS, BETA, STEPS = 500, 20, 50, 1.0, 2000


def cases(device: str = "cpu") -> Iterator[Case]:
    """500 rows and 50 sampled patterns, to a thousandth of the objective and to 1e-4 of it; 1,024 numbers to 100,000."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(ROWS, DIM, generator=generator, dtype=torch.float64)
    X[:, -1] = 1
    noise = torch.randn(ROWS, 1, generator=generator, dtype=torch.float64)
    y = torch.sin(2 * X[:, :1]) + X[:, :2].prod(1, keepdim=True) + 0.1 * noise
    patterns = sampled_patterns(X, PATTERNS, generator=generator)
    moved = X.to(device), y.to(device), patterns.to(device)

    def ours() -> float:
        return convex_relu_admm(*moved, penalty=BETA, steps=STEPS, tolerance=0.0, look_every=STEPS).objective

    conic = _conic(X.numpy(), y.numpy()[:, 0], patterns.numpy())
    if conic is not None:
        assert abs(ours() / conic() - 1) < 1e-3
        # A step multiplies X with all weights thrice, forward or backward, two numbers a pattern.
        name = f"convex two-layer ReLU, {ROWS} rows, {DIM} inputs, {PATTERNS} patterns, CVXPY and Clarabel"
        yield Case(name, ours, conic, STEPS * 3 * 2.0 * ROWS * DIM * 2 * PATTERNS, 0.1)

    def exactly() -> float:
        return convex_relu_interior(*moved, penalty=BETA, tolerance=1e-4).objective

    if conic is not None:
        assert abs(exactly() / conic() - 1) < 1e-4
        name = f"convex two-layer ReLU by an interior point, {ROWS} rows, {DIM} inputs, {PATTERNS} patterns, Clarabel"
        # Some 23 steps, each with a product of rows² · patterns · dim.
        yield Case(name, exactly, conic, 23 * 1.0 * ROWS**2 * PATTERNS * DIM, 0.1)

    numbers = torch.randn(1024, generator=generator).to(device)
    fast, dense = (
        kind(1024, 100_000, generator=torch.Generator().manual_seed(0)).to(device)
        for kind in (FastfoodProjection, DenseProjection)
    )
    # Two transforms of log₂ 1,024 additions a number.
    yield Case(
        "Fastfood, 1,024 to 100,000 numbers, a dense matrix", lambda: fast(numbers), lambda: dense(numbers), 22e5, 0.5
    )


def _conic(X: np.ndarray, y: np.ndarray, patterns: np.ndarray) -> Callable[[], float] | None:
    try:
        import cvxpy
    except ImportError:
        return None
    active = patterns.T.astype(float)
    v, w = (cvxpy.Variable((X.shape[1], len(patterns))) for _ in range(2))
    fit = cvxpy.sum(cvxpy.multiply(active, X @ (v - w)), axis=1) - y
    norms = cvxpy.sum(cvxpy.norm(v, 2, axis=0)) + cvxpy.sum(cvxpy.norm(w, 2, axis=0))
    signs = [cvxpy.multiply(2 * active - 1, X @ each) >= 0 for each in (v, w)]
    programme = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(fit) / 2 + BETA * norms), signs)
    return lambda: float(programme.solve(solver="CLARABEL"))
