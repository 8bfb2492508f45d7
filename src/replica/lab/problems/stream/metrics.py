r"""What is measured along a stream, from how many items of each task are right after each evaluation.

$R_{ij}$ is the accuracy on task $j$ after learning task $i$ (Lopez-Paz & Ranzato, 2017), $T$ the number of tasks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def average_accuracy(right: NDArray[np.int64], total: NDArray[np.int64]) -> float:
    r"""Mean over the stream of the share of items right, of all tasks so far (Rebuffi et al., 2017, section 4).

    $\frac 1 T \sum_i \sum_{j \le i} r_{ij} / \sum_{j \le i} n_j$, of $n_j$ test items of task j $r_{ij}$ right after task i.

    Example:
        >>> average_accuracy(np.array([[10, 0], [0, 10]]), np.array([10, 10]))
        0.75
    """
    return float((np.tril(right).sum(axis=1) / np.cumsum(total)).mean())


def forgetting(accuracy: Array) -> float:
    r"""How far accuracy lies below the best there was (Chaudhry et al., 2018, section 3.2), mean over all tasks but the last.

    $\frac 1 {T-1} \sum_{j<T} \left(\max_{j \le i < T} R_{ij} - R_{Tj}\right)$.

    Example:
        >>> forgetting(np.array([[0.9, 0.0], [0.4, 1.0]]))
        0.5
    """
    last = len(accuracy) - 1
    return float(np.mean([accuracy[j:last, j].max() - accuracy[last, j] for j in range(last)]))


def backward_transfer(accuracy: Array) -> float:
    r"""What later tasks add to earlier ones (Lopez-Paz & Ranzato, 2017, equation 3): below zero where they harm.

    $\frac 1 {T-1} \sum_{j<T} (R_{Tj} - R_{jj})$.

    Example:
        >>> round(backward_transfer(np.array([[0.9, 0.0], [0.4, 1.0]])), 6)
        -0.5
    """
    return float((accuracy[-1] - np.diagonal(accuracy))[:-1].mean())


def forward_transfer(before: Array, chance: Array) -> float:
    r"""What earlier tasks add to later ones (Lopez-Paz & Ranzato, 2017, equation 4): accuracy before a task over chance.

    $\frac 1 {T-1} \sum_{j>1} (R_{j-1,j} - b_j)$, with $b_j$ the accuracy of a blind guess among the classes seen instead
    of that of an untrained network: not every method has one.

    Example:
        >>> forward_transfer(np.array([0.6, 0.8]), np.array([0.1, 0.1]))
        0.6
    """
    return float(np.round((before - chance).mean(), 12))


def worst_accuracy(accuracy: Array, learned: NDArray[np.int64]) -> float:
    r"""The least accuracy since a task was learned, mean over all tasks but the last: min-ACC of De Lange et al. (2023).

    $\frac 1 {T-1} \sum_{j<T} \min_{n > n_j} A_{nj}$ over all evaluations $n$ after the end $n_j$ of task $j$ (``learned``), those
    within later tasks too: what a model in use falls to.

    Example:
        >>> worst_accuracy(np.array([[0.9, 0.0], [0.2, 0.5], [0.7, 1.0]]), np.array([0, 2]))
        0.2
    """
    return float(np.mean([accuracy[learned[j] + 1 :, j].min() for j in range(len(learned) - 1)]))
