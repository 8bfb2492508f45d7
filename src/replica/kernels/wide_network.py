"""Fully connected networks of finite width in the tangent parametrisation, whose limits the kernels of this wing are."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .dual_activations import Activation


class WideNetwork(nn.Module):
    """Fully connected network in the tangent parametrisation: weights and biases are N(0, 1), their scales stand outside.

    h_1 = σ_w W_1 x + σ_b b_1, h_{l+1} = σ_w W φ(h_l) / √m + σ_b b, f the last of them: its empirical tangent kernel tends to
    Θ as the width m grows. As it comes, on unit vectors and without biases, Θ is `neural_tangent_kernel` of the sphere; with
    `divide_inputs` x counts divided by √inputs, and Θ is `wide_kernel`.

    Args:
        inputs: dimension of x.
        width: m, units of each hidden layer.
        depth: L, number of hidden layers, 1 or more.
        activation: φ; for the sphere scale it to E[φ(z)²] = 1, as `HermiteActivation` and `SineActivation` are.
        outputs: size of f; None for one number without an axis of its own.
        weight_variance: σ_w², above 0.
        bias_variance: σ_b²; where it is 0 there are no biases. β² of Jacot, Gabriel, Hongler 2018.
        divide_inputs: whether x is divided by √inputs.
        generator: source of the weights.
        dtype: of the weights.

    Raises:
        ValueError: if a size is below 1 or a variance out of range.

    Example:
        >>> import torch
        >>> from replica.kernels import WideNetwork, optimal_activation
        >>> network = WideNetwork(3, 64, 2, optimal_activation(2), generator=torch.Generator().manual_seed(0))
        >>> network(torch.eye(3)).shape
        torch.Size([3])
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        activation: Activation,
        *,
        outputs: int | None = None,
        weight_variance: float = 1.0,
        bias_variance: float = 0.0,
        divide_inputs: bool = False,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes_by_name = {"inputs": inputs, "width": width, "depth": depth, "outputs": 1 if outputs is None else outputs}
        for name, size in sizes_by_name.items():
            if size < 1:
                raise ValueError(f"{name}: got {size}, want 1 or more")
        if not (0 < weight_variance < math.inf and 0 <= bias_variance < math.inf):
            raise ValueError(
                f"weight_variance, bias_variance: got {weight_variance} and {bias_variance}, want finite numbers above 0 "
                "and of 0 or more"
            )
        device = None if generator is None else generator.device
        sizes = [inputs] + [width] * depth + [sizes_by_name["outputs"]]
        self.activation = activation
        self.outputs = outputs
        self.weight_scale, self.bias_scale = math.sqrt(weight_variance), math.sqrt(bias_variance)
        self.input_scale = math.sqrt(inputs) if divide_inputs else 1.0
        self.weights = nn.ParameterList(
            torch.randn(outs, ins, generator=generator, device=device, dtype=dtype) for ins, outs in pairwise(sizes)
        )
        self.biases = nn.ParameterList(
            torch.randn(outs, generator=generator, device=device, dtype=dtype)
            for outs in (sizes[1:] if bias_variance else [])
        )

    def forward(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "..."]:
        """f(x), shape (...) or (..., outputs)."""
        hidden = self._layer(0, inputs)
        for index in range(1, len(self.weights)):
            hidden = self._layer(index, self.activation(hidden))
        return hidden.squeeze(-1) if self.outputs is None else hidden

    def _layer(self, index: int, below: Tensor) -> Tensor:
        weight = self.weights[index]
        hidden = below @ weight.T
        scale = self.input_scale if index == 0 else math.sqrt(weight.shape[1])
        if scale != 1 or self.weight_scale != 1:
            hidden = hidden * self.weight_scale / scale if self.weight_scale != 1 else hidden / scale
        return hidden + self.bias_scale * self.biases[index] if len(self.biases) else hidden

    def tangent_kernel(
        self, first: Float[Tensor, "n inputs"], second: Float[Tensor, "m inputs"] | None = None
    ) -> Float[Tensor, "n m"]:
        """Its empirical tangent kernel, averaged over outputs: `empirical_tangent_kernel` without gradients of weights.

        The gradient of an output by a layer's weights is the outer product of what comes from above, δ, and of the units
        below, so that layer's part of the kernel is (δ · δ') (σ_w² h · h' / m + σ_b²): (n + m) width² + n m width operations
        a layer, and no array as large as the weights.
        """
        left = self._signals(first)
        right = left if second is None else self._signals(second)
        kernel = torch.zeros(
            len(first), len(first if second is None else second), dtype=first.dtype, device=first.device
        )
        for index, ((below, above), (below_right, above_right)) in enumerate(zip(left, right, strict=True)):
            size = self.input_scale**2 if index == 0 else self.weights[index].shape[1]
            units = below @ below_right.T * (self.weight_scale**2 / size) + self.bias_scale**2
            kernel += units * sum(one @ other.T for one, other in zip(above, above_right, strict=True))
        return kernel / len(left[0][1])

    def _signals(self, inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of each layer the units below it, (n, units), and the gradients of outputs by what it gives, (outputs, n, units)."""
        with torch.enable_grad():
            below, given = [inputs.detach()], []
            for index in range(len(self.weights)):
                given.append(self._layer(index, below[-1]))
                if not given[-1].requires_grad:  # weights that are frozen
                    given[-1].requires_grad_()
                if index + 1 < len(self.weights):
                    below.append(self.activation(given[-1]))
            gradients = [
                torch.autograd.grad(given[-1][:, output].sum(), given, retain_graph=True)
                for output in range(given[-1].shape[1])
            ]
        return [
            (one.detach(), torch.stack(parts)) for one, parts in zip(below, zip(*gradients, strict=True), strict=True)
        ]
