"""A learner of one's own, to enter into the problem shift:

replica compare shift --entry examples/my_shift_learner.py:SteadyColumns
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class SteadyColumns:
    """Votes of columns, each as strong as in the environment where it tells the label least; one that turns has no vote.

    Args:
        strength: How sharply votes become probabilities.
    """

    def __init__(self, strength: float = 4.0) -> None:
        self.strength = strength

    def fit(self, X: NDArray[Any], y: NDArray[Any], environment: NDArray[Any]) -> "SteadyColumns":
        """Take rows of shape (rows, features), labels 0, 1, … and each row's environment."""
        onehot = np.eye(y.max() + 1)[y]
        found = []
        for number in np.unique(environment):
            rows, told = X[environment == number], onehot[environment == number]
            centred = (rows - rows.mean(0)) / (rows.std(0) + 1e-9)
            found.append(centred.T @ (told - told.mean(0)) / len(rows))
        slopes = np.stack(found)
        steady = np.all(np.sign(slopes) == np.sign(slopes[0]), axis=0)
        self.centre = X.mean(0)
        self.slopes = np.where(steady, np.sign(slopes[0]) * np.abs(slopes).min(0), 0.0) / (X.std(0) + 1e-9)[:, None]
        return self

    def predict_proba(self, X: NDArray[Any]) -> NDArray[Any]:
        """Give probabilities of shape (rows, classes)."""
        votes = self.strength * (X - self.centre) @ self.slopes
        odds = np.exp(votes - votes.max(1, keepdims=True))
        return np.asarray(odds / odds.sum(1, keepdims=True))
