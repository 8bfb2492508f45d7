"""How far a learner's probabilities can be trusted: log loss and expected calibration error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-6
"""The least probability that log loss takes seriously: one certain mistake costs 13.8 nats, not infinity."""
BINS = 15


def log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean of −ln p(true class), in nats, of ``(rows, classes)`` probabilities; those below `FLOOR` count as that.

    Example:
        >>> round(log_loss(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0])), 4)
        0.3466
    """
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, FLOOR, 1.0)).mean())


def expected_calibration_error(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = BINS
) -> float:
    """Mean gap between confidence and accuracy: Σ_b (n_b / n) |accuracy_b − confidence_b|.

    Confidence is the highest probability of a row; rows go into bins of equal width by it (Guo et al., ICML 2017, eq. 3).

    Example:
        >>> expected_calibration_error(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1]))
        0.25
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(np.intp), bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
