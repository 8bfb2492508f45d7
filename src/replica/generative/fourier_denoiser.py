"""A denoising perceptron that sees waves: what narrow modes in few dimensions need to be learned in a minute."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .denoiser import DenoisingMLP


class FourierDenoisingMLP(nn.Module):
    """`DenoisingMLP` on a position and random Fourier features of it, sin 2πbᵀx and cos 2πbᵀx with b normal.

    Args:
        dim: coordinates of a sample.
        features: waves.
        scale: deviation of b, in waves a unit of the scaled position.
        width: units.
        depth: residual blocks.
        generator: source of waves and initial weights.

    Raises:
        ValueError: if a number is out of range.

    Source: Tancik et al. 2020, eq. 5.

    Example:
        >>> import torch
        >>> from replica.generative import FourierDenoisingMLP
        >>> FourierDenoisingMLP(2, width=32)(torch.zeros(5, 2), torch.zeros(5)).shape
        torch.Size([5, 2])
    """

    waves: Tensor

    def __init__(
        self,
        dim: int,
        *,
        features: int = 16,
        scale: float = 1.0,
        width: int = 128,
        depth: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if features < 1 or not scale > 0:
            raise ValueError(f"features, scale: got {features} and {scale}, want 1 or more and above 0")
        if dim < 1:
            raise ValueError(f"dim: got {dim}, want 1 or more")
        device = torch.get_default_device() if generator is None else generator.device
        drawn = torch.randn(dim, features, generator=generator, device=device)
        self.register_buffer("waves", 2 * math.pi * scale * drawn)
        self.net = DenoisingMLP(dim + 2 * features, width=width, depth=depth, generator=generator)

    def forward(self, scaled: Float[Tensor, "batch dim"], level: Float[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """What is added to the skip of `PreconditionedDenoiser`."""
        angles = scaled @ self.waves
        found: Tensor = self.net(torch.cat([scaled, angles.sin(), angles.cos()], 1), level)
        return found[:, : scaled.shape[1]]
