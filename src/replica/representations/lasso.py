"""L1-regularised least squares from covariances alone, for many targets at once."""

import math
import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def covariance_lasso(
    covariance: Float[Tensor, "inputs inputs"],
    cross: Float[Tensor, "inputs targets"],
    penalty: float,
    *,
    start: Float[Tensor, "inputs targets"] | None = None,
    tolerance: float = 1e-7,
    max_steps: int = 20_000,
) -> Float[Tensor, "inputs targets"]:
    """Weights W that minimise, for each target by itself, ½ wᵀ C w − wᵀ c + penalty · ‖w‖₁.

    With C the inputs' covariance and c theirs with the target this is scikit-learn's `Lasso` with
    `alpha = penalty`, whose ½ · mean squared error differs by a constant; the samples are not needed. Solved by the
    accelerated proximal gradient method (Beck and Teboulle 2009), each target restarting its momentum where it
    points uphill (O'Donoghue and Candès 2015): products of whole matrices, so it runs as well on a GPU.

    Args:
        covariance: symmetric and positive semi-definite, shape (inputs, inputs).
        cross: covariance of inputs with targets, shape (inputs, targets).
        penalty: at least 0. At max |cross| or above, all weights are 0.
        start: weights to begin with, such as those of a neighbouring penalty.
        tolerance: largest violation of the optimality conditions, in units of the largest |cross|.
        max_steps: steps after which it warns and gives back what it has.

    Raises:
        ValueError: if a shape does not fit or the penalty is negative.

    Warns:
        RuntimeWarning: if the tolerance is not met within `max_steps`.

    Source: Li et al. 2015, Section 4 (sparse prediction).

    Example:
        >>> import torch
        >>> from replica.representations import covariance_lasso
        >>> covariance_lasso(torch.eye(2), torch.tensor([[0.5], [0.1]]), 0.2)[:, 0]
        tensor([0.3000, 0.0000])
    """
    _check(covariance, cross, penalty, start)
    weights = torch.zeros_like(cross) if start is None else start
    largest = float(cross.abs().max())
    # The largest eigenvalue bounds the curvature; that of a matrix of zeros does not matter.
    curvature = float(torch.linalg.eigvalsh(covariance)[-1])
    if largest == 0 or curvature <= 0:
        return torch.zeros_like(cross)
    limit = tolerance * largest
    ahead, momentum = weights, torch.ones(cross.shape[1], dtype=cross.dtype, device=cross.device)
    for step in range(1, max_steps + 1):
        slope = covariance @ ahead - cross
        moved = torch.nn.functional.softshrink(ahead - slope / curvature, penalty / curvature)
        # The proximal step's length is the violation of the optimality conditions; reading it at every step would
        # make the host wait for the device.
        if (step % 10 == 0 or step == max_steps) and float((ahead - moved).abs().max()) * curvature <= limit:
            return moved
        ahead, momentum = _extrapolated(ahead, moved, weights, momentum)
        weights = moved
    warnings.warn(f"covariance_lasso: not within {tolerance:g} after {max_steps} steps", RuntimeWarning, stacklevel=2)
    return weights


def _extrapolated(ahead: Tensor, moved: Tensor, before: Tensor, momentum: Tensor) -> tuple[Tensor, Tensor]:
    """Nesterov's next point, without momentum for the targets that it carried uphill; and the momentum after it."""
    change = moved - before
    uphill = ((ahead - moved) * change).sum(0) > 0
    following = torch.where(uphill, 1.0, (1 + (1 + 4 * momentum.square()).sqrt()) / 2)
    inertia = torch.where(uphill, 0.0, (momentum - 1) / following)
    return moved + inertia * change, following


def _check(covariance: Tensor, cross: Tensor, penalty: float, start: Tensor | None) -> None:
    if covariance.dim() != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"covariance: got shape {tuple(covariance.shape)}, want a square matrix")
    if cross.dim() != 2 or cross.shape[0] != covariance.shape[0]:
        raise ValueError(f"cross: got shape {tuple(cross.shape)}, want ({covariance.shape[0]}, targets)")
    if not penalty >= 0:
        raise ValueError(f"penalty: got {penalty}, want 0 or more")
    if start is not None and start.shape != cross.shape:
        raise ValueError(f"start: got shape {tuple(start.shape)}, want {tuple(cross.shape)} as cross")


def lasso_path(
    covariance: Float[Tensor, "inputs inputs"],
    cross: Float[Tensor, "inputs targets"],
    penalties: Sequence[float],
    *,
    tolerance: float = 1e-7,
) -> Float[Tensor, "penalties inputs targets"]:
    """`covariance_lasso` at several penalties, each begun at the solution before it.

    Args:
        covariance: shape (inputs, inputs).
        cross: shape (inputs, targets).
        penalties: from the largest to the smallest for speed; any order is right.
        tolerance: see `covariance_lasso`.

    Raises:
        ValueError: without penalties, and as `covariance_lasso`.
    """
    if not len(penalties):
        raise ValueError("penalties: got none, want at least one")
    found: list[Tensor] = []
    for penalty in penalties:
        start = found[-1] if found else None
        found.append(covariance_lasso(covariance, cross, penalty, start=start, tolerance=tolerance))
    return torch.stack(found)


def geometric_penalties(largest: float = 1.0, smallest: float = 1e-3, count: int = 30) -> list[float]:
    """Penalties from largest to smallest in equal ratios.

    Raises:
        ValueError: unless 0 < smallest < largest and count is 2 or more.
    """
    if not 0 < smallest < largest or count < 2:
        raise ValueError(
            f"smallest: got {smallest} with largest {largest} and count {count}, want 0 < smallest < largest, two or more"
        )
    step = math.log(smallest / largest) / (count - 1)
    return [largest * math.exp(step * i) for i in range(count)]
