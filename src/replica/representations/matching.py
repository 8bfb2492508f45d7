"""One-to-one alignment: which unit of one network corresponds to which of another.

Li et al. 2015, Section 3: bipartite matching, and semi-matching, which lets units share a partner.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class UnitMatching(NamedTuple):
    """Partners of the first network's units.

    Attributes:
        partner: for each unit of the first network, its partner in the second, −1 for none, shape (..., first).
        similarity: similarity of each pair, 0 for none, shape (..., first).
    """

    partner: Int[Tensor, "... first"]
    similarity: Float[Tensor, "... first"]


def match_units(
    similarity: Float[Tensor, "... first second"], kind: Literal["assignment", "nearest"] = "assignment"
) -> UnitMatching:
    """Pairs each unit of one network with one of another so that the pairs are as similar as can be.

    ``"assignment"``: bipartite matching: max Σ_i s[i, π(i)] over one-to-one π (SciPy's `linear_sum_assignment`).
    ``"nearest"``: semi-matching: π(i) = argmax_j s[i, j]; a unit of the second network may serve several times.

    Args:
        similarity: correlation or mutual information between the units, shape (..., first, second). Take its
            absolute value first if an opposite unit counts as a match.
        kind: which of the two. With fewer units in the second network than in the first, an assignment leaves some
            of the first without a partner.

    Raises:
        ValueError: if there are no two axes, one is empty, a similarity is NaN, or the kind is unknown.

    Source: Li et al. 2015, Section 3.

    Example:
        >>> import torch
        >>> from replica.representations import match_units
        >>> similarity = torch.tensor([[0.9, 0.8], [0.7, 0.1]])
        >>> match_units(similarity).partner, match_units(similarity, "nearest").partner
        (tensor([1, 0]), tensor([0, 0]))
    """
    if similarity.dim() < 2 or 0 in similarity.shape[-2:]:
        raise ValueError(f"similarity: got shape {tuple(similarity.shape)}, want (..., first, second), none empty")
    if bool(similarity.isnan().any()):
        raise ValueError("similarity: got NaN, want numbers")
    if kind == "nearest":
        best = similarity.max(-1)
        return UnitMatching(best.indices, best.values)
    if kind != "assignment":
        raise ValueError(f"kind: got {kind!r}, want 'assignment' or 'nearest'")
    first, second = similarity.shape[-2:]
    host = similarity.detach().to("cpu", torch.float64).reshape(-1, first, second).numpy()
    partners = np.full((len(host), first), -1, dtype=np.int64)
    for matrix, row in zip(host, partners, strict=True):
        ours, theirs = linear_sum_assignment(matrix, maximize=True)
        row[ours] = theirs
    partner = torch.from_numpy(partners).to(similarity.device).reshape(similarity.shape[:-1])
    paired = similarity.gather(-1, partner.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return UnitMatching(partner, torch.where(partner < 0, torch.zeros_like(paired), paired))
