"""Hopfield association: the modern Hopfield update between learned projections, as a layer of a network.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", arXiv 2008.02217, Section 3 and Eq. 10. Their
letters: state (query) patterns R (`state`), stored (key) patterns Y (`stored`), Q = R W_Q, K = Y W_K, V = Y
    W_V or Y W_K W_V, result Z.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_INITIAL_SCALE = 0.02  # Standard deviation of projections and learned patterns at the start, as in the authors' code.


class HopfieldAssociation(nn.Module):
    r"""Associates each state pattern with the stored patterns it resembles (the authors' ``Hopfield``).

    In each head, with β, and Q, K, V the projections of normalised states, stored patterns and values:

        Q ← softmax(β Q Kᵀ) K   (`steps` − 1 times, or until it stands still),   Z = softmax(β Q Kᵀ) V.   (Eq.
        10)

    One step without normalisation is `torch.nn.MultiheadAttention`.

    Args:
        state_dim: dimension of the state patterns.
        stored_dim: dimension of the stored patterns. Default `state_dim`.
        value_dim: dimension of the values (the authors' pattern projection). Default `stored_dim`.
        association_dim: dimension of a head's association space (the authors' ``hidden_size``). Default
            state_dim / heads.
        content_dim: dimension of what a head reads out (``pattern_size``). Default `association_dim`.
        out_dim: dimension of the result (``output_size``). Default `state_dim`.
        heads: number of heads (``num_heads``).
        beta: inverse temperature of every head (``scaling``). Default 1/√association_dim.
        learn_beta: learn one β a head, from that value.
        steps: most updates, the read-out among them (``update_steps_max`` + 1).
        tolerance: a state is done when an update moves it by no more than `tolerance` times its norm
            (``update_steps_eps``, there for a whole head and batch: here a result does not depend on what
            else is in the batch).
        normalize: layer normalisation of states, stored patterns and values before the projections.
        bias: biases in the projections.
        dropout: dropout of the association weights at the read-out.
        generator: source of the initial weights.

    Shapes: state (batch, queries, state_dim) and stored (batch, count, stored_dim) give (batch, queries,
        out_dim). A batch of 1 on
    one side serves the whole batch of the other.

    Source: Ramsauer et al. 2020, Section 3 (1), Eq. 10; defaults of github.com/ml-jku/hopfield-layers.

    Example:
        >>> import torch
        >>> from replica.memory import HopfieldAssociation
        >>> layer = HopfieldAssociation(16, 24, heads=4, steps=3)
        >>> layer(torch.randn(2, 5, 16), torch.randn(2, 9, 24)).shape
        torch.Size([2, 5, 16])
    """

    def __init__(
        self,
        state_dim: int,
        stored_dim: int | None = None,
        value_dim: int | None = None,
        *,
        association_dim: int | None = None,
        content_dim: int | None = None,
        out_dim: int | None = None,
        heads: int = 1,
        beta: float | None = None,
        learn_beta: bool = False,
        steps: int = 1,
        tolerance: float = 1e-4,
        normalize: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if heads < 1:
            raise ValueError(f"heads: got {heads}, want 1 or more")
        if association_dim is None and state_dim % heads:
            raise ValueError(f"heads: got {heads}, want a divisor of state_dim {state_dim}, or give association_dim")
        if steps < 1:
            raise ValueError(f"steps: got {steps}, want 1 or more")
        if not tolerance >= 0:
            raise ValueError(f"tolerance: got {tolerance}, want a number of 0 or more")
        if beta is not None and not (beta > 0 and math.isfinite(beta)):
            raise ValueError(f"beta: got {beta}, want a finite number above 0")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: got {dropout}, want a number in [0, 1)")
        stored_dim = state_dim if stored_dim is None else stored_dim
        value_dim = stored_dim if value_dim is None else value_dim
        association_dim = state_dim // heads if association_dim is None else association_dim
        content_dim = association_dim if content_dim is None else content_dim
        out_dim = state_dim if out_dim is None else out_dim

        self.heads = heads
        self.steps = steps
        self.tolerance = tolerance
        self.dropout = dropout
        self.state_dim, self.stored_dim, self.value_dim, self.out_dim = (
            state_dim,
            stored_dim,
            value_dim,
            out_dim,
        )
        self.state_norm = nn.LayerNorm(state_dim) if normalize else nn.Identity()
        self.stored_norm = nn.LayerNorm(stored_dim) if normalize else nn.Identity()
        self.value_norm = nn.LayerNorm(value_dim) if normalize else nn.Identity()
        self.query = _projection(state_dim, heads * association_dim, bias, generator)
        self.key = _projection(stored_dim, heads * association_dim, bias, generator)
        self.value = _projection(value_dim, heads * content_dim, bias, generator)
        self.out = _projection(heads * content_dim, out_dim, bias, generator)
        start = torch.full((heads,), math.log(1 / math.sqrt(association_dim) if beta is None else beta))
        self.log_beta = nn.Parameter(start, requires_grad=learn_beta)

    @property
    def beta(self) -> Float[Tensor, " heads"]:
        """Inverse temperature of each head (β)."""
        return self.log_beta.exp()

    def forward(
        self,
        state: Float[Tensor, "batch queries state_dim"],
        stored: Float[Tensor, "batch count stored_dim"],
        values: Float[Tensor, "batch count value_dim"] | None = None,
        *,
        key_padding_mask: Bool[Tensor, "batch count"] | None = None,
        attention_mask: Bool[Tensor, "*masked queries count"] | Float[Tensor, "*masked queries count"] | None = None,
    ) -> Float[Tensor, "batch queries out_dim"]:
        """What the stored patterns hold for each state pattern.

        Args:
            state: state patterns.
            stored: stored patterns.
            values: what is read out at each stored pattern. Default `stored`.
            key_padding_mask: True where a stored pattern is padding.
            attention_mask: (queries, count) or (batch, queries, count) or (batch, heads, queries, count):
                True where a query must not see a pattern, or numbers added to β Q Kᵀ. A query that may see
                nothing gets the read-out of zero.

        Raises:
            ValueError: if a shape does not fit.
        """
        queries, keys, contents, mask = self._project(state, stored, values, key_padding_mask, attention_mask)
        queries = self._settle(queries, keys, mask)
        read = nn.functional.scaled_dot_product_attention(
            self._scaled(queries),
            keys,
            contents,
            mask,
            dropout_p=self.dropout if self.training else 0.0,
            scale=1.0,
        )
        return self.out(read.transpose(1, 2).flatten(2))

    def associations(
        self,
        state: Float[Tensor, "batch queries state_dim"],
        stored: Float[Tensor, "batch count stored_dim"],
        *,
        key_padding_mask: Bool[Tensor, "batch count"] | None = None,
        attention_mask: Bool[Tensor, "*masked queries count"] | Float[Tensor, "*masked queries count"] | None = None,
    ) -> Float[Tensor, "batch heads queries count"]:
        """The weights softmax(β Q Kᵀ) of the read-out, without dropout; zero where masked. See `forward`."""
        queries, keys, _, mask = self._project(state, stored, None, key_padding_mask, attention_mask, read=False)
        logits = self._scaled(self._settle(queries, keys, mask)) @ keys.mT
        if mask is None:
            return logits.softmax(-1)
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
        return logits.softmax(-1).nan_to_num(0.0)

    def _project(
        self,
        state: Tensor,
        stored: Tensor,
        values: Tensor | None,
        key_padding_mask: Tensor | None,
        attention_mask: Tensor | None,
        read: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        for name, tensor, dim in (("state", state, self.state_dim), ("stored", stored, self.stored_dim)):
            if tensor.dim() != 3 or tensor.shape[-1] != dim:
                raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, want (batch, number, {dim})")
        if 1 not in (state.shape[0], stored.shape[0]) and state.shape[0] != stored.shape[0]:
            raise ValueError(f"state: got a batch of {state.shape[0]}, want {stored.shape[0]} as in stored, or 1")
        values = stored if values is None else values
        if read and values.shape != (*stored.shape[:2], self.value_dim):
            wanted = (*stored.shape[:2], self.value_dim)
            raise ValueError(f"values: got shape {tuple(values.shape)}, want {wanted}")
        batch = stored.shape[0] if state.shape[0] == 1 else state.shape[0]
        queries = self._by_head(self.query(self.state_norm(state)), batch)
        keys = self._by_head(self.key(self.stored_norm(stored)), batch)
        contents = self._by_head(self.value(self.value_norm(values)), batch) if read else keys
        shape = (batch, self.heads, state.shape[1], stored.shape[1])
        return queries, keys, contents, _visible(key_padding_mask, attention_mask, shape)

    def _by_head(self, projected: Tensor, batch: int) -> Float[Tensor, "batch heads number dim"]:
        split = projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return split if split.shape[0] == batch else split.expand(batch, -1, -1, -1)

    def _scaled(self, queries: Tensor) -> Tensor:
        return queries * self.beta.to(queries.dtype).view(-1, 1, 1)

    def _settle(self, queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        # Every update but the last, which reads out values instead of keys.
        moving = None
        for _ in range(self.steps - 1):
            update = nn.functional.scaled_dot_product_attention(self._scaled(queries), keys, keys, mask, scale=1.0)
            moved = (update - queries).detach().norm(dim=-1, keepdim=True)
            queries = update if moving is None else torch.where(moving, update, queries)
            still_moving = moved > self.tolerance * queries.detach().norm(dim=-1, keepdim=True)
            moving = still_moving if moving is None else moving & still_moving
            if not torch.compiler.is_compiling() and not moving.any():
                break
        return queries


def _projection(ins: int, outs: int, bias: bool, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, ins, outs, bias=bias)
    nn.init.normal_(layer.weight, std=_INITIAL_SCALE, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _visible(padding: Tensor | None, mask: Tensor | None, shape: tuple[int, int, int, int]) -> Tensor | None:
    # Fused attention's booleans say what is seen; ours, as in torch.nn.MultiheadAttention, what is not.
    batch, _, queries, count = shape
    if padding is not None and (tuple(padding.shape) != (batch, count) or padding.dtype != torch.bool):
        raise ValueError(
            f"key_padding_mask: got {padding.dtype} of shape {tuple(padding.shape)}, "
            f"want torch.bool of shape {(batch, count)}"
        )
    seen = None if padding is None else ~padding[:, None, None, :]
    if mask is None:
        return None if seen is None else seen.expand(batch, 1, queries, count)
    allowed = ((queries, count), (batch, queries, count), shape)
    if tuple(mask.shape) not in allowed:
        raise ValueError(f"attention_mask: got shape {tuple(mask.shape)}, want one of {allowed}")
    mask = mask[:, None] if mask.dim() == 3 else mask
    if mask.dtype == torch.bool:
        return ~mask if seen is None else ~mask & seen
    return mask if seen is None else mask.masked_fill(~seen, -torch.inf)
