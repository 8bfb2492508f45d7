"""Which hidden units of ReLU can be active together: all patterns of some rows, or a sample of them."""

import math
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_MOST_RAYS = 100_000
_TOLERANCE = 1e-9


def activation_patterns(inputs: Float[Tensor, "rows dim"]) -> Bool[Tensor, "patterns rows"]:
    """All patterns 1[X u ≥ 0] over directions u in general position: the cells that the rows' hyperplanes cut space into.

    A cell is a cone, whose extreme rays lie on rank − 1 independent hyperplanes; around such a ray the cells are those of
    the hyperplanes through it, in one dimension less. Rows in general position in d dimensions have 2 Σ_{k<d} C(rows − 1, k)
    patterns (Cover 1965): so enumerate in two to four dimensions, and sample beyond, see `sampled_patterns`.

    Args:
        inputs: X. Rows of zeros are active in every pattern.

    Raises:
        ValueError: if there are too many to enumerate.

    Example:
        >>> import torch
        >>> from replica.landscapes import activation_patterns
        >>> activation_patterns(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).int().tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return torch.unique(_cells(inputs.double()), dim=0)


def sampled_patterns(
    inputs: Float[Tensor, "rows dim"],
    count: int,
    *,
    along_rows: bool = False,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "patterns rows"]:
    """The different ones among patterns 1[X u ≥ 0] of some directions u ~ N(0, I) (Bai, Gautam, Sojoudi 2022, practical form).

    Args:
        inputs: X.
        count: directions to draw, P_s. Few rows or dimensions give fewer patterns.
        along_rows: draw u = X'r with r ~ N(0, I) in place, directions in which rows vary: their patterns are held with wider
            margins, which robust programmes need.
        generator: of the directions.

    Raises:
        ValueError: if `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"count: got {count}, want 1 or more")
    device = None if generator is None else generator.device
    drawn = torch.randn(
        inputs.shape[0 if along_rows else 1], count, generator=generator, dtype=inputs.dtype, device=device
    ).to(inputs.device)
    directions = inputs.T @ drawn if along_rows else drawn
    return torch.unique((inputs @ directions >= 0).T, dim=0)


def _cells(rows: Tensor) -> Tensor:
    """The cells of any rows, true where active; they may come more than once."""
    lengths = rows.norm(dim=1)
    seen = lengths > _TOLERANCE * lengths.max().clamp_min(torch.finfo(rows.dtype).tiny)
    rows = torch.where(seen[:, None], rows / torch.where(seen, lengths, 1.0)[:, None], 0.0)
    _, sizes, axes = torch.linalg.svd(rows, full_matrices=False)
    rank = int((sizes > _TOLERANCE).sum())
    if rank == 0:
        return torch.ones(1, len(rows), dtype=torch.bool, device=rows.device)
    rows = rows @ axes[:rank].T
    if rank == 1:
        side = rows[:, 0]
        return torch.stack([(side > 0) | ~seen, (side < 0) | ~seen])
    if (rays := math.comb(len(rows), rank - 1)) > _MOST_RAYS:
        raise ValueError(
            f"inputs: got {len(rows)} rows of rank {rank}, {rays:,} rays to look at; want {_MOST_RAYS:,} at most: "
            "sample patterns instead"
        )
    subsets = torch.tensor(list(combinations(range(len(rows)), rank - 1)), device=rows.device)
    _, sizes, bases = torch.linalg.svd(rows[subsets])
    rays = bases[:, -1][sizes[:, -1] > _TOLERANCE]  # the direction that independent hyperplanes share
    found = []
    for ray, side in zip(rays, rays @ rows.T, strict=True):
        on = side.abs() < _TOLERANCE
        # Along the ray itself the hyperplanes through it do not change sides.
        around = _cells(rows[on] - torch.outer(rows[on] @ ray, ray))
        for sign in (1, -1):
            cells = (sign * side > 0).repeat(len(around), 1)
            cells[:, on] = around
            found.append(cells)
    return torch.cat(found)
