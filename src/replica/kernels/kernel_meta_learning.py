"""First-order meta-learning (MAML) of the kernel limits of networks, where it is exact; see `NetworkMaml`."""

from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .meta_learning import Maml


class KernelMaml(Maml):
    """Meta-learning of a network that is a kernel method: exact, in functions f = Σ_i K(·, x_i) c_i on a pool of points.

    Training a network with a fixed tangent kernel K moves f by −η Σ K(·, x) ∂loss/∂f(x), and gradients have the norm of the
    kernel's Hilbert space.

    Args:
        gram: K of the pool; it is held as it is.
        classes: outputs of f; they share the kernel and start at 0.
        rates: of the meta-steps; a function is learned at each.
        scales: factor of the kernel, one a rate; it decides how far steps of one size go. Default 1.
        step: of the adaptation to a task.
        clip_norm: largest norm of a meta-step's gradient.

    Attributes:
        coefficients: c, ``(rates, points, classes)``.

    Raises:
        ValueError: if the kernel is no square matrix, or the number of scales is not that of the rates.

    Example:
        >>> import torch
        >>> from replica.kernels import KernelMaml
        >>> maml = KernelMaml(torch.eye(4), 2, torch.tensor([1.0]))
        >>> labels = torch.tensor([[0, 1]])
        >>> maml.learn(torch.tensor([[0, 1]]), labels, torch.tensor([[2, 3]]), labels)
        >>> maml.coefficients[0, 2:]
        tensor([[ 0.2500, -0.2500],
                [-0.2500,  0.2500]])
    """

    def __init__(
        self,
        gram: Float[Tensor, "points points"],
        classes: int,
        rates: Float[Tensor, " rates"],
        *,
        scales: Float[Tensor, " rates"] | None = None,
        step: float = 0.4,
        clip_norm: float = 0.5,
    ) -> None:
        if scales is not None and scales.shape != rates.shape:
            raise ValueError(f"scales: got {len(scales)}, want {len(rates)}, one a rate")
        if gram.dim() != 2 or gram.shape[0] != gram.shape[1]:
            raise ValueError(f"gram: got shape {tuple(gram.shape)}, want a square matrix")
        self.gram = gram
        self.rates = rates
        self.scales = torch.ones_like(rates) if scales is None else scales
        self.step = step
        self.clip_norm = clip_norm
        self.coefficients = gram.new_zeros(len(rates), len(gram), classes)

    def learn(
        self,
        support: Int[Tensor, "tasks examples"],
        support_labels: Int[Tensor, "tasks examples"],
        query: Int[Tensor, "tasks queries"],
        query_labels: Int[Tensor, "tasks queries"],
    ) -> None:
        """One meta-step; points are given by their numbers in the pool."""
        scores = self.scores(support, support_labels, query, steps=1)
        slopes = _slope(scores, query_labels).flatten(1, 2) / len(query)
        points = query.flatten()
        norms = (slopes * (self.gram[points][:, points] @ slopes)).sum((1, 2)) * self.scales
        norms = norms.clamp_min(1e-24).sqrt()
        share = self.rates * (self.clip_norm / norms).clamp(max=1)
        self.coefficients.index_add_(1, points, -share[:, None, None] * slopes)

    def scores(
        self,
        support: Int[Tensor, "tasks examples"],
        support_labels: Int[Tensor, "tasks examples"],
        query: Int[Tensor, "tasks queries"],
        *,
        steps: int,
    ) -> Float[Tensor, "rates tasks queries classes"]:
        """What each function says of the queries after so many steps on the support."""
        scales = self.scales[:, None, None, None]
        scaled = scales * self.coefficients[:, None]
        first, asked = (self.gram[points] @ scaled for points in (support, query))
        inside = self.gram[support[:, :, None], support[:, None]]
        across = self.gram[query[:, :, None], support[:, None]]
        moved = torch.zeros_like(first)
        for _ in range(steps):
            moved = moved - self.step * _slope(first + inside @ (scales * moved), support_labels)
        return asked + across @ (scales * moved)

    def only(self, index: int) -> Self:
        """One function alone, a copy."""
        own = slice(index, index + 1)
        one = type(self)(
            self.gram, self.coefficients.shape[-1], self.rates[own], scales=self.scales[own], step=self.step,
            clip_norm=self.clip_norm,
        )  # fmt: skip
        one.coefficients = self.coefficients[own].clone()
        return one


def _slope(scores: Tensor, labels: Tensor) -> Tensor:
    """∂/∂scores of the mean cross-entropy of each task."""
    right = nn.functional.one_hot(labels, scores.shape[-1])
    return (scores.softmax(-1) - right) / labels.shape[-1]
