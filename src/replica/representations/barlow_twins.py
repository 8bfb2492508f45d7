"""Barlow Twins (Zbontar et al. 2021): outputs of two views are made to correlate unit by unit, and with no other unit."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from replica.representations.encoder_training import TwoViews
from replica.training import Views

_EPSILON = 1e-5
"""Added to variances, as by batch normalisation in the authors' code."""


def barlow_twins_loss(
    a: Float[Tensor, "batch dim"], b: Float[Tensor, "batch dim"], weight: float = 0.0051
) -> Float[Tensor, ""]:
    """Loss of Barlow Twins: the squared distance of the twins' cross-correlation matrix from the identity, weighted.

    With outputs standardised over the batch and C = â'b̂/n (equation 2) it is Σ_i (1 − C_ii)² + λ Σ_{i≠j} C_ij²
    (equation 1). Off-diagonal squares are summed as ⟨ââ', b̂b̂'⟩/n² where
    that is smaller: a batch of n outputs of length d needs min(n, d)² numbers and n d min(n, d) products.

    Args:
        a: Outputs for one view of each image.
        b: Outputs for the other.
        weight: λ, of the redundancy term; 0 leaves the invariance term alone. Default the authors'.

    Raises:
        ValueError: If shapes differ, there are fewer than two rows, or the weight is negative.

    Example:
        >>> import torch
        >>> from replica.representations import barlow_twins_loss
        >>> white = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
        >>> round(float(barlow_twins_loss(white, white)), 4), round(float(barlow_twins_loss(white, -white, 1.0)), 3)
        (0.0, 8.0)
    """
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2:
        raise ValueError(
            f"a, b: got shapes {tuple(a.shape)} and {tuple(b.shape)}, want equal ones (batch of 2 or more, dim)"
        )
    if not weight >= 0:
        raise ValueError(f"weight: got {weight}, want 0 or more")
    one, other = _standardised(a), _standardised(b)
    diagonal = (one * other).mean(0)
    loss = (1 - diagonal).square().sum()
    if weight:
        count, dim = a.shape
        if count < dim:
            squares = ((one @ one.T) * (other @ other.T)).sum() / count**2
        else:
            squares = (one.T @ (other / count)).square().sum()
        loss = loss + weight * (squares - diagonal.square().sum())
    return loss


def _standardised(outputs: Tensor) -> Tensor:
    variance, mean = torch.var_mean(outputs, 0, correction=0)
    return (outputs - mean) * (variance + _EPSILON).rsqrt()


class BarlowTwins(TwoViews):
    """Barlow Twins: trains an encoder so that two views agree in every output of a projector, and outputs do not repeat.

    No negatives, no predictor, no gradient that is stopped, no slow copy of the network. The paper steps by LARS; this by Adam.

    Args:
        views: How views are drawn.
        weight: Of the redundancy term, the paper's λ; 0 leaves the invariance term alone.
        projector: Widths of the projector's layers; the paper's are 8,192 each.
        batch: Images a step.
        learning_rate: Adam's, at the start of a cosine schedule.
        weight_decay: Decoupled, as in AdamW.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch
        >>> from replica.representations import BarlowTwins
        >>> from replica.training import Views, conv_net
        >>> images, generator = torch.rand(64, 1, 8, 8), torch.Generator().manual_seed(0)
        >>> twins = BarlowTwins(Views(shift=0.1, noise=0.1), projector=(32, 32), batch=32)
        >>> twins = twins.pretrain(images, lambda: conv_net((1, 4), 8, size=(8, 8), generator=generator), generator, epochs=20)
        >>> twins.embed(images).shape, twins.losses[-1] < twins.losses[0]
        (torch.Size([64, 8]), True)
    """

    def __init__(
        self,
        views: Views,
        *,
        weight: float = 0.0051,
        projector: Sequence[int] = (256, 256, 256),
        batch: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-6,
    ) -> None:
        if not weight >= 0:
            raise ValueError(f"weight: got {weight}, want 0 or more")
        super().__init__(
            partial(barlow_twins_loss, weight=weight), views, projector=projector, batch=batch,
            learning_rate=learning_rate, weight_decay=weight_decay,
        )  # fmt: skip
        self.weight = weight
