"""The exact limit of a linear network with one hidden layer under maximal update, at infinite width."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LinearNetwork(nn.Module):
    """f(x) = V U (x, β): a linear network with one hidden layer, and a learned input of constant size β if that is not 0.

    Args:
        features: U, the hidden layer's weights; the last column is that of the constant, where there is one.
        readout: V.
        bias: β.

    Shapes: ``(..., inputs)`` gives ``(..., outputs)``.
    """

    def __init__(
        self, features: Float[Tensor, "width columns"], readout: Float[Tensor, "outputs width"], bias: float = 0.0
    ) -> None:
        super().__init__()
        self.features = nn.Parameter(features)
        self.readout = nn.Parameter(readout)
        self.bias = bias

    def forward(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """f(x)."""
        if self.bias:
            inputs = torch.cat([inputs, torch.full_like(inputs[..., :1], self.bias)], -1)
        return nn.functional.linear(nn.functional.linear(inputs, self.features), self.readout)


class InfiniteLinearNetwork(LinearNetwork):
    """The infinitely wide linear network with one hidden layer under maximal update, trained by gradient descent.

    At infinite width the initial weight vectors of the d inputs and of the k outputs, over √width, are orthogonal and of
    known length; gradient descent never leaves their span. So the network is one with d + k hidden units, which are the
    coordinates along them: U starts as (σ_u I, 0), V as (0, σ_v I). Any method whose steps are sums of gradients trains it
    exactly: with momentum, weight decay, clipping by the whole norm, or inside another (MAML); Adam does not.

    Args:
        inputs: d.
        outputs: k.
        feature_scale: σ_u; each of the width's units has weights N(0, σ_u²). Default 1 / √d, as `AbcParametrization.mup` has.
        readout_scale: σ_v.
        bias: β, size of a constant input whose weights start at 0; 0 for none.
        device: where the network lives.
        dtype: its floating-point type.

    Raises:
        ValueError: if a number is out of range.

    Source: Yang and Hu 2021, arXiv 2011.14522, Section 5 and Theorem 5.1.

    Example:
        >>> import torch
        >>> from replica.kernels import InfiniteLinearNetwork
        >>> limit = InfiniteLinearNetwork(3, 2)
        >>> limit(torch.ones(5, 3)).shape, limit.sample(1000, torch.Generator().manual_seed(0)).features.shape
        (torch.Size([5, 2]), torch.Size([1000, 3]))
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        feature_scale: float | None = None,
        readout_scale: float = 1.0,
        bias: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        for name, size in (("inputs", inputs), ("outputs", outputs)):
            if size < 1:
                raise ValueError(f"{name}: got {size}, want 1 or more")
        scale = 1 / math.sqrt(inputs) if feature_scale is None else feature_scale
        for name, value in (("feature_scale", scale), ("readout_scale", readout_scale)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: got {value}, want a number of 0 or more")
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        features = scale * torch.eye(inputs + outputs, inputs + bool(bias), **options)
        features[inputs:] = 0
        readout = torch.zeros(outputs, inputs + outputs, **options)
        readout[:, inputs:] = readout_scale * torch.eye(outputs, **options)
        super().__init__(features, readout, bias)

    @torch.no_grad()
    def sample(self, width: int, generator: torch.Generator) -> LinearNetwork:
        """A network of finite width at the state that the limit has: at the start, one that is drawn as it should be.

        Trained further by gradient descent at the same rate, it tends to the limit as 1 / √width. Its weights are those of
        `AbcParametrization.mup`, whose multipliers cancel.

        Args:
            width: hidden units.
            generator: source of the directions.

        Raises:
            ValueError: if the width is below 1.
        """
        if width < 1:
            raise ValueError(f"width: got {width}, want 1 or more")
        like = self.features
        shape = (width, len(like))
        drawn = torch.randn(shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)
        directions = drawn / math.sqrt(width)
        return LinearNetwork(directions @ self.features, self.readout @ directions.T, self.bias)
