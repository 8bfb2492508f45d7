"""Kernel least squares: ridge regression in the space of a kernel, which is the mean of a Gaussian process."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.special import ndtri
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .kernel_functions import KernelFunction, NamedKernel, diagonal_of
from .ridge_path import ridge_path

Array = NDArray[np.float64]

# Kernel values between queries and training points held at once: 32 MiB.
_BLOCK_ENTRIES = 2**22


class KernelRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Minimises Σ_i (y_i − f(x_i))² + λ ‖f − b‖², the norm being the kernel's and b a constant without penalty.

    λ is chosen by the exact leave-one-out error over a whole path, all from one decomposition of the Gram matrix (see
    `ridge_path`), which takes 8/3 rows³ operations; a λ that is given takes one Cholesky factor, rows³/3. The Gram matrix
    is the one array of rows² numbers that is held, and is gone after `fit`. Prediction goes in blocks.

    The same f is the posterior mean of a Gaussian process with covariance s² k and noise of variance s² λ. `predict` gives
    the posterior deviation of f too where asked; s is fitted by evidence (s² is y·α over the degrees of freedom) or given.

    Args:
        kernel: a name of `NamedKernel`; a function of (X, Z) that gives k, shape (n, m); or "precomputed" for X that is k
            itself, (n, n) in `fit` and (m, n) in `predict`.
        ridge: λ, 0 or more; several to choose from; or None for 24 from 1e-10 to 100 times the kernel's mean diagonal.
        tolerance: of several λ the largest is taken whose leave-one-out error is at most this share above the least. Where
            targets have little noise the path is flat below some λ, and the least of them makes the posterior too sure.
        selection_rows: of more rows, the first so many choose λ, and one Cholesky factor of all follows: the noise of the
            Gaussian process, which λ is, does not depend on how many rows there are. None for all rows.
        intercept: whether there is a b; else it is 0.
        gamma: of the kernels that have one; None for 1 over the summed variance of the columns (its root for "laplace").
        degree: of "polynomial".
        coef0: of "polynomial".
        depth: hidden layers of a wide network's kernel.
        weight_variance: σ_w² of a wide network's kernel.
        bias_variance: σ_b² of a wide network's kernel.
        scale: s above 0; None to fit one for each output.

    Attributes:
        ridge_: λ in use.
        strengths_: all that were tried, ascending; only without a single `ridge`.
        leave_one_out_: root mean squared leave-one-out error at each, shape (strengths,) or (strengths, outputs).
        coefficients_: α in f(x) = b + Σ_i α_i k(x, x_i), shape (rows,) or (rows, outputs).
        intercept_: b.
        scale_: s, a number or shape (outputs,).

    Source: Saunders, Gammerman, Vovk 1998 (ridge in dual variables); Rasmussen and Williams 2006, Eq. 2.25, 2.26 and 2.41
    (posterior with a constant of infinite prior variance).

    Example:
        >>> import numpy as np
        >>> from replica.kernels import KernelRegressor
        >>> X = np.linspace(0, 6, 50)[:, None]
        >>> model = KernelRegressor("ntk-relu").fit(X, np.sin(X[:, 0]))
        >>> float(abs(model.predict(X) - np.sin(X[:, 0])).max()) < 1e-2
        True
    """

    def __init__(
        self,
        kernel: str | KernelFunction = "rbf",
        *,
        ridge: float | Sequence[float] | None = None,
        tolerance: float = 0.0,
        selection_rows: int | None = None,
        intercept: bool = True,
        gamma: float | None = None,
        degree: int = 3,
        coef0: float = 1.0,
        depth: int = 2,
        weight_variance: float = 2.0,
        bias_variance: float = 0.1,
        scale: float | None = None,
    ) -> None:
        self.kernel = kernel
        self.ridge = ridge
        self.tolerance = tolerance
        self.selection_rows = selection_rows
        self.intercept = intercept
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.depth = depth
        self.weight_variance = weight_variance
        self.bias_variance = bias_variance
        self.scale = scale

    def __sklearn_tags__(self) -> Any:
        """A precomputed kernel is a table of pairs."""
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    def fit(self, X: Any, y: Any) -> "KernelRegressor":
        """Finds λ and α.

        Args:
            X: inputs, shape (rows, inputs), on one scale where the kernel has one.
            y: targets, shape (rows,) or (rows, outputs).

        Raises:
            ValueError: if X or y is no finite table, a parameter is out of range, or the kernel's matrix is not finite,
                of the wrong shape or not positive semi-definite.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        y = np.asarray(y, dtype=np.float64)
        if self.scale is not None and not 0 < self.scale < np.inf:
            raise ValueError(f"scale: got {self.scale}, want a finite number above 0, or None")
        if not 0 <= self.tolerance < np.inf:
            raise ValueError(f"tolerance: got {self.tolerance}, want a finite number of 0 or more")
        if self.selection_rows is not None and self.selection_rows < 1:
            raise ValueError(f"selection_rows: got {self.selection_rows}, want 1 or more, or None for all")
        strengths = self._strengths()
        chosen = min(len(X), self.selection_rows or len(X))
        self.points_, self.kernel_ = X, self._kernel(X)
        self._factor: tuple[Array, Array | None, float] | None = None
        targets = y.reshape(len(y), -1)
        # Squares of errors stay in range whatever the unit of y.
        unit = np.abs(targets).max(0)
        unit[unit == 0] = 1.0
        targets = targets / unit
        if strengths is not None and len(strengths) == 1:
            self.ridge_ = float(strengths[0])
            alpha, constant = self._by_cholesky(targets)
        else:
            path = ridge_path(
                self._gram(chosen), targets[:chosen], strengths, intercept=self.intercept, tolerance=self.tolerance
            )
            self.ridge_, alpha, constant = float(path.strengths[path.best]), path.coefficients, path.intercept
            self.strengths_, errors = path.strengths, path.errors * unit
            self.leave_one_out_ = errors[:, 0] if y.ndim == 1 else errors
            if chosen < len(X):
                alpha, constant = self._by_cholesky(targets)
        freedom = max(1, len(y) - int(self.intercept))
        centred = targets - targets.mean(0) * int(self.intercept)
        scale = np.sqrt(np.maximum((centred * alpha).sum(0) / freedom, 0.0)) * unit
        if self.scale is not None:
            scale = np.full_like(scale, self.scale)
        alpha, constant = alpha * unit, constant * unit
        one = y.ndim == 1
        self.coefficients_ = alpha[:, 0] if one else alpha
        self.intercept_, self.scale_ = (constant[0], scale[0]) if one else (constant, scale)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """f(x), and its posterior deviation.

        Args:
            X: inputs, shape (rows, inputs); with "precomputed" k between them and the training points.
            return_std: give the deviation too; not with "precomputed". Its first call factors the Gram matrix, and the
                factor is kept.

        Returns:
            f, shape (rows,) or (rows, outputs); with `return_std` a pair of f and the deviation of f, without the noise
            (add `scale_**2 * ridge_` to its square for that of a new observation).
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        means, variances = [], []
        for start in range(0, len(X), max(1, _BLOCK_ENTRIES // len(self.points_))):
            block = X[start : start + max(1, _BLOCK_ENTRIES // len(self.points_))]
            cross = self._cross(block)
            means.append(cross @ self.coefficients_ + self.intercept_)
            if return_std:
                variances.append(self._variance(block, cross))
        mean = np.concatenate(means)
        if not return_std:
            return mean
        root = np.sqrt(np.concatenate(variances))
        return mean, root * self.scale_ if mean.ndim == 1 else root[:, None] * self.scale_

    def predict_quantiles(self, X: Any, levels: Any) -> Array:
        """Quantiles of a new observation under the posterior, noise included; for one output.

        Args:
            X: inputs, shape (rows, inputs).
            levels: between 0 and 1, shape (levels,).

        Returns:
            Shape (rows, levels).
        """
        mean, deviation = self._observed(X)
        return np.asarray(mean[:, None] + deviation[:, None] * ndtri(np.asarray(levels, dtype=np.float64)))

    def log_density(self, X: Any, y: Any) -> Array:
        """Natural logarithm of the posterior density of new observations, noise included, shape (rows,); for one output."""
        mean, deviation = self._observed(X)
        gap = (np.asarray(y, dtype=np.float64) - mean) / deviation
        return np.asarray(-0.5 * gap**2 - np.log(deviation) - 0.5 * np.log(2 * np.pi))

    def _observed(self, X: Any) -> tuple[Array, Array]:
        mean, deviation = self.predict(X, return_std=True)
        if mean.ndim != 1:
            raise ValueError(f"y: got {mean.shape[1]} outputs in fit, want one for a distribution")
        # Of targets that a function fits without noise, the last digits.
        least = 1e-10 * max(float(np.abs(mean).max()), np.finfo(float).tiny)
        return mean, np.maximum(np.hypot(deviation, self.scale_ * np.sqrt(self.ridge_)), least or 1e-10)

    def _strengths(self) -> Array | None:
        if self.ridge is None:
            return None
        strengths = np.atleast_1d(np.asarray(self.ridge, dtype=np.float64))
        low = 0.0 if len(strengths) == 1 else np.nextafter(0.0, 1.0)
        if not len(strengths) or not (np.isfinite(strengths).all() and strengths.min() >= low):
            raise ValueError(
                f"ridge: got {self.ridge}, want finite numbers of 0 or more, above 0 where there are several"
            )
        return strengths

    def _kernel(self, X: Array) -> KernelFunction | Literal["precomputed"]:
        if not isinstance(self.kernel, str):
            return self.kernel
        if self.kernel == "precomputed":
            if X.shape[0] != X.shape[1]:
                raise ValueError(f"X: got shape {X.shape}, want a square matrix with kernel='precomputed'")
            return "precomputed"
        gamma = self.gamma
        if gamma is None:
            spread = float(X.var(0).sum())
            gamma = 1 / (np.sqrt(spread) if self.kernel == "laplace" else spread) if spread > 0 else 1.0
        return NamedKernel(
            self.kernel,
            gamma=gamma,
            degree=self.degree,
            coef0=self.coef0,
            depth=self.depth,
            weight_variance=self.weight_variance,
            bias_variance=self.bias_variance,
        )

    def _gram(self, count: int | None = None) -> Array:
        """K between the first training points, or all, in Fortran order, in an array that may be overwritten."""
        points = self.points_[:count]
        if isinstance(self.kernel_, str):
            return np.array(points[:, :count], order="F")
        gram = np.asarray(self.kernel_(points, points), dtype=np.float64)
        self._refuse(gram, (len(points), len(points)))
        # A function may keep what it returns; the kernels by name do not.
        own = isinstance(self.kernel_, NamedKernel) and gram.flags.c_contiguous
        return gram.T if own else np.array(gram, order="F")

    def _cross(self, X: Array) -> Array:
        if isinstance(self.kernel_, str):
            return X
        cross = np.asarray(self.kernel_(X, self.points_), dtype=np.float64)
        self._refuse(cross, (len(X), len(self.points_)))
        return cross

    def _refuse(self, values: Array, shape: tuple[int, int]) -> None:
        if values.shape != shape:
            raise ValueError(f"kernel: got shape {values.shape}, want {shape}")
        # Both ends are NaN where any value is, and no array of flags is made.
        if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise ValueError("kernel: got values that are not finite")

    def _factored(self) -> tuple[Array, Array | None, float]:
        """The Cholesky factor of G = K + λ; with an intercept G⁻¹ 1 and 1ᵀ G⁻¹ 1."""
        if self._factor is None:
            factor = _cholesky(self._gram(), self.ridge_)
            if self.intercept:
                flat = cho_solve((factor, True), np.ones(len(factor)), check_finite=False)
                self._factor = factor, flat, float(flat.sum())
            else:
                self._factor = factor, None, 0.0
        return self._factor

    def _by_cholesky(self, targets: Array) -> tuple[Array, Array]:
        factor, flat, total = self._factored()
        middle = targets.mean(0) if self.intercept else np.zeros(targets.shape[1])
        alpha = cho_solve((factor, True), targets - middle, check_finite=False)
        if flat is not None:
            shift = alpha.sum(0) / total
            alpha, middle = alpha - flat[:, None] * shift, middle + shift
        return alpha, middle

    def _variance(self, X: Array, cross: Array) -> Array:
        """Of f under the posterior, for s = 1."""
        if isinstance(self.kernel_, str):
            raise ValueError("return_std: got True, want False with kernel='precomputed', which has no k(x, x)")
        factor, flat, total = self._factored()
        solved = solve_triangular(factor, cross.T, lower=True, check_finite=False)
        variance = diagonal_of(self.kernel_, X) - (solved**2).sum(0)
        if flat is not None:
            variance += (1 - cross @ flat) ** 2 / total
        return np.maximum(variance, 0.0)


def _cholesky(gram: Array, ridge: float) -> Array:
    """Lower factor of K + λ in the memory of K; where rounding leaves it indefinite, λ rises by up to 1e-7 of the diagonal."""
    diagonal = gram.diagonal().copy()
    scale = float(np.abs(diagonal).mean()) or 1.0
    for jitter in (0.0, *(scale * 10.0**power for power in range(-14, -6))):
        np.fill_diagonal(gram, diagonal + ridge + jitter)
        try:
            return cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)[0]
        except LinAlgError:
            for column in range(len(gram) - 1):  # the part above the diagonal is as it was
                gram[column + 1 :, column] = gram[column, column + 1 :]
    raise ValueError("kernel: got a matrix with negative eigenvalues, want one that is positive semi-definite")
