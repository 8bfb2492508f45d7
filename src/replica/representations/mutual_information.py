"""Mutual information between units, from histograms: a similarity that sees more than straight lines.

Li et al. 2015, Section 3.1, compare it with correlation.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_ROWS = 8192


def mutual_information(
    first: Float[Tensor, "samples first"], second: Float[Tensor, "samples second"], *, bins: int = 10
) -> Float[Tensor, "first second"]:
    """Mutual information, in nats, between each unit of one layer and each of another.

    Σ_ab p(a, b) ln(p(a, b) / (p(a) p(b))) over bins of equal count; where the smallest value is frequent, as 0 is
    after a ReLU, it has a bin of its own. Less the bias of counting, (K_ab − K_a − K_b + 1) / (2 · samples) for K
    occupied bins (Miller 1955), and not below 0.

    Memory is (first · bins) · (second · bins), independent of the samples beyond the inputs themselves.

    Args:
        first: samples of the one layer, such as those of `unit_samples`, shape (samples, first).
        second: of the other at the same times, shape (samples, second).
        bins: most bins a unit.

    Raises:
        ValueError: if the shapes do not fit or there are fewer than 2 bins.

    Example:
        >>> import torch
        >>> from replica.representations import mutual_information
        >>> samples = torch.randn(5000, 2, generator=torch.Generator().manual_seed(0))
        >>> found = mutual_information(samples, samples)
        >>> bool(found[0, 0] > 2.2), bool(found[0, 1] < 0.01)
        (True, True)
    """
    if first.dim() != 2 or second.dim() != 2 or len(first) != len(second) or not len(first):
        raise ValueError(
            f"second: got shape {tuple(second.shape)} beside {tuple(first.shape)}, want two matrices of as many samples"
        )
    if bins < 2:
        raise ValueError(f"bins: got {bins}, want 2 or more")
    ours, theirs = _bin_numbers(first, bins), _bin_numbers(second, bins)
    units, others = ours.shape[1], theirs.shape[1]
    counts = torch.zeros(units * bins, others * bins, dtype=torch.float64, device=first.device)
    for rows, columns in zip(ours.split(_ROWS), theirs.split(_ROWS), strict=True):
        # Products of zeros and ones: exact in float32 up to 2²⁴ rows.
        counts += _indicators(rows, bins).T @ _indicators(columns, bins)
    joint = counts.reshape(units, bins, others, bins).transpose(1, 2) / len(first)
    rows, columns = joint.sum(3), joint.sum(2)
    ratio = joint / (rows.unsqueeze(3) * columns.unsqueeze(2)).clamp(min=torch.finfo(joint.dtype).tiny)
    information = torch.xlogy(joint, torch.where(joint > 0, ratio, torch.ones_like(ratio))).sum((2, 3))
    occupied = (joint > 0).sum((2, 3)) - (rows > 0).sum(2) - (columns > 0).sum(2) + 1
    return (information - occupied / (2 * len(first))).clamp(min=0)


def _bin_numbers(samples: Float[Tensor, "samples units"], bins: int) -> Int[Tensor, "samples units"]:
    """Number of each sample's bin, by equal counts; a smallest value that would fill a bin has bin 0 for itself."""
    columns = samples.detach().T.contiguous()
    ordered = columns.sort(1).values
    count = columns.shape[1]
    lowest = (ordered == ordered[:, :1]).sum(1, keepdim=True)
    number = torch.arange(1, bins, device=columns.device)
    apart = lowest + (count - lowest) * (number - 1) // (bins - 1)
    places = torch.where(lowest * bins > count, apart, count * number // bins)
    edges = ordered.gather(1, places.clamp(max=count - 1))
    return torch.searchsorted(edges, columns, right=True).T


def _indicators(numbers: Int[Tensor, "samples units"], bins: int) -> Float[Tensor, "samples unit_bins"]:
    return torch.nn.functional.one_hot(numbers, bins).flatten(1).float()
