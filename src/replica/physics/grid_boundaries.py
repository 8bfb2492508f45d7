"""Boundary conditions on a grid: how convolutions pad, and values made to meet a condition exactly."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Boundary = Literal["dirichlet", "neumann", "periodic"]


_PADDING = {"dirichlet": "zeros", "neumann": "reflect", "periodic": "circular"}


def meet_boundary(values: Float[Tensor, "batch channels *grid"], boundary: Boundary) -> Tensor:
    """Changes the outermost grid points so that the values meet a homogeneous boundary condition exactly.

    For grids whose outermost points lie on the boundary. Dirichlet: they become zero. Neumann: they become
    (4 u₁ − u₂) / 3, which makes the second-order one-sided difference −3 u₀ + 4 u₁ − u₂ zero, at corners in each
    direction. Periodic: nothing to do, the last point's neighbour is the first.

    Args:
        values: on a grid of one dimension or more, at least 3 points each way.
        boundary: "dirichlet", "neumann" or "periodic".

    Example:
        >>> import torch
        >>> from replica.physics import meet_boundary
        >>> meet_boundary(torch.ones(1, 1, 5), "dirichlet")
        tensor([[[0., 1., 1., 1., 0.]]])
    """
    _check_boundary(boundary)
    if boundary == "periodic":
        return values
    axes = range(2, values.dim())
    if min(values.shape[2:], default=0) < 3:
        raise ValueError(f"values: got shape {tuple(values.shape)}, want (batch, channels, *grid) of 3 points each way")
    if boundary == "dirichlet":
        inside = functional.pad(values, (-1, -1) * len(axes))
        return functional.pad(inside, (1, 1) * len(axes))
    for axis in axes:
        size = values.shape[axis]
        first = (4 * values.narrow(axis, 1, 1) - values.narrow(axis, 2, 1)) / 3
        last = (4 * values.narrow(axis, size - 2, 1) - values.narrow(axis, size - 3, 1)) / 3
        values = torch.cat([first, values.narrow(axis, 1, size - 2), last], axis)
    return values


def _cut(values: Tensor, size: Sequence[int]) -> Tensor:
    """So many points each way, from the first; the values themselves where there are no more."""
    spare = [have - want for have, want in zip(values.shape[2:], size, strict=True)]
    # Padding keeps the memory layout of the gradient, which slicing does not: convolutions would convert it back.
    return (
        functional.pad(values, [side for points in reversed(spare) for side in (0, -points)]) if any(spare) else values
    )


def _check_boundary(boundary: str) -> None:
    if boundary not in _PADDING:
        raise ValueError(f"boundary: got {boundary!r}, want 'dirichlet', 'neumann' or 'periodic'")
