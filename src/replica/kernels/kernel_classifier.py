"""Kernel least squares on one-hot labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .kernel_functions import KernelFunction
from .kernel_regressor import KernelRegressor


class KernelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`KernelRegressor` on one-hot labels: with a tangent kernel, a wide network trained on the squared error.

    Args:
        kernel: as `KernelRegressor` takes it.
        ridge: λ; several to choose from by leave-one-out error; or None for its path.
        gamma: of the kernels that have one.
        depth: hidden layers of a wide network's kernel.
        weight_variance: σ_w² of a wide network's kernel.
        bias_variance: σ_b² of a wide network's kernel.

    Attributes:
        classes_: the labels, sorted.
        regressor_: the regressor of one-hot labels.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import KernelClassifier
        >>> X = np.random.default_rng(0).normal(size=(60, 2))
        >>> model = KernelClassifier("ntk-relu").fit(X, X[:, 0] > 0)
        >>> model.predict(np.array([[1.0, 0.0], [-1.0, 0.0]]))
        array([ True, False])
    """

    def __init__(
        self,
        kernel: str | KernelFunction = "rbf",
        *,
        ridge: float | Sequence[float] | None = None,
        gamma: float | None = None,
        depth: int = 2,
        weight_variance: float = 2.0,
        bias_variance: float = 0.1,
    ) -> None:
        self.kernel = kernel
        self.ridge = ridge
        self.gamma = gamma
        self.depth = depth
        self.weight_variance = weight_variance
        self.bias_variance = bias_variance

    def __sklearn_tags__(self) -> Any:
        """A precomputed kernel is a table of pairs."""
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    def fit(self, X: Any, y: Any) -> "KernelClassifier":
        """Fits the one-hot labels.

        Args:
            X: inputs, shape (rows, inputs).
            y: labels, shape (rows,).

        Raises:
            ValueError: if X or y is no finite table of inputs and labels, or as `KernelRegressor`.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.regressor_ = KernelRegressor(
            self.kernel,
            ridge=self.ridge,
            gamma=self.gamma,
            depth=self.depth,
            weight_variance=self.weight_variance,
            bias_variance=self.bias_variance,
        ).fit(X, np.eye(len(self.classes_))[codes])
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """What the regressor gives, shape (rows, classes), or for two classes (rows,), above 0 for the second."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        scores = np.asarray(self.regressor_.predict(X))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of the largest score, shape (rows,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Scores below 0 set to 0, over their sum, shape (rows, classes): least squares aims at probabilities themselves."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        scores = np.asarray(self.regressor_.predict(X)).clip(0)
        total = scores.sum(1, keepdims=True)  # the scores themselves add up to 1, so it is above 0
        return scores / total
