"""Deep linear networks whose features are free: their regularised loss, descents on it, and collapse layer by layer.

Dang, Tran, Osher, Tran-The, Ho, Nguyen 2023. Weights are W_1 … W_M, the last with one row a class; features are rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy as entropy, one_hot

from .collapse import CollapseMetrics, collapse_metrics
from .lbfgs_descent import lbfgs_descent


def linear_layers(features: Float[Tensor, "samples dim"], weights: Sequence[Tensor]) -> Float[Tensor, "samples out"]:
    """H W_1ᵀ … W_Mᵀ: what the layers make of features given as rows.

    Example:
        >>> linear_layers(torch.tensor([[1.0, 2.0]]), [torch.eye(2) * 3, torch.tensor([[1.0, 1.0]])])
        tensor([[9.]])
    """
    for weight in weights:
        features = features @ weight.T
    return features


def deep_linear_loss(
    features: Float[Tensor, "samples dim"],
    weights: Sequence[Tensor],
    labels: Int[Tensor, " samples"],
    *,
    weight_decay: float,
    feature_decay: float,
    bias: Float[Tensor, " classes"] | None = None,
    cross_entropy: bool = False,
) -> Float[Tensor, ""]:
    """Squared error ‖outputs − Y‖² / 2N, or cross-entropy, + λ_W Σ_l ‖W_l‖² / 2 + λ_H ‖H‖² / 2.

    Args:
        features: H, a row a sample.
        weights: W_1 … W_M.
        labels: of the classes 0 … K−1.
        weight_decay: λ_W.
        feature_decay: λ_H.
        bias: of the last layer; it pays no decay.
        cross_entropy: in place of the squared error.

    Raises:
        ValueError: if there are no weights, or labels beyond the last layer's rows.

    Example:
        >>> corners = torch.eye(2)
        >>> deep_linear_loss(corners, [corners], torch.tensor([0, 1]), weight_decay=0.1, feature_decay=0.2)
        tensor(0.3000)
    """
    if not weights or int(labels.max()) >= len(weights[-1]):
        raise ValueError(
            f"weights: got {len(weights)} layers, want one or more, the last of {int(labels.max()) + 1} rows"
        )
    outputs = linear_layers(features, weights)
    outputs = outputs if bias is None else outputs + bias
    if cross_entropy:
        error = entropy(outputs, labels.long())
    else:
        error = (outputs - one_hot(labels.long(), len(weights[-1]))).square().sum() / (2 * len(labels))
    layers = torch.stack([weight.square().sum() for weight in weights]).sum()
    return error + weight_decay / 2 * layers + feature_decay / 2 * features.square().sum()


def layerwise_collapse(
    features: Float[Tensor, "samples dim"],
    weights: Sequence[Tensor],
    labels: Int[Tensor, " samples"],
    frame: Float[Tensor, "classes classes"] | None = None,
) -> list[CollapseMetrics]:
    """Collapse at the input of each layer, the product of that layer and all that follow taken for the last layer.

    Args: see `collapse_metrics`; `weights` are W_1 … W_M.

    Returns:
        M measures, the features' own first.
    """
    found = []
    for layer in range(len(weights)):
        here = linear_layers(features, weights[:layer])
        after = linear_layers(torch.eye(here.shape[1]).to(here), weights[layer:]).T
        found.append(collapse_metrics(here, labels, after, frame=frame))
    return found


class DeepLinearFeatures(NamedTuple):
    """Free features and the layers after them, in double precision.

    Attributes:
        features: H, a row a sample, classes in order.
        weights: W_1 … W_M.
        bias: of the last layer, or None.
        loss: `deep_linear_loss` of them.
        gradient_norm: of that loss, of all together.
    """

    features: Float[Tensor, "samples width"]
    weights: list[Tensor]
    bias: Float[Tensor, " classes"] | None
    loss: float
    gradient_norm: float


def descend_deep_linear(
    counts: Sequence[int],
    depth: int,
    width: int,
    *,
    weight_decay: float,
    feature_decay: float,
    bias: bool = False,
    cross_entropy: bool = False,
    deviation: float = 0.1,
    steps: int = 20_000,
    generator: torch.Generator | None = None,
) -> tuple[DeepLinearFeatures, DeepLinearFeatures]:
    """A drawn start of features and layers, and where descent from it ends.

    Args:
        counts: samples of each class.
        depth: M.
        width: of features and hidden layers.
        weight_decay: λ_W.
        feature_decay: λ_H.
        bias: whether the last layer has one; it starts at 0.
        cross_entropy: in place of the squared error.
        deviation: of the start's normal entries; the authors' by default. 0 is a minimum from two layers on, with its own basin.
        steps: of L-BFGS at most.
        generator: of the start.

    Raises:
        ValueError: if a number is below 1.

    Example:
        >>> decays = {"weight_decay": 1e-3, "feature_decay": 1e-3}
        >>> _, end = descend_deep_linear([4, 4], 1, 3, generator=torch.Generator().manual_seed(0), **decays)
        >>> (end.features[:4] - end.features[0]).abs().max() < 1e-4  # features within a class are equal
        tensor(True)
    """
    if not counts or min(*counts, depth, width, steps) < 1:
        given = f"{list(counts)}, {depth}, {width} and {steps}"
        raise ValueError(f"counts, depth, width, steps: got {given}, want numbers from 1 on")
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    shapes = [(len(labels), width), *[(width, width)] * (depth - 1), (len(counts), width)]
    start = [deviation * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    start += [torch.zeros(len(counts), dtype=torch.float64)] if bias else []

    def objective(features: Tensor, *others: Tensor) -> Tensor:
        return deep_linear_loss(
            features,
            others[:depth],
            labels,
            weight_decay=weight_decay,
            feature_decay=feature_decay,
            bias=others[depth] if bias else None,
            cross_entropy=cross_entropy,
        )

    both = [lbfgs_descent(objective, start, steps=steps) for steps in (0, steps)]
    first, last = (
        DeepLinearFeatures(
            found.tensors[0],
            found.tensors[1 : depth + 1],
            found.tensors[depth + 1] if bias else None,
            found.loss,
            found.gradient_norm,
        )
        for found in both
    )
    return first, last
