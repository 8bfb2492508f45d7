"""The head of self-distillation: a perceptron to the unit sphere, and cosines with prototypes on it."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import mlp


class PrototypeHead(nn.Module):
    """Linear layers with GELU between them, ℓ₂ normalisation, and cosines with learned prototypes.

    Outputs lie in ±1, and do not depend on the length of what the linear layers give. Weights start normal with variance
    1 / inputs (the authors' standard deviation of 0.02 is that at their 2,048 units), biases at 0.

    Args:
        dim: length of the features that it is given.
        prototypes: outputs.
        widths: of the hidden layers and of the bottleneck that is normalised; Caron et al. have 2,048, 2,048 and 256.
        generator: source of the initial weights.

    Raises:
        ValueError: if a width is below 1, or there are none.

    Source: Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers", Section 3; Sarnthein et al. 2023.

    Example:
        >>> import torch
        >>> from replica.representations import PrototypeHead
        >>> head = PrototypeHead(16, 100, widths=(32, 8), generator=torch.Generator().manual_seed(0))
        >>> cosines = head(torch.ones(3, 16))
        >>> cosines.shape, bool(cosines.abs().max() <= 1)
        (torch.Size([3, 100]), True)
    """

    def __init__(
        self,
        dim: int,
        prototypes: int,
        *,
        widths: Sequence[int] = (128, 128, 64),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = (dim, *widths, prototypes)
        if not widths or min(sizes) < 1:
            raise ValueError(
                f"dim, widths, prototypes: got {dim}, {tuple(widths)}, {prototypes}, want numbers of 1 or more"
            )
        self.layers = mlp(sizes[:-1], activation=nn.GELU, generator=generator)
        device = None if generator is None else generator.device
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        for layer, (ins, _) in zip(linear, pairwise(sizes[:-1]), strict=True):
            nn.init.normal_(layer.weight, 0.0, ins**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.randn(prototypes, widths[-1], generator=generator, device=device))

    def forward(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch prototypes"]:
        """Cosines."""
        points = nn.functional.normalize(self.layers(features), dim=-1)
        return points @ nn.functional.normalize(self.prototypes, dim=-1).mT
