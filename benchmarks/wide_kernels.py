"""Kernels of wide networks beside Neural Tangents (jitted JAX) where it imports, else NumPy; least squares beside scikit-learn.

Operations of a layer that no way can do without, an entry of the triangle, a transcendental function counted as 10 and a root
as 1: ReLU, the correlation (2), the angle (10), the sine (3), the two moments (6) and both kernels (4); erf, the root (5), the
arctangent (11), the moments (2) and both kernels (4).

The path of 24 ridge strengths has scikit-learn's grid search of 24 as its peer, with five folds; ours has exact leave-one-out
errors, of rows times as many fits. Its operations are those of one tridiagonal form and its rotation, 8/3 rows³.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV

from replica.kernels import KernelRegressor, ridge_by_leave_one_out, wide_kernels

from .case import Case, jax_on_one_core

COUNT, DIM, DEPTH = 2000, 10, 3
WEIGHT, BIAS = 1.7, 0.2
ROWS = 1000
Peer = tuple[str, Callable[[], object]]


def cases(device: str = "cpu") -> Iterator[Case]:
    """Both kernels of 2,000 points with three hidden layers; the ridge path of 1,000 rows; random features."""
    points = torch.randn(COUNT, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name, activation, operations in (("ReLU", torch.relu, 25.0), ("erf", torch.erf, 22.0)):

        def ours(activation: Callable[[torch.Tensor], torch.Tensor] = activation) -> object:
            return wide_kernels(
                points.to(device), activation=activation, depth=DEPTH, weight_variance=WEIGHT, bias_variance=BIAS
            )

        peer_name, peer = _neural_tangents(points.numpy(), name) or _numpy(points.numpy(), name)
        for one, other in zip(ours(), peer(), strict=True):  # type: ignore[call-overload]
            assert np.allclose(one.cpu().numpy(), other, rtol=1e-6), name
        work = operations * DEPTH * COUNT * (COUNT + 1) / 2 + DIM * COUNT**2
        yield Case(f"NNGP and tangent kernel, {name}, {COUNT:,}², {DEPTH} layers, {peer_name}", ours, peer, work, 1 / 3)

    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 8))
    y = np.sin(X[:, 0]) + 0.3 * rng.normal(size=ROWS)
    path = KernelRegressor(gamma=0.1).fit(X, y)
    search = GridSearchCV(
        KernelRidge(kernel="rbf", gamma=0.1), {"alpha": path.strengths_}, scoring="neg_mean_squared_error"
    )
    yield Case(
        f"ridge path with leave-one-out, {ROWS:,} rows, scikit-learn's grid search in five folds",
        lambda: KernelRegressor(gamma=0.1).fit(X, y),
        lambda: search.fit(X, y),
        8 / 3 * ROWS**3,
        0.1,
    )
    yield Case(
        f"one ridge strength, {ROWS:,} rows, scikit-learn's KernelRidge",
        lambda: KernelRegressor(gamma=0.1, ridge=0.1, intercept=False).fit(X, y),
        lambda: KernelRidge(kernel="rbf", gamma=0.1, alpha=0.1).fit(X, y),
        ROWS**3 / 3,
        1.0,
    )
    features = np.maximum(X @ rng.normal(size=(8, 500)), 0)
    on_device = torch.from_numpy(features).to(device), torch.from_numpy(y).to(device)
    grid = ridge_by_leave_one_out(*on_device).strengths.tolist()
    yield Case(
        f"ridge on 500 features by leave-one-out, {ROWS:,} rows, scikit-learn's RidgeCV",
        lambda: ridge_by_leave_one_out(*on_device),
        lambda: _ridge_cv(features, y, grid),
        ROWS * 500.0**2 + 9 * 500.0**3,
        1.0,
    )


def _ridge_cv(features: np.ndarray, y: np.ndarray, grid: list[float]) -> object:
    from sklearn.linear_model import RidgeCV

    return RidgeCV(alphas=grid).fit(features, y)


def _neural_tangents(points: np.ndarray, name: str) -> Peer | None:
    try:
        jax = jax_on_one_core()
        from neural_tangents import stax
    except ImportError:
        return None
    dense = stax.Dense(1, W_std=math.sqrt(WEIGHT), b_std=math.sqrt(BIAS))
    layers = [layer for _ in range(DEPTH) for layer in (dense, stax.Relu() if name == "ReLU" else stax.Erf())]
    kernel = jax.jit(lambda x: stax.serial(*layers, dense)[2](x, None, ("nngp", "ntk")))
    return "Neural Tangents", lambda: [np.asarray(part) for part in kernel(points)]


def _numpy(points: np.ndarray, name: str) -> Peer:
    def relu(k: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = np.sqrt(np.outer(own, own))
        cosine = np.clip(k / size, -1, 1)
        slope = (math.pi - np.arccos(cosine)) / (2 * math.pi)
        return size * np.sqrt(1 - cosine**2) / (2 * math.pi) + k * slope, slope, own / 2

    def erf(k: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = np.sqrt(np.outer(1 + 2 * own, 1 + 2 * own))
        sine = 2 * k / size
        slope = 4 / math.pi / (size * np.sqrt(1 - sine**2))
        return 2 / math.pi * np.arcsin(sine), slope, 2 / math.pi * np.arcsin(2 * own / (1 + 2 * own))

    def kernel() -> tuple[np.ndarray, np.ndarray]:
        k = ntk = WEIGHT * (points @ points.T) / DIM + BIAS
        own = k.diagonal()
        for _ in range(DEPTH):
            value, slope, own = (relu if name == "ReLU" else erf)(k, own)
            k, own = WEIGHT * value + BIAS, WEIGHT * own + BIAS
            ntk = k + WEIGHT * slope * ntk
        return k, ntk

    return "NumPy", kernel
