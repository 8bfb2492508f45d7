"""Training behind a projection head, learned or fixed, with features taken before it or after (Xue et al. 2024)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import Views

from .encoder_training import TwoViews
from .feature_weighting import ReweightingHead, spectral_contrastive_loss


class HeadTraining(TwoViews):
    """Trains an encoder by the spectral contrastive loss of what a head makes of it.

    Outputs of the head are put on a sphere of squared radius dim / 16, as HaoChen et al. 2021 do for images.

    Args:
        views: how views are drawn.
        place: whether `embed` gives what is before the head or what is after it.
        kappa: of a `ReweightingHead`; None for a learned perceptron, whose last layer is as wide as the encoder's output.
        batch: images a step.
        learning_rate: Adam's, at the start.

    Raises:
        ValueError: if `place` is neither, or a number is out of range.

    Example:
        >>> from replica.training import mlp
        >>> images, generator = torch.rand(64, 1, 8, 8), torch.Generator().manual_seed(0)
        >>> encoder = lambda: nn.Sequential(nn.Flatten(), mlp((64, 5), generator=generator))
        >>> trained = HeadTraining(Views(noise=0.1), place="after", batch=32).pretrain(images, encoder, generator, 2)
        >>> trained.embed(images).shape
        torch.Size([64, 5])
    """

    def __init__(
        self,
        views: Views,
        *,
        place: Literal["before", "after"] = "before",
        kappa: float | None = None,
        batch: int = 128,
        learning_rate: float = 3e-3,
    ) -> None:
        if place not in ("before", "after"):
            raise ValueError(f"place: got {place!r}, want 'before' or 'after'")
        super().__init__(on_sphere, views, batch=batch, learning_rate=learning_rate)
        self.place, self.kappa = place, kappa
        self.behind: nn.Module = nn.Identity()

    def head(self, images: Tensor, dim: int, generator: torch.Generator) -> nn.Module:
        """A perceptron of one hidden layer, or the fixed weights."""
        self.projector = (256, dim)
        learned = super().head(images, dim, generator)
        self.behind = learned if self.kappa is None else ReweightingHead(dim, self.kappa)
        return self.behind

    @torch.no_grad()
    def embed(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n dim"]:
        """Features of images, where they were asked for."""
        features = super().embed(images)
        return features if self.place == "before" else self.behind.eval()(features)


def on_sphere(first: Tensor, second: Tensor) -> Tensor:
    """The spectral contrastive loss of outputs on the sphere."""
    radius = (first.shape[1] / 16) ** 0.5
    return spectral_contrastive_loss(*(radius * nn.functional.normalize(view, dim=1) for view in (first, second)))
