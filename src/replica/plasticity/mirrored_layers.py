"""Feedback layers: the way back through a layer, with weights of its own."""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn


class MirroredLayer(nn.Module):
    """Maps what a layer puts out back to what it takes in: the same kind of layer, turned round.

    - a linear layer, also one after pooling or flattening: a linear one from its outputs to its inputs; each position
      that it averaged gets the same values
    - a convolution, strided or pooled: nearest neighbours fill the input's positions, then a convolution of the same
      kernel size, stride 1 and equal padding

    Weights start uniform in ±1/√inputs, as PyTorch's own; they share nothing with the layer that they mirror.

    Args:
        layer: The layer to mirror. It holds exactly one `torch.nn.Linear`, `torch.nn.Conv1d` or `torch.nn.Conv2d`.
        inputs: What the layer takes, for the shapes; any batch of one row or more.
        activation: Makes the module that comes last; none for a layer that mirrors the first.
        bias: Whether it has biases, which start at 0.
        generator: Where the weights come from.

    Shapes:
        ``(batch, *output shape of the layer)`` to ``(batch, *input shape of the layer)``.

    Raises:
        ValueError: If the layer holds none or several such modules, or its shapes are not theirs.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from replica.plasticity import MirroredLayer
        >>> back = MirroredLayer(nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.zeros(1, 3, 7, 7))
        >>> back(torch.zeros(5, 8, 4, 4)).shape
        torch.Size([5, 3, 7, 7])
    """

    def __init__(
        self,
        layer: nn.Module,
        inputs: Float[Tensor, "batch *shape"],
        *,
        activation: Callable[[], nn.Module] | None = None,
        bias: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        carriers = [module for module in layer.modules() if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d))]
        if len(carriers) != 1:
            raise ValueError(f"layer: got {len(carriers)} linear or convolutional modules, want exactly 1")
        (carrier,) = carriers
        with torch.no_grad():
            outputs = layer(inputs[:1])
        self.shape = tuple(inputs.shape[1:])
        options = {"bias": bias, "device": carrier.weight.device, "dtype": carrier.weight.dtype}
        wrong = ValueError(
            f"layer: got {self.shape} to {tuple(outputs.shape[1:])} through {type(carrier).__name__}, want its own shapes, "
            "or a linear layer after pooling or flattening"
        )
        # skip_init leaves PyTorch's global random state alone.
        if isinstance(carrier, nn.Linear):
            channels, values = self.shape[0], inputs[0].numel()
            self.spread = outputs.ndim == 2 and len(self.shape) > 1 and carrier.in_features == channels
            flattened = outputs.ndim == 2 and carrier.in_features == values
            stepwise = outputs.shape[1:-1] == inputs.shape[1:-1] and carrier.in_features == self.shape[-1]
            if not (self.spread or flattened or stepwise):
                raise wrong
            self.weights: nn.Module = nn.utils.skip_init(nn.Linear, outputs.shape[-1], carrier.in_features, **options)
        else:
            if outputs.ndim != inputs.ndim:
                raise wrong
            self.spread = False
            self.weights = nn.utils.skip_init(
                type(carrier), outputs.shape[1], self.shape[0], carrier.kernel_size, padding="same", **options
            )
        self.activation = nn.Identity() if activation is None else activation()
        weight = cast(Tensor, self.weights.weight)
        bound = weight[0].numel() ** -0.5
        with torch.no_grad():
            weight.uniform_(-bound, bound, generator=generator)
            if bias:
                cast(Tensor, self.weights.bias).zero_()

    def forward(self, signals: Float[Tensor, "batch *outputs"]) -> Float[Tensor, "batch *inputs"]:
        """The way back."""
        if not isinstance(self.weights, nn.Linear):
            signals = nn.functional.interpolate(signals, size=self.shape[1:], mode="nearest")
        values = self.weights(signals)
        if self.spread:
            values = values.view(*values.shape, *[1] * (len(self.shape) - 1)).expand(-1, *self.shape)
        return self.activation(values.reshape(len(signals), *self.shape))
