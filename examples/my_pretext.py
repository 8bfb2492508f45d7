"""An objective of one's own, to enter into the problem pretext:

replica compare pretext --entry examples/my_pretext.py:Denoiser
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Denoiser:
    """Paints the clean image from the embedding of a noisy one."""

    def __init__(self, noise: float = 0.3, learning_rate: float = 3e-3, batch: int = 64) -> None:
        self.noise, self.learning_rate, self.batch = noise, learning_rate, batch

    def pretrain(
        self, images: Tensor, encoder: Callable[[], nn.Module], generator: torch.Generator, epochs: int
    ) -> None:
        """Take images of shape (n, channels, height, width), from 0 to 1, and go through them so many times."""
        self.encoder = encoder()
        painter = nn.Linear(self.encoder(images[:1]).shape[1], images[0].numel()).to(images.device)
        adam = torch.optim.Adam([*self.encoder.parameters(), *painter.parameters()], self.learning_rate)
        for _ in range(epochs):
            for rows in torch.randperm(len(images), generator=generator, device=generator.device).split(self.batch):
                noise = torch.randn(images[rows].shape, generator=generator, device=images.device)
                painted = painter(self.encoder(images[rows] + self.noise * noise))
                loss = (painted - images[rows].flatten(1)).square().mean()
                adam.zero_grad()
                loss.backward()
                adam.step()

    def embed(self, images: Tensor) -> Tensor:
        """Give the embeddings of images, of shape (n, anything)."""
        return self.encoder(images)
