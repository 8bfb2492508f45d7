"""Gaussian random fields with covariance σ²(−Δ + τ²)^(−α), drawn mode by mode."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MODES = 64
"""Modes a dimension: the rest of a field of α = 2 holds less than a millionth of its variance."""


def cosine_field(
    count: int, intervals: int, *, seed: int, power: float = 2.0, shift: float = 9.0, variance: float = 1.0
) -> NDArray[np.float64]:
    """Draw fields ``(count, intervals + 1, intervals + 1)`` on the unit square, zero normal derivative at its ends, zero mean.

    a(x, y) = Σ_{(k, l) ≠ (0, 0)} ξ_kl σ (π²(k² + l²) + τ²)^(−α/2) c_k c_l cos(πkx) cos(πly), with independent standard
    normal ξ, c_0 = 1 and c_k = √2: the Karhunen–Loève expansion of N(0, σ²(−Δ + τ²)^(−α)) under homogeneous Neumann
    conditions, α the ``power``, τ² the ``shift``. Sample i of a seed is the same function on every grid (up to the modes a coarse
    grid cannot carry) and whatever ``count`` is.

    Example:
        >>> fine, coarse = (cosine_field(1, n, seed=0) for n in (128, 64))
        >>> bool(np.allclose(fine[:, ::2, ::2], coarse))
        True
    """
    frequencies = np.arange(MODES)
    squares = frequencies[:, None] ** 2 + frequencies[None, :] ** 2
    deviations = np.sqrt(variance) * (np.pi**2 * squares + shift) ** (-power / 2)
    deviations[0, 0] = 0.0
    kept = min(MODES, intervals)
    nodes = np.linspace(0, 1, intervals + 1)
    basis = np.cos(np.pi * nodes[:, None] * frequencies[:kept]) * np.where(frequencies[:kept] > 0, np.sqrt(2), 1.0)
    fields = np.empty((count, intervals + 1, intervals + 1))
    for i in range(count):
        weights = (_stream(seed, i).standard_normal((MODES, MODES)) * deviations)[:kept, :kept]
        fields[i] = basis @ weights @ basis.T
    return fields


def periodic_field(
    count: int, intervals: int, *, seed: int, power: float = 2.0, shift: float = 25.0, variance: float = 625.0
) -> NDArray[np.float64]:
    """Draw periodic fields ``(count, intervals)`` on the unit interval, at nodes j / intervals, with zero mean.

    u(x) = Σ_{k ≥ 1} σ (4π²k² + τ²)^(−α/2) √2 (ξ_k cos 2πkx + η_k sin 2πkx), with independent standard normal ξ and η.
    As in `cosine_field`, sample i of a seed is one function.
    """
    frequencies = np.arange(1, MODES + 1)
    deviations = np.sqrt(2 * variance) * (4 * np.pi**2 * frequencies**2 + shift) ** (-power / 2)
    kept = min(MODES, (intervals - 1) // 2)
    angles = 2 * np.pi * np.arange(intervals)[:, None] / intervals * frequencies[:kept]
    basis = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    fields = np.empty((count, intervals))
    for i in range(count):
        weights = (_stream(seed, i).standard_normal((2, MODES)) * deviations)[:, :kept]
        fields[i] = basis @ weights.reshape(-1)
    return fields


def _stream(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
