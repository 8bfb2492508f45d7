"""Procrustes distance: how far two layers stay apart under the best rotation (Schönemann 1966, Ding et al. 2021)."""

import torch
from jaxtyping import Float
from torch import Tensor

from .subspaces import centred_pair


def procrustes_distance(
    first: Float[Tensor, "... samples units"], second: Float[Tensor, "... samples others"]
) -> Float[Tensor, "..."]:
    """Distance min ‖X − Y Q‖ over orthogonal Q, of activations centred and scaled to norm 1: √(2 − 2 ‖XᵀY‖_*).

    A metric: 0 where one layer is the other rotated, reflected, shifted and scaled, √2 where no unit of the one correlates
    with any of the other. Where the layers have different numbers of units, the smaller is filled up with zeros.
    Decomposes a matrix of samples or of units, whichever are fewer.

    Args:
        first: activations, shape (..., samples, units).
        second: of the same samples, units of its own; leading axes broadcast.

    Raises:
        ValueError: if the samples differ in number, or a layer never varies.

    Source: Williams et al. 2021, Section 2, with the scaling to norm 1 of Ding et al. 2021, Section 2.

    Example:
        >>> import torch
        >>> from replica.representations import procrustes_distance
        >>> units = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> procrustes_distance(units, 2 * units.flip(1) + 1) < 1e-6
        tensor(True)
    """
    ours, theirs = (layer / torch.linalg.matrix_norm(layer, keepdim=True) for layer in centred_pair(first, second))
    if ours.shape[-2] < min(ours.shape[-1], theirs.shape[-1]):
        # XᵀY = Q R Sᵀ Pᵀ for Xᵀ = Q R and Yᵀ = P S: the singular values are those of R Sᵀ, samples × samples.
        ours, theirs = torch.linalg.qr(ours.mT).R.mT, torch.linalg.qr(theirs.mT).R.mT
    return (2 - 2 * torch.linalg.svdvals(ours.mT @ theirs).sum(-1)).clamp(min=0).sqrt()
