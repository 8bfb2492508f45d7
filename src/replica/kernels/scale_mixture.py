"""Regression with wide networks whose last layer has a random scale: heavy-tailed where a Gaussian process is not."""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .kernel_functions import KernelFunction, NamedKernel, diagonal_of
from .scale_posterior import ImportanceLaw, ScaleLaw, best_unit, inverse_gamma_law

Array = NDArray[np.float64]

# k between queries and kept rows held at once: 32 MiB.
_BLOCK_ENTRIES = 2**22


class ScaleMixtureRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A wide network's Gaussian process whose scale s is unknown: y | s ~ N(b, s (K + ε)), s ~ H.

    With H = InverseGamma(shape, rate) this is a Student-t process, and so is its posterior: the mean is the Gaussian
    process's, degrees of freedom are 2 shape + n. Any other H is met by importance sampling with draws of it. Hyperparameters
    that are not given are those of the most evidence: the variance of biases, the noise ε, and the unit of s, in closed form.
    With a fitted unit the first two are the same for every H, the Gaussian process included; laws then differ in their tails.

    Args:
        shape: a; infinity for the Gaussian process (NNGP).
        rate: b.
        scale_prior: H, a frozen SciPy distribution of positive numbers; None for the inverse gamma one.
        draws: of H.
        kernel: a name of `NamedKernel`, or a function of (X, Z) that gives k, shape (n, m).
        depth: hidden layers of a wide network's kernel; σ_w² is 2.
        bias_variance: σ_b² of a wide network's kernel; None to fit it.
        noise: ε above 0; None to fit it.
        unit: what s is multiplied by, above 0; None to fit it.
        evidence_rows: the first rows, in which hyperparameters are fitted; 9 eigendecompositions of a matrix of so many.
        kept_rows: the first rows, on which the process is conditioned.
        random_state: of the draws.

    Attributes:
        bias_variance_, noise_, unit_: in use.
        law_: of (y − mean) / deviation, with `logpdf`, `ppf` and `std`.
        intercept_: the mean of y.

    Source: Lee, Yun, Yang, Lee 2022, "Scale Mixtures of Neural Network Gaussian Processes", section 3.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import ScaleMixtureRegressor
        >>> X = np.linspace(-1, 1, 30)[:, None]
        >>> model = ScaleMixtureRegressor().fit(X, np.sin(3 * X[:, 0]))
        >>> float(abs(model.predict(X) - np.sin(3 * X[:, 0])).max()) < 0.05
        True
    """

    def __init__(
        self,
        shape: float = 2.0,
        rate: float = 2.0,
        *,
        scale_prior: Any = None,
        draws: int = 1000,
        kernel: str | KernelFunction = "nngp-relu",
        depth: int = 4,
        bias_variance: float | None = None,
        noise: float | None = None,
        unit: float | None = None,
        evidence_rows: int = 1000,
        kept_rows: int = 4000,
        random_state: Any = None,
    ) -> None:
        self.shape = shape
        self.rate = rate
        self.scale_prior = scale_prior
        self.draws = draws
        self.kernel = kernel
        self.depth = depth
        self.bias_variance = bias_variance
        self.noise = noise
        self.unit = unit
        self.evidence_rows = evidence_rows
        self.kept_rows = kept_rows
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit hyperparameters and condition on the rows; X has shape (rows, inputs), on one scale, y (rows,).

        Raises:
            ValueError: if X or y is no finite table or a parameter is out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self._check()
        self.intercept_ = float(y.mean())
        self.points_, targets = X[: self.kept_rows], (y - self.intercept_)[: self.kept_rows]
        size = float(np.abs(targets).max()) or 1.0  # squares stay in range whatever the unit of y
        targets = targets / size
        draws = None
        if self.scale_prior is not None:
            draws = np.asarray(self.scale_prior.rvs(self.draws, random_state=check_random_state(self.random_state)))
            if not (np.isfinite(draws).all() and draws.min() > 0):
                raise ValueError(f"scale_prior: got draws such as {draws.min():g}, want finite numbers above 0")
        few = slice(self.evidence_rows)
        self.bias_variance_, self.noise_ = self._most_evident(X[few], targets[few], draws, size)
        self._function = self._kernel(self.bias_variance_)
        gram = np.asarray(self._function(self.points_, self.points_), np.float64)
        gram[np.diag_indices_from(gram)] += self.noise_
        self._factor = cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
        self.coefficients_ = cho_solve((self._factor, True), targets) * size
        distance = max(float(targets @ self.coefficients_) * size, 0.0)
        count = len(targets)
        self.unit_ = self._fitted_unit(distance, count, draws) if self.unit is None else float(self.unit)
        self.law_ = self._law(distance / self.unit_, count, draws)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The posterior mean, shape (rows,); and the standard deviation of a new observation where asked."""
        mean, scale = self._posterior(X)
        return (mean, scale * self.law_.std()) if return_std else mean

    def predict_quantiles(self, X: Any, levels: Any) -> Array:
        """Quantiles of new observations, shape (rows, levels)."""
        mean, scale = self._posterior(X)
        return np.asarray(mean[:, None] + scale[:, None] * self.law_.ppf(np.asarray(levels, np.float64)))

    def log_density(self, X: Any, y: Any) -> Array:
        """Log density of new observations y, shape (rows,), in nats."""
        mean, scale = self._posterior(X)
        return np.asarray(self.law_.logpdf((np.asarray(y, np.float64) - mean) / scale) - np.log(scale))

    def _posterior(self, X: Any) -> tuple[Array, Array]:
        """Mean of new observations, and their deviation for s = 1."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        step = max(1, _BLOCK_ENTRIES // len(self.points_))
        means, variances = [], []
        for start in range(0, len(X), step):
            block = X[start : start + step]
            cross = np.asarray(self._function(block, self.points_), np.float64)
            solved = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
            means.append(cross @ self.coefficients_)
            variances.append(np.maximum(diagonal_of(self._function, block) - (solved**2).sum(0), 0.0))
        variance = (np.concatenate(variances) + self.noise_) * self.unit_
        return self.intercept_ + np.concatenate(means), np.sqrt(variance)

    def _kernel(self, bias_variance: float) -> KernelFunction:
        if not isinstance(self.kernel, str):
            return self.kernel
        return NamedKernel(self.kernel, depth=self.depth, bias_variance=bias_variance)

    def _most_evident(self, X: Array, targets: Array, draws: Array | None, size: float) -> tuple[float, float]:
        """σ_b² and ε: from 0.001 to 10, and from 1e-6 to 10 times the kernel's mean diagonal, where they are not given."""
        wide = isinstance(self.kernel, str) and self.kernel.startswith(("nngp", "ntk"))
        biases = np.geomspace(1e-3, 10, 9) if wide else np.zeros(1)
        if self.bias_variance is not None:
            biases = np.array([self.bias_variance])
        if len(biases) == 1 and self.noise is not None:
            return float(biases[0]), float(self.noise)
        best = (-math.inf, 0.0, 0.0)
        for bias in biases:
            gram = np.asarray(self._kernel(float(bias))(X, X), np.float64)
            values, vectors = np.linalg.eigh(gram)
            parts = (vectors.T @ targets) ** 2
            noises = np.geomspace(1e-6, 10, 71) * (float(gram.diagonal().mean()) or 1.0)
            noises = noises if self.noise is None else np.array([self.noise])
            spectrum = np.maximum(values, 0.0) + noises[:, None]
            scores = self._evidence(np.log(spectrum).sum(1), (parts / spectrum).sum(1) * size**2, len(X), draws)
            place = int(np.argmax(scores))
            best = max(best, (float(scores[place]), float(bias), float(noises[place])))
        return best[1], best[2]

    def _evidence(self, volumes: Array, distances: Array, count: int, draws: Array | None) -> Array:
        """The log of p(y) up to a constant, from ln|K + ε| and yᵀ(K + ε)⁻¹ y."""
        if self.unit is None:
            return np.asarray(-volumes / 2 - count / 2 * np.log(np.maximum(distances, np.finfo(np.float64).tiny)))
        distances = distances / self.unit
        if draws is not None:
            logs = -count / 2 * np.log(draws) - distances[:, None] / (2 * draws)
            return np.asarray(np.logaddexp.reduce(logs, axis=1) - volumes / 2)
        if math.isinf(self.shape):
            return np.asarray(-(volumes + distances) / 2)
        return np.asarray(-volumes / 2 - (self.shape + count / 2) * np.log1p(distances / (2 * self.rate)))

    def _fitted_unit(self, distance: float, count: int, draws: Array | None) -> float:
        """The unit of s under which the observations are likeliest; 1 where all are their mean."""
        mean = distance / count or 1.0
        if draws is not None:
            return mean * best_unit(draws, count)
        return mean if math.isinf(self.shape) else mean * self.shape / self.rate

    def _law(self, distance: float, count: int, draws: Array | None) -> ScaleLaw:
        if draws is not None:
            return ImportanceLaw.of(draws, count, distance)
        return inverse_gamma_law(self.shape, self.rate, count, distance)

    def _check(self) -> None:
        if not (self.shape > 0 and 0 < self.rate < math.inf):
            raise ValueError(f"shape, rate: got {self.shape} and {self.rate}, want numbers above 0, the rate finite")
        for name in ("noise", "unit"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}: got {value}, want a finite number above 0, or None")
        for name in ("draws", "evidence_rows", "kept_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, want 1 or more")
