"""What people use today to predict a number: baselines of the problem regression."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import Trial
from replica.lab.problems.baseline import Baselines

baselines = Baselines()
Array = NDArray[np.float64]


@baselines.entry("mean", "the mean of the targets, as sure as they spread: the trivial method")
class Mean:
    """Predicts the mean; its distribution is the normal one of the targets' mean and deviation."""

    def __init__(self, trial: Trial) -> None:
        pass

    def fit(self, X: Array, y: Array) -> Self:
        """Take mean and deviation; the deviation of equal targets is 1."""
        self.mean, self.deviation = float(y.mean()), float(y.std()) or 1.0
        return self

    def predict(self, X: Array) -> Array:
        """The mean for every row."""
        return np.full(len(X), self.mean)

    def predict_quantiles(self, X: Array, levels: Array) -> Array:
        """Quantiles of the normal distribution, shape ``(rows, levels)``."""
        from scipy.stats import norm

        return np.tile(norm.ppf(levels, self.mean, self.deviation), (len(X), 1))

    def log_density(self, X: Array, y: Array) -> Array:
        """Log density of the normal distribution at ``y``."""
        from scipy.stats import norm

        return np.asarray(norm.logpdf(y, self.mean, self.deviation))


@baselines.entry("ridge", "linear least squares with an L2 penalty, chosen by leave-one-out error")
def ridge(trial: Trial) -> Any:
    """Ridge regression; the penalty that has the least leave-one-out error of 25 from 10⁻³ to 10⁵."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(alphas=np.logspace(-3, 5, 25))
