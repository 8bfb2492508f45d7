"""Subspace agreement: how alike the spans of two layers are, whatever their bases.

Li et al. 2015 find that networks share subspaces rather than units. Canonical correlations (Hotelling 1936) are the
cosines of the principal angles between the spans, as spaces of functions of the data.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .unit_statistics import UnitStatistics


def canonical_correlations(
    statistics: UnitStatistics, *, keep: float = 1.0, held_out: UnitStatistics | None = None
) -> Float[Tensor, " directions"]:
    """Correlations of the best aligned pairs of directions of two layers, each pair uncorrelated with those before.

    Singular values of A^(−½) C B^(−½) for covariances A and B within the layers and C between them. They do not change
    under any invertible linear map of either layer's units: all 1 where the spans are the same.

    Args:
        statistics: of the samples to fit.
        keep: share of each layer's variance, in (0, 1], whose principal directions take part. Below 1 leaves out the
            faint ones that are mostly noise, as SVCCA does (Raghu et al. 2017), and with it the invariance.
        held_out: statistics of other samples: the directions are then found on the first and correlated on these,
            which takes out what comes of fitting many directions to few samples. May be negative.

    Returns:
        min(directions of the one, of the other) correlations, the best first (in the fit).

    Raises:
        ValueError: if `keep` is not in (0, 1], `held_out` has other units, or a layer never varies.

    Example:
        >>> import torch
        >>> from replica.representations import UnitStatistics, canonical_correlations
        >>> units = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
        >>> statistics = UnitStatistics(3, 3)
        >>> statistics.update(units, units @ torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
        >>> canonical_correlations(statistics).round(decimals=4)
        tensor([1., 1., 1.], dtype=torch.float64)
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep: got {keep}, want a share above 0, at most 1")
    cut, covariance = statistics.first, statistics.covariance
    ours = _whitening(covariance[:cut, :cut], keep, "first")
    theirs = _whitening(covariance[cut:, cut:], keep, "second")
    turn, found, back = torch.linalg.svd(ours.T @ covariance[:cut, cut:] @ theirs, full_matrices=False)
    if held_out is None:
        return found.clamp(0, 1)
    if (held_out.first, held_out.second) != (statistics.first, statistics.second):
        raise ValueError(
            f"held_out: got {held_out.first} and {held_out.second} units, want {statistics.first} and "
            f"{statistics.second} as in statistics"
        )
    ours, theirs = ours @ turn, theirs @ back.T
    fresh = held_out.covariance
    across = (ours * (fresh[:cut, cut:] @ theirs)).sum(0)
    spread = (ours * (fresh[:cut, :cut] @ ours)).sum(0) * (theirs * (fresh[cut:, cut:] @ theirs)).sum(0)
    return (across / spread.clamp(min=torch.finfo(spread.dtype).tiny).sqrt()).clamp(-1, 1)


def _whitening(covariance: Float[Tensor, "units units"], keep: float, name: str) -> Float[Tensor, "units directions"]:
    """Principal directions that hold the share `keep` of the variance, each scaled to variance 1."""
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0), vectors.flip(1)
    if not values[0] > 0:
        raise ValueError(f"{name}: got a layer whose units never vary, want one that does")
    # Rounding leaves dependent units a little variance of either sign.
    real = values > 1e-10 * values[0]
    before = (values.cumsum(0) - values) / values[real].sum()
    kept = real & (before < keep - 1e-12)
    return vectors[:, kept] / values[kept].sqrt()
