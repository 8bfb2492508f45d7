"""How little cross-entropy and decay a deep linear network over free features can have with logits of a given shape.

    CE(W_M … W_1 H) + λ_W Σ_l ‖W_l‖² / 2 + λ_H ‖H‖² / 2

over M layers and a free feature for each sample, n of each of K classes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class ScaledShape(NamedTuple):
    """A shape of logits at its best scale.

    Attributes:
        scale: factor of the shape, 0 where every other costs more.
        loss: the objective there.
    """

    scale: float
    loss: float


def scale_logit_shape(
    shape: Float[Tensor, "classes classes"], count: int, depth: int, *, weight_decay: float, feature_decay: float
) -> ScaledShape:
    """The best scale z of logits z · Z, features equal within classes, and the objective there.

    The least decay that layers and features of a product with singular values σ cost is

        (M + 1) / 2 · (λ_W^M λ_H)^{1/(M+1)} Σ σ^{2/(M+1)},

    reached where all have the same share of each; σ is √n z times the shape's. The more layers, the more it counts ranks.

    Args:
        shape: Z, logits of class k's samples in column k.
        count: n, samples of each class.
        depth: M, layers after the features, each as wide as there are classes at least.
        weight_decay: λ_W, of every layer.
        feature_decay: λ_H.

    Returns:
        The scale to 1e-8 of itself, and the loss; a last layer's bias is taken for 0, which is best for symmetric shapes.

    Raises:
        ValueError: if the shape is not square or is 0, or another argument is not above 0.

    Example:
        >>> from replica.landscapes import simplex_frame
        >>> square = torch.tensor([[1.0, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]])  # rank 2
        >>> for depth in (1, 3):
        ...     decay = {"weight_decay": 5e-4, "feature_decay": 5e-4}
        ...     losses = [scale_logit_shape(shape, 100, depth, **decay).loss for shape in (simplex_frame(4), square)]
        ...     print("simplex" if losses[0] < losses[1] else "square")
        simplex
        square
    """
    from scipy.optimize import minimize_scalar

    if shape.ndim != 2 or shape.shape[0] != shape.shape[1] or not shape.any():
        raise ValueError(f"shape: got {tuple(shape.shape)}, want a square matrix other than 0")
    if min(count, depth) < 1 or not (weight_decay > 0 and feature_decay > 0):
        given = f"{count}, {depth}, {weight_decay} and {feature_decay}"
        raise ValueError(f"count, depth, weight_decay, feature_decay: got {given}, want all above 0")
    shape = shape.double()
    power = 2 / (depth + 1)
    decay = (depth + 1) / 2 * (weight_decay**depth * feature_decay) ** (1 / (depth + 1))
    values = torch.linalg.svdvals(shape)
    values = values[values > values[0] * 1e-12]
    paid = decay * float((count**0.5 * values).pow(power).sum())

    def loss(log_scale: float) -> float:
        scale = torch.tensor(log_scale, dtype=torch.float64).exp()
        logits = scale * shape
        entropy = (logits.logsumexp(0) - logits.diagonal()).mean()
        return float(entropy + paid * scale**power)

    grid = torch.linspace(-12, 12, 241).tolist()
    best = min(range(len(grid)), key=lambda index: loss(grid[index]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    nothing = float(torch.tensor(float(len(shape)), dtype=torch.float64).log())
    if found.fun >= nothing:
        return ScaledShape(0.0, nothing)
    return ScaledShape(float(torch.tensor(found.x, dtype=torch.float64).exp()), float(found.fun))
