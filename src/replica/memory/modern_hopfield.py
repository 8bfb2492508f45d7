"""Modern Hopfield network with continuous states, and what its theory says about the patterns it stores.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", arXiv 2008.02217. Their letters: stored patterns
x_i (here the rows of `patterns`), their number N (`count`), state or query ξ (`state`, `queries`), largest
norm M (`max_norm`), separation Δ_i.
"""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .hopfield_capacity import _check_beta
from .hopfield_retrieval import FixedPointKind, Retrieval, _attend, _distance, _measure_scale, standardize

# Largest block of similarities held at once where all pairs of patterns are compared: 16 MiB in float32.
_BLOCK_ENTRIES = 2**22


class ModernHopfield(nn.Module):
    r"""Associative memory whose update is softmax attention over the patterns it stores.

    Update (Eq. 3): ξ_new = Xᵀ softmax(β X ξ), with the patterns as rows of X. It never raises the energy
    (Eq. 2), which lies between 0 and 2M² in the convex hull of the patterns:

        E(ξ) = −β⁻¹ log Σ_i exp(β x_iᵀ ξ) + ½ ξᵀξ + β⁻¹ log N + ½ M².

    The update runs in PyTorch's fused attention, so memory grows with queries + patterns, not with their
    product; like the fused kernel, it can be differentiated once, not twice.

    Args:
        patterns: patterns to store at once, shape (count, dim). More can be added with `store`.
        beta: inverse temperature β > 0. Default 1/√dim, as in attention. Large: single patterns; small:
            averages.
        steps: most updates that `retrieve` and `recall` do. One is usually enough (Theorem 4).
        tolerance: a query is done when its update moves it by no more than `tolerance` · M. Default 64 times
            the dtype's epsilon.
        standardize: compare patterns and cues after `standardize`, and read out the patterns as they were
            given. For data whose patterns differ in norm or share a large mean, such as images.

    Shapes: queries (..., dim) give states (..., dim).

    Source: Ramsauer et al. 2020, Section 2, Eq. 1 to 3.

    Example:
        >>> import torch
        >>> from replica.memory import ModernHopfield
        >>> patterns = torch.randn(100, 64, generator=torch.Generator().manual_seed(0))
        >>> memory = ModernHopfield(patterns, beta=1.0)
        >>> found = memory.retrieve(patterns[:3] + 0.3, steps=5)
        >>> bool((found.state - patterns[:3]).abs().max() < 1e-3), found.steps.tolist()
        (True, [2, 2, 2])
    """

    patterns: Tensor
    values: Tensor | None
    _scale: Tensor  # M without its gradient, kept because finding it reads all patterns, half the cost of an update.

    def __init__(
        self,
        patterns: Float[Tensor, "count dim"] | None = None,
        *,
        beta: float | None = None,
        steps: int = 1,
        tolerance: float | None = None,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        if beta is not None:
            _check_beta(beta)
        _check_steps(steps)
        _check_tolerance(tolerance)
        self.beta = beta
        self.steps = steps
        self.tolerance = tolerance
        self.standardize = standardize
        self.register_buffer("patterns", torch.empty(0, 0))
        self.register_buffer("values", None)
        self.register_buffer("_scale", torch.zeros(()), persistent=False)
        self.register_load_state_dict_pre_hook(_adopt_stored_shapes)
        self.register_load_state_dict_post_hook(_measure_scale)
        if patterns is not None:
            self.store(patterns)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"count={self.count}, dim={self.patterns.shape[-1]}, beta={self.beta}, steps={self.steps}"

    @property
    def count(self) -> int:
        """Number of stored patterns (N)."""
        return self.patterns.shape[0]

    @property
    def max_norm(self) -> Float[Tensor, ""]:
        """Largest norm of a stored pattern (M)."""
        return self._stored().norm(dim=-1).amax()

    def store(self, patterns: Float[Tensor, "count dim"], values: Float[Tensor, "count out"] | None = None) -> None:
        """Adds patterns to the memory.

        Args:
            patterns: shape (count, dim).
            values: what `recall` gives for each pattern, shape (count, out); default the patterns themselves
                (Eq. 10: V of the attention, where the patterns are K). A memory has values for all its
                patterns or for none.

        Raises:
            ValueError: if `patterns` is no matrix of floating-point numbers, does not fit the dimension
                already stored, or `values` does not fit `patterns` or the values already stored.
        """
        if patterns.dim() != 2 or 0 in patterns.shape or not patterns.is_floating_point():
            raise ValueError(
                f"patterns: got shape {tuple(patterns.shape)} of {patterns.dtype}, "
                "want (count, dim) of floating-point numbers, both at least 1"
            )
        if self.count and patterns.shape[-1] != self.patterns.shape[-1]:
            raise ValueError(f"patterns: got dimension {patterns.shape[-1]}, want {self.patterns.shape[-1]} as before")
        if values is not None and (values.dim() != 2 or values.shape[0] != patterns.shape[0]):
            raise ValueError(
                f"values: got shape {tuple(values.shape)}, want ({patterns.shape[0]}, out), one row a pattern"
            )
        if self.standardize:
            values = patterns if values is None else values
            patterns = standardize(patterns)
        if self.count and (values is None) != (self.values is None):
            raise ValueError(f"values: got {'none' if values is None else 'some'}, want the same as before")
        if values is not None and self.values is not None and values.shape[-1] != self.values.shape[-1]:
            raise ValueError(
                f"values: got dimension {values.shape[-1]}, want {self.values.shape[-1]} as already stored"
            )
        self.values = values if self.values is None or values is None else torch.cat([self.values, values])
        self.patterns = torch.cat([self.patterns, patterns]) if self.count else patterns
        _measure_scale(self)

    def recall(self, cues: Float[Tensor, "... dim"]) -> Float[Tensor, "... out"]:
        """Gives back what is stored under the patterns that the cues resemble.

        After `steps` updates or convergence; the last one reads out the values in place of the patterns
        (Eq. 10).

        Raises:
            ValueError: if nothing is stored or the last dimension of `cues` is not the patterns'.
        """
        self._check_queries(cues, "cues")
        state = standardize(cues) if self.standardize else cues
        if self.values is None:
            return self.retrieve(state).state
        if self.steps > 1:
            state = self.retrieve(state, steps=self.steps - 1).state
        read = _attend(state.reshape(-1, state.shape[-1]), self.patterns, self.values, self._beta(None))
        return read.reshape(*cues.shape[:-1], read.shape[-1])

    def forward(self, queries: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        """The state after `steps` updates or convergence: `retrieve(queries).state`."""
        return self.retrieve(queries).state

    def retrieve(
        self,
        queries: Float[Tensor, "... dim"],
        *,
        beta: float | Tensor | None = None,
        steps: int | None = None,
        tolerance: float | None = None,
    ) -> Retrieval:
        """Updates each query (Eq. 3) until it stands still or `steps` updates are done, and reports both.

        Works in the space of the patterns: with `standardize`, queries must be standardized too (`recall` does it).

        Args:
            queries: shape (..., dim).
            beta: inverse temperature for this call, one element; a tensor carries gradients. Default that of the memory.
            steps: most updates for this call. Default that of the memory.
            tolerance: see the class. Default that of the memory.

        Raises:
            ValueError: if nothing is stored, the shape does not fit, or a number is out of range.
        """
        self._check_queries(queries, "queries")
        steps = self.steps if steps is None else steps
        _check_steps(steps)
        _check_tolerance(tolerance)
        beta = self._beta(beta)
        relative = self.tolerance if tolerance is None else tolerance
        relative = 64 * torch.finfo(queries.dtype).eps if relative is None else relative
        limit = relative * self._scale

        state = queries.reshape(-1, queries.shape[-1])
        update = _attend(state, self.patterns, self.patterns, beta)
        change = _distance(update, state)
        state = update
        taken = torch.ones(state.shape[0], dtype=torch.int64, device=state.device)
        for _ in range(steps - 1):
            if torch.compiler.is_compiling():  # a graph has no branches: who stands still keeps its state
                going = change > limit
                update = _attend(state, self.patterns, self.patterns, beta)
                change = torch.where(going, _distance(update, state), change)
                state = torch.where(going[:, None], update, state)
                taken = taken + going
                continue
            moving = (change > limit).nonzero().squeeze(-1)
            if not moving.numel():
                break
            everywhere = moving.numel() == state.shape[0]
            before = state if everywhere else state[moving]
            update = _attend(before, self.patterns, self.patterns, beta)
            moved = _distance(update, before)
            state = update if everywhere else state.index_copy(0, moving, update)
            change = moved if everywhere else change.index_copy(0, moving, moved)
            taken[moving] += 1
        shape = queries.shape[:-1]
        return Retrieval(
            state.reshape(queries.shape),
            taken.reshape(shape),
            change.reshape(shape),
            (change <= limit).reshape(shape),
        )

    def weights(
        self, state: Float[Tensor, "... dim"], *, beta: float | Tensor | None = None
    ) -> Float[Tensor, "... count"]:
        """How much each pattern has in the next update: p = softmax(β X ξ)."""
        self._check_queries(state, "state")
        return torch.softmax(state * self._beta(beta) @ self.patterns.mT, dim=-1)

    def energy(self, state: Float[Tensor, "... dim"], *, beta: float | Tensor | None = None) -> Float[Tensor, "..."]:
        """Energy of a state (Eq. 2): E = −lse(β, X ξ) + ½ ξᵀξ + β⁻¹ log N + ½ M². Twice differentiable."""
        self._check_queries(state, "state")
        beta = self._beta(beta)
        free = (torch.logsumexp(state * beta @ self.patterns.mT, dim=-1) - math.log(self.count)) / beta
        return 0.5 * (state.square().sum(-1) + self.max_norm.square()) - free

    def jacobian(
        self, state: Float[Tensor, "... dim"], *, beta: float | Tensor | None = None
    ) -> Float[Tensor, "... dim dim"]:
        """Derivative of one update: J = β Xᵀ (diag(p) − p pᵀ) X, symmetric and positive semi-definite
        (appendix, Lemma A2).

        A fixed point attracts where its largest eigenvalue is below 1.
        """
        beta = self._beta(beta)
        weights = self.weights(state, beta=beta)
        mean = weights @ self.patterns
        second = torch.einsum("...n,nd,ne->...de", weights, self.patterns, self.patterns)
        return beta * (second - mean.unsqueeze(-1) * mean.unsqueeze(-2))

    def support_size(
        self, state: Float[Tensor, "... dim"], *, mass: float = 0.9, beta: float | Tensor | None = None
    ) -> Int[Tensor, "..."]:
        """How many patterns a state averages over: the fewest weights that sum to `mass` (Section 4, k with
        mass 0.90).

        Raises:
            ValueError: if `mass` is not in (0, 1), nothing is stored, or the shape does not fit.
        """
        if not 0 < mass < 1:
            raise ValueError(f"mass: got {mass}, want a number between 0 and 1")
        largest_first = self.weights(state, beta=beta).sort(dim=-1, descending=True).values
        return (largest_first.cumsum(-1) < mass).sum(-1).add(1).clamp(max=self.count)

    def fixed_point_kind(
        self, state: Float[Tensor, "... dim"], *, mass: float = 0.9, beta: float | Tensor | None = None
    ) -> Int[Tensor, "..."]:
        """Which of the three kinds a fixed point is, as `FixedPointKind` numbers.

        With k = `support_size`: SINGLE if k = 1, GLOBAL if k > N/2 (class I of Section 4), METASTABLE
        between. Apply it to converged states.
        """
        size = self.support_size(state, mass=mass, beta=beta)
        kind = torch.where(size > self.count / 2, FixedPointKind.GLOBAL.value, FixedPointKind.METASTABLE.value)
        return torch.where(size == 1, FixedPointKind.SINGLE.value, kind)

    def separation(self) -> Float[Tensor, " count"]:
        """How far each pattern stands out: Δ_i = x_iᵀx_i − max_{j≠i} x_iᵀx_j (Eq. 6). Infinite for a lone
        pattern.

        Negative for a pattern that is not the most similar to itself. Memory is bounded: pairs are compared
        in blocks.
        """
        patterns = self._stored()
        rows = max(1, _BLOCK_ENTRIES // self.count)
        nearest = []
        for start in range(0, self.count, rows):
            similarity = patterns[start : start + rows] @ patterns.mT
            own = torch.arange(similarity.shape[0], device=patterns.device)
            similarity[own, own + start] = -torch.inf
            nearest.append(similarity.amax(-1))
        return patterns.square().sum(-1) - torch.cat(nearest)

    def is_stored(self, *, beta: float | Tensor | None = None) -> Bool[Tensor, " count"]:
        """Which patterns are surely stored, each with a fixed point of its own (Definition 1).

        Sufficient condition: Δ_i ≥ 2/(βN) + β⁻¹ log(2 (N−1) N β M²). Then the update maps the ball of radius
        1/(βNM) around x_i into itself and contracts it. A pattern that fails it may still be stored.
        """
        beta = self._beta(beta)
        separation = self.separation()
        if self.count == 1:
            return torch.ones_like(separation, dtype=torch.bool)
        inside = 2 * (self.count - 1) * self.count * beta * self.max_norm.square()
        return separation >= (2 / self.count + torch.log(inside)) / beta

    def retrieval_error_bound(
        self, radius: float | Float[Tensor, " count"] = 0.0, *, beta: float | Tensor | None = None
    ) -> Float[Tensor, " count"]:
        """Bound on the error of one update from a cue at most `radius` from pattern i (Theorem 5, Eq. 8).

        ‖f(ξ) − x_i‖ ≤ 2 (N−1) M exp(−β (Δ_i − 2 · radius · M)). It says something only where it is below 2M.

        Args:
            radius: ‖ξ − x_i‖, for all patterns or one for each, in the units of the patterns.
            beta: inverse temperature. Default that of the memory.
        """
        largest = self.max_norm
        exponent = -self._beta(beta) * (self.separation() - 2 * radius * largest)
        return 2 * (self.count - 1) * largest * torch.exp(exponent)

    def fixed_point_error_bound(self, *, beta: float | Tensor | None = None) -> Float[Tensor, " count"]:
        """Bound on the distance of pattern i to its fixed point: 2e (N−1) M exp(−β Δ_i) (Theorem 5, Eq. 9).

        Valid where that distance is at most 1/(2βM); NaN where the bound itself exceeds 1/(2βM) and so does
        not show it.
        """
        bound = math.e * self.retrieval_error_bound(0.0, beta=beta)
        return torch.where(bound <= 1 / (2 * self._beta(beta) * self.max_norm), bound, torch.nan)

    def contraction_bound(
        self, radius: float | Float[Tensor, " count"] = 0.0, *, beta: float | Tensor | None = None
    ) -> Float[Tensor, " count"]:
        """Bound on ‖J‖₂ between a cue and the fixed point of pattern i, both at most `radius` from it
        (Theorem 4, Eq. 7).

        2 β N M² (N−1) exp(−β (Δ_i − 2 · radius · M)): the factor by which one update shrinks the distance to
        the fixed point.
        """
        return self._beta(beta) * self.count * self.max_norm * self.retrieval_error_bound(radius, beta=beta)

    def _beta(self, beta: float | Tensor | None) -> float | Tensor:
        if beta is None:
            return 1 / math.sqrt(self.patterns.shape[-1]) if self.beta is None else self.beta
        _check_beta(beta)
        return beta

    def _stored(self) -> Float[Tensor, "count dim"]:
        if not self.count:
            raise ValueError("patterns: got none, want at least one; call store(patterns) first")
        return self.patterns

    def _check_queries(self, queries: Tensor, name: str) -> None:
        dim = self._stored().shape[-1]
        if queries.dim() < 1 or queries.shape[-1] != dim:
            raise ValueError(f"{name}: got shape {tuple(queries.shape)}, want (..., {dim}) as the stored patterns")


def _adopt_stored_shapes(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    # A memory holds any number of patterns, so a saved one fits a fresh one only if that takes its shapes.
    if prefix + "patterns" not in state:
        return
    own = module.get_buffer("patterns")
    for name in ("patterns", "values"):
        saved = state.get(prefix + name)
        module.register_buffer(name, None if saved is None else own.new_empty(saved.shape))


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps: got {steps}, want 1 or more")


def _check_tolerance(tolerance: float | None) -> None:
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance: got {tolerance}, want a number of 0 or more")
