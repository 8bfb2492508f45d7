"""The error that networks on grids are trained on."""

from __future__ import annotations

import torch
from torch import Tensor


def relative_l2(predicted: Tensor, truth: Tensor) -> Tensor:
    """Give ‖û − u‖ / ‖u‖ of each sample, both of shape ``(count, channels, *grid)``.

    Where a sample's truth is zero the norm of the error itself is given.

    Example:
        >>> relative_l2(torch.zeros(2, 1, 5), torch.ones(2, 1, 5)).tolist()
        [1.0, 1.0]
    """
    size: Tensor = truth.flatten(1).norm(dim=1)
    ratio: Tensor = (predicted - truth).flatten(1).norm(dim=1) / torch.where(size > 0, size, torch.ones_like(size))
    return ratio
