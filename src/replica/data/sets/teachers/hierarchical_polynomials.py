"""A polynomial of a polynomial."""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.hermite_e import hermeval
from numpy.typing import NDArray

from .teacher import NoisyFunction, wanted


class HierarchicalPolynomial(NoisyFunction):
    """f = g ∘ p of Gaussian inputs, deg p = k, deg g = q (Wang, Nichani and Lee, 2024).

    p(x) = Σ_j ± z_{kj+1} ⋯ z_{kj+k} / √⌊d/k⌋ with z = Q x, Q a random rotation: mean 0, variance 1, nearly Gaussian.
    g(s) ∝ Σ_{i=1…q} He_i(s) / (i √i!), most of it linear.

    Args:
        dim: d.
        inner: k.
        outer: q.
        noise: σ of targets; f is brought to variance 1.
        rng: For the rotation and the signs.

    Example:
        >>> teacher = HierarchicalPolynomial(12, 2, 3, 0.1, np.random.default_rng(0))
        >>> teacher.examples(10, np.random.default_rng(1)).inputs.shape
        (10, 12)
    """

    def __init__(self, dim: int, inner: int, outer: int, noise: float, rng: np.random.Generator) -> None:
        wanted("inner", inner, 1)
        wanted("outer", outer, 1)
        wanted("dim", dim, inner)
        self._products = dim // inner, inner
        self._rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        self._signs = np.where(rng.random(dim // inner) < 0.5, -1.0, 1.0)
        self._hermite = [0.0, *(1 / (i * math.sqrt(math.factorial(i))) for i in range(1, outer + 1))]
        super().__init__((dim,), noise, rng)

    def inner(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give p at inputs of shape ``(count, dim)``."""
        products, degree = self._products
        rotated = (inputs @ self._rotation.T)[:, : products * degree].reshape(len(inputs), products, degree)
        return np.asarray(rotated.prod(axis=2) @ self._signs / math.sqrt(products), np.float64)

    def _inputs(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.standard_normal((count, *self.shape))

    def _raw(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(hermeval(self.inner(inputs), self._hermite), np.float64)
