"""One layer of attention whose query-key weights stay as they were drawn: its features, and least squares on them.

Fu, Guo, Bai, Mei 2023 (NeurIPS, arXiv 2307.11353).
"""

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data
from torch import Tensor

from .feature_ridge import ridge_by_leave_one_out

Array = NDArray[np.float64]
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "softplus": torch.nn.functional.softplus,
}
# Attention scores held at once: 16 MiB in double precision.
_SCORES = 2**21


def attention_features(
    queries: Float[Tensor, "rows dim"],
    keys: Float[Tensor, "rows keys dim"],
    weights: Float[Tensor, "heads dim dim"],
    activation: Callable[[Tensor], Tensor] = torch.relu,
) -> Float[Tensor, "rows heads dim"]:
    """(1/N) Σ_i σ(x₀ᵀ W_m x_i) x_i for each head m: what attention layers with values v_m are linear in.

    x₀ is a row's query, x₁ … x_N are its keys, which are values, too; their order does not matter. σ takes the place of
    softmax. Blocks of rows keep memory at that of the result.

    Args:
        queries: x₀.
        keys: x_i, one or more a row.
        weights: W_m, the products of query and key matrices.
        activation: σ, elementwise.

    Raises:
        ValueError: if shapes do not go together or a row has no keys.

    Source: Fu et al. 2023, the random-feature attention layer.

    Example:
        >>> import torch
        >>> from replica.kernels import attention_features
        >>> keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> attention_features(torch.tensor([[2.0, -4.0]]), keys, torch.eye(2)[None])
        tensor([[[1., 0.]]])
    """
    if keys.dim() != 3 or not keys.shape[1]:
        raise ValueError(f"keys: got shape {tuple(keys.shape)}, want (rows, keys, dim), keys of 1 or more")
    rows, count, dim = keys.shape
    if queries.shape != (rows, dim):
        raise ValueError(f"queries: got shape {tuple(queries.shape)}, want {(rows, dim)} as the keys have")
    if weights.dim() != 3 or weights.shape[1:] != (dim, dim):
        raise ValueError(f"weights: got shape {tuple(weights.shape)}, want (heads, {dim}, {dim})")
    block = max(1, _SCORES // max(1, len(weights) * count))
    asked = weights.transpose(0, 1).reshape(dim, -1)
    features = []
    for query, key in zip(queries.split(block), keys.split(block), strict=True):
        scores = (query @ asked).unflatten(1, (len(weights), dim)) @ key.mT
        features.append(activation(scores) @ key / count)
    return torch.cat(features)


class RandomFeatureAttention(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """f(x₀; x₁ … x_N) = c + Σ_m ⟨v_m, (1/N) Σ_i σ(x₀ᵀ W_m x_i) x_i⟩: attention with weights W as drawn, values v by ridge.

    A row is a query and its keys laid flat, the query first. The entries of W_m are N(0, 1) around those of
    bias · √dim · I: for queries and keys of norm √dim that mean weighs as much as the noise where `bias` is 1. It turns
    heads towards how well a key matches the query.

    Args:
        heads: M; values are M · dim numbers an output.
        bias: strength of the mean, in √dim; 0 for none.
        activation: σ, "relu", "tanh" or "softplus".
        alpha: ridge strength, above 0; None for that of the least exact leave-one-out error.
        random_state: of the weights.

    Attributes:
        weights_: W, shape (heads, dim, dim).
        values_: v, shape (heads · dim,) or (heads · dim, outputs).
        intercept_: c.
        shape_: of a row.

    Source: Fu, Guo, Bai, Mei 2023 (NeurIPS, arXiv 2307.11353): random-feature attention, and biased where `bias` is not 0.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import RandomFeatureAttention
        >>> X = np.random.default_rng(0).standard_normal((300, 9, 3))  # a query and eight keys
        >>> y = np.einsum("nd,nkd,nk->n", X[:, 0], X[:, 1:], X[:, 1:, 0]) / 8
        >>> model = RandomFeatureAttention(40, bias=1.0, random_state=0).fit(X.reshape(300, -1), y, shape=(9, 3))
        >>> model.score(X.reshape(300, -1), y) > 0.9
        True
    """

    def __init__(
        self,
        heads: int = 300,
        bias: float = 0.0,
        activation: str = "relu",
        alpha: float | None = None,
        *,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.heads = heads
        self.bias = bias
        self.activation = activation
        self.alpha = alpha
        self.random_state = random_state

    def fit(self, X: Any, y: Any, shape: tuple[int, ...] | None = None) -> Self:
        """Draws the weights and solves for the values.

        Args:
            X: rows, shape (rows, (1 + keys) · dim).
            y: targets, shape (rows,) or (rows, outputs).
            shape: (1 + keys, dim) of a row; a row of one vector, as it is with None, is its own query and only key.

        Raises:
            ValueError: if X or y is no finite table, `shape` does not fit, or a parameter is out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        self._check()
        self.shape_ = tuple(shape) if shape is not None else (X.shape[1],)
        if len(self.shape_) > 2 or math.prod(self.shape_) != X.shape[1]:
            raise ValueError(f"shape: got {self.shape_}, want (1 + keys, dim) of rows of {X.shape[1]} numbers")
        dim = self.shape_[-1]
        noise = check_random_state(self.random_state).standard_normal((self.heads, dim, dim))
        self.weights_ = noise + self.bias * math.sqrt(dim) * np.eye(dim)
        strengths = None if self.alpha is None else torch.tensor([self.alpha], dtype=torch.float64)
        found = ridge_by_leave_one_out(self._features(X), torch.tensor(y, dtype=torch.float64), strengths)
        self.values_, self.intercept_ = found.weights.numpy(), found.intercept.numpy()
        return self

    def predict(self, X: Any) -> Array:
        """f, shape (rows,) or (rows, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        predicted: Array = self._features(X).numpy() @ self.values_ + self.intercept_
        return predicted

    def _features(self, X: Array) -> Tensor:
        vectors = torch.tensor(X).reshape(len(X), -1, self.shape_[-1])
        keys = vectors[:, 1:] if vectors.shape[1] > 1 else vectors
        weights = torch.from_numpy(self.weights_)
        return attention_features(vectors[:, 0], keys, weights, _ACTIVATIONS[self.activation]).flatten(1)

    def _check(self) -> None:
        if self.heads < 1:
            raise ValueError(f"heads: got {self.heads}, want 1 or more")
        if not math.isfinite(self.bias):
            raise ValueError(f"bias: got {self.bias}, want a finite number")
        if self.activation not in _ACTIVATIONS:
            raise ValueError(f"activation: got {self.activation!r}, want one of {', '.join(_ACTIVATIONS)}")
        if self.alpha is not None and not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha: got {self.alpha}, want a finite number above 0, or None")
