"""A three-layer network that is trained layer by layer, each by least squares: first a feature, then a function of it.

Wang, Nichani, Lee 2024 (ICLR, arXiv 2311.13774).
"""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from .feature_ridge import ridge_by_leave_one_out

Array = NDArray[np.float64]


class LayerwiseThreeLayerNetwork(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Learns y = g(p(x)), g and p polynomials, from as many samples as p alone asks for.

    Stage 1 regresses half of the targets on features of the inputs: as E[g(p) p] ∝ p for a nearly Gaussian p (an approximate
    Stein lemma), what it finds is p. Stage 2 regresses the other half on random ReLU units of that one number, and on the
    number itself (a skip connection). Both are convex; both strengths of decay are chosen by exact leave-one-out errors.

    The inner layer is infinitely wide: its features are all monomials up to `degree`, of which there are C(d + k, k).

    Args:
        degree: k, of p.
        width: ReLU units of the outer layer.
        random_state: of the halves and the units.

    Attributes:
        inner_: weights of stage 1, shape (monomials,).
        ridges_: the strength of each stage.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import LayerwiseThreeLayerNetwork
        >>> X = np.random.default_rng(0).standard_normal((600, 4))
        >>> p = X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3]
        >>> model = LayerwiseThreeLayerNetwork(random_state=0).fit(X, np.maximum(p, 0))
        >>> abs(float(np.corrcoef(model.bottleneck(X), p)[0, 1])) > 0.8
        True
    """

    def __init__(
        self, degree: int = 2, *, width: int = 200, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.degree = degree
        self.width = width
        self.random_state = random_state

    def fit(self, X: Array, y: Array) -> Self:
        """Learns the two stages.

        Args:
            X: inputs, shape (rows, dim), of order 1.
            y: targets, shape (rows,).

        Raises:
            ValueError: if `degree` or `width` is below 1, or the data are not finite or fewer than two rows.
        """
        if self.degree < 1 or self.width < 1:
            raise ValueError(f"degree, width: got {self.degree} and {self.width}, want 1 or more")
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        rng = check_random_state(self.random_state)
        self.monomials_ = PolynomialFeatures(self.degree, include_bias=False).fit(X[:1])
        order = rng.permutation(len(X))
        first, second = order[: len(X) // 2], order[len(X) // 2 :]
        inner = ridge_by_leave_one_out(
            torch.from_numpy(self.monomials_.transform(X[first])), torch.from_numpy(y[first])
        )
        self.inner_ = inner.weights.numpy()
        raw = self.monomials_.transform(X[second]) @ self.inner_
        self.middle_, self.scale_ = float(raw.mean()), float(raw.std()) or 1.0
        # Kinks spread over the bottleneck's range, slopes of either sign.
        self.signs_ = rng.choice([-1.0, 1.0], self.width)
        self.kinks_ = 3.0 * rng.standard_normal(self.width)
        outer = ridge_by_leave_one_out(
            torch.from_numpy(self._units((raw - self.middle_) / self.scale_)), torch.from_numpy(y[second])
        )
        self.outer_, self.intercept_ = outer.weights.numpy(), float(outer.intercept)
        self.ridges_ = (inner.ridge, outer.ridge)
        return self

    def bottleneck(self, X: Array) -> Array:
        """The feature p̂, of mean 0 and variance 1 on the second half, shape (rows,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        raw: Array = self.monomials_.transform(X) @ self.inner_
        return (raw - self.middle_) / self.scale_

    def predict(self, X: Array) -> Array:
        """g(p̂(x)), shape (rows,)."""
        return self._units(self.bottleneck(X)) @ self.outer_ + self.intercept_

    def _units(self, bottleneck: Array) -> Array:
        units = np.maximum(self.signs_ * bottleneck[:, None] - self.kinks_, 0.0)
        return np.concatenate([units / np.sqrt(self.width), bottleneck[:, None]], axis=1)
