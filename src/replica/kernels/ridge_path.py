"""Kernel least squares for a whole path of ridge strengths from one decomposition, with exact leave-one-out errors.

The Gram matrix is brought to tridiagonal form in its own memory, K = Q T Qᵀ. After that each strength λ costs n²: with
G = K + λ, the coefficients are α = G⁻¹ y, and what row i misses when it is left out is α_i / (G⁻¹)_ii
(Cook 1977; for kernels Cawley and Talbot 2004). Eigenvectors would do the same at three times the memory.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Array = NDArray[np.float64]

# Rows whose inverse's diagonal is found at once, for all strengths: their arrays stay in a core's cache.
_ROWS = 512
_TINY = float(np.finfo(np.float64).tiny)
DEFAULT_STRENGTHS = np.logspace(-10, 2, 24)
"""Relative to the mean of the Gram matrix's diagonal."""


class RidgePath(NamedTuple):
    """What a path of ridge strengths gives.

    Attributes:
        strengths: λ, ascending, shape (strengths,).
        errors: root mean squared leave-one-out error of each output, shape (strengths, outputs); infinite where K + λ is
            no positive definite matrix in double precision.
        best: place of the best strength.
        coefficients: α at the best strength, shape (n, outputs).
        intercept: what is added to K α, shape (outputs,).
    """

    strengths: Array
    errors: Array
    best: int
    coefficients: Array
    intercept: Array


def ridge_path(
    gram: Array,
    targets: Array,
    strengths: Array | None = None,
    *,
    intercept: bool = False,
    tolerance: float = 0.0,
) -> RidgePath:
    """Leave-one-out errors of kernel ridge regression at each strength, and the coefficients at the best.

    The best strength has the least squared error, taken relative to each output's mean square and averaged over outputs.

    Args:
        gram: K, symmetric, shape (n, n); it is overwritten where it is a float64 array in Fortran order.
        targets: y, shape (n, outputs).
        strengths: λ, above 0, in any order. Default 24 from 1e-10 to 100 times the mean of the diagonal.
        intercept: add a constant without penalty, fitted anew in each leaving out.
        tolerance: the strongest ridge is best whose relative error is at most this share above the least, 0 or more.

    Raises:
        ValueError: if K has negative eigenvalues that no strength makes up for.

    Example:
        >>> import numpy as np
        >>> from replica.kernels.ridge_path import ridge_path
        >>> found = ridge_path(np.eye(3), np.ones((3, 1)), np.array([0.1, 1.0]))
        >>> found.errors.ravel()
        array([1., 1.])
    """
    gram = np.asfortranarray(gram, dtype=np.float64)
    count, means, middle = len(gram), gram.mean(0), np.zeros(targets.shape[1])
    scale = _scale(gram, 1.0)
    if intercept:
        middle = targets.mean(0)
        targets = targets - middle
        scale = constant = _centre(gram, means)
    strengths = np.sort(scale * DEFAULT_STRENGTHS if strengths is None else np.asarray(strengths, dtype=np.float64))
    rotation, diagonal, beside = _tridiagonal(gram)
    factors = [_factor(diagonal + one, beside) for one in strengths]
    sound = [index for index, (_, _, right) in enumerate(factors) if right]
    if not sound:
        raise ValueError("kernel: got a matrix with negative eigenvalues, want one that is positive semi-definite")
    inverse = _inverse_diagonals(rotation, *(np.array([factors[index][part] for index in sound]) for part in (0, 1)))
    if intercept:
        inverse -= 1 / (count * (constant + strengths[sound, None]))
    errors, rotated = np.full((len(strengths), targets.shape[1]), np.inf), rotation.T @ targets
    for place, index in enumerate(sound):
        alpha = rotation @ _solve(*factors[index][:2], rotated)
        errors[index] = np.sqrt(((alpha / np.maximum(inverse[place], _TINY)[:, None]) ** 2).mean(0))
    power = np.sqrt((targets**2).mean(0))
    relative = ((errors / np.where(power > 0, power, 1.0)) ** 2).mean(1)
    # Of equal errors, as where all strengths fit a constant, the strongest ridge.
    best = int(np.flatnonzero(np.sqrt(relative) <= (1 + tolerance) * np.sqrt(relative.min()))[-1])
    if not np.isfinite(relative[best]):
        best = sound[-1]
    alpha = rotation @ _solve(*factors[best][:2], rotated)
    if intercept:
        alpha -= alpha.mean(0)  # 0 but for rounding
        middle = middle - means @ alpha
    return RidgePath(strengths, errors, best, alpha, middle)


def _centre(gram: Array, means: Array) -> float:
    """Takes the means of rows and columns away, in place, and gives the constant vector the eigenvalue that it returns.

    With the eigenvalue 0 that it has by then, its part of the inverse would drown all others at small strengths.
    """
    before = _scale(gram, 1.0)
    gram -= means
    gram -= means[:, None]
    gram += means.mean()
    constant = _scale(gram, before)
    gram += constant / len(gram)
    return constant


def _scale(gram: Array, before: float) -> float:
    """The mean of the diagonal, or what it was before where rounding alone is left of it."""
    scale = float(np.trace(gram)) / len(gram)
    return scale if scale > 1e-12 * before else before


def _factor(diagonal: Array, beside: Array) -> tuple[Array, Array, bool]:
    """D and L of T = L D Lᵀ, and whether T is positive definite."""
    if not len(beside):
        return diagonal, beside, bool(diagonal.min() > 0)
    pivots, below, failed = lapack.dpttrf(diagonal, beside)
    return pivots, below, not failed and bool(pivots.min() > 0)


def _solve(pivots: Array, below: Array, right: Array) -> Array:
    return lapack.dpttrs(pivots, below, right)[0] if len(below) else right / pivots[:, None]


def _tridiagonal(gram: Array) -> tuple[Array, Array, Array]:
    """Q, the diagonal and the subdiagonal of T, with Q in the memory of K."""
    count = len(gram)
    if count == 1:
        return np.ones((1, 1)), gram[0].copy(), np.zeros(0)
    work = int(lapack.dsytrd_lwork(count, lower=1)[0])
    gram, diagonal, beside, reflectors, _ = lapack.dsytrd(gram, lower=1, lwork=work, overwrite_a=1)
    # Its reflectors lie as those of a Hessenberg form do.
    work = int(lapack.dorghr_lwork(count, lo=0, hi=count - 1)[0])
    rotation, _ = lapack.dorghr(gram, reflectors, lo=0, hi=count - 1, lwork=work, overwrite_a=1)
    return rotation, diagonal, beside


def _inverse_diagonals(rotation: Array, pivots: Array, below: Array) -> Array:
    """Diagonals of Q (L D Lᵀ)⁻¹ Qᵀ for several bidiagonal L, shape (strengths, n)."""
    parts = [rotation[start : start + _ROWS] for start in range(0, len(rotation), _ROWS)]
    return np.concatenate([_squares(part, pivots, below) for part in parts], axis=1)


def _squares(rows: Array, pivots: Array, below: Array) -> Array:
    """Σ_k x_k² / D_k with L x = q for each row q of Q, shape (strengths, rows)."""
    rows = np.ascontiguousarray(rows.T)
    total = np.zeros((len(pivots), rows.shape[1]))
    forward, square = np.broadcast_to(rows[0], total.shape).copy(), np.empty_like(total)
    for k, row in enumerate(rows):
        if k:
            forward *= below[:, k - 1, None]
            np.subtract(row, forward, out=forward)
        np.multiply(forward, forward, out=square)
        square /= pivots[:, k, None]
        total += square
    return total
