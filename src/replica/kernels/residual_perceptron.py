"""Residual perceptrons in the parametrisations between which learning rates do or do not transfer."""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

Form = Literal["standard", "ntk", "mup", "depth-mup"]


class ResidualPerceptron(nn.Module):
    """A residual perceptron without biases, whose form says how outputs, branches and rates scale with width and depth.

    With N units and L residual layers, h_0 = W_in x / √inputs, h_{l+1} = h_l + N^(−1/2) W_l φ(h_l), times (L / base_depth)^(−1/2)
    in the form ``"depth-mup"``, and f = w · h_L / (γ √N). All weights start as N(0, 1). With n = N / base_width:

    - ``"ntk"``: γ = 1 and the rate η₀ for all weights. Wide networks are kernel methods.
    - ``"mup"``: γ = √n and the rate η₀ γ². Wide networks learn features.
    - ``"depth-mup"``: the same, with branches that fall with depth. So do deep ones.
    - ``"standard"``: the network of ``"ntk"`` that learns as if each layer were a `torch.nn.Linear` at one common rate: weights
      of variance 1 / inputs without a factor learn n times faster in these coordinates.

    At ``base_width`` units and ``base_depth`` layers all forms are the same network and learn the same.

    Args:
        inputs: dimension of x.
        outputs: dimension of f.
        width: N.
        depth: L, residual layers; the layer that reads x and the readout come on top.
        form: see above.
        activation: φ.
        base_width: the width from which powers count; the paper has 1.
        base_depth: the depth, likewise.
        zero_readout: whether w starts at 0, so that first outputs do not depend on the size.
        generator: source of the weights.
        dtype: of the weights.

    Shapes: ``(..., inputs)`` gives ``(..., outputs)``.

    Raises:
        ValueError: if a size is below 1, or the form unknown.

    Source: Noci, Meterez, Hofmann and Orvieto 2024, arXiv 2402.17457, Section 2.

    Example:
        >>> import torch
        >>> from replica.kernels import ResidualPerceptron
        >>> net = ResidualPerceptron(3, 10, width=64, depth=4, generator=torch.Generator().manual_seed(0))
        >>> net(torch.zeros(5, 3)).shape, [group["lr"] for group in net.parameter_groups(0.5)]
        (torch.Size([5, 10]), [32.0, 32.0, 32.0])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        *,
        form: Form = "depth-mup",
        activation: Callable[[Tensor], Tensor] = torch.relu,
        base_width: int = 1,
        base_depth: int = 1,
        zero_readout: bool = False,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes = {"inputs": inputs, "outputs": outputs, "width": width, "depth": depth}
        for name, size in {**sizes, "base_width": base_width, "base_depth": base_depth}.items():
            if size < 1:
                raise ValueError(f"{name}: got {size}, want 1 or more")
        if form not in get_args(Form):
            raise ValueError(f"form: got {form!r}, want one of {get_args(Form)}")
        self.form = form
        self.activation = activation
        self.growth = width / base_width
        self.deepening = depth / base_depth if form == "depth-mup" else 1.0
        self.gamma = math.sqrt(self.growth) if form in ("mup", "depth-mup") else 1.0
        device = None if generator is None else generator.device

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, device=device, dtype=dtype))

        self.input_weight, self.hidden_weights = normal(width, inputs), normal(depth, width, width)
        self.readout_weight = normal(outputs, width)
        if zero_readout:
            nn.init.zeros_(self.readout_weight)

    def features(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... width"]:
        """h_L."""
        hidden = nn.functional.linear(inputs, self.input_weight) / math.sqrt(inputs.shape[-1])
        branch = 1 / math.sqrt(hidden.shape[-1] * self.deepening)
        for weight in self.hidden_weights.unbind():
            hidden = hidden + branch * nn.functional.linear(self.activation(hidden), weight)
        return hidden

    def forward(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """f(x)."""
        hidden = self.features(inputs)
        return nn.functional.linear(hidden, self.readout_weight) / (self.gamma * math.sqrt(hidden.shape[-1]))

    def parameter_groups(self, learning_rate: float, optimiser: Literal["sgd", "adam"] = "sgd") -> list[dict[str, Any]]:
        """Groups for an optimiser: the first layer, the residual ones, the readout, each at its own rate.

        Adam's steps have the size of the rate whatever the gradient's: rates are those at which a step moves features by as
        much as a step of gradient descent does, γ / √n, and outputs by a number that no size decides (Yang et al. 2022,
        arXiv 2203.03466, and 2023, arXiv 2310.02244, for depth).
        """
        if optimiser not in ("sgd", "adam"):
            raise ValueError(f"optimiser: got {optimiser!r}, want 'sgd' or 'adam'")
        n = self.growth
        if self.form == "standard":
            scale = n if optimiser == "sgd" else math.sqrt(n)
            multiples = (1.0, scale, scale)
        elif optimiser == "sgd":
            multiples = (self.gamma**2,) * 3
        else:
            move = self.gamma / math.sqrt(n)
            multiples = (move, move / math.sqrt(n * self.deepening), move)
        weights = (self.input_weight, self.hidden_weights, self.readout_weight)
        return [
            {"params": [weight], "lr": learning_rate * multiple}
            for weight, multiple in zip(weights, multiples, strict=True)
        ]
