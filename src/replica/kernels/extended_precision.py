"""Least squares on units as drawn with as many digits as one likes: what a network can do, whatever rounding does."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from mpmath import lu_solve, matrix, mp  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .random_weights import RandomWeightRegressor

Array = NDArray[np.float64]
_UNITS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    "tanh": mp.tanh,
    "gaussian": lambda z: mp.exp(-z * z / 2),
}


class ExtendedFit(NamedTuple):
    """Least squares with many digits.

    Attributes:
        predictions: f at the rows that are asked for, shape (asked,).
        output_weight: log₁₀ of Σ_j |c_j|. Double precision serves while it is far below 16.
    """

    predictions: Float[np.ndarray, " asked"]
    output_weight: float


def refit_in_digits(network: RandomWeightRegressor, X: Array, y: Array, asked: Array, digits: int = 300) -> ExtendedFit:
    """Solves for the output weights of a network's hidden units again, and predicts, with this many decimal digits.

    Least squares without cutoff, ridge or intercept, by the normal equations: these square the condition number, so that
    `digits` should be above twice `output_weight`. Units of an analytic activation are linearly independent however
    bounded their range is, and hundreds of digits see it. Takes rows · width² products of some microseconds each.

    Args:
        network: fitted, for its hidden weights, of an analytic activation (ReLU units may be 0 on all rows); no output
            weight of it is used.
        X: inputs, shape (rows, inputs), no fewer rows than units.
        y: targets, shape (rows,).
        asked: where to predict, shape (asked, inputs).
        digits: of all arithmetic, 15 or more.

    Raises:
        ValueError: if the activation is not analytic, or there are fewer rows than units or fewer than 15 digits.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import RandomWeightRegressor, refit_in_digits
        >>> X = np.linspace(-1, 1, 20)[:, None]
        >>> network = RandomWeightRegressor(20, cutoff=1e-12, intercept=False, random_state=0).fit(X, np.sign(X[:, 0]))
        >>> found = refit_in_digits(network, X, np.sign(X[:, 0]), X)
        >>> bool(abs(found.predictions - np.sign(X[:, 0])).max() < 1e-9), found.output_weight > 16
        (True, True)
    """
    check_is_fitted(network)
    if network.activation not in _UNITS:
        raise ValueError(f"network: got activation {network.activation!r}, want one of {', '.join(_UNITS)}")
    if len(X) < network.width:
        raise ValueError(f"X: got {len(X)} rows, want no fewer than the {network.width} units")
    if digits < 15:
        raise ValueError(f"digits: got {digits}, want 15 or more")
    unit = _UNITS[network.activation]
    with mp.workdps(digits):
        hidden = [[mp.mpf(a) for a in column] for column in network.weights_.T]
        biases = [mp.mpf(b) for b in network.biases_]

        def units(rows: Array) -> Any:
            values = [[mp.mpf(x) for x in row] for row in rows]
            return matrix([[unit(mp.fdot(a, x) - b) for a, b in zip(hidden, biases, strict=True)] for x in values])

        solved = lu_solve(units(X), matrix([mp.mpf(value) for value in y]))
        predictions = np.array([float(value) for value in units(asked) * solved])
        return ExtendedFit(predictions, float(mp.log10(mp.fsum(solved, absolute=True))))
