"""Few-to-one alignment: linear maps that predict each unit of one network from a few units of another.

Li et al. 2015, Section 4. All of it from the covariances of `UnitStatistics`; errors are measured on other samples than
those of the fit by passing other statistics.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .lasso import covariance_lasso, geometric_penalties
from .unit_statistics import UnitStatistics


class UnitMap(NamedTuple):
    """Affine map from the first layer's units to the second's: second ≈ first @ weights + intercept.

    Attributes:
        weights: shape (first, second).
        intercept: shape (second,).
    """

    weights: Float[Tensor, "first second"]
    intercept: Float[Tensor, " second"]

    @property
    def counts(self) -> Int[Tensor, " second"]:
        """How many units each target is predicted from."""
        return (self.weights != 0).sum(0)

    def unexplained(self, statistics: UnitStatistics) -> Float[Tensor, " second"]:
        """Mean squared error of each target over its variance, on the samples of `statistics`; 1 for dead targets.

        Exact: E(y − wᵀx − b)² from means and covariances alone. Above 1 where the map does worse than the mean.

        Raises:
            ValueError: if the units differ in number from the map's.
        """
        if (statistics.first, statistics.second) != tuple(self.weights.shape):
            raise ValueError(
                f"statistics: got {statistics.first} and {statistics.second} units, want those of the map, "
                f"{tuple(self.weights.shape)}"
            )
        cut, covariance = statistics.first, statistics.covariance
        variance = covariance.diagonal()[cut:]
        inside = (covariance[:cut, :cut] @ self.weights * self.weights).sum(0)
        across = (covariance[:cut, cut:] * self.weights).sum(0)
        offset = statistics.mean[cut:] - statistics.mean[:cut] @ self.weights - self.intercept
        error = (variance - 2 * across + inside).clamp(min=0) + offset.square()
        return torch.where(variance > 0, error / variance.clamp(min=torch.finfo(error.dtype).tiny), 1.0)


def dense_map(
    statistics: UnitStatistics, *, support: Bool[Tensor, "first second"] | None = None, tolerance: float = 1e-9
) -> UnitMap:
    """Predicts each unit of the second layer from the first by least squares, without a penalty.

    Args:
        statistics: of the samples to fit.
        support: which units of the first may predict each of the second. Default all.
        tolerance: directions of the standardised inputs with a share of the largest variance below it are left out,
            which keeps units that depend on each other from blowing up the weights.

    Raises:
        ValueError: if `support` has another shape.

    Example:
        >>> import torch
        >>> from replica.representations import UnitStatistics, dense_map
        >>> units = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> statistics = UnitStatistics(3, 1)
        >>> statistics.update(units, units @ torch.tensor([[1.0], [2.0], [0.0]], dtype=torch.float64))
        >>> dense_map(statistics).weights[:, 0].abs().round(decimals=6)
        tensor([1., 2., 0.], dtype=torch.float64)
    """
    inside, between = statistics.within_first, statistics.between
    if support is None:
        return _in_units(statistics, torch.linalg.pinv(inside, hermitian=True, rtol=tolerance) @ between)
    if support.shape != between.shape:
        raise ValueError(f"support: got shape {tuple(support.shape)}, want {tuple(between.shape)}")
    weights = torch.zeros_like(between)
    for target in range(between.shape[1]):
        units = support[:, target].nonzero().squeeze(-1)
        block = torch.linalg.pinv(inside[units][:, units], hermitian=True, rtol=tolerance)
        weights[units, target] = block @ between[units, target]
    return _in_units(statistics, weights)


def sparse_map(statistics: UnitStatistics, penalty: float) -> UnitMap:
    """Predicts each unit of the second layer from the first with an L1 penalty on standardised units (the Lasso).

    Minimises ½ E(z_y − wᵀ z_x)² + penalty · ‖w‖₁ for units z of mean 0 and variance 1, so that one penalty means the
    same in every layer: a lone input enters where its |correlation| exceeds it.

    Args:
        statistics: of the samples to fit.
        penalty: 0 or more; from 1 on, all weights are 0.

    Raises:
        ValueError: if the penalty is negative.

    Source: Li et al. 2015, Section 4.

    Example:
        >>> import torch
        >>> from replica.representations import UnitStatistics, sparse_map
        >>> units = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
        >>> statistics = UnitStatistics(3, 1)
        >>> statistics.update(units, units[:, :1] + 0.1 * units[:, 1:2])
        >>> sparse_map(statistics, 0.3).counts
        tensor([1])
    """
    return _in_units(statistics, covariance_lasso(statistics.within_first, statistics.between, penalty))


def few_to_one_map(
    statistics: UnitStatistics, most: int, *, penalties: tuple[float, ...] | None = None, tolerance: float = 1e-9
) -> UnitMap:
    """Predicts each unit of the second layer from at most `most` units of the first, chosen by the Lasso.

    Along falling penalties each target takes the last set of units that is not larger than `most`; the weights
    are then fitted again by least squares on that set, which frees them of the shrinkage. With `most=1` it is each
    unit's best partner by |correlation|.

    Args:
        statistics: of the samples to fit.
        most: most units a target.
        penalties: falling. Default 60 from 1 to 0.001 in equal ratios.
        tolerance: see `dense_map`.

    Raises:
        ValueError: if `most` is below 1.

    Example:
        >>> import torch
        >>> from replica.representations import UnitStatistics, few_to_one_map
        >>> units = torch.randn(500, 9, generator=torch.Generator().manual_seed(0))
        >>> statistics = UnitStatistics(9, 1)
        >>> statistics.update(units, units[:, 2:4].sum(1, keepdim=True))
        >>> few_to_one_map(statistics, 2).weights[:, 0].nonzero()[:, 0]
        tensor([2, 3])
    """
    if most < 1:
        raise ValueError(f"most: got {most}, want 1 or more")
    inside, between = statistics.within_first, statistics.between
    # The best single unit is always a set: the first that the path would take, which a coarse path may leap over.
    support = torch.nn.functional.one_hot(between.abs().argmax(0), len(between)).T.bool()
    within = torch.ones_like(support[0])
    weights: Tensor | None = None
    for penalty in (penalties or geometric_penalties(count=60)) if most > 1 else ():
        # A set needs no more digits than tell zero from non-zero.
        weights = covariance_lasso(inside, between, penalty, start=weights, tolerance=1e-5)
        chosen = weights != 0
        sizes = chosen.sum(0)
        within &= sizes <= most
        if not within.any():
            break
        support = torch.where(within & (sizes > 0), chosen, support)
    return dense_map(statistics, support=support, tolerance=tolerance)


def _in_units(statistics: UnitStatistics, standardised: Float[Tensor, "first second"]) -> UnitMap:
    """The map in the units' own scales from that between standardised ones."""
    deviation, cut = statistics.deviation, statistics.first
    scale = torch.where(deviation > 0, 1 / deviation, torch.zeros_like(deviation))
    weights = standardised * scale[:cut, None] * deviation[cut:]
    return UnitMap(weights, statistics.mean[cut:] - statistics.mean[:cut] @ weights)
