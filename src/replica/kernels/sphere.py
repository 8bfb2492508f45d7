"""Real features on the unit sphere, and the dimension of the data that live there."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted, validate_data

_ROWS = 2000


class SphereProjection(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    r"""Inverse stereographic projection of features in R^p onto a cap of the sphere S^p around its pole.

    With c the training mean and ρ the largest training distance to it, y = (x − c) · tan(θ/2) / ρ and

        x ↦ (2 y, 1 − ‖y‖²) / (1 + ‖y‖²),

    where θ is the cap's polar angle. The map is conformal: seen from any point, nearby points keep the order of their
    distances, and far ones keep it up to the factor 1 / (1 + ‖y‖²), which lies in [cos²(θ/2), 1]. Being smooth, it keeps
    densities densities, so the exponent that is optimal on S^p is optimal for x.

    With θ ≤ 45° all inner products are at least 0, as the paper assumes. New points outside the cap move along their
    ray to its edge, so that this stays true.

    Args:
        angle: θ in degrees, in (0, 45]. Smaller: nearer to the distances of R^p.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import SphereProjection
        >>> points = SphereProjection().fit_transform(np.array([[0.0, 0.0], [2.0, 0.0], [-2.0, 0.0]]))
        >>> np.round(points, 3) + 0.0
        array([[ 0.   ,  0.   ,  1.   ],
               [ 0.707,  0.   ,  0.707],
               [-0.707,  0.   ,  0.707]])
    """

    def __init__(self, angle: float = 45.0) -> None:
        self.angle = angle

    def fit(self, X: Any, y: Any = None) -> "SphereProjection":
        """Finds the centre and the radius.

        Args:
            X: features, shape (rows, p).
            y: not used.

        Raises:
            ValueError: if `angle` is out of range or X is not a finite table.
        """
        if not 0 < self.angle <= 45:
            raise ValueError(f"angle: got {self.angle}, want degrees above 0 and at most 45")
        X = validate_data(self, X, dtype=np.float64)
        # Halved before adding, so that columns near the largest float have a mean.
        self.centre_ = 2 * (X / 2).mean(0)
        largest = float(np.abs(X - self.centre_).max())
        scale = largest if largest > 0 else 1.0
        self.radius_ = scale * float(np.sqrt((((X - self.centre_) / scale) ** 2).sum(1).max())) or 1.0
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Unit vectors, shape (rows, p + 1)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        edge = math.tan(math.radians(self.angle) / 2)
        scaled = (X - self.centre_) / self.radius_
        length = np.sqrt((scaled**2).sum(1, keepdims=True))
        scaled *= edge / np.maximum(length, 1.0)
        square = (scaled**2).sum(1, keepdims=True)
        return np.hstack([2 * scaled, 1 - square]) / (1 + square)


def intrinsic_dimension(points: NDArray[np.floating], *, neighbours: int = 10) -> float:
    """Dimension of the manifold that points lie on, by maximum likelihood from distances to neighbours.

    1/d = mean over points of (1/(k − 1)) Σ_{j<k} ln(T_k / T_j), with T_j the distance to the j-th neighbour: Levina and
    Bickel 2004, averaged as MacKay and Ghahramani 2005 correct it. From every point where there are up to 2,000, else
    from 2,000 rows evenly spaced, with neighbours sought among all. Duplicates count once.

    Args:
        points: shape (rows, p).
        neighbours: k, 2 or more; fewer where there are fewer points.

    Returns:
        d, between 1 and p. p where fewer than three distinct points give no estimate.

    Raises:
        ValueError: if `neighbours` is below 2 or `points` is no matrix.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import intrinsic_dimension
        >>> flat = np.random.default_rng(0).random((2000, 2)) @ np.ones((2, 10))
        >>> round(intrinsic_dimension(flat), 1)
        1.0
    """
    if neighbours < 2:
        raise ValueError(f"neighbours: got {neighbours}, want 2 or more")
    if points.ndim != 2:
        raise ValueError(f"points: got shape {points.shape}, want (rows, features)")
    distinct = np.unique(points, axis=0)
    count, features = distinct.shape
    k = min(neighbours, count - 1)
    if k < 2:
        return float(features)
    asked = distinct[np.linspace(0, count - 1, min(count, _ROWS)).round().astype(int)]
    distances, _ = NearestNeighbors(n_neighbors=k + 1).fit(distinct).kneighbors(asked)
    distances = np.maximum(distances[:, 1:], np.finfo(float).tiny)
    inverse = float(np.log(distances[:, -1:] / distances[:, :-1]).mean())
    return float(np.clip(1 / inverse, 1.0, features)) if inverse > 0 else float(features)
