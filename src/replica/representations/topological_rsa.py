"""Topological representational similarity analysis: dissimilarities that keep who is near and far, and less of how much.

Lin and Kriegeskorte 2024. A geo-topological transform flattens small and large dissimilarities, which are mostly noise and
idiosyncrasy of a network; geodesic distances keep the short ones alone and go along them.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .dissimilarity import average_ranks, rdm_correlation


def geotopological_transform(
    dissimilarities: Float[Tensor, "... stimuli stimuli"],
    lower: float = 0.2,
    upper: float = 0.8,
    *,
    ranked: bool = True,
) -> Float[Tensor, "... stimuli stimuli"]:
    """Dissimilarities in [0, 1]: 0 up to the quantile ``lower``, 1 from the quantile ``upper``, linear between (RGTM).

    From ranks (ties get their mean rank), so that no monotone change of the dissimilarities matters. ``(0, 1)`` leaves the
    ranks, scaled: Pearson's correlation of two such matrices is Spearman's of the dissimilarities. As the quantiles meet,
    what is left is a graph: 0 for neighbours, 1 for others.

    Args:
        dissimilarities: symmetric matrices, shape (..., stimuli, stimuli); what is above the diagonal is read.
        lower: share of the pairs (l) that are as good as the same.
        upper: share of the pairs (u) from which on all are as good as apart; at least ``lower``.
        ranked: whether dissimilarities become ranks first; else they are taken as they are.

    Raises:
        ValueError: if there are fewer than three stimuli, the quantiles are not 0 ≤ lower ≤ upper ≤ 1, or all
            dissimilarities of a matrix are the same or one is NaN.

    Source: Lin and Kriegeskorte 2024, the geo-topological transform; ranks and thresholds as in the authors' code.

    Example:
        >>> import torch
        >>> from replica.representations import dissimilarities, geotopological_transform
        >>> line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
        >>> geotopological_transform(dissimilarities(line), 0.2, 0.8)[0].round(decimals=3)
        tensor([0.0000, 0.0000, 0.3330, 1.0000])
    """
    if not 0 <= lower <= upper <= 1:
        raise ValueError(f"lower, upper: got {lower} and {upper}, want 0 ≤ lower ≤ upper ≤ 1")
    pairs, values = _pairs(dissimilarities)
    values = _scaled_ranks(values) if ranked else _varied(values)
    quantiles = torch.tensor([lower, upper], dtype=values.dtype, device=values.device)
    low, high = torch.quantile(values, quantiles, dim=-1, keepdim=True)
    between = (values - low) / torch.where(high > low, high - low, 1)
    # Where the quantiles meet, only what is above is apart.
    return _matrices(
        torch.where(high > low, between.clamp(0, 1), (values > low).to(values.dtype)), pairs, dissimilarities
    )


def geodesic_distances(
    dissimilarities: Float[Tensor, "... stimuli stimuli"], share: float = 0.05, *, ranked: bool = True
) -> Float[Tensor, "... stimuli stimuli"]:
    """Lengths of the shortest paths along the shortest ``share`` of all pairs (RGDM); infinite where no path leads.

    Floyd's algorithm for all matrices at once: stimuli³ steps each.

    Args:
        dissimilarities: symmetric matrices, shape (..., stimuli, stimuli); what is above the diagonal is read.
        share: of the pairs that are edges (p), in (0, 1]: those up to this quantile.
        ranked: whether edges are as long as the rank of their dissimilarity, scaled to [0, 1]; else as it.

    Raises:
        ValueError: if there are fewer than three stimuli, the share is not in (0, 1], or all dissimilarities of a matrix are
            the same or one is NaN.

    Source: Lin and Kriegeskorte 2024, geodesic distances over the shortest share of edges, as in the authors' code, but
        that the nearest pair of all, of length 0, is an edge.

    Example:
        >>> import torch
        >>> from replica.representations import dissimilarities, geodesic_distances
        >>> bent = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.1, 1.0]])
        >>> geodesic_distances(2 * dissimilarities(bent), share=0.6, ranked=False)
        tensor([[0.0000, 1.0000, 2.2100],
                [1.0000, 0.0000, 1.2100],
                [2.2100, 1.2100, 0.0000]])
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share}, want a number above 0, at most 1")
    pairs, values = _pairs(dissimilarities)
    values = _scaled_ranks(values) if ranked else _varied(values)
    longest = torch.quantile(values, share, dim=-1, keepdim=True)
    paths = _matrices(torch.where(values <= longest, values, torch.inf), pairs, dissimilarities)
    for stop in range(paths.shape[-1]):
        paths = torch.minimum(paths, paths[..., :, stop, None] + paths[..., None, stop, :])
    return paths


