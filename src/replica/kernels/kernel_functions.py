"""Kernels by name: those of kernel machines, and those of wide networks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import nn

from .fully_connected import wide_kernel, wide_kernel_diagonal

Array = NDArray[np.float64]
KernelFunction = Callable[[Array, Array], Array]
"""From inputs of shapes (n, inputs) and (m, inputs) to k(x, z), shape (n, m)."""

ACTIVATIONS = {
    "relu": torch.relu,
    "erf": torch.erf,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
    "sin": torch.sin,
}
NAMES = (
    "linear",
    "polynomial",
    "rbf",
    "laplace",
    *(f"{kind}-{name}" for kind in ("nngp", "ntk") for name in ACTIVATIONS),
)


class NamedKernel:
    """A kernel by its name, on NumPy arrays.

        linear       x·z
        polynomial   (γ x·z + c)^p
        rbf          exp(−γ ‖x − z‖²)
        laplace      exp(−γ ‖x − z‖)
        nngp-φ, ntk-φ    `wide_kernel` of the activation φ: relu, erf, gelu, tanh or sin

    Args:
        name: one of `NAMES`.
        gamma: γ above 0.
        degree: p, 1 or more.
        coef0: c, 0 or more.
        depth: hidden layers of a wide network.
        weight_variance: σ_w² of a wide network.
        bias_variance: σ_b² of a wide network.

    Raises:
        ValueError: if a parameter is out of range.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import NamedKernel
        >>> NamedKernel("rbf", gamma=0.5)(np.zeros((1, 2)), np.ones((1, 2))).round(4)
        array([[0.3679]])
    """

    def __init__(
        self,
        name: str,
        *,
        gamma: float = 1.0,
        degree: int = 3,
        coef0: float = 1.0,
        depth: int = 2,
        weight_variance: float = 2.0,
        bias_variance: float = 0.1,
    ) -> None:
        if name not in NAMES:
            raise ValueError(f"kernel: got {name!r}, want one of {', '.join(NAMES)}, 'precomputed' or a function")
        if not 0 < gamma < float("inf"):
            raise ValueError(f"gamma: got {gamma}, want a finite number above 0")
        if degree < 1 or not coef0 >= 0:
            raise ValueError(f"degree, coef0: got {degree} and {coef0}, want 1 or more and 0 or more")
        self.name, self.gamma, self.degree, self.coef0 = name, gamma, degree, coef0
        kind, _, activation = name.partition("-")
        self._wide: dict[str, Any] = {
            "activation": ACTIVATIONS.get(activation, torch.relu),
            "depth": depth,
            "weight_variance": weight_variance,
            "bias_variance": bias_variance,
            "kind": kind,
        }

    def __call__(self, X: Array, Z: Array) -> Array:
        """k(x, z), shape (n, m); symmetric work is done once where `Z` is `X`."""
        if self.name in ("linear", "polynomial"):
            products = X @ Z.T
            if self.name == "polynomial":  # in place: one array of this size is enough
                products *= self.gamma
                products += self.coef0
                products **= self.degree
            return np.asarray(products)
        if self.name in ("rbf", "laplace"):
            distances = cdist(X, Z, "sqeuclidean" if self.name == "rbf" else "euclidean")
            distances *= -self.gamma
            return np.exp(distances, out=distances)
        others = None if Z is X else torch.from_numpy(np.ascontiguousarray(Z))
        with torch.no_grad():
            return wide_kernel(torch.from_numpy(np.ascontiguousarray(X)), others, **self._wide).numpy()

    def diagonal(self, X: Array) -> Array:
        """k(x, x), shape (n,)."""
        if self.name in ("rbf", "laplace"):
            return np.ones(len(X))
        if self.name in ("linear", "polynomial"):
            squares = (X**2).sum(1)
            return squares if self.name == "linear" else (self.gamma * squares + self.coef0) ** self.degree
        with torch.no_grad():
            return wide_kernel_diagonal(torch.from_numpy(np.ascontiguousarray(X)), **self._wide).numpy()


def diagonal_of(kernel: KernelFunction, X: Array) -> Array:
    """k(x, x) of any kernel, shape (n,): row by row where it has no `diagonal` of its own."""
    own = getattr(kernel, "diagonal", None)
    if own is not None:
        return np.asarray(own(X))
    return np.array([kernel(row[None], row[None])[0, 0] for row in X])
