"""Sparsey's codes: a winner a module, how familiar they are, and how familiarity sets the noise they are drawn with.

Rinkus and Leveille 2017, "Superposed Episodic and Semantic Memory via Sparse Distributed Representation", arXiv
1710.07829, with the arithmetic of its code selection algorithm (CSA) as in Rinkus 2014 (doi 10.3389/fncom.2014.00160).
Their letters: support V; familiarity G, its floor G⁻ (`floor`); expansivity η; relative chance ψ; chance ρ.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

_INACTIVE = -1


# One in so many inputs active is where adding up rows of weights and a dense product take about as long (measured).
_SPARSE = 8


@dataclass(frozen=True)
class FamiliarityRamp:
    r"""How the support of units becomes their chance to win, ever less by noise as the input grows familiar.

    With the familiarity G of the whole macrocolumn and K units a module,

        η = 1 + χ K ([G − G⁻]₊ / (1 − G⁻))^γ,
        ψ(V) = 1 + (η − 1) / (1 + σ₁ exp(−σ₂ (V − σ₃)))^σ₄,
        ρ = ψ / Σ ψ over the units of a module.

    A novel input (G ≤ G⁻) leaves every unit the same chance 1/K; a known one (G = 1) makes the units of its code win
    nearly surely.

    Args:
        floor: familiarity G⁻ in [0, 1) up to which an input counts as new.
        exponent: γ > 0.
        expansion: χ ≥ 0, the range of ψ at full familiarity, in units of K.
        steepness: σ₂ > 0, of the sigmoid.
        midpoint: σ₃, the support at which the sigmoid is at half of its height (with σ₁ = σ₄ = 1).
        scale: σ₁ > 0.
        asymmetry: σ₄ > 0.

    Raises:
        ValueError: if a number is out of its range.

    Source: Rinkus 2014, Eqs. 8 to 11 (steps 8 to 11 of its Table 1). The defaults are ours.

    Example:
        >>> import torch
        >>> ramp = FamiliarityRamp()
        >>> support = torch.tensor([[1.0, 0.3, 0.0, 0.0]])
        >>> ramp.probabilities(support, torch.tensor(1.0)).argmax().item()
        0
        >>> ramp.probabilities(support, torch.tensor(0.0)).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """

    floor: float = 0.1
    exponent: float = 2.0
    expansion: float = 100.0
    steepness: float = 20.0
    midpoint: float = 0.6
    scale: float = 1.0
    asymmetry: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor: got {self.floor}, want a familiarity of at least 0 and below 1")
        if self.expansion < 0:
            raise ValueError(f"expansion: got {self.expansion}, want a number of at least 0")
        for name in ("exponent", "steepness", "scale", "asymmetry"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, want a number above 0")

    def expansivity(self, familiarity: Float[Tensor, "..."], units: int) -> Float[Tensor, "..."]:
        """The range η ≥ 1 over which the chances of units may differ."""
        known = ((familiarity - self.floor) / (1 - self.floor)).clamp_min(0)
        return 1 + self.expansion * units * known.pow(self.exponent)

    def sigmoid(self, support: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The ramp in the support V: (1 + σ₁ exp(−σ₂ (V − σ₃)))^(−σ₄)."""
        if self.scale == self.asymmetry == 1:
            return torch.sigmoid(self.steepness * (support - self.midpoint))  # the same, several times faster
        return (1 + self.scale * torch.exp(-self.steepness * (support - self.midpoint))).pow(-self.asymmetry)

    def probabilities(
        self, support: Float[Tensor, "... modules units"], familiarity: Float[Tensor, "..."]
    ) -> Float[Tensor, "... modules units"]:
        """The chance ρ of each unit to win in its module."""
        relative = self.relative_chances(support, familiarity)
        return relative / relative.sum(-1, keepdim=True)

    def relative_chances(
        self, support: Float[Tensor, "... modules units"], familiarity: Float[Tensor, "..."]
    ) -> Float[Tensor, "... modules units"]:
        """The chances ψ ≥ 1 before they are divided by their sum over a module."""
        above_one = (self.expansivity(familiarity, support.shape[-1]) - 1)[..., None, None]
        return 1 + above_one * self.sigmoid(support)

    def expected_intersection(self, similarity: Float[Tensor, "..."], units: int) -> Float[Tensor, "..."]:
        """Share of its code that an input is expected to have in common with the one input stored before.

        Closed form: in each module the stored input's unit has V = `similarity`, the other K − 1 have V = 0, and
        G = `similarity`, so the share is ψ(s) / (ψ(s) + (K − 1) ψ(0)). It is 1/K, chance, where G ≤ G⁻.

        Args:
            similarity: share of the new input's active units that the stored input has too, in [0, 1].
            units: K.

        Example:
            >>> import torch
            >>> share = FamiliarityRamp(floor=0.2).expected_intersection(torch.tensor([0.0, 0.2, 1.0]), units=20)
            >>> [round(value, 2) for value in share.tolist()]
            [0.05, 0.05, 0.99]
        """
        above_one = self.expansivity(similarity, units) - 1
        own = 1 + above_one * self.sigmoid(similarity)
        other = 1 + above_one * self.sigmoid(torch.zeros_like(similarity))
        return own / (own + (units - 1) * other)


class SparseyCode(NamedTuple):
    """The code of each input: which unit won in each module.

    Attributes:
        winners: index of the winning unit of each module, −1 throughout a macrocolumn that stayed silent.
        familiarity: G of each macrocolumn: the mean over its modules of their largest support, in [0, 1].
    """

    winners: Int[Tensor, "... macs modules"]
    familiarity: Float[Tensor, "... macs"]


def intersection(
    winners: Int[Tensor, "... macs modules"], others: Int[Tensor, "... macs modules"]
) -> Float[Tensor, "..."]:
    """Share of modules in which two codes have the same winner, in [0, 1]; silent macrocolumns count as different.

    Example:
        >>> import torch
        >>> intersection(torch.tensor([[0, 3, 1, 2]]), torch.tensor([[0, 3, 2, 1]])).item()
        0.5
    """
    return ((winners == others) & (winners != _INACTIVE)).to(torch.get_default_dtype()).mean((-1, -2))


def familiarity(support: Float[Tensor, "... modules units"]) -> Float[Tensor, "..."]:
    """Familiarity G of an input to a macrocolumn: the mean over modules of their largest support."""
    return support.amax(-1).mean(-1)


class _Source(NamedTuple):
    """Where support comes from: weights (macs, field, units) and what is active per macrocolumn (batch, macs, field)."""

    weights: Tensor
    active: Tensor
    count: Tensor  # type: ignore[assignment]  # active ones, (batch, macs, 1)
    power: float
    bottom_up: bool
