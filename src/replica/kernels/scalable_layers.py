"""Layers that meet their weights only in a dot product: f(w · x) ≈ Φ(x) · Ψ(w), with random features Φ and Ψ.

Sehanobish, Choromanski, Zhao, Dubey, Likhosherstov 2024 (ICLR, arXiv 2310.13225).
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .feature_ridge import ridge_by_leave_one_out

Activation = Literal["sin", "cos", "relu"]


class UniversalRandomFeatures(nn.Module):
    """Φ and Ψ with E Φ(x) · Ψ(w) = f(w · x), for an activation that is a sum of e^{iz} (section 3.1, with A = 0).

    e^{i w·x} = E_g[Λ_g(√i x) Λ_g(√i w)], Λ_g(u) = exp(gᵀu − uᵀu / 2), g ~ N(0, I). The variance grows with exp(‖x‖ ‖w‖), so
    inputs and weights should have norms near 1. With "relu" the features are ReLU(G x) / √m on both sides, and the function is
    the arc-cosine kernel of first order, ‖x‖ ‖w‖ (sin θ + (π − θ) cos θ) / 2π at an angle θ, not ReLU(w · x).

    Args:
        dim: of an input, and of a weight vector.
        features: real numbers that Φ gives; even for "sin" and "cos", whose features are complex.
        activation: f.
        generator: of the projections G.

    Raises:
        ValueError: if the sizes or the activation are none of these.

    Example:
        >>> import torch
        >>> layer = UniversalRandomFeatures(4, 2000, "sin", generator=torch.Generator().manual_seed(0))
        >>> x, w = torch.full((1, 4), 0.3), torch.full((1, 4), 0.5)
        >>> abs(float(layer(x) @ layer.of_weights(w).T - (x @ w.T).sin())) < 0.1
        True
    """

    projections: Tensor

    def __init__(
        self, dim: int, features: int, activation: Activation = "relu", *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if activation not in ("sin", "cos", "relu"):
            raise ValueError(f"activation: got {activation!r}, want 'sin', 'cos' or 'relu'")
        pair = 1 if activation == "relu" else 2
        if dim < 1 or features < 1 or features % pair:
            raise ValueError(
                f"dim, features: got {dim}, {features}, want positive numbers, features even for sin and cos"
            )
        self.activation, self.features = activation, features
        self.register_buffer("projections", torch.randn(features // pair, dim, generator=generator))

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch features"]:
        """Φ(x)."""
        projected = x @ self.projections.T
        if self.activation == "relu":
            return torch.relu(projected) / math.sqrt(self.features)
        return torch.cat(_waves(projected, x.square().sum(-1, keepdim=True)), dim=-1)

    def of_weights(self, w: Float[Tensor, "outputs dim"]) -> Float[Tensor, "outputs features"]:
        """Ψ(w)."""
        if self.activation == "relu":
            return self(w)
        real, imaginary = _waves(w @ self.projections.T, w.square().sum(-1, keepdim=True))
        # Re(c Φ Ψ) for the wave e^{iz}: c is 1 for cos, −i for sin.
        parts = [real, -imaginary] if self.activation == "cos" else [imaginary, real]
        return torch.cat(parts, dim=-1)

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        return f"dim={self.projections.shape[1]}, features={self.features}, activation={self.activation!r}"


class ScalableKernelLayer(nn.Module):
    """A layer f(W x + b) as Φ(x) Ψᵀ with Ψ learned: outputs × features numbers, however many inputs there are.

    Args:
        inputs: numbers in; a constant 1 is added to them for the bias.
        outputs: numbers out.
        features: of Φ.
        activation: f.
        generator: of the projections and of Ψ's start, small normal numbers.

    Shape:
        (*batch, inputs) → (*batch, outputs).

    Example:
        >>> import torch
        >>> ScalableKernelLayer(64, 10, 16)(torch.randn(5, 64)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        features: int,
        activation: Activation = "relu",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.map = UniversalRandomFeatures(inputs + 1, features, activation, generator=generator)
        self.weight = nn.Parameter(torch.randn(outputs, features, generator=generator) / math.sqrt(features))

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        activation: Activation,
        features: int,
        *,
        generator: torch.Generator | None = None,
    ) -> "ScalableKernelLayer":
        """The layer that approximates ``activation(linear(x))``."""
        layer = cls(linear.in_features, linear.out_features, features, activation, generator=generator).to(
            linear.weight
        )
        with torch.no_grad():
            layer.weight.copy_(layer.map.of_weights(weights_with_bias(linear)))
        return layer

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Φ(x) Ψᵀ."""
        return self.map(_with_one(x)) @ self.weight.T


class KernelAdapter(nn.Module):
    """x + Ψ Φ(x / ‖x‖), added to a frozen network: dim × features learned numbers, 0 at the start (section 4.2).

    Args:
        dim: of x.
        features: of Φ.
        activation: see `UniversalRandomFeatures`.
        generator: of the projections.

    Shape:
        (*batch, dim) → (*batch, dim).
    """

    def __init__(
        self, dim: int, features: int, activation: Activation = "relu", *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.map = UniversalRandomFeatures(dim, features, activation, generator=generator)
        self.weight = nn.Parameter(torch.zeros(dim, features))

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """The adapted x."""
        # At norm √features the features have the size of x's own entries whatever the network's scale is.
        direction = nn.functional.normalize(x, dim=-1) * math.sqrt(self.map.features)
        return x + self.map(direction) @ self.weight.T


class BundledNetwork(nn.Module):
    """A deep network as one linear map of fixed features: each layer's Ψ is merged with the next one's projections (section 3.2).

    Of layer l − 1 the next needs G_l Ψ_{l−1} and, for sin and cos, Ψᵀ Ψ, which gives its outputs' norm: no layer's weights stay.

    Args:
        maps: the features of each layer.
        values: Ψ of each layer but the last, shape (outputs of it, features of it).
        outputs: numbers out.

    Raises:
        ValueError: unless there is one map more than values.
    """

    def __init__(self, maps: Sequence[UniversalRandomFeatures], values: Sequence[Tensor], outputs: int) -> None:
        super().__init__()
        if not maps or len(values) != len(maps) - 1:
            raise ValueError(f"values: got {len(values)} for {len(maps)} maps, want one fewer")
        self.first = maps[0]
        self.later = nn.ModuleList(_Merged(one, value) for one, value in zip(maps[1:], values, strict=True))
        self.weight = nn.Parameter(maps[-1].projections.new_zeros(outputs, maps[-1].features))

    def features(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch features"]:
        """The features of the last layer."""
        found: Tensor = self.first(_with_one(x))
        for layer in self.later:
            found = layer(found)
        return found

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """The features, mapped."""
        return self.features(x) @ self.weight.T

    @torch.no_grad()
    def solve(self, x: Float[Tensor, "n inputs"], y: Float[Tensor, "n outputs"]) -> "BundledNetwork":
        """Sets the weights to the optimum of the squared error with decay, in closed form; the decay by leave-one-out errors."""
        found = ridge_by_leave_one_out(self.features(x), y, intercept=False)
        self.weight.copy_(found.weights.T)
        return self


def bundle(
    network: nn.Sequential,
    features: int | Sequence[int],
    activation: Activation,
    *,
    generator: torch.Generator | None = None,
) -> BundledNetwork:
    """Bundles a network of linear layers with one activation after each.

    Args:
        network: linear layers; what stands between them is taken to be `activation`, also after the last.
        features: of every layer, or one number each.
        activation: f.
        generator: of the projections.

    Raises:
        ValueError: if the network has no linear layer, or the numbers do not fit.
    """
    linears = [layer for layer in network if isinstance(layer, nn.Linear)]
    sizes = [features] * len(linears) if isinstance(features, int) else list(features)
    if not linears or len(sizes) != len(linears):
        raise ValueError(f"network, features: got {len(linears)} linear layers and {len(sizes)} numbers, want one each")
    maps = [
        UniversalRandomFeatures(linear.in_features + 1, size, activation, generator=generator).to(linear.weight)
        for linear, size in zip(linears, sizes, strict=True)
    ]
    with torch.no_grad():
        values = [one.of_weights(weights_with_bias(linear)) for one, linear in zip(maps, linears, strict=True)]
        bundled = BundledNetwork(maps, values[:-1], linears[-1].out_features)
        bundled.weight.copy_(values[-1])
    return bundled


class _Merged(nn.Module):
    """The features of a layer, of those of the layer before it."""

    matrix: Tensor
    offset: Tensor
    products: Tensor

    def __init__(self, following: UniversalRandomFeatures, values: Tensor) -> None:
        super().__init__()
        self.activation, self.size = following.activation, following.features
        self.register_buffer("matrix", following.projections[:, :-1] @ values)
        self.register_buffer("offset", following.projections[:, -1])
        self.register_buffer("products", values.T @ values)

    def forward(self, before: Tensor) -> Tensor:
        projected = before @ self.matrix.T + self.offset
        if self.activation == "relu":
            return torch.relu(projected) / math.sqrt(self.size)
        squares = ((before @ self.products) * before).sum(-1, keepdim=True) + 1
        return torch.cat(_waves(projected, squares), dim=-1)


def weights_with_bias(linear: nn.Linear) -> Float[Tensor, "outputs inputs+1"]:
    """A linear layer's weights with its bias as one more column."""
    bias = linear.weight.new_zeros(linear.out_features) if linear.bias is None else linear.bias
    return torch.cat([linear.weight, bias[:, None]], dim=1)


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)


def _waves(projected: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of Λ(√i x) / √m: √i = (1 + i) / √2, and uᵀu / 2 = i ‖x‖² / 2."""
    exponent = projected / math.sqrt(2)
    size = torch.exp(exponent) / math.sqrt(projected.shape[-1])
    phase = exponent - squares / 2
    return size * phase.cos(), size * phase.sin()
