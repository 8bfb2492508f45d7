"""Least squares on features, as random features give them: ridge in the smaller of primal and dual, by leave-one-out."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

# Strengths tried, relative to the mean square norm of the centred features.
_STRENGTHS = (-10.0, 2.0, 24)


class FeatureRidge(NamedTuple):
    """A linear map of features, f(x) = features · weights + intercept, and how it was chosen.

    Attributes:
        weights: shape (features, *outputs).
        intercept: shape (*outputs).
        ridge: λ in use.
        strengths: all that were tried, ascending.
        errors: root mean squared leave-one-out error at each, shape (strengths, *outputs).
    """

    weights: Float[Tensor, "features *outputs"]
    intercept: Float[Tensor, " *outputs"]
    ridge: float
    strengths: Float[Tensor, " strengths"]
    errors: Float[Tensor, "strengths *outputs"]

    def predict(self, features: Float[Tensor, "m features"]) -> Float[Tensor, "m *outputs"]:
        """f, for features of new inputs."""
        return features @ self.weights + self.intercept


def ridge_by_leave_one_out(
    features: Float[Tensor, "n features"],
    y: Float[Tensor, "n *outputs"],
    strengths: Float[Tensor, " strengths"] | None = None,
    *,
    intercept: bool = True,
) -> FeatureRidge:
    """Minimises ‖y − b − features · w‖² + λ ‖w‖² with the λ of the least exact leave-one-out error.

    One eigendecomposition of the smaller of the two matrices of products, in double precision; then each strength costs n
    times the smaller side. Leaving row i out changes its residual r_i to r_i / (1 − h_ii), h the matrix of leverages.
    The squared error that decides is relative to each output's mean square and averaged over outputs.

    Args:
        features: φ(x_i), any dtype and device; constant columns and repeated rows may be there.
        y: targets.
        strengths: λ, above 0. Default 24 from 1e-10 to 100 times the mean square norm of the (centred) features; those
            below what double precision tells from 0 are raised to it.
        intercept: whether there is a b without penalty; else it is 0.

    Raises:
        ValueError: if a shape is wrong, a number is not finite or a strength is not above 0.

    Example:
        >>> import torch
        >>> from replica.kernels import ridge_by_leave_one_out
        >>> x = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
        >>> found = ridge_by_leave_one_out(x, 3 * x + 1)
        >>> found.weights.round(decimals=4), found.intercept.round(decimals=4)
        (tensor([[3.]], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """
    _check(features, y, strengths)
    given, outputs = features.dtype, y.shape[1:]
    matrix, targets = features.double(), y.double().reshape(len(y), -1)
    # Squares stay in range whatever the units are.
    unit, size = _largest(targets), float(_largest(matrix).amax()) if matrix.numel() else 1.0
    targets, matrix = targets / unit, matrix / size
    centre, middle = torch.zeros_like(matrix[0]), torch.zeros_like(targets[0])
    if intercept:
        centre, middle = matrix.mean(0), targets.mean(0)
        matrix, targets = matrix - centre, targets - middle
    left, values, right = _decompose(matrix)
    scale = float(matrix.square().sum()) / len(matrix) or 1.0
    if strengths is None:
        strengths = scale * torch.logspace(*_STRENGTHS, dtype=torch.float64, device=matrix.device)
    else:
        strengths = strengths.to(matrix).sort().values / size**2
    floor = float(values.amax()) * max(matrix.shape) * torch.finfo(torch.float64).eps if len(values) else 0.0
    strengths = strengths.clamp_min(max(floor, math.ulp(0.0)))
    errors, rotated = _leave_one_out(left, values, targets, strengths, intercept)
    power = targets.square().mean(0).sqrt()
    relative = (errors / torch.where(power > 0, power, 1.0)).square().mean(1)
    best = int(torch.nonzero(relative == relative.amin())[-1])  # of equal errors the strongest ridge
    ridge = strengths[best]
    weights = right @ (rotated / (values + ridge)[:, None]) * (unit / size)
    offset = middle * unit - (centre * size) @ weights
    return FeatureRidge(
        weights.reshape(-1, *outputs).to(given),
        offset.reshape(outputs).to(given),
        float(ridge) * size**2,
        strengths * size**2,
        (errors * unit).reshape(-1, *outputs),
    )


def _decompose(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, s², and V s for matrix = U s Vᵀ, without the values that rounding does not tell from 0."""
    rows, columns = matrix.shape
    if columns <= rows:
        values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    else:
        values, vectors = torch.linalg.eigh(matrix @ matrix.T)
    seen = values > (values.amax() if len(values) else 0.0) * max(rows, columns) * torch.finfo(values.dtype).eps
    values, vectors = values[seen], vectors[:, seen]
    root = values.sqrt()
    if columns <= rows:
        return matrix @ (vectors / root), values, vectors * root
    return vectors, values, matrix.T @ vectors


def _leave_one_out(
    left: Tensor, values: Tensor, targets: Tensor, strengths: Tensor, intercept: bool
) -> tuple[Tensor, Tensor]:
    """Root mean squared errors, shape (strengths, outputs), and Uᵀ y."""
    rotated, squares = left.T @ targets, left.square()
    # What of a row lies outside the features keeps its residual at any strength.
    outside = (1 - squares.sum(1) - intercept / len(targets)).clamp_min(0)
    rest = targets - left @ rotated
    errors = []
    for strength in strengths:
        kept = strength / (values + strength)
        residual = rest + left @ (rotated * kept[:, None])
        share = (outside + squares @ kept).clamp_min(torch.finfo(torch.float64).tiny)
        errors.append((residual / share[:, None]).square().mean(0).sqrt())
    return torch.stack(errors), rotated


def _largest(values: Tensor) -> Tensor:
    largest = values.abs().amax(0) if len(values) else values.new_ones(values.shape[1:])
    return torch.where(largest > 0, largest, 1.0)


def _check(features: Tensor, y: Tensor, strengths: Tensor | None) -> None:
    if features.dim() != 2 or not len(features) or not bool(torch.isfinite(features).all()):
        raise ValueError(
            f"features: got shape {tuple(features.shape)}, want finite numbers (n, features), n of 1 or more"
        )
    if len(y) != len(features) or not bool(torch.isfinite(y).all()):
        raise ValueError(f"y: got {len(y)} rows, want {len(features)} of finite numbers")
    if strengths is not None and not (strengths.numel() and bool((strengths > 0).all() and strengths.isfinite().all())):
        raise ValueError("strengths: got none, or one that is not a finite number above 0")
