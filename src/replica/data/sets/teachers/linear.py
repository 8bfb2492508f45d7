"""A linear teacher."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .teacher import NoisyFunction, unit_vectors, wanted


class LinearTeacher(NoisyFunction):
    """y = w·x + σ ε with x ~ N(0, I/N) and w drawn uniformly from the sphere of radius √N, so that w·x has variance 1.

    The setting of Advani and Saxe (2017), whose signal-to-noise ratio is 1/σ².

    Args:
        dim: N.
        noise: σ.
        rng: For w.

    Example:
        >>> teacher = LinearTeacher(50, 0.5, np.random.default_rng(0))
        >>> teacher.examples(10, np.random.default_rng(1)).inputs.shape, teacher.floor
        ((10, 50), 0.25)
    """

    def __init__(self, dim: int, noise: float, rng: np.random.Generator) -> None:
        wanted("dim", dim, 1)
        self.weights = math.sqrt(dim) * unit_vectors((dim,), rng)
        super().__init__((dim,), noise, rng)
        self._mean, self._scale = 0.0, 1.0  # known

    def _inputs(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.standard_normal((count, *self.shape)) / math.sqrt(self.shape[0])

    def _raw(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = inputs @ self.weights
        return values