class LayerIdentification(NamedTuple):
    """Which layer of one network each layer of another is taken for.

    Attributes:
        similarity: of each layer with each candidate, shape (..., layers, candidates).
        named: the candidate with the greatest one, the first of equal ones, shape (..., layers).
        accuracy: share of layers whose candidate of the same number is named, shape (...).
    """

    similarity: Float[Tensor, "... layers candidates"]
    named: Int[Tensor, "... layers"]
    accuracy: Float[Tensor, "..."]


def layer_identification(
    data: Float[Tensor, "... layers stimuli stimuli"], candidates: Float[Tensor, "... candidates stimuli stimuli"]
) -> LayerIdentification:
    """Names for each layer's matrix the candidate whose matrix correlates with it best: model selection.

    Matrices of distances, transformed or not; infinite distances count as the largest, and then as in `rdm_correlation` by
    rank. Leading axes, such as instances of the networks, broadcast: ``(a, 1, layers, n, n)`` with ``(b, layers, n, n)``.

    Args:
        data: the matrices to identify, such as those of one network's layers.
        candidates: the matrices to choose from, such as those of another network's; the right one has the same number.

    Raises:
        ValueError: if there are fewer candidates than layers, or as `rdm_correlation`.

    Source: Lin and Kriegeskorte 2024, model selection by correlation of summary statistics across instances.

    Example:
        >>> import torch
        >>> from replica.representations import dissimilarities, layer_identification
        >>> layers = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0))
        >>> layer_identification(dissimilarities(layers), dissimilarities(2 * layers.flip(-1))).named
        tensor([0, 1, 2])
    """
    for name, matrices in (("data", data), ("candidates", candidates)):
        if matrices.dim() < 3:
            raise ValueError(f"{name}: got shape {tuple(matrices.shape)}, want (..., layers, stimuli, stimuli)")
    layers = data.shape[-3]
    if candidates.shape[-3] < layers:
        raise ValueError(f"candidates: got {candidates.shape[-3]}, want at least one for each of the {layers} layers")
    infinite = bool((data.isinf().any() | candidates.isinf().any()).item())
    kind = "spearman" if infinite else "pearson"
    similarity = rdm_correlation(data.unsqueeze(-3), candidates.unsqueeze(-4), kind)  # type: ignore[arg-type]
    named = similarity.argmax(-1)
    right = named == torch.arange(layers, device=named.device)
    return LayerIdentification(similarity, named, right.to(similarity.dtype).mean(-1))


def _pairs(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the pairs above the diagonal, and their values, shape (..., pairs)."""
    if matrices.dim() < 2 or matrices.shape[-1] != matrices.shape[-2] or matrices.shape[-1] < 3:
        raise ValueError(
            f"dissimilarities: got shape {tuple(matrices.shape)}, want (..., stimuli, stimuli) of 3 stimuli or more"
        )
    pairs = torch.triu_indices(matrices.shape[-1], matrices.shape[-1], 1, device=matrices.device)
    return pairs, matrices[..., pairs[0], pairs[1]]


def _varied(values: Tensor) -> Tensor:
    if not bool((values.amax(-1) > values.amin(-1)).all()):  # false for NaN, too
        raise ValueError("dissimilarities: got the same for all pairs (or NaN), want some that differ")
    return values


def _scaled_ranks(values: Tensor) -> Tensor:
    ranks = average_ranks(_varied(values))
    least, most = ranks.amin(-1, keepdim=True), ranks.amax(-1, keepdim=True)
    return (ranks - least) / (most - least)


def _matrices(values: Tensor, pairs: Tensor, like: Tensor) -> Tensor:
    """Symmetric matrices with zeros on the diagonal."""
    found = torch.zeros_like(like)
    found[..., pairs[0], pairs[1]] = values
    found[..., pairs[1], pairs[0]] = values
    return found
