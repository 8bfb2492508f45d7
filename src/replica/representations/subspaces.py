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


def mean_canonical_correlation(
    first: Float[Tensor, "... samples units"], second: Float[Tensor, "... samples others"], *, keep: float = 0.99
) -> Float[Tensor, "..."]:
    """Mean canonical correlation between the principal directions of two layers: SVCCA, for activations that fit in memory.

    As `canonical_correlations` of the same samples has it on average, from thin singular value decompositions, so that
    there may be more units than samples; then ``keep`` must be below 1, or all correlations are 1.

    Args:
        first: activations, shape (..., samples, units).
        second: of the same samples, units of its own; leading axes broadcast.
        keep: share of each layer's variance, in (0, 1], whose principal directions take part.

    Returns:
        Of each pair, in [0, 1]: the mean over as many correlations as the layer with fewer directions has.

    Raises:
        ValueError: if `keep` is not in (0, 1], the samples differ in number, or a layer never varies.

    Source: Raghu et al. 2017, Section 2, with the 99 % of variance that they keep.

    Example:
        >>> import torch
        >>> from replica.representations import mean_canonical_correlation
        >>> units = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
        >>> mixed = units @ torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
        >>> mean_canonical_correlation(units, mixed, keep=1.0).round(decimals=4)
        tensor(1.)
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep: got {keep}, want a share above 0, at most 1")
    ours, theirs = centred_pair(first, second)
    left, right = _principal(ours, keep), _principal(theirs, keep)
    found = torch.linalg.svdvals(left.mT @ right).clamp(0, 1)
    directions = torch.minimum(*((basis.abs().amax(-2) > 0).sum(-1) for basis in (left, right)))
    return found.sum(-1) / directions


def centred_pair(
    first: Float[Tensor, "... samples units"], second: Float[Tensor, "... samples others"]
) -> tuple[Tensor, Tensor]:
    """Activations of two layers less each unit's mean, seen to be of as many samples and to vary."""
    centred = []
    for name, activations in (("first", first), ("second", second)):
        if activations.dim() < 2 or not activations.numel():
            raise ValueError(f"{name}: got shape {tuple(activations.shape)}, want (..., samples, units), none empty")
        less = activations - activations.mean(-2, keepdim=True)
        # What is left of a constant is rounding; the comparison is false for NaN, too.
        rounding = 10 * torch.finfo(less.dtype).eps * activations.abs().amax((-2, -1))
        if not bool((less.abs().amax((-2, -1)) > rounding).all()):
            raise ValueError(f"{name}: got a layer that is constant or not finite, want one that varies")
        centred.append(less)
    if first.shape[-2] != second.shape[-2]:
        raise ValueError(f"second: got {second.shape[-2]} samples, want {first.shape[-2]} as in first")
    return centred[0], centred[1]


def _principal(centred: Float[Tensor, "... samples units"], keep: float) -> Float[Tensor, "... samples directions"]:
    """Orthonormal scores of the principal directions that hold the share ``keep`` of the variance, 0 for the others."""
    scores, values, _ = torch.linalg.svd(centred, full_matrices=False)
    # A rank below the number of columns shows as values of the size of rounding.
    real = values > max(centred.shape[-2:]) * torch.finfo(values.dtype).eps * values[..., :1]
    variance = torch.where(real, values.square(), 0)
    before = (variance.cumsum(-1) - variance) / variance.sum(-1, keepdim=True)
    return scores * (real & (before < keep - 1e-12)).unsqueeze(-2)


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
