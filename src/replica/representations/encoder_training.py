"""Training an encoder without labels: the loop that objectives share, and the form with two views and a projector."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import Minibatches, Views, fit, mlp

_ROWS_AT_ONCE = 1024


def projection_head(
    dim: int,
    widths: Sequence[int],
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> nn.Sequential:
    """Multilayer perceptron behind an encoder: linear, batch normalisation, ReLU, …, and a last linear layer.

    Linear layers before a normalisation have no bias. Without widths it is the identity.

    Args:
        dim: Length of the embedding that it is given.
        widths: Outputs of each linear layer.
        generator: Source of the initial weights, uniform in ±1/√inputs.
        device: Where it lives. Default the generator's device.

    Raises:
        ValueError: If a width is below 1.

    Example:
        >>> import torch
        >>> from replica.representations import projection_head
        >>> projection_head(64, (32, 32, 16), generator=torch.Generator().manual_seed(0))(torch.zeros(5, 64)).shape
        torch.Size([5, 16])
    """
    if dim < 1 or any(width < 1 for width in widths):
        raise ValueError(f"widths: got {tuple(widths)} behind {dim}, want numbers of 1 or more")
    layers: list[nn.Module] = []
    sizes = [dim, *widths]
    device = device if generator is None or device is not None else generator.device
    for number, (ins, outs) in enumerate(zip(sizes[:-1], widths, strict=True), start=1):
        last = number == len(widths)
        layers += mlp((ins, outs), bias=last, generator=generator, device=device)
        layers += [] if last else [nn.BatchNorm1d(outs, device=device), nn.ReLU()]
    return nn.Sequential(*layers)


class EncoderTraining:
    """Trains an encoder on images by minibatch steps of Adam under a cosine schedule; a subclass says by which loss.

    Images are gone through so many times, each pass in an order of its own; the rest of a pass that fills no batch waits for
    another. Steps are few where batches are large: at equal epochs equally many images are seen.

    Args:
        batch: Images a step.
        learning_rate: Adam's, at the start.
        weight_decay: Decoupled, as in AdamW.

    Attributes:
        encoder: The network, once trained.
        losses: Loss before each step.

    Raises:
        ValueError: If a number is out of range.
    """

    encoder: nn.Module

    def __init__(self, *, batch: int = 128, learning_rate: float = 1e-3, weight_decay: float = 1e-6) -> None:
        if batch < 2 or not learning_rate > 0 or weight_decay < 0:
            raise ValueError(
                f"batch, learning_rate, weight_decay: got {batch}, {learning_rate}, {weight_decay}, "
                "want 2 or more, above 0, 0 or more"
            )
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.losses: list[float] = []

    def head(self, images: Tensor, dim: int, generator: torch.Generator) -> nn.Module:
        """What is trained behind the encoder and then left; nothing by default."""
        return nn.Identity()

    def loss(self, encoder: nn.Module, head: nn.Module, generator: torch.Generator, *batch: Any) -> Tensor:
        """Mean loss of a batch of images, and of what else was given for each."""
        raise NotImplementedError

    def pretrain(
        self,
        images: Float[Tensor, "n channels height width"],
        encoder: Callable[[], nn.Module],
        generator: torch.Generator,
        epochs: int,
    ) -> Self:
        """Trains a fresh ``encoder()``, which maps images to embeddings ``(batch, dim)``.

        Args:
            images: To learn from. Fewer than two, or no epochs, leave the encoder as it is drawn.
            encoder: Makes the network.
            generator: Source of all randomness but the encoder's own weights.
            epochs: Passes over the images.
        """
        return self._train((images,), encoder, generator, epochs)

    def _train(
        self, rows: tuple[Tensor, ...], encoder: Callable[[], nn.Module], generator: torch.Generator, epochs: int
    ) -> Self:
        images = rows[0]
        self.encoder = encoder()
        with torch.no_grad():
            dim = self.encoder.eval()(images[:1]).shape[1]
        model = nn.ModuleList([self.encoder, self.head(images, dim, generator).to(images.device)])
        size = min(self.batch, len(images))
        steps = epochs * (len(images) // size)
        if len(images) > 1 and steps:
            weights = [p for p in model.parameters() if p.requires_grad]
            optimiser = torch.optim.AdamW(weights, self.learning_rate, weight_decay=self.weight_decay)
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda step: (1 + math.cos(math.pi * step / steps)) / 2
            )
            history = fit(
                model, lambda parts, *batch: self.loss(parts[0], parts[1], generator, *batch),
                _Whole(*rows, size=size, generator=generator), optimiser=optimiser, schedule=schedule, steps=steps,
                after_step=self.after_step,
            )  # fmt: skip
            self.losses = history.losses
        self.encoder.eval()
        return self

    def after_step(self, step: int) -> None:
        """Called with the number of steps done, after each; such as to move a teacher."""

    @torch.no_grad()
    def embed(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n dim"]:
        """Embeddings of images by the encoder, in evaluation mode."""
        return torch.cat([self.encoder(part) for part in images.split(_ROWS_AT_ONCE)])


class TwoViews(EncoderTraining):
    """Joint embedding: the loss compares the projections of two random views of each image, by the same network.

    Args:
        criterion: ``criterion(a, b)``, the loss of projections ``(batch, width)`` of the two views.
        views: How views are drawn.
        projector: Widths of the `projection_head` that is trained behind the encoder; `embed` leaves it out.
        batch: Images a step.
        learning_rate: Adam's, at the start.
        weight_decay: Decoupled, as in AdamW.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch
        >>> from replica.representations import TwoViews
        >>> from replica.training import Views, conv_net
        >>> images, generator = torch.rand(64, 1, 8, 8), torch.Generator().manual_seed(0)
        >>> apart = TwoViews(lambda a, b: (a - b).square().mean(), Views(shift=0.1), projector=(16, 16), batch=32)
        >>> trained = apart.pretrain(images, lambda: conv_net((1, 4), 8, size=(8, 8), generator=generator), generator, 2)
        >>> trained.embed(images).shape, len(trained.losses)
        (torch.Size([64, 8]), 4)
    """

    def __init__(
        self,
        criterion: Callable[[Tensor, Tensor], Tensor],
        views: Views,
        *,
        projector: Sequence[int] = (256, 256, 256),
        batch: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-6,
    ) -> None:
        super().__init__(batch=batch, learning_rate=learning_rate, weight_decay=weight_decay)
        self.criterion = criterion
        self.views = views
        self.projector = tuple(projector)

    def head(self, images: Tensor, dim: int, generator: torch.Generator) -> nn.Module:
        """The projector."""
        return projection_head(dim, self.projector, generator=generator)

    def loss(self, encoder: nn.Module, head: nn.Module, generator: torch.Generator, *batch: Any) -> Tensor:
        """Loss of two views, which go through the network one after the other: normalisations see one view at a time."""
        one, other = self.views.pair(batch[0], generator)
        return self.criterion(head(encoder(one)), head(encoder(other)))


class _Whole(Minibatches):
    """Minibatches of one size: the rest of a pass is left out."""

    def __iter__(self) -> Any:
        yield from (batch for batch in super().__iter__() if len(batch[0]) == self.size)
