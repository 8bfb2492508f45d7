"""Relative representations: a sample is described by its similarities to anchors, whatever the basis of the latent space.

Moschella et al. 2023. Rotations, reflections and scales of a latent space leave the angles in it alone: spaces of networks
trained apart come to look alike, and a decoder trained in the one can read the other.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RelativeProjection(nn.Module):
    """Cosines of latent vectors with those of the anchors: r(x)_i = cos(E(x), E(a_i)).

    Args:
        anchors: latent vectors of the anchors, shape (anchors, dim); kept as a buffer.

    Raises:
        ValueError: if there are no anchors, or (in the forward pass) latent vectors of another dimension come.

    Source: Moschella et al. 2023, Section 3, eq. 2.

    Example:
        >>> import torch
        >>> from replica.representations import RelativeProjection
        >>> RelativeProjection(torch.eye(2))(torch.tensor([[3.0, 0.0], [1.0, 1.0]])).round(decimals=3)
        tensor([[1.0000, 0.0000],
                [0.7070, 0.7070]])
    """

    anchors: Float[Tensor, "anchors dim"]

    def __init__(self, anchors: Float[Tensor, "anchors dim"]) -> None:
        super().__init__()
        if anchors.dim() != 2 or not anchors.numel():
            raise ValueError(f"anchors: got shape {tuple(anchors.shape)}, want (anchors, dim), one or more")
        self.register_buffer("anchors", anchors.detach().clone())

    def forward(self, latents: Float[Tensor, "... dim"]) -> Float[Tensor, "... anchors"]:
        """Similarities to the anchors, in [−1, 1]; 0 for a latent vector of length 0."""
        return _cosines(latents, self.anchors)


class RelativeEncoder(nn.Module):
    """An encoder whose latent vectors are given relative to those of anchor samples, which it encodes each time anew.

    So it can be trained through the projection, and its anchors move along. Encoders whose anchors are the same samples, or
    samples that correspond, give outputs that can be exchanged.

    Args:
        encoder: any module from samples to latent vectors, shape (batch, dim).
        anchors: the anchors as samples, (anchors, …), such as rows of the training data; kept as a buffer.

    Raises:
        ValueError: if there are no anchors.

    Source: Moschella et al. 2023, Sections 3 and 5.

    Example:
        >>> import torch
        >>> from replica.representations import RelativeEncoder
        >>> RelativeEncoder(torch.nn.Linear(5, 3), torch.randn(7, 5))(torch.randn(2, 5)).shape
        torch.Size([2, 7])
    """

    anchors: Float[Tensor, "anchors ..."]

    def __init__(self, encoder: nn.Module, anchors: Float[Tensor, "anchors ..."]) -> None:
        super().__init__()
        if anchors.dim() < 1 or not len(anchors):
            raise ValueError(f"anchors: got shape {tuple(anchors.shape)}, want one sample or more")
        self.encoder = encoder
        self.register_buffer("anchors", anchors.detach().clone())

    def forward(self, samples: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch anchors"]:
        """Similarities of encoded samples to the encoded anchors."""
        return _cosines(self.encoder(samples), self.encoder(self.anchors))


def stitch(encoder: nn.Module, anchors: Float[Tensor, "anchors ..."], decoder: nn.Module) -> nn.Sequential:
    """Puts a decoder that was trained on relative representations behind another encoder, untrained (zero-shot).

    Args:
        encoder: any module from samples to latent vectors.
        anchors: as samples, in the order of those that the decoder was trained with.
        decoder: takes relative representations, shape (batch, anchors).

    Returns:
        Encoder, projection and decoder, sharing weights with what was given.

    Raises:
        ValueError: if there are no anchors.

    Example:
        >>> import torch
        >>> from replica.representations import stitch
        >>> encoder, decoder = torch.nn.Linear(5, 3), torch.nn.Linear(7, 2)
        >>> stitch(encoder, torch.randn(7, 5), decoder)(torch.randn(4, 5)).shape
        torch.Size([4, 2])
    """
    return nn.Sequential(RelativeEncoder(encoder, anchors), decoder)


class LatentAgreement(NamedTuple):
    """How alike two spaces describe the same samples: 1 where they are the same.

    Attributes:
        cosine: mean cosine of the two descriptions of a sample.
        jaccard: mean overlap (intersection over union) of a sample's nearest neighbours in the two spaces.
        reciprocal_rank: mean of 1 / rank of a sample's own description in the other space among all there.
    """

    cosine: Float[Tensor, "..."]
    jaccard: Float[Tensor, "..."]
    reciprocal_rank: Float[Tensor, "..."]


def latent_agreement(
    first: Float[Tensor, "... samples anchors"], second: Float[Tensor, "... samples anchors"], *, neighbours: int = 10
) -> LatentAgreement:
    """Agreement of two relative representations of the same samples, by angle and by nearest neighbours.

    Args:
        first: shape (..., samples, anchors).
        second: likewise, relative to the same anchors; leading axes broadcast.
        neighbours: nearest samples, by cosine, that overlap; fewer than the samples.

    Raises:
        ValueError: if shapes differ in samples or anchors, or there are too few samples.

    Source: Moschella et al. 2023, Section 4 (Jaccard, mean reciprocal rank, cosine).

    Example:
        >>> import torch
        >>> from replica.representations import RelativeProjection, latent_agreement
        >>> latents = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> turned = 3 * latents.flip(1)
        >>> ours, theirs = (RelativeProjection(space[:8])(space) for space in (latents, turned))
        >>> [round(value.item(), 4) for value in latent_agreement(ours, theirs)]
        [1.0, 1.0, 1.0]
    """
    if first.dim() < 2 or second.dim() < 2 or first.shape[-2:] != second.shape[-2:] or not first.shape[-1]:
        raise ValueError(
            f"first, second: got shapes {tuple(first.shape)} and {tuple(second.shape)}, want (..., samples, anchors), both alike"
        )
    samples = first.shape[-2]
    if not 1 <= neighbours < samples:
        raise ValueError(f"neighbours: got {neighbours}, want a number from 1 to {samples - 1}, below the samples")
    across = _cosines(first, second)
    own = across.diagonal(dim1=-2, dim2=-1)
    rank = (across > own.unsqueeze(-1)).sum(-1) + 1
    common = (_nearest(first, neighbours) & _nearest(second, neighbours)).sum(-1).to(own.dtype)
    overlap = common / (2 * neighbours - common)
    return LatentAgreement(own.mean(-1), overlap.mean(-1), rank.to(own.dtype).reciprocal().mean(-1))


def _nearest(space: Tensor, neighbours: int) -> Tensor:
    """Whether a sample is among the nearest of another, without itself, (..., samples, samples)."""
    itself = torch.eye(space.shape[-2], dtype=torch.bool, device=space.device)
    near = _cosines(space, space).masked_fill(itself, -torch.inf).topk(neighbours, -1).indices
    return torch.zeros(*space.shape[:-1], space.shape[-2], dtype=torch.bool, device=space.device).scatter(
        -1, near, True
    )


def _cosines(first: Tensor, second: Tensor) -> Tensor:
    if first.shape[-1] != second.shape[-1]:
        raise ValueError(f"latents: got dimension {first.shape[-1]}, want {second.shape[-1]} as the anchors have")
    return nn.functional.normalize(first, dim=-1) @ nn.functional.normalize(second, dim=-1).mT
