"""A network with one hidden layer whose hidden weights stay as they were drawn, from a bounded range."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import lstsq
from scipy.special import expit
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from .feature_ridge import ridge_by_leave_one_out

Array = NDArray[np.float64]

UNITS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": expit,
    "tanh": np.tanh,
    "gaussian": lambda z: np.exp(-np.square(z) / 2),
    "relu": lambda z: np.maximum(z, 0.0),
}


class RandomWeightRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """f(x) = c₀ + Σ_j c_j φ(a_j · x − b_j) with a_j and b_j drawn once, uniformly, and c by least squares.

    Such networks are also called random vector functional links or extreme learning machines. The range λ of weights decides
    what they can express: the smallest should fit how fast the target varies, on inputs of order 1.

    Args:
        width: units, n.
        weight_range: λ; each entry of a_j is uniform from −λ to λ.
        bias_range: of b_j, likewise; None for λ, with which units are centred all over [−1, 1].
        activation: φ, "sigmoid", "tanh", "gaussian" (exp(−z²/2)) or "relu".
        cutoff: singular values of the units, each brought to norm 1, are dropped below this share of the largest; None for
            ridge with the strength of the least exact leave-one-out error, for targets with noise.
        intercept: whether there is a c₀; else it is 0.
        random_state: of the hidden weights.

    Attributes:
        weights_: a, shape (inputs, width).
        biases_: b, shape (width,).
        coef_: c, shape (width,) or (width, outputs).
        intercept_: c₀.

    Source: Li, Sonoda, Cao, Wang, Liang 2023 (ICML, arXiv 2008.08427).

    Example:
        >>> import numpy as np
        >>> from replica.kernels import RandomWeightRegressor
        >>> X = np.linspace(-1, 1, 200)[:, None]
        >>> wave = np.sin(16 * X[:, 0])
        >>> narrow, wide = (RandomWeightRegressor(100, λ, cutoff=1e-12, random_state=0).fit(X, wave) for λ in (1, 32))
        >>> narrow.score(X, wave) < 0.5, wide.score(X, wave) > 0.99
        (True, True)
    """

    def __init__(
        self,
        width: int = 500,
        weight_range: float = 1.0,
        *,
        bias_range: float | None = None,
        activation: str = "sigmoid",
        cutoff: float | None = None,
        intercept: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.width = width
        self.weight_range = weight_range
        self.bias_range = bias_range
        self.activation = activation
        self.cutoff = cutoff
        self.intercept = intercept
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Draws the hidden weights and solves for those of the output.

        Args:
            X: inputs, shape (rows, inputs).
            y: targets, shape (rows,) or (rows, outputs).

        Raises:
            ValueError: if X or y is no finite table, or a parameter is out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        y = np.asarray(y, dtype=np.float64)
        self._check()
        rng = check_random_state(self.random_state)
        reach = self.weight_range if self.bias_range is None else self.bias_range
        self.weights_ = self.weight_range * rng.uniform(-1, 1, (X.shape[1], self.width))
        self.biases_ = reach * rng.uniform(-1, 1, self.width)
        units = self.units(X)
        if self.cutoff is None:
            ridge = ridge_by_leave_one_out(torch.from_numpy(units), torch.from_numpy(y), intercept=self.intercept)
            self.coef_, self.intercept_ = ridge.weights.numpy(), ridge.intercept.numpy()
            return self
        centre, middle = units.mean(0) * self.intercept, y.mean(0) * self.intercept
        columns = units - centre
        # A unit whose bias leaves it small on all rows tells as much as a large one: its size must not drop it.
        size = np.linalg.norm(columns, axis=0)
        size[size == 0] = 1.0
        found = lstsq(columns / size, y - middle, cond=self.cutoff, check_finite=False)[0]
        self.coef_ = (found.T / size).T
        self.intercept_ = middle - centre @ self.coef_
        return self

    def units(self, X: Array) -> Array:
        """φ(a_j · x − b_j), shape (rows, width)."""
        return UNITS[self.activation](X @ self.weights_ - self.biases_)

    def predict(self, X: Any) -> Array:
        """f(x), shape (rows,) or (rows, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        predicted: Array = self.units(X) @ self.coef_ + self.intercept_
        return predicted

    def _check(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: got {self.width}, want 1 or more")
        for name in ("weight_range", "bias_range"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < np.inf:
                raise ValueError(f"{name}: got {value}, want a finite number of 0 or more")
        if self.activation not in UNITS:
            raise ValueError(f"activation: got {self.activation!r}, want one of {', '.join(UNITS)}")
        if self.cutoff is not None and not 0 <= self.cutoff < 1:
            raise ValueError(f"cutoff: got {self.cutoff}, want from 0 to below 1, or None")
