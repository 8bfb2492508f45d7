"""How much inductive bias a task needs: the bits that single out, among all hypotheses that fit, those that generalise.

Boopathy, Yue, Hwang, Iyer, Fiete 2024 (IJCAI, arXiv 2406.15941).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.optimize import minimize
from scipy.stats import ncx2

from .quadratic_form import quadratic_form_log_cdf

LARGE = 5000.0
"""Degrees and noncentrality together from which the law is so nearly normal that its cumulants fit it."""


class ErrorLaw(NamedTuple):
    """The law of hypotheses' errors: scale · χ²(degrees, noncentrality)."""

    degrees: float
    noncentrality: float
    scale: float

    def log_cdf(self, value: float) -> float:
        """Ln P(e ≤ value), by the saddlepoint of `quadratic_form_log_cdf`, which no tail is too far for."""
        return quadratic_form_log_cdf([self.scale], [math.sqrt(self.noncentrality)], value, [self.degrees])


def fit_error_law(errors: ArrayLike) -> ErrorLaw:
    """Fits a scaled non-central χ² to sampled errors by maximum likelihood, from the start that their cumulants give.

    Args:
        errors: of hypotheses drawn from those that fit the training data, above 0, shape (n,), 10 or more.

    Raises:
        ValueError: if there are too few, one is not positive and finite, or all are alike.
    """
    sample = np.asarray(errors, float)
    if sample.ndim != 1 or len(sample) < 10:
        raise ValueError(f"errors: got shape {sample.shape}, want (n,) with 10 or more")
    if not (np.isfinite(sample).all() and (sample > 0).all()) or np.ptp(sample) == 0:
        raise ValueError("errors: want positive finite numbers that are not all alike")
    unit = sample.mean()
    sample = sample / unit

    def unlikelihood(logs: NDArray[np.float64]) -> float:
        degrees, shift, scale = np.exp(np.clip(logs, -20, 20))
        density = ncx2.logpdf(sample / scale, degrees, shift) - math.log(scale)
        return float(-np.where(np.isfinite(density), density, -1e6).mean())

    begin = _by_cumulants(sample)
    if begin[0] + begin[1] >= LARGE:
        return ErrorLaw(float(begin[0]), float(begin[1]), float(begin[2] * unit))
    start = np.log(begin)
    found = minimize(unlikelihood, start, method="Nelder-Mead", options={"xatol": 1e-2, "fatol": 1e-6, "maxiter": 300})
    degrees, shift, scale = (float(number) for number in np.exp(np.clip(found.x, -20, 20)))
    return ErrorLaw(degrees, shift, scale * float(unit))


def inductive_bias(errors: ArrayLike, target: float) -> float:
    """Bits of inductive bias that a task needs of a space of hypotheses: −log₂ P(e ≤ target).

    Args:
        errors: test errors of hypotheses drawn from those of the space that fit the training data, shape (n,).
        target: the error at which a hypothesis counts as generalising.

    Returns:
        Bits, 0 or more. Far below every sample they rest on the fitted law alone.

    Raises:
        ValueError: see `fit_error_law`; if `target` is not positive.

    Example:
        >>> import numpy as np
        >>> errors = np.random.default_rng(0).chisquare(20, 4000) / 20
        >>> round(inductive_bias(errors, 0.5))  # exact: 4.9
        5
    """
    if not target > 0:
        raise ValueError(f"target: got {target}, want a number above 0")
    return -fit_error_law(errors).log_cdf(target) / math.log(2)


class KernelHypotheses:
    """The functions of a kernel's space that interpolate training data: f ~ N(K_tX K⁻¹ y, K_tt − K_tX K⁻¹ K_Xt) at the tests.

    The error of a hypothesis is the mean of its squared differences from the test targets. It is a quadratic form in Gaussians,
    of which the law is known, so its tail needs no samples.

    Args:
        train: kernel among the training inputs, shape (n, n).
        cross: kernel between tests and training inputs, shape (m, n).
        test: kernel among the tests, shape (m, m).
        y: training targets, shape (n, outputs).
        test_y: test targets, shape (m, outputs).
        ridge: added to the diagonal of `train`, relative to its mean.

    Raises:
        ValueError: if the shapes do not fit.
    """

    def __init__(
        self,
        train: ArrayLike,
        cross: ArrayLike,
        test: ArrayLike,
        y: ArrayLike,
        test_y: ArrayLike,
        *,
        ridge: float = 1e-8,
    ) -> None:
        K, K_t, K_tt, Y, T = (np.asarray(part, float) for part in (train, cross, test, y, test_y))
        n, m = len(K), len(K_tt)
        if (
            K.shape != (n, n)
            or K_t.shape != (m, n)
            or K_tt.shape != (m, m)
            or len(Y) != n
            or len(T) != m
            or Y.ndim != 2
        ):
            shapes = ", ".join(str(part.shape) for part in (K, K_t, K_tt, Y, T))
            raise ValueError(
                f"train, cross, test, y, test_y: got shapes {shapes}, want (n, n), (m, n), (m, m), (n, k), (m, k)"
            )
        factor = cho_factor(K + ridge * np.trace(K) / n * np.eye(n))
        spread = K_tt - K_t @ cho_solve(factor, K_t.T)
        values, axes = eigh((spread + spread.T) / 2)
        self.variances = np.maximum(values, 0.0)
        """Of the hypotheses along the axes of the tests, shape (m,)."""
        self.biases = axes.T @ (K_t @ cho_solve(factor, Y) - T)
        """Mean of the hypotheses less the targets, along these axes, shape (m, outputs)."""

    def errors(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Errors of hypotheses drawn at random, shape (count,)."""
        total = np.zeros(count)
        for bias in self.biases.T:
            draws = rng.standard_normal((count, len(bias))) * np.sqrt(self.variances) + bias
            total += np.square(draws).sum(1)
        return total / self.biases.size

    def bits(self, target: float) -> float:
        """−log₂ P(e ≤ target), of the exact law."""
        outputs = self.biases.shape[1]
        weights = np.repeat(self.variances[:, None], outputs, 1)
        kept = weights > 1e-12 * weights.max()
        floor = float(np.square(self.biases[~kept]).sum())
        means = self.biases[kept] / np.sqrt(weights[kept])
        return -quadratic_form_log_cdf(weights[kept], means, target * self.biases.size - floor) / math.log(2)


def _by_cumulants(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees, noncentrality and scale with the sample's first three cumulants, or the first two where there are none."""
    mean, variance = sample.mean(), sample.var()
    third = ((sample - mean) ** 3).mean()
    inner = variance**2 - mean * third / 2
    scale = (variance - math.sqrt(inner)) / (2 * mean) if inner > 0 else variance / (2 * mean)
    scale = float(np.clip(scale, variance / (4 * mean) * 1.01, variance / (2 * mean)))
    shift = variance / (2 * scale**2) - mean / scale
    return np.array([max(mean / scale - shift, 1e-3), max(shift, 1e-3), scale])
