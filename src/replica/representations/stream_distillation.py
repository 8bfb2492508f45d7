"""Learning from a stream of frames: what is seen one soon after the other is told alike (Orhan and Lake 2024)."""

from collections.abc import Callable, Iterator
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import fit

from .camera_stream import camera_stream, temporal_pairs
from .self_distillation import SelfDistillation

_ROWS_AT_ONCE = 1024


class StreamDistillation:
    """Self-distillation of pairs of moments that a camera sees which drifts over images.

    Args:
        learning_rate: Adam's.
        batch: pairs a step.
        gap: most frames between the two of a pair.
        dwell: mean number of frames for which the camera looks at an image.
        drift: number of frames over which its place changes.
        rotation: standard deviation of its angle, in degrees.
        related: False pairs frames without regard to time, as a control that should learn nothing.

    Attributes:
        model: the `SelfDistillation`, once trained.

    Raises:
        ValueError: if a number is out of range.

    Source: Orhan and Lake 2024; they train by Caron et al. 2021 on frames of a child's head camera.

    Example:
        >>> images, generator = torch.rand(10, 1, 8, 8), torch.Generator().manual_seed(0)
        >>> encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
        >>> StreamDistillation().learn(images, encoder, generator, frames=100, steps=2).embed(images).shape
        torch.Size([10, 5])
    """

    model: SelfDistillation

    def __init__(
        self,
        *,
        learning_rate: float = 2e-3,
        batch: int = 64,
        gap: int = 3,
        dwell: float = 16.0,
        drift: float = 4.0,
        rotation: float = 15.0,
        related: bool = True,
    ) -> None:
        if not learning_rate > 0 or batch < 1 or gap < 1:
            given = f"{learning_rate}, {batch} and {gap}"
            raise ValueError(f"learning_rate, batch, gap: got {given}, want above 0, and 1 or more")
        self.learning_rate, self.batch, self.gap, self.related = learning_rate, batch, gap, related
        self.camera = {"dwell": dwell, "drift": drift, "rotation": rotation}

    def learn(
        self,
        images: Float[Tensor, "images channels height width"],
        encoder: nn.Module,
        generator: torch.Generator,
        *,
        frames: int,
        steps: int,
    ) -> Self:
        """Trains an encoder on a stream of so many frames; without steps it stays as it is."""
        with torch.no_grad():
            dim = encoder.eval()(images[:1]).shape[1]
        self.model = SelfDistillation(encoder, dim, generator=generator)
        if steps:
            seen = camera_stream(images, max(frames, self.gap + 1), generator=generator, **self.camera).frames
            descent = torch.optim.Adam(self.model.student.parameters(), self.learning_rate)
            fit(
                self.model, SelfDistillation.loss, _Moments(self, seen, generator), optimiser=descent, steps=steps,
                after_step=lambda step: self.model.update(),
            )  # fmt: skip
        return self

    def pretrain(
        self,
        images: Float[Tensor, "n channels height width"],
        encoder: Callable[[], nn.Module],
        generator: torch.Generator,
        epochs: int,
    ) -> Self:
        """Trains a fresh ``encoder()`` on as many pairs as images are gone through."""
        frames = min(epochs, round(self.camera["dwell"])) * len(images)
        return self.learn(images, encoder(), generator, frames=frames, steps=-(-epochs * len(images) // self.batch))

    def embed(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n dim"]:
        """Features of the teacher's encoder."""
        return torch.cat([self.model.eval().embed(part) for part in images.split(_ROWS_AT_ONCE)])


class _Moments:
    """Passes of one batch: frames, and others near them in time."""

    def __init__(self, asked: StreamDistillation, frames: Tensor, generator: torch.Generator) -> None:
        self.asked, self.frames, self.generator = asked, frames, generator

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        pairs = temporal_pairs(len(self.frames), self.asked.batch, gap=self.asked.gap, generator=self.generator)
        first, second = (moments.to(self.frames.device) for moments in pairs)
        if not self.asked.related:
            order = torch.randperm(len(second), generator=self.generator, device=self.generator.device)
            second = second[order.to(second.device)]
        yield self.frames[first], self.frames[second]
