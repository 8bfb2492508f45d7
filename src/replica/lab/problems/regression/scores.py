"""How good predictions of a number are, and how well a method knows how sure it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVELS: Array = (np.arange(50) + 0.5) / 50
"""The levels of quantiles that are asked for: the middles of fifty equal parts, of which 0.05 and 0.95 are two."""
LOWEST, HIGHEST = 2, 47
"""Where 0.05 and 0.95 stand: the ends of a 90 % interval."""
FLOOR = -1e4
"""The least log density that counts, in nats: a density of 0 for one row is not minus infinity for all."""


def crps(quantiles: Array, truth: Array, levels: Array = LEVELS) -> float:
    """Mean continuous ranked probability score: ∫ (F(t) − 1[t ≥ y])² dt = 2 ∫₀¹ ρ_τ(y − q_τ) dτ (Gneiting and Raftery, 2007).

    ρ_τ(u) = u (τ − 1[u < 0]) is the pinball loss. The second integral is a mean over ``levels``, the middles of equal parts;
    for a normal distribution fifty of them give it to 1 %.

    Args:
        quantiles: Shape ``(rows, levels)``.
        truth: Shape ``(rows,)``.
        levels: Shape ``(levels,)``.

    Example:
        >>> round(crps(np.full((2, 50), 1.0), np.array([0.0, 3.0])), 6)
        1.5
    """
    above = truth[:, None] - quantiles
    return float(2 * (above * (levels - (above < 0))).mean())


def coverage_curve(quantiles: Array, truth: Array, levels: Array = LEVELS) -> tuple[Array, Array]:
    """The share of the truth inside of central intervals, from the narrowest to the widest, beside the share that they promise.

    Args:
        quantiles: Shape ``(rows, levels)``, rising in each row.
        truth: Shape ``(rows,)``.
        levels: Shape ``(levels,)``, an even number, symmetric about ½.

    Returns:
        What is promised and what is found, each of shape ``(levels / 2,)``.

    Example:
        >>> levels = np.array([0.1, 0.3, 0.7, 0.9])
        >>> coverage_curve(np.tile([1.0, 2.0, 3.0, 4.0], (2, 1)), np.array([2.5, 3.5]), levels)[1].tolist()
        [0.5, 1.0]
    """
    half = len(levels) // 2
    low, high = quantiles[:, :half][:, ::-1], quantiles[:, half:]
    inside = ((low <= truth[:, None]) & (truth[:, None] <= high)).mean(axis=0)
    return levels[half:] - levels[:half][::-1], np.asarray(inside)


def farthest(queries: Array, known: Array, share: float) -> NDArray[np.bool_]:
    """The queries that lie farthest from the mean of the known rows: a share of them, one at least.

    Args:
        queries: Shape ``(rows, features)``, in the units in which distances are measured.
        known: Shape ``(others, features)``.
        share: Of the queries, from 0 to 1.

    Example:
        >>> farthest(np.array([[1.0], [-5.0], [2.0]]), np.zeros((4, 1)), 0.3).tolist()
        [False, True, False]
    """
    distance = np.square(queries - known.mean(axis=0)).sum(axis=1)
    far = np.zeros(len(queries), bool)
    far[np.argsort(-distance, kind="stable")[: max(1, round(share * len(queries)))]] = True
    return far
