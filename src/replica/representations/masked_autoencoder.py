"""A masked autoencoder around any encoder: patches are hidden, and filled in from what the encoder makes of the others."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from replica.training import mlp

from .encoder_training import EncoderTraining


class MaskedAutoencoder(nn.Module):
    """Fills in hidden patches of images; its encoder learns features without labels or views.

    The encoder reads whole images, in which hidden patches are of one brightness, so that it can be any module; He et al.'s is
    a transformer, which reads the visible patches alone.

    Args:
        encoder: from images to features, ``(batch, dim)``.
        dim: of the features.
        size: ``(channels, height, width)`` of an image.
        patch: side of a patch, in pixels; height and width are multiples of it.
        share: of patches that are hidden in training, above 0 and below 1.
        hidden: units of the decoder's hidden layer.
        blank: brightness of hidden patches; outside of the images' range it cannot be taken for theirs.
        generator: source of the decoder's weights.

    Raises:
        ValueError: if a number is out of range, or patches do not fill an image.

    Source: He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", Section 3; Orhan and Lake 2024.

    Example:
        >>> model = MaskedAutoencoder(nn.Flatten(), 64, (1, 8, 8), patch=4, share=0.5)
        >>> hidden = model.masks(3, torch.Generator().manual_seed(0))
        >>> hidden.shape, hidden.float().mean()
        (torch.Size([3, 1, 8, 8]), tensor(0.5000))
        >>> images = torch.rand(3, 1, 8, 8)
        >>> torch.equal(model.complete(images, hidden)[~hidden], images[~hidden])
        True
    """

    def __init__(
        self,
        encoder: nn.Module,
        dim: int,
        size: tuple[int, int, int],
        *,
        patch: int = 2,
        share: float = 0.75,
        hidden: int = 256,
        blank: float = -1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if patch < 1 or size[1] % patch or size[2] % patch:
            raise ValueError(f"patch: got {patch}, want a side that divides {size[1]} and {size[2]}, those of an image")
        self.size, self.patch, self.blank = tuple(size), patch, blank
        self.count = (size[1] // patch) * (size[2] // patch)
        self.hidden = round(share * self.count)
        if not 0 < self.hidden < self.count:
            raise ValueError(f"share: got {share} of {self.count} patches, want some of them hidden and some not")
        self.encoder = encoder
        self.decoder = mlp((dim, hidden, math.prod(size)), generator=generator)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Images as the decoder tells them from the encoder's features."""
        return self.decoder(self.encoder(images)).unflatten(1, self.size)

    def masks(self, count: int, generator: torch.Generator | None = None) -> Bool[Tensor, "count 1 height width"]:
        """Which pixels are hidden: equally many patches of each image, drawn at random, on the generator's device."""
        device = None if generator is None else generator.device
        ranks = torch.rand(count, self.count, generator=generator, device=device).argsort(1).argsort(1)
        rows = self.size[1] // self.patch
        patches = (ranks < self.hidden).view(count, 1, rows, -1)
        return patches.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)

    def complete(
        self, images: Float[Tensor, "batch channels height width"], hidden: Bool[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Images with their hidden pixels, which are not looked at, filled in."""
        return torch.where(hidden, self(images.masked_fill(hidden, self.blank)), images)

    def loss(
        self, images: Float[Tensor, "batch channels height width"], generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Mean squared error over hidden pixels, of patches drawn anew."""
        hidden = self.masks(len(images), generator).to(images.device)
        wrong = (self.complete(images, hidden) - images).square().sum()
        return wrong / (hidden.sum() * self.size[0])

    @torch.no_grad()
    def embed(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch dim"]:
        """Features of whole images."""
        return self.encoder(images)


class MaskedTraining(EncoderTraining):
    """Trains an encoder as that of a `MaskedAutoencoder`, with patches of 2 × 2 pixels; of single ones where sides are odd.

    Args:
        learning_rate: Adam's, at the start of a cosine.
        batch: images a step.
        share: of patches that are hidden.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> images, generator = torch.rand(64, 1, 8, 8), torch.Generator().manual_seed(0)
        >>> encoder = lambda: nn.Sequential(nn.Flatten(), mlp((64, 5), generator=generator))
        >>> MaskedTraining(batch=32).pretrain(images, encoder, generator, 2).embed(images).shape
        torch.Size([64, 5])
    """

    def __init__(self, *, learning_rate: float = 3e-3, batch: int = 128, share: float = 0.75) -> None:
        super().__init__(batch=batch, learning_rate=learning_rate)
        if not 0 < share < 1:
            raise ValueError(f"share: got {share}, want above 0 and below 1")
        self.share = share

    def head(self, images: Tensor, dim: int, generator: torch.Generator) -> nn.Module:
        """The autoencoder, with the encoder inside."""
        channels, height, width = images.shape[1:]
        patch = 2 if height % 2 == width % 2 == 0 and height * width > 4 else 1
        count = height * width // patch**2
        # Of few patches one at least is hidden, and one is not.
        share = min(max(self.share, 1 / count), 1 - 1 / count) if count > 1 else self.share
        size = (channels, height, width)
        return MaskedAutoencoder(self.encoder, dim, size, patch=patch, share=share, generator=generator)

    def loss(self, encoder: nn.Module, head: nn.Module, generator: torch.Generator, *batch: Any) -> Tensor:
        """Squared error of what is hidden."""
        assert isinstance(head, MaskedAutoencoder)
        return head.loss(batch[0], generator)
