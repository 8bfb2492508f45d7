"""One small network for inputs of any shape, and how these become images or vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_SIDE = 4
"""Pixels a side below which convolutions and pooling make no sense."""

_COLOURS = 4
_LARGE_SIDE = 16


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Channels, height and width of items that are images; None for tables, signals and anything else.

    Example:
        >>> image_shape((8, 8)), image_shape((32, 32, 3)), image_shape((3, 32, 32)), image_shape((40,))
        ((1, 8, 8), (3, 32, 32), (3, 32, 32), None)
    """
    if len(shape) == 2:
        found = (1, shape[0], shape[1])
    elif len(shape) == 3 and shape[2] <= _COLOURS:
        found = (shape[2], shape[0], shape[1])
    elif len(shape) == 3 and shape[0] <= _COLOURS:
        found = (shape[0], shape[1], shape[2])
    else:
        return None
    return found if min(found[1:]) >= SMALLEST_SIDE else None


def as_images(inputs: Tensor) -> Tensor:
    """Bring a batch of images to ``(batch, channels, height, width)``; see `image_shape`."""
    if inputs.ndim == 3:
        return inputs[:, None]
    return inputs.movedim(3, 1) if inputs.shape[3] <= _COLOURS else inputs


class SmallNet(nn.Module):
    """Two convolutions with pooling for images, two hidden layers for anything else, and a linear head.

    For images of 16 pixels a side and more, the first convolution takes every second place.

    Args:
        shape: The shape of one item.
        classes: Outputs.
        width: Channels of the first convolution (the second has twice as many), or an eighth of the hidden units.

    Example:
        >>> SmallNet((8, 8), 10)(torch.zeros(2, 8, 8)).shape, SmallNet((5,), 3)(torch.zeros(2, 5)).shape
        (torch.Size([2, 10]), torch.Size([2, 3]))
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 16) -> None:
        super().__init__()
        image = image_shape(shape)
        self.is_image = image is not None
        if image is not None:
            channels, height, across = image
            large = min(height, across) >= _LARGE_SIDE
            first = (
                nn.Conv2d(channels, width, 5, stride=2, padding=2)
                if large
                else nn.Conv2d(channels, width, 3, padding=1)
            )
            self.body = nn.Sequential(
                first, nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            )  # fmt: skip
            down, wide = (((size + 1) // 2 if large else size) // 4 for size in (height, across))
            self.features = 2 * width * down * wide
        else:
            self.features = 8 * width
            inside = int(torch.Size(shape).numel())
            self.body = nn.Sequential(
                nn.Flatten(),
                nn.Linear(inside, self.features),
                nn.ReLU(),
                nn.Linear(self.features, self.features),
                nn.ReLU(),
            )
        self.head = nn.Linear(self.features, classes)

    def represent(self, inputs: Tensor) -> Tensor:
        """What the head sees, shape ``(batch, features)``."""
        features: Tensor = self.body(as_images(inputs) if self.is_image else inputs)
        return features

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores, shape ``(batch, classes)``, of inputs ``(batch, *shape)``."""
        scores: Tensor = self.head(self.represent(inputs))
        return scores


def small_net(shape: tuple[int, ...], classes: int, generator: torch.Generator, device: torch.device) -> SmallNet:
    """Build the network with weights drawn from a generator on the CPU; the global one is left alone."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator
        torch.manual_seed(seed)
        net = SmallNet(shape, classes)
    return net.to(device)
