"""Hopfield layers whose queries, or whose memories, are learned: pooling and lookup.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", arXiv 2008.02217, Section 3. Their letters as in
`hopfield_association`.
"""

from typing import TypedDict, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .hopfield_association import _INITIAL_SCALE, HopfieldAssociation


class AssociationOptions(TypedDict, total=False):
    """What the three layers share; see `HopfieldAssociation`."""

    association_dim: int | None
    content_dim: int | None
    out_dim: int | None
    heads: int
    beta: float | None
    learn_beta: bool
    steps: int
    tolerance: float
    normalize: bool
    bias: bool
    dropout: float
    generator: torch.Generator | None


class HopfieldPooling(nn.Module):
    """Pools a set of any size to a fixed number of vectors by learned state patterns.

    The authors' ``HopfieldPooling``. Each learned pattern searches the set and reads out an average of what
    resembles it: attention pooling, with β between a mean (β → 0) and the choice of one member (β → ∞). The
    result does not depend on the order of the set.

    Args:
        stored_dim: dimension of the set's members.
        pools: number of learned state patterns (``quantity``).
        state_dim: their dimension. Default `stored_dim`.
        **options: see `HopfieldAssociation`.

    Shapes: stored (batch, count, stored_dim) gives (batch, pools · out_dim).

    Source: Ramsauer et al. 2020, Section 3 (2).

    Example:
        >>> import torch
        >>> from replica.memory import HopfieldPooling
        >>> pooling = HopfieldPooling(32, heads=4, out_dim=16)
        >>> bags, padding = torch.randn(8, 12, 32), torch.zeros(8, 12, dtype=torch.bool)
        >>> pooling(bags, key_padding_mask=padding).shape
        torch.Size([8, 16])
    """

    def __init__(
        self,
        stored_dim: int,
        *,
        pools: int = 1,
        state_dim: int | None = None,
        **options: Unpack[AssociationOptions],
    ) -> None:
        super().__init__()
        if pools < 1:
            raise ValueError(f"pools: got {pools}, want 1 or more")
        state_dim = stored_dim if state_dim is None else state_dim
        self.association = HopfieldAssociation(state_dim, stored_dim, **options)
        self.state = nn.Parameter(
            torch.empty(pools, state_dim).normal_(std=_INITIAL_SCALE, generator=options.get("generator"))
        )

    def forward(
        self,
        stored: Float[Tensor, "batch count stored_dim"],
        *,
        key_padding_mask: Bool[Tensor, "batch count"] | None = None,
    ) -> Float[Tensor, "batch pooled"]:
        """One vector for each set: the read-outs of all state patterns side by side.

        Args:
            stored: the sets.
            key_padding_mask: True where a member is padding. A set of nothing but padding reads out zero.
        """
        return self.association(self.state[None], stored, key_padding_mask=key_padding_mask).flatten(1)

    def associations(
        self,
        stored: Float[Tensor, "batch count stored_dim"],
        *,
        key_padding_mask: Bool[Tensor, "batch count"] | None = None,
    ) -> Float[Tensor, "batch heads pools count"]:
        """How much each member counts for each head and state pattern: in a bag, which instances decide."""
        return self.association.associations(self.state[None], stored, key_padding_mask=key_padding_mask)


class HopfieldLookup(nn.Module):
    """Looks states up among stored patterns of its own, learned or given (the authors' ``HopfieldLayer``).

    Takes the place of a fully connected layer; with a training set as patterns and its targets as values it
    is a soft nearest neighbour, with learned ones a learning vector quantiser.

    Args:
        state_dim: dimension of the states.
        count: number of stored patterns to learn from scratch (``quantity``). Not with `patterns`.
        patterns: stored patterns to begin with, shape (count, stored_dim).
        values: what is read out at each, shape (count, value_dim) (``lookup_weights_as_separated``). Default
            the patterns.
        stored_dim: dimension of patterns learned from scratch. Default `state_dim`. Not with `patterns`.
        learn: whether patterns and values are parameters; else they are kept as they are.
        **options: see `HopfieldAssociation`.

    Shapes: state (..., state_dim) gives (..., out_dim).

    Source: Ramsauer et al. 2020, Section 3 (3).

    Example:
        >>> import torch
        >>> from replica.memory import HopfieldLookup
        >>> layer = HopfieldLookup(16, count=100, out_dim=10)
        >>> layer(torch.randn(32, 16)).shape
        torch.Size([32, 10])
    """

    patterns: Tensor
    values: Tensor | None

    def __init__(
        self,
        state_dim: int,
        *,
        count: int | None = None,
        patterns: Float[Tensor, "count stored_dim"] | None = None,
        values: Float[Tensor, "count value_dim"] | None = None,
        stored_dim: int | None = None,
        learn: bool = True,
        **options: Unpack[AssociationOptions],
    ) -> None:
        super().__init__()
        if (count is None) == (patterns is None):
            given = "neither" if count is None else f"{count} and patterns"
            raise ValueError(f"count: got {given}, want either count or patterns")
        if patterns is None:
            assert count is not None
            if count < 1:
                raise ValueError(f"count: got {count}, want 1 or more")
            dim = state_dim if stored_dim is None else stored_dim
            patterns = torch.empty(count, dim).normal_(std=_INITIAL_SCALE, generator=options.get("generator"))
        elif patterns.dim() != 2 or not patterns.shape[0]:
            raise ValueError(f"patterns: got shape {tuple(patterns.shape)}, want (count, dim) with count at least 1")
        elif stored_dim not in (None, patterns.shape[1]):
            raise ValueError(f"stored_dim: got {stored_dim}, want {patterns.shape[1]} as in patterns")
        if values is not None and (values.dim() != 2 or values.shape[0] != patterns.shape[0]):
            raise ValueError(f"values: got shape {tuple(values.shape)}, want ({patterns.shape[0]}, value_dim)")
        value_dim = None if values is None else values.shape[1]
        self.association = HopfieldAssociation(state_dim, patterns.shape[1], value_dim, **options)
        for name, tensor in (("patterns", patterns), ("values", values)):
            own = None if tensor is None else tensor.detach().clone()
            if learn and own is not None:
                self.register_parameter(name, nn.Parameter(own))
            else:
                self.register_buffer(name, own)

    def forward(self, state: Float[Tensor, "... state_dim"]) -> Float[Tensor, "... out_dim"]:
        """What the stored patterns hold for each state.

        Raises:
            ValueError: if the last dimension of `state` is not `state_dim`.
        """
        found = self.association(
            self._as_queries(state), self.patterns[None], None if self.values is None else self.values[None]
        )
        return found.reshape(*state.shape[:-1], found.shape[-1])

    def associations(self, state: Float[Tensor, "... state_dim"]) -> Float[Tensor, "heads ... count"]:
        """How much each stored pattern counts for each state, by head."""
        weights = self.association.associations(self._as_queries(state), self.patterns[None])[0]
        return weights.reshape(weights.shape[0], *state.shape[:-1], weights.shape[-1])

    def _as_queries(self, state: Tensor) -> Float[Tensor, "1 queries state_dim"]:
        # All states as the queries of one batch: the stored patterns are projected once and held once.
        if state.dim() < 1 or state.shape[-1] != self.association.state_dim:
            raise ValueError(f"state: got shape {tuple(state.shape)}, want (..., {self.association.state_dim})")
        return state.reshape(1, -1, state.shape[-1])
