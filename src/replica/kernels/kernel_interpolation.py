"""Interpolation by the tangent kernel of a given depth: an infinitely wide network trained to zero loss."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .dual_activations import Activation, DualActivation, dual_activation
from .tangent_kernel import neural_tangent_kernel, tangent_kernel_at_one

# Kernels between queries and points held at once: 8 MiB in float64.
_BLOCK_ENTRIES = 2**20


class ScaledPredictions(NamedTuple):
    """Predictions in a form that no depth takes out of range: `scores` · exp(`log_scale`).

    Attributes:
        scores: largest kernel of each query scaled to 1, shape (m, outputs). Their signs and order are the predictions'.
        log_scale: shape (m, 1).
    """

    scores: Float[Tensor, "m outputs"]
    log_scale: Float[Tensor, "m 1"]

    @property
    def values(self) -> Float[Tensor, "m outputs"]:
        """The predictions; zero where they are below the smallest float."""
        return self.scores * torch.exp(self.log_scale)


class KernelInterpolation:
    """Infinitely wide network of depth L trained on the squared error, from an output of zero, until it has no more.

    f(x) = K_L(x, X) (K_L(X, X) + ridge K_L(x, x))⁻¹ Y (Jacot, Gabriel, Hongler 2018), with the kernels in logarithms.
    Takes n³/3 operations once, and 2 m n for m queries, beside the kernels.

    Args:
        points: unit vectors X, with inner products of 0 or more among them and with the queries.
        targets: Y.
        activation: φ or its dual activation.
        depth: L, number of hidden layers, 0 or more.
        ridge: relative to the diagonal. The default is there for rounding: shallow kernels of few powers have low rank.

    Raises:
        ValueError: if `ridge` is negative, or a kernel argument is wrong (see `neural_tangent_kernel`).

    Example:
        >>> import torch
        >>> from replica.kernels import KernelInterpolation, optimal_activation
        >>> points = torch.eye(3, dtype=torch.float64)
        >>> network = KernelInterpolation(points, points, optimal_activation(2), 5)
        >>> network.predict(points[:1]).values.round(decimals=6)
        tensor([[1., 0., 0.]], dtype=torch.float64)
    """

    def __init__(
        self,
        points: Float[Tensor, "n dim"],
        targets: Float[Tensor, "n outputs"],
        activation: Activation | DualActivation,
        depth: int,
        *,
        ridge: float = 1e-10,
    ) -> None:
        if not ridge >= 0:
            raise ValueError(f"ridge: got {ridge}, want 0 or more")
        self.points = points
        self.dual = dual_activation(activation)
        self.depth = depth
        self.log_diagonal = tangent_kernel_at_one(self.dual, depth)
        # The diagonal is known; 1 rounded down would take part in every layer for nothing.
        correlation = _rounded(points @ points.T).fill_diagonal_(0.5)
        gram = neural_tangent_kernel(correlation, self.dual, depth, log=True, symmetric=True)
        gram = gram.sub_(self.log_diagonal).exp_().fill_diagonal_(1.0 + ridge)
        self.coefficients = _solve(gram, targets)

    def predict(self, queries: Float[Tensor, "m dim"]) -> ScaledPredictions:
        """f(x) of unit vectors x.

        Raises:
            ValueError: if an inner product with a training point is negative.
        """
        rows = max(8, _BLOCK_ENTRIES // len(self.points))
        scores, scales = [], []
        for block in queries.split(rows):
            correlation = _rounded(block @ self.points.T)
            log_kernel = neural_tangent_kernel(correlation, self.dual, self.depth, log=True)
            largest = log_kernel.amax(1, keepdim=True).clamp_min(torch.finfo(log_kernel.dtype).min)
            scores.append(log_kernel.sub_(largest).exp_() @ self.coefficients)
            scales.append(largest - self.log_diagonal)
        return ScaledPredictions(torch.cat(scores), torch.cat(scales))


def _rounded(correlation: Tensor) -> Tensor:
    # Inner products of orthogonal unit vectors come out negative by rounding; true negatives are left to be refused.
    slack = 64 * torch.finfo(correlation.dtype).eps
    return torch.where(correlation.abs() < slack, 0.0, correlation)


def _solve(gram: Tensor, targets: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(gram)
    if int(failed):
        return torch.linalg.lstsq(gram.cpu(), targets.cpu(), driver="gelsd").solution.to(gram.device)
    return torch.cholesky_solve(targets, factor)
