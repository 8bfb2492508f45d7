"""How strongly layers weigh features: more and more unequally with depth, under contrastive losses (Xue et al. 2024).

A linear network W_L … W_1 that learns by the spectral contrastive loss weighs features after layer l by the (l/L)-th power of
the weights after the last: what comes before a projection head is the more even.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


def spectral_contrastive_loss(
    first: Float[Tensor, "batch dim"], second: Float[Tensor, "batch dim"]
) -> Float[Tensor, ""]:
    """−2 E[f(x)ᵀf(x⁺)] + E[(f(x)ᵀf(x⁻))²], positives being two views of one sample, negatives views of two.

    Args:
        first: a view of each sample, embedded.
        second: another view of the same samples, in the same order.

    Raises:
        ValueError: if shapes differ or there are fewer than two samples.

    Source: HaoChen et al. 2021; Xue et al. 2024, Section 3.

    Example:
        >>> spectral_contrastive_loss(torch.eye(2), torch.eye(2))
        tensor(-2.)
    """
    if first.shape != second.shape or first.ndim != 2 or len(first) < 2:
        given = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"first, second: got shapes {given}, want both (batch, dim), of two samples or more")
    products = first @ second.T
    count = len(first)
    alike = products.diagonal()
    others = (products.square().sum() - alike.square().sum()) / (count * (count - 1))
    return others - 2 * alike.mean()


def linear_spectral_loss(
    weights: Float[Tensor, "out dim"], second_moment: Float[Tensor, "dim dim"], pair_moment: Float[Tensor, "dim dim"]
) -> Float[Tensor, ""]:
    """The spectral contrastive loss of f(x) = W x over all data: −2 tr(W C⁺ Wᵀ) + tr((W C Wᵀ)²).

    Args:
        weights: W, the product of all layers.
        second_moment: C = E[x xᵀ] of a view.
        pair_moment: C⁺ = E[x x⁺ᵀ] of two views of one sample.

    Example:
        >>> linear_spectral_loss(torch.eye(2), torch.eye(2), torch.eye(2))
        tensor(-2.)
    """
    spread = weights @ second_moment @ weights.T
    return spread.square().sum() - 2 * (weights @ pair_moment @ weights.T).trace()


class LayerwiseWeights(NamedTuple):
    """How a linear network weighs features after each layer.

    Attributes:
        directions: orthonormal, a column each; the most weighted first.
        weights: of each direction after layer l = 1 … L, a row a layer. Along another direction u it is the length of
            ``weights[l − 1] * (directions.T @ u)``.
    """

    directions: Float[Tensor, "dim rank"]
    weights: Float[Tensor, "depth rank"]


def layerwise_weights_closed_form(
    second_moment: Float[Tensor, "dim dim"], pair_moment: Float[Tensor, "dim dim"], *, width: int, depth: int = 2
) -> LayerwiseWeights:
    """Where gradient flow on the spectral contrastive loss from a small start takes a linear network, layer by layer.

    The loss is ‖C^½ A C^½ − C^−½ C⁺ C^−½‖² and a constant, with A = WᵀW: the best A of rank `width` is C^−½ B C^−½, B the
    positive part of C^−½ C⁺ C^−½ on its first eigenvectors. Gradient flow conserves W_{l+1}ᵀ W_{l+1} − W_l W_lᵀ, which is
    near 0 if it starts so: all layers then have the same singular values, and after layer l are the (l/L)-th powers of W's.

    Independent features of variance φ² to which views add noise of variance σ² are weighed by (φ / (φ² + σ²))^(l/L).

    Args:
        second_moment: C, of a view; positive definite.
        pair_moment: C⁺, of two views of one sample; symmetric.
        width: of the narrowest layer, the output among them.
        depth: layers L; with an encoder of one layer and a head of one, 2.

    Raises:
        ValueError: if shapes differ, a number is below 1, or C is not positive definite.

    Source: Xue et al. 2024, Section 3.

    Example:
        >>> found = layerwise_weights_closed_form(torch.diag(torch.tensor([2.0, 4.0])), torch.eye(2), width=2)
        >>> found.weights.round(decimals=3)
        tensor([[0.7070, 0.5000],
                [0.5000, 0.2500]])
    """
    shapes = tuple(second_moment.shape), tuple(pair_moment.shape)
    if second_moment.ndim != 2 or shapes[0] != shapes[1] or shapes[0][0] != shapes[0][1]:
        raise ValueError(f"second_moment, pair_moment: got shapes {shapes[0]} and {shapes[1]}, want both (dim, dim)")
    if width < 1 or depth < 1:
        raise ValueError(f"width, depth: got {width} and {depth}, want 1 or more")
    variances, axes = torch.linalg.eigh(second_moment)
    if not variances[0] > 0:
        raise ValueError(f"second_moment: got an eigenvalue of {float(variances[0]):.3g}, want all above 0")
    whiten = axes * variances.rsqrt() @ axes.T
    shared, kept = torch.linalg.eigh(whiten @ (pair_moment + pair_moment.T) @ whiten / 2)
    shared, kept = shared[-width:], kept[:, -width:]
    rows = shared.clamp(min=0).sqrt()[:, None] * (whiten @ kept).T
    _, last, directions = torch.linalg.svd(rows, full_matrices=False)
    powers = torch.arange(1, depth + 1).to(last) / depth
    return LayerwiseWeights(directions.T, last ** powers[:, None])


def feature_weights(
    model: Callable[[Tensor], Tensor],
    inputs: Float[Tensor, "samples *shape"],
    directions: Float[Tensor, "features *shape"],
) -> Float[Tensor, " features"]:
    """How far a model's output moves along directions of its input: √E‖J(x) u‖² over inputs, J the Jacobian.

    For a linear model it is ‖W u‖ whatever the inputs. Give it an encoder, then the encoder with its head, and the two can be
    compared; any model that treats samples of a batch one by one will do (in evaluation mode, if it normalises batches).

    Args:
        model: a module or function of a batch.
        inputs: at which to look.
        directions: of features in input space, one input's shape each.

    Raises:
        ValueError: if directions are not of an input's shape, or there are no inputs.

    Example:
        >>> feature_weights(torch.square, torch.tensor([[1.0, 2.0]]), torch.eye(2))
        tensor([2., 4.])
    """
    if not len(inputs) or directions.shape[1:] != inputs.shape[1:]:
        given = f"{tuple(directions.shape)} for inputs of {tuple(inputs.shape)}"
        raise ValueError(f"directions: got shape {given}, want (features, …) as one input is, and one input or more")

    def along(direction: Tensor) -> Tensor:
        moved = torch.func.jvp(model, (inputs,), (direction.expand_as(inputs),))[1]
        return moved.flatten(1).square().sum(1).mean().sqrt()

    return torch.func.vmap(along)(directions)


class ReweightingHead(nn.Module):
    """Fixed head in place of a learned one: the i-th number is multiplied by κ⁻ⁱ, i from 1 on.

    The loss then weighs features unequally after it, and what comes before is told by κ how much more evenly.

    Args:
        dim: of what it reads.
        kappa: κ, above 0. The authors' code takes 1.01 by default, and 1.05; 1 is no head.

    Raises:
        ValueError: if a number is out of range, or (in the forward pass) the last axis is not of `dim`.

    Source: Xue et al. 2024, Section 6.

    Example:
        >>> ReweightingHead(3, kappa=2.0)(torch.ones(1, 3))
        tensor([[0.5000, 0.2500, 0.1250]])
    """

    scale: Float[Tensor, " dim"]

    def __init__(self, dim: int, kappa: float = 1.01) -> None:
        super().__init__()
        if dim < 1 or not kappa > 0:
            raise ValueError(f"dim, kappa: got {dim} and {kappa}, want 1 or more, and above 0")
        self.register_buffer("scale", kappa ** -torch.arange(1.0, dim + 1))

    def forward(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """The features, weighed."""
        if features.shape[-1:] != self.scale.shape:
            raise ValueError(f"features: got shape {tuple(features.shape)}, want {len(self.scale)} at the end")
        return features * self.scale
