"""Marchenko and Pastur's law: eigenvalues of the correlations of random inputs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_NODES = 4096


@dataclass(frozen=True)
class MarchenkoPastur:
    """The law of the eigenvalues of X Xᵀ as N → ∞, X of N inputs and P = αN samples with entries of variance 1/N.

    Density √((λ₊ − λ)(λ − λ₋)) / (2πλ) on [λ₋, λ₊], λ± = (1 ± √α)², and a mass (1 − α)₊ at 0: directions that no sample
    shows. Advani, Saxe, Sompolinsky 2020.

    Args:
        load: α, samples over inputs.

    Raises:
        ValueError: if `load` is not a finite number above 0.

    Example:
        >>> law = MarchenkoPastur(0.5)
        >>> law.mass_at_zero, law.mean(lambda eigenvalue: eigenvalue)  # the trace of X Xᵀ is P
        (0.5, 0.5)
    """

    load: float

    def __post_init__(self) -> None:
        if not 0 < self.load < math.inf:
            raise ValueError(f"load: got {self.load}, want a finite number above 0")

    @property
    def edges(self) -> tuple[float, float]:
        """λ₋ and λ₊."""
        root = math.sqrt(self.load)
        return (1 - root) ** 2, (1 + root) ** 2

    @property
    def mass_at_zero(self) -> float:
        """(1 − α)₊."""
        return max(1 - self.load, 0.0)

    def density(self, eigenvalues: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The density beside the mass at 0; it integrates to min(α, 1).

        Args:
            eigenvalues: λ, of any shape.
        """
        low, high = self.edges
        inside = (high - eigenvalues).clamp_min(0) * (eigenvalues - low).clamp_min(0)
        return torch.where(inside > 0, inside.sqrt() / (2 * math.pi * eigenvalues), 0)

    def quadrature(self, nodes: int = _NODES) -> tuple[Float[Tensor, " nodes"], Float[Tensor, " nodes"]]:
        """Eigenvalues and weights in float64, such that Σ weight·f(λ) is the mean of f without the mass at 0.

        With λ = 1 + α + 2√α cos θ the density becomes (4α sin²θ) / (2πλ) in θ, which is smooth and periodic: the midpoint
        rule converges exponentially, at α = 1 too.

        Raises:
            ValueError: if `nodes` is below 1.
        """
        if nodes < 1:
            raise ValueError(f"nodes: got {nodes}, want 1 or more")
        angles = (torch.arange(nodes, dtype=torch.float64) + 0.5) * (math.pi / nodes)
        root = math.sqrt(self.load)
        # |1 + √α e^{iθ}|²: no cancellation where λ is near 0.
        eigenvalues = (1 - root) ** 2 + 4 * root * (angles / 2).cos().square()
        weights = 2 * self.load * angles.sin().square() / (nodes * eigenvalues)
        return eigenvalues, weights

    def mean(self, function: Callable[[Tensor], Tensor], nodes: int = _NODES) -> float:
        """The mean of a function of eigenvalues, the mass at 0 left out.

        Args:
            function: elementwise, of a tensor in float64.
            nodes: of `quadrature`.
        """
        eigenvalues, weights = self.quadrature(nodes)
        return float((weights * function(eigenvalues)).sum())
