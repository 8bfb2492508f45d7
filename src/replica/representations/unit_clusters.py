"""Many-to-many alignment: groups of units of two networks, found by spectral clustering of their correlations.

Li et al. 2015, Section 5.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from torch import Tensor


class UnitClusters(NamedTuple):
    """Groups of units.

    Attributes:
        labels: number of each unit's group, from 0; −1 for units that nothing is similar to.
        order: units in the order of the tree's leaves, those without a group last: rows and columns of a similarity
            matrix in this order show the groups as blocks.
    """

    labels: Int[Tensor, " units"]
    order: Int[Tensor, " units"]


def spectral_embedding(affinity: Float[Tensor, "units units"], dim: int) -> Float[Tensor, "units dim"]:
    """Rows of the leading eigenvectors of D^(−½) W D^(−½), each scaled to norm 1 (Ng, Jordan and Weiss 2002).

    They are the eigenvectors of the normalised Laplacian I − D^(−½) W D^(−½) with the smallest eigenvalues; units of
    one well separated group come to one point. Units of degree 0 lie at the origin.

    Args:
        affinity: symmetric, not negative, shape (units, units). Its diagonal is left out.
        dim: number of eigenvectors.

    Raises:
        ValueError: if the affinity is not square, symmetric and without negative entries, or `dim` is out of range.
    """
    units = affinity.shape[-1]
    if affinity.shape != (units, units):
        raise ValueError(f"affinity: got shape {tuple(affinity.shape)}, want a square matrix")
    if not bool((affinity >= 0).all()) or not torch.allclose(affinity, affinity.T, atol=1e-6):
        raise ValueError("affinity: got negative entries, NaN or an asymmetric matrix, want a similarity")
    if not 1 <= dim <= units:
        raise ValueError(f"dim: got {dim}, want 1 to {units}")
    weights = affinity - affinity.diag().diag()
    degree = weights.sum(0)
    scale = torch.where(degree > 0, degree.rsqrt(), torch.zeros_like(degree))
    vectors = torch.linalg.eigh(weights * scale * scale[:, None]).eigenvectors[:, -dim:]
    vectors = vectors * (degree > 0)[:, None]
    norm = vectors.norm(dim=1, keepdim=True)
    return torch.where(norm > 0, vectors / norm, torch.zeros_like(vectors))


def cluster_units(affinity: Float[Tensor, "units units"], clusters: int) -> UnitClusters:
    """Groups units by hierarchical spectral clustering: Ward's tree over the spectral embedding, cut at `clusters`.

    Nothing in it is random. For two networks, pass the absolute values of `UnitStatistics.correlation`: units of both
    are then grouped together, those of the first before those of the second.

    Args:
        affinity: similarity of every two units, symmetric and not negative, shape (units, units).
        clusters: number of groups, and of eigenvectors.

    Raises:
        ValueError: if the affinity is no similarity matrix, or has fewer units with a neighbour than `clusters`.

    Source: Li et al. 2015, Section 5 (hierarchical spectral clustering).

    Example:
        >>> import torch
        >>> from replica.representations import cluster_units
        >>> affinity = torch.block_diag(torch.ones(2, 2), torch.ones(3, 3))
        >>> labels = cluster_units(affinity, 2).labels
        >>> bool((labels[:2] == labels[0]).all() and (labels[2:] == labels[2]).all() and labels[0] != labels[2])
        True
    """
    embedding = spectral_embedding(affinity, min(clusters, len(affinity)) if clusters > 0 else clusters)
    near = embedding.norm(dim=1) > 0
    placed = near.nonzero().squeeze(-1)
    if not 1 <= clusters <= len(placed):
        raise ValueError(f"clusters: got {clusters}, want 1 to {len(placed)}, the number of units with a neighbour")
    labels = torch.full((len(affinity),), -1, dtype=torch.int64, device=affinity.device)
    if len(placed) == 1:
        labels[placed] = 0
        order = placed
    else:
        tree = linkage(embedding[placed].detach().cpu().double().numpy(), method="ward")
        groups = fcluster(tree, clusters, criterion="maxclust").astype(np.int64) - 1
        labels[placed] = torch.from_numpy(groups).to(labels.device)
        order = placed[torch.from_numpy(leaves_list(tree).astype(np.int64)).to(placed.device)]
    return UnitClusters(labels, torch.cat([order, (~near).nonzero().squeeze(-1)]))
