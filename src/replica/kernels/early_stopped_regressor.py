"""Least squares by gradient flow from zero, stopped early."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

_TIMES = 64


class EarlyStoppedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Linear regression whose weights follow gradient flow from zero for some time: early stopping without a validation set.

    With centred inputs X = U S Vᵀ, rows being samples, the weights at time t are V (1 − e^{−S²t}) S⁻¹ Uᵀ y, so that the
    fit is H_t y with H_t = U (1 − e^{−S²t}) Uᵀ. By default t has the least generalised cross-validation error

        (1/P) ‖y − H_t y‖² / (1 − tr H_t / P)²

    of 64 times, P samples; one singular value decomposition serves all.

    Args:
        time: t, in units in which flow is ẇ = Xᵀ(y − X w), the time constant of Advani, Saxe, Sompolinsky 2020; infinity
            for least squares of least norm. None chooses.

    Attributes:
        coef_: weights, shape (features,).
        intercept_: what is added, so that means are fitted.
        time_: t in use.

    Raises:
        ValueError: in `fit`, if `time` is negative.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import EarlyStoppedRegressor
        >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])
        >>> EarlyStoppedRegressor(time=np.inf).fit(X, X @ [3.0, 1.0] + 5.0).coef_.round(6).tolist()
        [3.0, 1.0]
    """

    def __init__(self, time: float | None = None) -> None:
        self.time = time

    def fit(self, X: Any, y: Any) -> Self:
        """Follows the flow; X has shape (samples, features), y (samples,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        if self.time is not None and not self.time >= 0:
            raise ValueError(f"time: got {self.time}, want 0 or more, or None")
        means, mean = X.mean(axis=0), y.mean()
        left, values, right = np.linalg.svd(X - means, full_matrices=False)
        seen = values > np.finfo(np.float64).eps * max(X.shape) * values.max(initial=0)
        left, values, right = left[:, seen], values[seen], right[seen]
        parts = left.T @ (y - mean)
        rest = max(float(((y - mean) ** 2).sum() - (parts**2).sum()), 0.0)
        self.time_ = self._chosen(values**2, parts, rest, len(y)) if self.time is None else float(self.time)
        self.coef_: NDArray[np.float64] = right.T @ (-np.expm1(-self.time_ * values**2) / values * parts)
        self.intercept_ = float(mean - means @ self.coef_)
        return self

    @staticmethod
    def _chosen(eigenvalues: NDArray[np.float64], parts: NDArray[np.float64], rest: float, samples: int) -> float:
        """The time of the least generalised cross-validation error; the mean that is fitted counts as one of the trace."""
        if not len(eigenvalues):
            return 0.0
        times = np.geomspace(0.01 / eigenvalues[0], 100 / eigenvalues[-1], _TIMES)
        kept = np.exp(-times[:, None] * eigenvalues)
        left_over = samples - 1 - (1 - kept).sum(axis=1)
        # Where hardly anything is left over the error is noise: 0/0 in the end.
        usable = left_over > 0.05 * samples
        errors = ((kept * parts) ** 2).sum(axis=1) + rest
        scores = np.where(usable, errors / np.where(usable, left_over, 1.0) ** 2, np.inf)
        return float(times[scores.argmin()])

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predictions, shape (samples,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        predicted: NDArray[np.float64] = X @ self.coef_ + self.intercept_
        return predicted
