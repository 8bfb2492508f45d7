"""Representational dissimilarity: how far apart a layer holds each pair of stimuli, and whether two layers agree on it.

Representational similarity analysis (RSA), Kriegeskorte et al. 2008: layers with different units are compared through their
dissimilarity matrices (RDMs), which both have stimuli × stimuli.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def dissimilarities(
    activations: Float[Tensor, "... stimuli units"], measure: Literal["euclidean", "correlation"] = "euclidean"
) -> Float[Tensor, "... stimuli stimuli"]:
    """Dissimilarity of every pair of stimuli in a layer (RDM), symmetric with zeros on the diagonal.

    ``"euclidean"``: the mean squared difference over units, ‖x − y‖² / units. ``"correlation"``: 1 − the correlation of x
    and y over units, in [0, 2].

    Args:
        activations: shape (..., stimuli, units).
        measure: which of the two.

    Raises:
        ValueError: if there are no two axes or one is empty, the measure is unknown, or (for a correlation) a stimulus has
            the same activation in all units.

    Source: Kriegeskorte et al. 2008; scaled as in rsatoolbox.

    Example:
        >>> import torch
        >>> from replica.representations import dissimilarities
        >>> dissimilarities(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        tensor([[0., 2.],
                [2., 0.]])
    """
    if activations.dim() < 2 or not activations.numel():
        raise ValueError(f"activations: got shape {tuple(activations.shape)}, want (..., stimuli, units), none empty")
    if measure == "euclidean":
        # Distances do not change by a shift, their rounding does.
        rows = activations - activations.mean(-2, keepdim=True)
        lengths = rows.square().sum(-1)
        found = (lengths.unsqueeze(-1) + lengths.unsqueeze(-2) - 2 * rows @ rows.mT) / rows.shape[-1]
        found = found.clamp(min=0)
    elif measure == "correlation":
        rows = activations - activations.mean(-1, keepdim=True)
        norms = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        rounding = 10 * torch.finfo(rows.dtype).eps * activations.abs().amax(-1, keepdim=True)
        if not bool((rows.abs().amax(-1, keepdim=True) > rounding).all()):
            raise ValueError(
                "activations: got a stimulus with the same activation in all units (or NaN), want ones that differ"
            )
        rows = rows / norms
        found = 1 - rows @ rows.mT
    else:
        raise ValueError(f"measure: got {measure!r}, want 'euclidean' or 'correlation'")
    stimuli = found.shape[-1]
    # Symmetric to the last bit, so that ties stay ties.
    return (found + found.mT) / 2 * ~torch.eye(stimuli, dtype=torch.bool, device=found.device)


def rdm_correlation(
    first: Float[Tensor, "... stimuli stimuli"],
    second: Float[Tensor, "... stimuli stimuli"],
    kind: Literal["pearson", "spearman", "cosine"] = "spearman",
) -> Float[Tensor, "..."]:
    """Correlation of two dissimilarity matrices over all pairs of stimuli: RSA's similarity of two layers.

    Args:
        first: symmetric matrices, shape (..., stimuli, stimuli); what is above the diagonal is read.
        second: of the same stimuli; leading axes broadcast, so that ``(a, 1, n, n)`` with ``(b, n, n)`` gives all a · b pairs.
        kind: of values, of ranks (ties get their mean rank), or the cosine of values.

    Raises:
        ValueError: if matrices are not square or of different sizes, there are fewer than three stimuli, a matrix holds
            one dissimilarity alone, or the kind is unknown.

    Example:
        >>> import torch
        >>> from replica.representations import dissimilarities, rdm_correlation
        >>> line = torch.tensor([[0.0], [1.0], [3.0]])
        >>> rdm_correlation(dissimilarities(line), dissimilarities(line).sqrt()).round(decimals=4)
        tensor(1.)
    """
    if kind not in ("pearson", "spearman", "cosine"):
        raise ValueError(f"kind: got {kind!r}, want 'pearson', 'spearman' or 'cosine'")
    stimuli = first.shape[-1] if first.dim() else 0
    compared = []
    for name, matrix in (("first", first), ("second", second)):
        if matrix.dim() < 2 or matrix.shape[-2:] != (stimuli, stimuli) or stimuli < 3:
            raise ValueError(f"{name}: got shape {tuple(matrix.shape)}, want (..., stimuli, stimuli), both 3 or more")
        pairs = torch.triu_indices(stimuli, stimuli, 1, device=matrix.device)
        values = matrix[..., pairs[0], pairs[1]]
        values = average_ranks(values) if kind == "spearman" else values
        centred = values if kind == "cosine" else values - values.mean(-1, keepdim=True)
        norm = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
        rounding = 10 * torch.finfo(values.dtype).eps * values.abs().amax(-1, keepdim=True)
        if not bool((centred.abs().amax(-1, keepdim=True) > rounding).all()):
            raise ValueError(f"{name}: got the same dissimilarity for all pairs (or NaN), want some that differ")
        compared.append(centred / norm)
    return (compared[0] * compared[1]).sum(-1)


def average_ranks(values: Float[Tensor, "... count"]) -> Float[Tensor, "... count"]:
    """Ranks from 1 along the last axis; ties get the mean of their ranks. No gradient.

    Example:
        >>> import torch
        >>> from replica.representations import average_ranks
        >>> average_ranks(torch.tensor([0.3, 0.1, 0.3, 0.9]))
        tensor([2.5000, 1.0000, 2.5000, 4.0000])
    """
    ordered, order = values.detach().sort(-1)
    places = torch.arange(values.shape[-1], device=values.device).expand(values.shape)
    edge = torch.ones_like(ordered[..., :1], dtype=torch.bool)
    steps = ordered[..., 1:] != ordered[..., :-1]  # infinite values are equal, their difference is not 0
    # The first and the last place of each run of ties.
    start = torch.where(torch.cat([edge, steps], -1), places, 0).cummax(-1).values
    end = torch.where(torch.cat([steps, edge], -1), places, values.shape[-1]).flip(-1).cummin(-1).values.flip(-1)
    return torch.empty_like(ordered).scatter_(-1, order, (start + end).to(values.dtype) / 2 + 1)
