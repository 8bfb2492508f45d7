"""A query, and an average over keys that match it."""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.hermite_e import hermeval
from numpy.typing import NDArray

from .teacher import NoisyFunction, unit_vectors, wanted


class KeyAverage(NoisyFunction):
    """f ∝ Σ_i F(⟨x_0, x_i⟩ / √d) ⟨β, x_i⟩ over keys x_1 … x_N of a query x_0, all on the sphere of radius √d.

    F is the Hermite polynomial of one degree, β a random direction: the order of keys does not matter. Targets of this form
    are those of Fu, Guo, Bai and Mei (2023).

    Args:
        keys: N.
        dim: d.
        degree: Of F.
        noise: σ of targets; f is brought to mean 0 and variance 1.
        rng: For β.

    Inputs have shape ``(count, 1 + keys, dim)``, the query first.

    Example:
        >>> teacher = KeyAverage(16, 8, 2, 0.1, np.random.default_rng(0))
        >>> teacher.examples(10, np.random.default_rng(1)).inputs.shape
        (10, 17, 8)
    """

    def __init__(self, keys: int, dim: int, degree: int, noise: float, rng: np.random.Generator) -> None:
        wanted("keys", keys, 1)
        wanted("dim", dim, 2)
        wanted("degree", degree, 0)
        self.direction = unit_vectors((dim,), rng)
        self._hermite = [*(0.0,) * degree, 1.0]
        super().__init__((1 + keys, dim), noise, rng)

    def _inputs(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return math.sqrt(self.shape[1]) * unit_vectors((count, *self.shape), rng)

    def _raw(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        query, keys = inputs[:, 0], inputs[:, 1:]
        matches = np.einsum("nd,nkd->nk", query, keys) / math.sqrt(self.shape[1])
        values: NDArray[np.float64] = (hermeval(matches, self._hermite) * (keys @ self.direction)).sum(axis=1)
        return values
