"""A masked autoencoder around any encoder: patches are hidden, and filled in from what the encoder makes of the others."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from replica.training import mlp


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
