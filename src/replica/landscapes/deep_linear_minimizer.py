"""Global minimisers of deep linear networks over free features, squared error (Dang, Tran, Osher, Tran-The, Ho, Nguyen 2023).

    ‖W_M … W_1 H − Y‖² / 2N + λ_W Σ_l ‖W_l‖² / 2 + λ_H ‖H‖² / 2

over M layers and a free feature for each of N samples, Y their one-hot labels.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from .collapse import simplex_frame


class DeepLinearMinimizer(NamedTuple):
    """A global minimiser, up to rotations of the hidden spaces. Float64, classes in the order of their counts as given.

    Features are equal within classes, all layers have the singular values s_k, and class k's output is its own axis, or its
    vertex of the simplex where the last layer has a bias.

    Attributes:
        singular_values: s_k; with a bias, one for each of K − 1 directions.
        directions: orthonormal columns along which the outputs lie, one for each singular value.
        feature_lengths: singular values of the class means, likewise.
        bias: of the last layer, or None.
        loss: the least value of the objective.
        depth: M.
    """

    singular_values: Float[Tensor, " directions"]
    directions: Float[Tensor, "classes directions"]
    feature_lengths: Float[Tensor, " directions"]
    bias: Float[Tensor, " classes"] | None
    loss: float
    depth: int

    @property
    def weights_gram(self) -> Float[Tensor, "classes classes"]:
        """Of the rows of W_M … W_1."""
        return self.directions * self.singular_values ** (2 * self.depth) @ self.directions.T

    @property
    def means_gram(self) -> Float[Tensor, "classes classes"]:
        """Of the class means H̄."""
        return self.directions * self.feature_lengths**2 @ self.directions.T

    @property
    def outputs(self) -> Float[Tensor, "classes classes"]:
        """W_M … W_1 H̄, a class a column, without the bias."""
        return self.directions * self.singular_values**self.depth * self.feature_lengths @ self.directions.T

    def layers(
        self, width: int, generator: torch.Generator | None = None
    ) -> tuple[list[Float[Tensor, "out in"]], Float[Tensor, "width classes"]]:
        """One minimiser: the weights W_1 … W_M, hidden layers of `width`, and the class means, turned at random.

        Raises:
            ValueError: if `width` is below the number of directions.
        """
        rank = len(self.singular_values)
        if width < rank:
            raise ValueError(f"width: got {width}, want {rank} or more")
        draws = torch.randn(self.depth, width, rank, dtype=torch.float64, generator=generator)
        bases = [*torch.linalg.qr(draws)[0], self.directions]
        weights = [(after * self.singular_values) @ before.T for before, after in itertools.pairwise(bases)]
        return weights, (bases[0] * self.feature_lengths) @ self.directions.T


def deep_linear_minimizer(
    counts: Sequence[int], depth: int, *, weight_decay: float, feature_decay: float, bias: bool = False
) -> DeepLinearMinimizer:
    """The global minimiser for classes of given counts, hidden layers being as wide as there are classes at least.

    Without bias each class k has its own direction, with x_k the largest root of

        M x^{M−1} / (x^M + 1)² = b / n_k,   b = M N (N λ_W^M λ_H)^{1/M},

    s_k^{2M} = N λ_H x_k^M, and means of length s_k^M / (s_k^{2M} + N λ_H). Class k is 0 altogether, which is minority collapse,
    where that root costs more than x = 0, that is from b/n_k = (M − 1)^{(M−1)/M} / M on; up to M ((M−1)/(M+1))^{(M−1)/M}
    ((M+1)/2M)² there is such a root, a local minimum. A free bias of the last layer takes the mean of the labels: with equal
    counts the K − 1 directions left make a simplex.

    Args:
        counts: n_k, samples of each class, above 0.
        depth: M, layers after the features.
        weight_decay: λ_W, of every layer.
        feature_decay: λ_H.
        bias: whether the last layer has a bias, without decay; counts must be equal then.

    Raises:
        ValueError: if a count, the depth or a decay is not above 0, or counts differ beside a bias.

    Source: Dang et al. 2023, Sections 3 and 4; roots as in their code, with the comparison to 0 added.

    Example:
        >>> found = deep_linear_minimizer([200, 100, 50, 50], 3, weight_decay=5e-4, feature_decay=5e-4)
        >>> (found.singular_values**6).round(decimals=3)  # squared singular values of the product: more where data are more
        tensor([52.8830, 31.3220, 18.5020, 18.5020], dtype=torch.float64)
    """
    if not counts or min(counts) < 1 or depth < 1:
        raise ValueError(f"counts, depth: got {list(counts)} and {depth}, want numbers from 1 on")
    if not (weight_decay > 0 and feature_decay > 0):
        raise ValueError(f"weight_decay, feature_decay: got {weight_decay} and {feature_decay}, want above 0")
    if bias and len(set(counts)) > 1:
        raise ValueError(f"counts: got {list(counts)}, want equal ones beside a bias")
    samples, classes = sum(counts), len(counts)
    scale = samples * feature_decay
    pull = depth * samples * weight_decay * scale ** (1 / depth)
    found = [_root(pull / count, depth) for count in counts]
    directions = torch.eye(classes, dtype=torch.float64)
    offset = None
    costs = [count / (x**depth + 1) + pull * x for count, x in zip(counts, found, strict=True)]
    if bias:
        found, costs = found[1:], costs[1:]
        directions = torch.linalg.eigh(simplex_frame(classes))[1][:, 1:]
        offset = torch.full((classes,), 1 / classes, dtype=torch.float64)
    x = torch.tensor(found, dtype=torch.float64)
    product = (scale * x**depth).sqrt()
    return DeepLinearMinimizer(
        product ** (1 / depth),
        directions,
        product / (product.square() + scale),
        offset,
        sum(costs) / (2 * samples),
        depth,
    )


def _root(ratio: float, depth: int) -> float:
    """The x ≥ 0 at which 1 / (x^M + 1) + ratio · x is least."""

    def slope(x: float) -> float:
        return ratio - depth * x ** (depth - 1) / (x**depth + 1) ** 2

    steepest = ((depth - 1) / (depth + 1)) ** (1 / depth)
    if slope(steepest) >= 0:
        return 0.0
    beyond = (depth / ratio) ** (1 / (depth + 1))  # where M x^{−M−1}, which is larger than the left side, is the ratio
    x = float(brentq(slope, steepest, max(beyond, steepest), xtol=1e-300, rtol=1e-14))
    return x if 1 / (x**depth + 1) + ratio * x < 1 and math.isfinite(x) else 0.0
