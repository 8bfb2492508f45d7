"""Measures in which every class counts alike, however many rows it has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def confusion_matrix(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Counts:
    """How many rows of each class (line) are predicted as each (column), shape ``(classes, classes)``.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(confusion: Counts) -> float:
    """Mean over classes of the share of their rows that is found (Brodersen et al., 2010); classes without a row do not count.

    Example:
        >>> balanced_accuracy(np.array([[8, 2], [1, 1]]))
        0.65
    """
    rows = confusion.sum(axis=1)
    return float((confusion.diagonal()[rows > 0] / rows[rows > 0]).mean())


def macro_f1(confusion: Counts) -> float:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN); classes that are neither there nor predicted do not count.

    Example:
        >>> macro_f1(np.array([[2, 0], [1, 1]]))
        0.7333333333333334
    """
    there = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float((2 * confusion.diagonal()[there > 0] / there[there > 0]).mean())


def auroc(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean over classes of the area under the ROC curve of a class against the others (Hand and Till, 2001, section 2).

    The area is the probability that a row of the class is given a higher probability of it than one of another class, a tie
    counting half. Classes that no row or every row has do not count; 0.5 where that leaves none.

    Example:
        >>> auroc(np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]), np.array([0, 0, 1]))
        0.75
    """
    from scipy.stats import rankdata

    mine = labels[:, None] == np.arange(probabilities.shape[1])
    inside = mine.sum(axis=0)
    pairs = inside * (len(labels) - inside)
    wins = np.where(mine, rankdata(probabilities, axis=0), 0.0).sum(axis=0) - inside * (inside + 1) / 2
    return float((wins[pairs > 0] / pairs[pairs > 0]).mean()) if pairs.any() else 0.5
