"""Neural collapse, measured: how near features and last layer are to class means on a frame (Papyan, Han, Donoho 2020).

Features are rows, N of them in d dimensions, labels the classes 0 … K−1. A frame is known by the Gram matrix of its K vectors.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot


class CollapseMetrics(NamedTuple):
    """The four measures of collapse; of the first three 0 is collapse, of the last 1.

    Attributes:
        variability: NC1, tr(Σ_W Σ_B⁺) / K.
        trace_ratio: NC1 again, tr Σ_W / tr Σ_B.
        means_off_frame: NC2, distance of the class means' Gram matrix from the frame's.
        weights_off_frame: NC2, of the last layer's rows.
        duality: NC3, distance of the last layer from the class means.
        nearest_mean: NC4, the share of samples for which the last layer says the class of the nearest mean.
    """

    variability: Float[Tensor, ""]
    trace_ratio: Float[Tensor, ""]
    means_off_frame: Float[Tensor, ""]
    weights_off_frame: Float[Tensor, ""]
    duality: Float[Tensor, ""]
    nearest_mean: Float[Tensor, ""]


def collapse_metrics(
    features: Float[Tensor, "samples dim"],
    labels: Int[Tensor, " samples"],
    weights: Float[Tensor, "classes dim"],
    bias: Float[Tensor, " classes"] | None = None,
    *,
    frame: Float[Tensor, "classes classes"] | None = None,
) -> CollapseMetrics:
    """All measures of collapse at once, on class means less the mean of all features.

    Args:
        features: what the last layer reads.
        labels: of classes, each with a sample.
        weights: of the last layer, one row a class.
        bias: of the last layer; none by default.
        frame: Gram matrix that means and weights are held to; the simplex's by default. Given one, means stay uncentred,
            since frames that are not simplices (such as `orthogonal_frame`) need not lie around 0.

    Raises:
        ValueError: if shapes do not agree, or a class has no sample.

    Example:
        >>> corners = torch.eye(3).repeat(2, 1)
        >>> found = collapse_metrics(corners, torch.arange(6) % 3, torch.eye(3) - 1 / 3)
        >>> [round(abs(float(value)), 3) for value in found]
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    """
    means = class_means(features, labels)
    if weights.shape != means.shape:
        raise ValueError(f"weights: got shape {tuple(weights.shape)}, want {tuple(means.shape)}, classes and features")
    logits = features @ weights.T if bias is None else features @ weights.T + bias
    held = means if frame is not None else means - features.mean(0)
    frame = simplex_frame(len(means)).to(means) if frame is None else frame
    return CollapseMetrics(
        within_class_variability(features, labels),
        within_class_variability(features, labels, traces=True),
        frame_distance(held, frame),
        frame_distance(weights, frame),
        duality_distance(weights, held),
        nearest_mean_agreement(features, labels, logits),
    )


def class_means(
    features: Float[Tensor, "samples dim"], labels: Int[Tensor, " samples"]
) -> Float[Tensor, "classes dim"]:
    """The mean feature of each class.

    Raises:
        ValueError: if features and labels differ in number, or one of the classes 0 … max(labels) has no sample.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        wanted = "(samples, dim) and (samples,)"
        raise ValueError(f"features, labels: got {tuple(features.shape)} and {tuple(labels.shape)}, want {wanted}")
    members = one_hot(labels.long()).to(features)
    counts = members.sum(0)
    if not (counts > 0).all():
        raise ValueError(f"labels: got no sample of class {int(counts.argmin())}, want one of each class at least")
    return (members.T @ features) / counts[:, None]


