"""What n observations tell of the scale of a process, and the law of a standardised value that follows."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import logsumexp, ndtr
from scipy.stats import norm, t

Array = NDArray[np.float64]


class ScaleLaw(Protocol):
    """The law of z = (y* − mean) / deviation, mean and deviation being those of the Gaussian process of scale 1."""

    def logpdf(self, z: Array) -> Array:
        """The log of the density."""

    def ppf(self, levels: Array) -> Array:
        """Quantiles."""

    def std(self) -> float:
        """The standard deviation."""


def inverse_gamma_law(shape: float, rate: float, count: int, distance: float) -> ScaleLaw:
    """Of s ~ InverseGamma(a, b): Student-t of 2a + n degrees, its squared scale (2b + d) / (2a + n).

    Args:
        shape: a; infinity for s = 1, where the law is normal.
        rate: b.
        count: n.
        distance: d = yᵀ K⁻¹ y of what is observed.
    """
    if math.isinf(shape):
        return norm()
    degrees = 2 * shape + count
    return t(degrees, scale=math.sqrt((2 * rate + distance) / degrees))


@dataclass(frozen=True)
class ImportanceLaw:
    """Of any prior, by importance sampling from it: a mixture of normal laws.

    Args:
        scales: Draws of s, shape (draws,).
        log_weights: ln of their normalised weights, w_i ∝ s_i^(−n/2) exp(−d / 2 s_i).

    Source: Lee et al. 2022, section 3.3.
    """

    scales: Array
    log_weights: Array

    @classmethod
    def of(cls, draws: Array, count: int, distance: float) -> "ImportanceLaw":
        """From draws of the prior, n observations and their d = yᵀ K⁻¹ y."""
        logs = log_likelihood(draws, count, distance)
        return cls(draws, logs - logsumexp(logs))

    def logpdf(self, z: Array) -> Array:
        """See `ScaleLaw`."""
        parts = norm.logpdf(np.asarray(z)[..., None], scale=np.sqrt(self.scales))
        return np.asarray(logsumexp(parts + self.log_weights, axis=-1))

    def ppf(self, levels: Array) -> Array:
        """See `ScaleLaw`: the mixture's distribution function is inverted."""
        weights, roots = np.exp(self.log_weights), np.sqrt(self.scales)
        outer = [float(norm.ppf(level)) * roots.max() for level in (1e-12, 1 - 1e-12)]

        def place(level: float) -> float:
            return float(brentq(lambda z: float(weights @ ndtr(z / roots)) - level, *outer, xtol=1e-10))

        return np.array([place(float(level)) for level in np.asarray(levels).ravel()])

    def std(self) -> float:
        """See `ScaleLaw`."""
        return float(np.sqrt(np.exp(self.log_weights) @ self.scales))


def log_likelihood(scales: Array, count: int, distance: float) -> Array:
    """The log of s^(−n/2) exp(−d / 2s): what the observations say of each scale, up to a constant."""
    return -count / 2 * np.log(scales) - distance / (2 * scales)


def best_unit(draws: Array, count: int) -> float:
    """The unit κ of the prior's scale under which observations with d = n are likeliest.

    With a unit fitted so, the evidence of a kernel is −½ ln|K| − n/2 ln d and a constant, whatever the prior: that of the
    Gaussian process with a fitted scale.
    """

    def loss(log_unit: float) -> float:
        return -float(logsumexp(log_likelihood(draws * math.exp(log_unit), count, count)))

    middle = -float(np.log(np.median(draws)))
    grid = middle + np.linspace(-6, 6, 61)
    start = grid[int(np.argmin([loss(float(point)) for point in grid]))]
    found: Any = minimize_scalar(loss, bounds=(start - 0.2, start + 0.2), method="bounded")
    return math.exp(float(found.x))
