"""One update of a modern Hopfield network, what a retrieval returns, and kinds of fixed points.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", arXiv 2008.02217, Sections 2 and 3.
"""

from enum import IntEnum
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

_ROWS = 64


class FixedPointKind(IntEnum):
    """The three kinds of fixed point of the update (Section 2), in the order they appear in as beta grows."""

    GLOBAL = 0
    METASTABLE = 1
    SINGLE = 2


class Retrieval(NamedTuple):
    """Where the updates led, and how they went: one entry a query.

    Attributes:
        state: the last state, shape (..., dim).
        steps: updates done until the query converged or the limit came, shape (...).
        change: ‖ξ_new − ξ‖ in the last update, shape (...).
        converged: whether that change is within the tolerance, shape (...). After a single update this is
            rarely so, although the state may be a stored pattern already: only a further update could show
            it.
    """

    state: Float[Tensor, "... dim"]
    steps: Int[Tensor, "..."]
    change: Float[Tensor, "..."]
    converged: Bool[Tensor, "..."]


def standardize(patterns: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
    """Shifts each pattern to mean 0 and scales it to norm √dim; a constant pattern becomes zero.

    Layer normalisation without weights: every pattern then lies on one sphere, so that none wins by its norm
    (Section 3, iv).
    """
    centred = patterns - patterns.mean(-1, keepdim=True)
    deviation = centred.square().mean(-1, keepdim=True).sqrt()
    return centred / torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def _attend(
    queries: Float[Tensor, "batch dim"],
    keys: Float[Tensor, "count dim"],
    values: Float[Tensor, "count out"],
    beta: float | Tensor,
) -> Float[Tensor, "batch out"]:
    if isinstance(beta, Tensor):
        queries, beta = queries * beta, 1.0  # The kernel takes its scale as a number, through which no gradient flows.
    # Four dimensions: with fewer, the CPU kernel of PyTorch is not fused and holds all the weights.
    fused = nn.functional.scaled_dot_product_attention(
        queries[None, None], keys[None, None], values[None, None], scale=beta
    )
    return fused[0, 0]


def _distance(first: Float[Tensor, "batch dim"], second: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
    first, second = first.detach(), second.detach()
    if len(first) <= _ROWS:
        return (first - second).norm(dim=-1)
    # Some rows at a time: the difference as a whole would be the largest thing that an update holds.
    pairs = zip(first.split(_ROWS), second.split(_ROWS), strict=True)
    return torch.cat([(one - other).norm(dim=-1) for one, other in pairs])


def _measure_scale(module: nn.Module, *_: object) -> None:
    patterns = module.get_buffer("patterns").detach()
    if patterns.numel():
        module.register_buffer("_scale", patterns.norm(dim=-1).amax(), persistent=False)
