"""What people get features by without labels: baselines of the problem pretext, and a roof that is told the labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from replica.lab.claims import LogUniform, Trial, Uniform
from replica.lab.problems.baseline import Baselines
from replica.representations import EncoderTraining, TwoViews
from replica.training import Views, mlp

baselines = Baselines()
RATE = {"learning_rate": LogUniform(3e-4, 1e-2)}
STRENGTH = {"strength": Uniform(0.25, 2.0)}
Encoder = Callable[[], nn.Module]


def usual_views(strength: float = 1.0) -> Views:
    """Views that all methods with views draw: turned, leaned, scaled, moved, other gains, noise; nothing that mirrors.

    Args:
        strength: Scales all of it; at 1 up to 15 degrees either way, 0.8 to 1.25 times as large, a tenth of the side.
    """
    ratio = 1.25**strength
    return Views(
        rotation=15 * strength, shear=10 * strength, scale=(1 / ratio, ratio), shift=0.1 * strength,
        jitter=0.2 * strength, noise=0.1 * strength,
    )  # fmt: skip


class Untrained:
    """The encoder as drawn."""

    def pretrain(self, images: Tensor, encoder: Encoder, generator: torch.Generator, epochs: int) -> None:
        """Draw it."""
        self.encoder = encoder().eval()

    def embed(self, images: Tensor) -> Tensor:
        """See the protocol."""
        result: Tensor = self.encoder(images)
        return result


@baselines.entry("untrained", "the encoder as drawn: the trivial method")
def untrained(trial: Trial) -> Untrained:
    """What the architecture gives by itself."""
    return Untrained()


class PrincipalComponents:
    """As many principal components of the pixels as the encoder has outputs."""

    def pretrain(self, images: Tensor, encoder: Encoder, generator: torch.Generator, epochs: int) -> None:
        """Find them."""
        dim = encoder()(images[:1]).shape[1]
        flat = images.flatten(1)
        self.mean = flat.mean(0)
        self.components = torch.linalg.svd(flat - self.mean, full_matrices=False)[2][:dim]

    def embed(self, images: Tensor) -> Tensor:
        """See the protocol."""
        return (images.flatten(1) - self.mean) @ self.components.T


@baselines.entry("pca", "principal components of the pixels, as many as the encoder has outputs")
def principal_components(trial: Trial) -> PrincipalComponents:
    """The linear method."""
    return PrincipalComponents()


class Autoencoder(EncoderTraining):
    """The encoder, and a perceptron of one hidden layer that paints the image from its output; squared error."""

    def head(self, images: Tensor, dim: int, generator: torch.Generator) -> nn.Module:
        """The decoder."""
        return mlp((dim, 256, images[0].numel()), generator=generator)

    def loss(self, encoder: nn.Module, head: nn.Module, generator: torch.Generator, *batch: Any) -> Tensor:
        """Mean squared error of pixels."""
        (images,) = batch
        return (head(encoder(images)) - images.flatten(1)).square().mean()


@baselines.entry("autoencoder", "the encoder with a decoder behind it", space=RATE)
def autoencoder(trial: Trial, learning_rate: float = 3e-3) -> Autoencoder:
    """Reconstruction."""
    return Autoencoder(learning_rate=learning_rate)


def contrastive_loss(a: Tensor, b: Tensor, temperature: float = 0.2) -> Tensor:
    """Normalised temperature-scaled cross-entropy of 2n views, each to be told from the others by its twin.

    Args:
        a: Projections of one view, ``(n, dim)``.
        b: Of the other.
        temperature: Divides cosines.

    Example:
        >>> round(float(contrastive_loss(torch.eye(2), torch.eye(2), 1.0)), 4)
        0.5514
    """
    views = nn.functional.normalize(torch.cat([a, b]), dim=1)
    alike = (views @ views.T / temperature).fill_diagonal_(-torch.inf)
    twins = torch.arange(2 * len(a), device=a.device).roll(len(a))
    return nn.functional.cross_entropy(alike, twins)


@baselines.entry(
    "simclr",
    "contrastive learning: views of an image against those of others",
    space=RATE | STRENGTH | {"temperature": LogUniform(0.05, 1.0)},
)
def simclr(
    trial: Trial,
    learning_rate: float = 3e-3,
    strength: float = 1.0,
    temperature: float = 0.2,
    batch: int = 128,
    width: int = 256,
) -> TwoViews:
    """Chen et al. 2020."""
    criterion = partial(contrastive_loss, temperature=temperature)
    return TwoViews(
        criterion, usual_views(strength), projector=(width, width, width), batch=batch, learning_rate=learning_rate
    )


class Supervised(EncoderTraining):
    """The encoder and a linear layer that tells the labels, of views of all images to learn from."""

    def __init__(self, views: Views, learning_rate: float) -> None:
        super().__init__(learning_rate=learning_rate)
        self.views = views
        self.classes = 2

    def pretrain(  # type: ignore[override]
        self, images: Tensor, encoder: Encoder, generator: torch.Generator, epochs: int, labels: Tensor
    ) -> Supervised:
        """Train on all labels."""
        self.classes = int(labels.max()) + 1
        return self._train((images, labels), encoder, generator, epochs)

    def head(self, images: Tensor, dim: int, generator: torch.Generator) -> nn.Module:
        """The classifier."""
        return mlp((dim, self.classes), generator=generator)

    def loss(self, encoder: nn.Module, head: nn.Module, generator: torch.Generator, *batch: Any) -> Tensor:
        """Cross-entropy."""
        images, labels = batch
        return nn.functional.cross_entropy(head(encoder(self.views(images, generator))), labels)


@baselines.entry(
    "supervised",
    "the roof: trained on all labels, which no other method sees",
    space=RATE | STRENGTH,
    score=("labels",),
)
def supervised(trial: Trial, learning_rate: float = 3e-3, strength: float = 1.0) -> Supervised:
    """No competitor: what the encoder reaches with labels."""
    return Supervised(usual_views(strength), learning_rate)
