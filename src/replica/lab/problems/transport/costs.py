"""What moving a point from x to y costs, in the problem transport."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Cost:
    """A cost c(x, y) of all pairs of two clouds; gradients flow to both.

    Args:
        name: ``"squared"``: ½‖x − y‖²; ``"euclidean"``: ‖x − y‖; ``"lp"``: Σ_k |x_k − y_k|^p / p.
        p: Of ``"lp"``.

    Example:
        >>> import torch
        >>> Cost("lp", 2.0)(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).item()
        12.5
    """

    name: str
    p: float = 1.5

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Take clouds of shape (rows, dim) and (columns, dim); give shape (rows, columns)."""
        if self.name == "lp":
            pairs = zip(first.unbind(1), second.unbind(1), strict=True)
            moved = (
                one[:, None] - other for one, other in pairs
            )  # a coordinate at a time: memory is that of the result
            return sum((way.abs().pow(self.p) for way in moved), first.new_zeros(())) / self.p
        squares = first.square().sum(1)[:, None] + second.square().sum(1) - 2 * first @ second.mT
        if self.name == "squared":
            return squares.clamp_min(0) / 2
        # The square root's slope at 0 is kept finite.
        return squares.clamp_min(1e-12).sqrt()