def class_scatter(
    features: Float[Tensor, "samples dim"], labels: Int[Tensor, " samples"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Tr Σ_W and tr Σ_B: mean squared distances of samples from their class means, and of these from the mean of all samples.

    Example:
        >>> class_scatter(torch.tensor([[1.0], [3.0], [-2.0], [-2.0]]), torch.tensor([0, 0, 1, 1]))
        (tensor(0.5000), tensor(4.))
    """
    means = class_means(features, labels)
    within, between = features - means[labels.long()], means - features.mean(0)
    return within.square().sum(1).mean(), between.square().sum(1).mean()


def within_class_variability(
    features: Float[Tensor, "samples dim"], labels: Int[Tensor, " samples"], *, traces: bool = False
) -> Float[Tensor, ""]:
    """NC1: variability within classes over that between them, tr(Σ_W Σ_B⁺) / K, or tr Σ_W / tr Σ_B.

    Σ_W is the mean over samples of (h − h̄_k)(h − h̄_k)ᵀ, Σ_B the mean over classes of (h̄_k − h̄)(h̄_k − h̄)ᵀ, h̄ the mean of all
    samples. Variability along directions in which class means do not differ counts for the traces alone.

    Example:
        >>> features = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> within_class_variability(features, torch.tensor([0, 0, 1, 1]), traces=True)
        tensor(1.)
    """
    if traces:
        inside, outside = class_scatter(features, labels)
        return inside / outside
    means = class_means(features, labels)
    within, between = features - means[labels.long()], means - features.mean(0)
    # With C the centred means, Σ_B⁺ / K = C⁺ C⁺ᵀ: no matrix of features by features is made.
    return (within @ torch.linalg.pinv(between)).square().sum(1).mean()


def frame_distance(vectors: Float[Tensor, "classes dim"], frame: Float[Tensor, "classes classes"]) -> Float[Tensor, ""]:
    """NC2: ‖G / ‖G‖ − F / ‖F‖‖ in Frobenius norms, of the vectors' Gram matrix G and the frame's F.

    Scale and rotation do not count: 0 if the vectors are the frame's, at most 2, and √2 if G and F are orthogonal.

    Raises:
        ValueError: if the frame is not of as many vectors.

    Example:
        >>> round(float(frame_distance(torch.eye(4), simplex_frame(4))), 3)  # orthogonal vectors are no simplex
        0.518
    """
    if frame.shape != (len(vectors), len(vectors)):
        raise ValueError(f"frame: got shape {tuple(frame.shape)}, want {(len(vectors), len(vectors))}, a Gram matrix")
    gram = vectors @ vectors.T
    frame = frame.to(gram)
    return torch.linalg.norm(gram / torch.linalg.norm(gram) - frame / torch.linalg.norm(frame))


def duality_distance(weights: Float[Tensor, "classes dim"], means: Float[Tensor, "classes dim"]) -> Float[Tensor, ""]:
    """NC3: ‖W / ‖W‖ − M / ‖M‖‖ in Frobenius norms: 0 if the last layer's rows are the means, up to a common factor."""
    return torch.linalg.norm(weights / torch.linalg.norm(weights) - means / torch.linalg.norm(means))


def nearest_mean_agreement(
    features: Float[Tensor, "samples dim"], labels: Int[Tensor, " samples"], logits: Float[Tensor, "samples classes"]
) -> Float[Tensor, ""]:
    """NC4: the share of samples for which the largest logit is that of the class whose mean is nearest."""
    nearest = torch.cdist(features, class_means(features, labels)).argmin(1)
    return (logits.argmax(1) == nearest).to(features.dtype).mean()


def simplex_frame(classes: int) -> Float[Tensor, "classes classes"]:
    """Gram matrix of a simplex equiangular tight frame, I − 11ᵀ/K: K vectors around 0 at the widest equal angles, float64.

    Raises:
        ValueError: if `classes` is below 2.
    """
    if classes < 2:
        raise ValueError(f"classes: got {classes}, want 2 or more")
    return torch.eye(classes, dtype=torch.float64) - 1 / classes


def orthogonal_frame(squared_lengths: Float[Tensor, " classes"]) -> Float[Tensor, "classes classes"]:
    """Gram matrix of orthogonal vectors of the given squared lengths.

    Raises:
        ValueError: if one is negative, or all are 0.
    """
    if not (squared_lengths >= 0).all() or not (squared_lengths > 0).any():
        raise ValueError(f"squared_lengths: got {squared_lengths.tolist()}, want none below 0 and one above")
    return torch.diag(squared_lengths)
