"""Dynamic signal distribution: one of many patches holds the signal, whose sign is the label."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .teacher import Examples, Teacher, unit_vectors, wanted

_POINTS = 2**14


class DynamicSignals(Teacher):
    """x^(i) = y w* 1[i = t] + σ N(0, I_d): t uniform over k patches, y = ±1, ‖w*‖ = 1 (Lahoti et al., 2024).

    Args:
        patches: k.
        dim: d.
        noise: σ, of each input.
        rng: For w*, uniform on the sphere.

    Example:
        >>> teacher = DynamicSignals(8, 16, 0.25, np.random.default_rng(0))
        >>> teacher.examples(10, np.random.default_rng(1)).inputs.shape, round(teacher.floor, 3)
        ((10, 8, 16), 0.012)
    """

    binary = True

    def __init__(self, patches: int, dim: int, noise: float, rng: np.random.Generator) -> None:
        wanted("patches", patches, 1)
        wanted("dim", dim, 1)
        if not (0 < noise < math.inf):
            raise ValueError(f"noise: got {noise}, want a finite number above 0")
        self.shape, self.noise = (patches, dim), noise
        self.signal = unit_vectors((dim,), rng)

    @property
    def floor(self) -> float:
        """See `bayes_error`."""
        return bayes_error(self.shape[0], self.noise)

    def posterior_mean(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """E[y | x] = tanh((l(x) − l(−x)) / 2) with l(x) = log Σ_i exp(w*·x^(i) / σ²), shape ``(count,)``."""
        scores = inputs @ self.signal / self.noise**2
        odds = np.logaddexp.reduce(scores, axis=1) - np.logaddexp.reduce(-scores, axis=1)
        means: NDArray[np.float64] = np.tanh(odds / 2)
        return means

    def examples(self, count: int, rng: np.random.Generator) -> Examples:
        """Draw examples; places, signs and noise come from streams of their own."""
        patches, dim = self.shape
        of_noise, of_places, of_signs = rng.spawn(3)
        inputs = self.noise * of_noise.standard_normal((count, patches, dim))
        places = (patches * of_places.random(count)).astype(np.intp)
        targets = np.where(of_signs.random(count) < 0.5, -1.0, 1.0)
        inputs[np.arange(count), places] += targets[:, None] * self.signal
        return Examples(inputs, targets, self.posterior_mean(inputs))


def bayes_error(patches: int, noise: float) -> float:
    """The share of labels that nobody gets right, w* known.

    With s_i = w*·x^(i) the better sign is that of Σ_i sinh(s_i / σ²). Given y = 1 and the signal in patch 1, it is wrong where
    sinh(s_1 / σ²) < −B, B = Σ_{i>1} sinh(n_i / σ) of noise alone; s_1 is N(1, σ²), so that

    error = E_n Φ(−(1 + σ² asinh B) / σ),

    a mean over k − 1 normal numbers, taken at 2¹⁴ points of a Sobol sequence; one patch has Φ(−1/σ).

    Args:
        patches: k.
        noise: σ.

    Example:
        >>> round(bayes_error(1, 0.5), 5)  # Φ(−2)
        0.02275
    """
    from scipy.special import ndtr
    from scipy.stats import qmc

    if patches == 1:
        return float(ndtr(-1 / noise))
    normal = qmc.MultivariateNormalQMC(np.zeros(patches - 1), rng=np.random.default_rng(0))
    scores = normal.random(_POINTS) / noise
    largest = np.abs(scores).max(axis=1)
    # B and asinh B = log(B + √(B² + 1)) with e^largest taken out: they would overflow.
    scaled = (np.exp(scores - largest[:, None]) - np.exp(-scores - largest[:, None])).sum(axis=1) / 2
    size = largest + np.log(np.abs(scaled) + np.sqrt(scaled**2 + np.exp(-2 * largest)))
    return float(ndtr(-(1 + noise**2 * np.sign(scaled) * size) / noise).mean())
