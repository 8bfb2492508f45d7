"""The classifier that an infinitely wide network is, infinitely deep or of a given depth."""

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from .activations import optimal_activation
from .dual_activations import Activation, DualActivation
from .kernel_interpolation import KernelInterpolation
from .limit_types import LimitKind, limit_classifier_type
from .singular_kernel import SingularKernel
from .sphere import SphereProjection, intrinsic_dimension

# Distances held at once (8 MiB), and those whose weights are: half a MiB stays in a core's cache, which halves the time.
_BLOCK_ENTRIES = 2**20
_CACHED_ENTRIES = 2**16
# Inner products round at about 1e-16: pairs closer than this are measured again from their difference.
_NEAR = 1e-9


class OptimalKernelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Infinitely wide and deep network as a classifier; by default with the activation that is optimal for the data.

    Features go to the unit sphere, and for infinite depth the class of x is the one with the largest sum of

        h(x · x_i) = R(‖x − x_i‖) / ‖x − x_i‖^α

    over its training points, divided by the sum over all points for a probability. It has the training points' own
    labels on them (several on one point share it), nothing to tune, and errs as little as possible in the limit of many
    points where α is the dimension of the data. Activations of the other two kinds give their own limits: the nearest
    neighbour, or the shares of the classes whatever x is.

    Prediction takes rows × training points × features operations, in blocks of bounded memory.

    Args:
        activation: φ (function, module or dual activation), or "optimal" for `optimal_activation(exponent)`.
        exponent: α for "optimal", 1 or more. Default the intrinsic dimension of the training features, for the theorem
            asks for the dimension in which the data have a density: features on a thinner set make the number of
            columns too large, and a kernel with too large an α is nearly the nearest neighbour.
        depth: number of hidden layers; None for infinite. A finite one interpolates with the tangent kernel of that
            depth, which takes rows³ operations.
        ridge: for finite depth, relative to the kernel's diagonal.
        projection: "stereographic" (see `SphereProjection`), or "none" for features that are unit vectors already, with
            inner products of 0 or more; where an inner product is negative, the point counts as infinitely far.

    Attributes:
        classes_: the labels, sorted.
        exponent_: α in use; ∞ for the nearest neighbour, 0 for the majority, NaN for finite depth.
        kind_: which of the three limits, as `LimitKind`.

    Source: Radhakrishnan, Belkin, Uhler 2022, arXiv 2204.14126; Devroye, Györfi, Krzyżak 1998, "The Hilbert kernel
    regression estimate", for consistency at α = d.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import OptimalKernelClassifier
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> model = OptimalKernelClassifier().fit(X, X[:, 0] > 0)
        >>> model.predict(np.array([[1.0, 0.0], [-1.0, 0.0]]))
        array([ True, False])
    """

    def __init__(
        self,
        activation: "Activation | DualActivation | Literal['optimal']" = "optimal",
        *,
        exponent: float | None = None,
        depth: int | None = None,
        ridge: float = 1e-10,
        projection: Literal["stereographic", "none"] = "stereographic",
    ) -> None:
        self.activation = activation
        self.exponent = exponent
        self.depth = depth
        self.ridge = ridge
        self.projection = projection

    def fit(self, X: Any, y: Any) -> "OptimalKernelClassifier":
        """Keeps the training points on the sphere and finds the exponent.

        Args:
            X: features, shape (rows, features); on one scale, as distances are taken of them.
            y: labels, shape (rows,).

        Raises:
            ValueError: if X or y is no finite table of features and labels, or a parameter is out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if isinstance(self.activation, str) and self.activation != "optimal":
            raise ValueError(f"activation: got {self.activation!r}, want 'optimal', a function or a dual activation")
        if self.exponent is not None and self.activation != "optimal":
            raise ValueError(f"exponent: got {self.exponent} with an activation, want it only with 'optimal'")
        if self.depth is not None and self.depth < 1:
            raise ValueError(f"depth: got {self.depth}, want 1 or more, or None")
        self.classes_, codes = np.unique(y, return_inverse=True)
        if self.projection == "stereographic":
            self.projection_ = SphereProjection().fit(X)
        elif self.projection != "none":
            raise ValueError(f"projection: got {self.projection!r}, want 'stereographic' or 'none'")
        self.points_ = self._on_sphere(X)
        self.votes_ = np.eye(len(self.classes_))[codes]
        activation = self.activation
        if isinstance(activation, str):
            # From the raw features: the projection keeps small distances, but its columns are one more.
            dimension = intrinsic_dimension(X) if self.exponent is None else self.exponent
            if not dimension >= 1:
                raise ValueError(f"exponent: got {dimension}, want 1 or more")
            activation = optimal_activation(dimension)
        self.activation_: Activation | DualActivation = activation
        limit = limit_classifier_type(self.activation_)
        self.kind_ = limit.kind
        self.exponent_ = math.nan if self.depth is not None else limit.exponent
        if self.depth is not None:
            points, votes = torch.from_numpy(self.points_), torch.from_numpy(self.votes_)
            self.interpolation_ = KernelInterpolation(points, votes, activation, self.depth, ridge=self.ridge)
        elif self.kind_ is LimitKind.SINGULAR:
            self.kernel_ = SingularKernel(self.activation_)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The class with the largest probability, shape (rows,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Share of each class in the kernel's weight, shape (rows, classes), columns as `classes_`.

        For finite depth the interpolated one-hot labels, shifted up where one is negative, and divided by their sum.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        queries = torch.from_numpy(self._on_sphere(X))
        points, votes = torch.from_numpy(self.points_), torch.from_numpy(self.votes_)
        rows = max(8, _BLOCK_ENTRIES // len(points))
        if self.depth is not None:
            scores = self.interpolation_.predict(queries).scores
            scores = scores - scores.amin(1, keepdim=True).clamp_max(0)
        elif self.kind_ is LimitKind.MAJORITY:
            scores = votes.mean(0).expand(len(queries), -1)
        elif self.kind_ is LimitKind.NEAREST_NEIGHBOUR:
            scores = torch.cat([self._nearest(block, points, votes) for block in queries.split(rows)])
        else:
            scores = torch.cat([self._weighted(block, points, votes) for block in queries.split(rows)])
        total = scores.sum(1, keepdim=True)
        shares = torch.where(total > 0, scores / total, 1 / scores.shape[1])
        return shares.numpy()

    def _weighted(self, queries: Tensor, points: Tensor, votes: Tensor) -> Tensor:
        # On a training point the kernel is that of the smallest positive gap, beside which all other weights vanish.
        gaps = _gaps(queries, points)
        scores = []
        for gap in gaps.split(max(1, _CACHED_ENTRIES // len(points))):
            weights = self.kernel_(gap)
            weights = weights.sub_(weights.amax(1, keepdim=True)).exp_()
            scores.append(weights @ votes)
        return torch.cat(scores)

    def _nearest(self, queries: Tensor, points: Tensor, votes: Tensor) -> Tensor:
        gap = _gaps(queries, points)
        return (gap == gap.amin(1, keepdim=True)).double() @ votes

    def _on_sphere(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.projection == "stereographic":
            return np.ascontiguousarray(self.projection_.transform(X))
        norms = np.sqrt((X**2).sum(1))
        if np.abs(norms - 1).max() > 1e-6:
            raise ValueError(
                f"X: got rows of norm {norms.min():g} to {norms.max():g}, want unit vectors with projection='none'"
            )
        return X / norms[:, None]


def _gaps(queries: Tensor, points: Tensor) -> Tensor:
    """δ = 1 − x · z = ‖x − z‖²/2, exact to rounding also where it is tiny."""
    gap = (queries @ points.T).neg_().add_(1).clamp_min_(0)
    if float(gap.amin()) > _NEAR:
        return gap
    rows, columns = torch.nonzero(gap <= _NEAR, as_tuple=True)
    for start in range(0, len(rows), 2**16):
        some, others = rows[start : start + 2**16], columns[start : start + 2**16]
        gap[some, others] = (queries[some] - points[others]).square().sum(1) / 2
    return gap
