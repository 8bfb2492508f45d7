"""A learner of one's own, to enter into the problem teacher:

replica compare teacher --target dsd --entry examples/my_patch_learner.py:SharedWeights
"""

import numpy as np


class SharedWeights:
    """Least squares with one weight vector for all patches: a prediction is linear in their sum."""

    def __init__(self, penalty: float = 1.0) -> None:
        self.penalty = penalty

    def fit(self, X: np.ndarray, y: np.ndarray, shape: tuple[int, ...]) -> "SharedWeights":
        """Learn from X of shape (examples, features), each row laid out as ``shape``: (patches, dim), or (dim,)."""
        self.shape = shape
        sums = self.sums(X)
        gram = sums.T @ sums + self.penalty * np.eye(sums.shape[1])
        self.weights = np.linalg.solve(gram, sums.T @ y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """A number a row; where targets are ±1, its sign counts."""
        return self.sums(X) @ self.weights

    def sums(self, X: np.ndarray) -> np.ndarray:
        """The sum of a row's patches, (rows, dim)."""
        return X.reshape(len(X), -1, self.shape[-1]).sum(axis=1)
