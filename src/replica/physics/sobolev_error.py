"""Errors of functions on a grid in the Sobolev norm H¹, which counts their slopes."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor


def relative_h1(
    predicted: Float[Tensor, "count channels *grid"],
    truth: Float[Tensor, "count channels *grid"],
    spacing: Sequence[float],
) -> Float[Tensor, " count"]:
    """‖û − u‖ / ‖u‖ in H¹, with ‖u‖² = mean of u² + mean of |∇u|² / (2π)², slopes taken between neighbouring points.

    A Fourier mode k of the unit square then weighs 1 + |k|², as in the HsLoss of operator learning's codes.

    Args:
        predicted: û.
        truth: u.
        spacing: between points, along each axis of the grid.

    Example:
        >>> import torch
        >>> from replica.physics import relative_h1
        >>> relative_h1(torch.zeros(2, 1, 5), torch.ones(2, 1, 5), (0.25,))
        tensor([1., 1.])
    """

    def squared(values: Tensor) -> Tensor:
        slopes = [values.diff(dim=axis) / (2 * math.pi * h) for axis, h in enumerate(spacing, start=2)]
        return sum(part.flatten(1).square().mean(1) for part in (values, *slopes))  # type: ignore[return-value]

    return (squared(predicted - truth) / squared(truth)).sqrt()
