"""A local teacher: a sum of random functions, each of a few patches side by side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .teacher import NoisyFunction, unit_vectors, wanted

_UNITS = 512
_ROWS = 512


class LocalField(NoisyFunction):
    """f(x) = Σ_i g_i(x^(i), …, x^(i+r−1)), patches on the unit sphere, each g_i a wide network drawn at random.

    g_i(u) = Σ_j a_ij abs(w_ij·u), nearly a Gaussian random field, even in u so that no linear map does: like the local targets
    of Cagnetta, Favero and Wyart (2023), of one hidden layer.

    Args:
        patches: Patches of an input.
        dim: Numbers of a patch.
        reach: r, patches that one function sees.
        noise: σ of targets; f has variance 1.
        rng: For the functions.

    Example:
        >>> teacher = LocalField(8, 2, 2, 0.1, np.random.default_rng(0))
        >>> teacher.examples(10, np.random.default_rng(1)).inputs.shape
        (10, 8, 2)
    """

    def __init__(self, patches: int, dim: int, reach: int, noise: float, rng: np.random.Generator) -> None:
        wanted("patches", patches, 1)
        wanted("dim", dim, 2)
        if not (1 <= reach <= patches):
            raise ValueError(f"reach: got {reach}, want a number from 1 to the {patches} patches")
        self.reach = reach
        places = patches - reach + 1
        self._weights = rng.standard_normal((places, reach * dim, _UNITS)) / math.sqrt(reach)
        self._readout = rng.standard_normal((places, _UNITS)) / math.sqrt(_UNITS)
        super().__init__((patches, dim), noise, rng)

    def _inputs(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return unit_vectors((count, *self.shape), rng)

    def _raw(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.zeros(len(inputs))
        for start in range(0, len(inputs), _ROWS):  # in blocks: the hidden layer of all rows is large
            block = inputs[start : start + _ROWS]
            for place, (weights, readout) in enumerate(zip(self._weights, self._readout, strict=True)):
                seen = block[:, place : place + self.reach].reshape(len(block), -1)
                values[start : start + _ROWS] += np.abs(seen @ weights) @ readout
        return values
