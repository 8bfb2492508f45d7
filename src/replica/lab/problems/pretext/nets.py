"""What a trial of the problem pretext is given: images between 0 and 1, and the encoder that all methods get."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from replica.data import Labelled
from replica.lab.problems.split_rows import Rows
from replica.training import as_images, conv_net, image_shape

_LEFT = 8
"""Pixels a side that poolings leave at most."""
_FEWEST_LAYERS = 3


class Encoder:
    """Makes the network that a method trains: convolutions with ReLU, poolings, and one linear layer to the embedding.

    Args:
        shape: Channels, height and width of the images.
        width: Channels of the first convolution; the others have twice as many.
        dim: Length of the embedding.
        generator: Where initial weights come from: each call draws others, and the first ones are the same for all methods.

    Example:
        >>> encoder = Encoder((1, 8, 8), 4, 16, torch.Generator().manual_seed(0))
        >>> encoder()(torch.zeros(2, 1, 8, 8)).shape, encoder.dim
        (torch.Size([2, 16]), 16)
    """

    def __init__(self, shape: tuple[int, int, int], width: int, dim: int, generator: torch.Generator) -> None:
        self.shape = shape
        self.width = width
        self.dim = dim
        self._generator = generator

    def __call__(self) -> nn.Sequential:
        """A fresh network from images ``(batch, channels, height, width)`` to embeddings ``(batch, dim)``."""
        channels, *size = self.shape
        poolings = max(2, math.ceil(math.log2(max(size) / _LEFT)))
        poolings = min(poolings, int(math.log2(min(size))))
        layers = max(_FEWEST_LAYERS, poolings)
        widths = (channels, self.width, *[2 * self.width] * (layers - 1))
        return conv_net(
            widths, self.dim, size=(size[0], size[1]), pool_after=range(1, poolings + 1), generator=self._generator
        )


def prepared(content: Labelled, train: Rows, test: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images to learn from and to test, ``(count, channels, height, width)``; those to learn from span 0 to 1."""
    shown, asked = (torch.tensor(content.features[rows], dtype=torch.float32) for rows in (train, test))
    low, high = shown.min(), shown.max()
    span = high - low if high > low else torch.ones(())
    return as_images((shown - low) / span).to(device), as_images((asked - low) / span).to(device)


def shape_of(content: Labelled) -> tuple[int, int, int]:
    """Channels, height and width of the images."""
    shape = image_shape(content.shape)
    assert shape is not None
    return shape
