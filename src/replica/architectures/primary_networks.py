"""Primary networks for hypernetworks to write: one with a distribution over its weights, one that rescales inside."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn


class BayesianLinear(nn.Module):
    """Linear layer with independent normal weights, N(mean, deviation²), beside a prior N(0, 2 / inputs).

    The local reparametrisation (Kingma et al. 2015): outputs are normal, so one number a unit is drawn, not one a
    weight. The deviation is exp(`log_ratio`) tenths of the prior's. The bias has no distribution.

    Args:
        inputs: features in.
        outputs: features out.
        generator: of the means at the start, drawn from the prior.
    """

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.prior = math.sqrt(2 / inputs)
        empty = torch.empty(outputs, inputs, device=generator.device)
        self.mean = _normal(empty, self.prior, generator)
        self.log_ratio = nn.Parameter(torch.zeros_like(empty))
        self.bias = nn.Parameter(torch.zeros(outputs, device=generator.device))

    def forward(
        self, inputs: Float[Tensor, "batch inputs"], noise: Float[Tensor, "batch outputs"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, ""]]:
        """Outputs for one draw of the weights by standard normal noise, and the divergence from the prior in nats."""
        variance = (0.1 * self.prior * self.log_ratio.exp()).square()
        spread = (inputs.square() @ variance.T + 1e-12).sqrt()
        ratio = variance / self.prior**2
        divergence = 0.5 * (ratio + (self.mean / self.prior).square() - 1 - ratio.log()).sum()
        return inputs @ self.mean.T + self.bias + noise * spread, divergence


class BayesianNet(nn.Module):
    """Bayesian layers with LeakyReLU between them; ``sizes`` from inputs to outputs."""

    def __init__(self, sizes: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BayesianLinear(ins, outs, generator) for ins, outs in pairwise(sizes))

    def forward(
        self, images: Float[Tensor, "batch ..."], noise: Sequence[Tensor]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, ""]]:
        """Scores, and the divergence of all weights from their prior; ``noise`` for each layer."""
        features, divergences = images.flatten(1), []
        for place, (layer, draw) in enumerate(zip(self.layers, noise, strict=True)):
            features, divergence = layer(nn.functional.leaky_relu(features) if place else features, draw)
            divergences.append(divergence)
        return features, torch.stack(divergences).sum()


class RescalingNet(nn.Module):
    """Convolution, rescaling to a given size, more convolutions, means of the four quarters, linear layer to 10 scores.

    Args:
        channels: of each convolution's output.
        generator: of the weights at the start.
    """

    def __init__(self, channels: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        shapes = [(outs, ins, 3, 3) for ins, outs in pairwise((1, *channels))] + [(10, 4 * channels[-1])]
        self.weights = nn.ParameterList(
            _normal(torch.empty(shape, device=generator.device), math.sqrt(2 / math.prod(shape[1:])), generator)
            for shape in shapes
        )
        self.biases = nn.ParameterList(torch.zeros(shape[0], device=generator.device) for shape in shapes)

    def forward(self, images: Float[Tensor, "batch 1 height width"], size: int) -> Float[Tensor, "batch 10"]:
        """Scores; after the first convolution features have ``size`` by ``size`` places."""
        *weights, last = self.weights
        *biases, last_bias = self.biases
        features = images
        for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if place == 1:
                features = nn.functional.adaptive_avg_pool2d(features, size)
            features = nn.functional.leaky_relu(nn.functional.conv2d(features, weight, bias, padding=1))
        quarters = nn.functional.adaptive_avg_pool2d(features, 2)
        return quarters.flatten(1) @ last.T + last_bias


def _normal(like: Tensor, deviation: float, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(like.normal_(0, deviation, generator=generator))
