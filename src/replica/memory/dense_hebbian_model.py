"""Neurons that interact in groups of P: what they store, the energy of a state, and the field on every neuron."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.training.mixed_precision import in_own_precision

from .dense_hebbian_fields import _evaluate, _field_polynomials, _powers, _symmetric_means


class DenseHebbianModel(nn.Module):
    """Energy and fields of `DenseHebbianMemory`, which adds the dynamics.

    Args:
        order: interaction order P ≥ 2.
        coincident: count groups in which a neuron occurs more than once too.

    Raises:
        ValueError: if `order` is below 2.
    """

    patterns: Float[Tensor, "count dim"]
    strength: Float[Tensor, ""]

    def __init__(self, order: int = 4, *, coincident: bool = False) -> None:
        super().__init__()
        if order < 2:
            raise ValueError(f"order is {order}; wanted an integer of at least 2")
        self.order = order
        self.coincident = coincident
        self.register_buffer("patterns", torch.empty(0, 0))
        self.register_buffer("strength", torch.ones(()))
        self._binary = False

    def extra_repr(self) -> str:
        """Sizes, for `print(memory)`."""
        count, dim = self.patterns.shape
        return f"order={self.order}, count={count}, dim={dim}, coincident={self.coincident}"

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        stored = state_dict.get(prefix + "patterns")
        if stored is not None:
            self.patterns = self.patterns.new_empty(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._binary = bool((self.patterns.abs() == 1).all())

    # What is stored

    def store(self, patterns: Float[Tensor, "count dim"], strength: float = 1.0) -> None:
        """Hold these vectors as the memory's content, in place of what was held before.

        Args:
            patterns: ±1 patterns, or real vectors (averages over examples) of mean square about 1.
            strength: factor before the energy; matters at positive temperature only.

        Raises:
            ValueError: if `patterns` is not a finite matrix of floating-point numbers, or has fewer neurons than
                `order`.
        """
        if patterns.ndim != 2 or patterns.shape[0] == 0:
            raise ValueError(f"patterns has shape {tuple(patterns.shape)}; wanted (count, dim), count at least 1")
        if not patterns.is_floating_point():
            raise ValueError(f"patterns has dtype {patterns.dtype}; wanted floating-point numbers")
        if patterns.shape[1] < self.order:
            raise ValueError(f"patterns has {patterns.shape[1]} neurons; wanted at least order = {self.order}")
        if not bool(patterns.isfinite().all()):
            raise ValueError("patterns holds NaN or infinity; wanted finite numbers")
        self.patterns = patterns.detach().clone()
        self.strength = torch.as_tensor(strength, dtype=patterns.dtype, device=patterns.device)
        self._binary = bool((self.patterns.abs() == 1).all())

    def learn(
        self,
        examples: Float[Tensor, "examples dim"],
        labels: Int[Tensor, " examples"] | None = None,
        *,
        examples_per_pattern: int | None = None,
    ) -> None:
        r"""Learn hidden patterns from noisy examples, with a teacher's labels or without.

        With labels the memory holds the class averages η̄^μ = (1/M) Σ_a η^{μ,a}, each divided by its root mean
        square √R (for examples of quality r, R = r² + (1 − r²)/M). Without, every example is held by itself, and
        the energy is divided by their number per pattern, M.

        Args:
            examples: entries ±1; each is a hidden pattern whose entries are right with probability (1 + r)/2.
            labels: class of each example; classes are held in ascending order. None: no teacher.
            examples_per_pattern: M of the unsupervised energy; 1 if not given. Not used with labels.

        Raises:
            ValueError: if the lengths differ, an average vanishes, or `examples_per_pattern` is below 1.

        Source: arXiv 2212.00606 (supervised cost function); arXiv 2211.14067 (unsupervised cost function).
        """
        if examples.ndim != 2:
            raise ValueError(f"examples has shape {tuple(examples.shape)}; wanted (examples, dim)")
        if labels is None:
            if examples_per_pattern is not None and examples_per_pattern < 1:
                raise ValueError(f"examples_per_pattern is {examples_per_pattern}; wanted at least 1")
            self.store(examples, strength=1.0 / (examples_per_pattern or 1))
            return
        if labels.shape != examples.shape[:1]:
            raise ValueError(f"labels has shape {tuple(labels.shape)}; wanted ({examples.shape[0]},), one an example")
        classes, member = labels.unique(return_inverse=True)
        averages = examples.new_zeros(len(classes), examples.shape[1]).index_add_(0, member, examples)
        averages = averages / member.bincount(minlength=len(classes)).unsqueeze(1)
        scale = averages.square().mean(1, keepdim=True).sqrt()
        if bool((scale == 0).any()):
            raise ValueError("examples average to zero in one class; wanted at least one non-zero entry")
        self.store(averages / scale)

    # What a state is worth, and what each neuron feels

    def overlaps(self, state: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch count"]:
        """Overlap n_μ = Σ_i η_i^μ σ_i / N of each state with each stored vector."""
        self._check(state)
        return (state / self.patterns.shape[1]) @ self.patterns.T

    @in_own_precision
    def energy(self, state: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Energy E of each state; of a real state in [−1, 1]^N the mean energy of independent neurons with those means.

        (With `coincident` the polynomial −(N/P) Σ_μ n_μ^P itself.) Differentiable in the state.
        """
        self._check(state)
        dim = state.shape[1]
        if self.coincident:
            groups = self.overlaps(state) ** self.order
        else:
            groups = _symmetric_means(self._group_sums(state, self.order), dim, self.order)[-1]
        return -self.strength * dim / self.order * groups.sum(1)

    @in_own_precision
    def local_field(self, state: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Field h_i on every neuron: half of what the energy falls when σ_i goes from −1 to +1, the others held.

        Args:
            state: entries ±1, or means in [−1, 1] (then the mean field of independent neurons; not with
                `coincident`).

        Returns:
            The fields; E(σ with σ_i = −1) − E(σ with σ_i = +1) = 2 h_i.
        """
        self._check(state)
        if bool((state.abs() == 1).all()):
            return self._spin_field(state)
        return self._real_field(self._power_sums(state), state, self.patterns.T)

    def _spin_field(self, spins: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Field on every neuron in states known to be ±1."""
        if self._binary:
            return self._binary_field([self.overlaps(spins)], spins, self.patterns.T)
        return self._real_field(self._power_sums(spins), spins, self.patterns.T)

    def _binary_field(
        self, sums: list[Tensor], own: Float[Tensor, "batch block"], columns: Float[Tensor, "block count"]
    ) -> Tensor:
        """Field on some neurons, given all overlaps; patterns and states ±1."""
        # x_i = ξ_i σ_i = ±1, so ξ_i f(s − x_i) = ξ_i·(f(s−1) + f(s+1))/2 + σ_i·(f(s−1) − f(s+1))/2: one product
        # for all neurons.
        even, odd = _field_polynomials(self.order, self.patterns.shape[1], self.coincident)
        squares = sums[0] * sums[0]
        self_term = _evaluate(odd, sums[0], squares).sum(1, keepdim=True)
        return self.strength * torch.addcmul(_evaluate(even, sums[0], squares) @ columns.T, own, self_term)

    def _real_field(
        self, sums: list[Tensor], own: Float[Tensor, "batch block"], columns: Float[Tensor, "block count"]
    ) -> Tensor:
        """Field on some neurons, given all power sums; any patterns."""
        dim, order = self.patterns.shape[1], self.order
        field = torch.zeros_like(own)
        if self.coincident:
            for k, power in enumerate(_powers(columns, order), start=1):
                weight = (-1) ** (k + 1) * math.comb(order, k) * (2 / dim) ** (k - 1) / order
                field = field + weight * own ** (k + 1) * (sums[0] ** (order - k) @ power.T)
            return self.strength * field
        means = _symmetric_means(sums, dim, order - 1)
        for k, power in enumerate(_powers(columns, order)):
            # Products that avoid neuron i: Σ_k (−x_i)^k e_{P−1−k}, with x_i = η_i σ_i.
            weight = (-1) ** k * math.comb(dim, order - 1 - k) / math.comb(dim - 1, order - 1)
            field = field + weight * own**k * (means[order - 1 - k] @ power.T)
        return self.strength * field

    def _power_sums(self, state: Float[Tensor, "batch dim"]) -> list[Float[Tensor, "batch count"]]:
        """What `_real_field` needs: Σ_i (η_i σ_i)^k for k below the order; with coincident groups the overlaps alone."""
        if self.coincident:
            return [self.overlaps(state)]
        return self._group_sums(state, self.order - 1)

    def _group_sums(self, state: Float[Tensor, "batch dim"], upto: int) -> list[Float[Tensor, "batch count"]]:
        pairs = zip(_powers(state, upto), _powers(self.patterns, upto), strict=True)
        return [left @ right.T for left, right in pairs]

    def _check(self, state: Float[Tensor, "batch dim"]) -> None:
        if self.patterns.numel() == 0:
            raise ValueError("patterns is empty; call store(patterns) or learn(examples) first")
        if state.ndim != 2 or state.shape[1] != self.patterns.shape[1]:
            raise ValueError(f"state has shape {tuple(state.shape)}; wanted (batch, {self.patterns.shape[1]})")
        if state.dtype != self.patterns.dtype:
            raise ValueError(f"state has dtype {state.dtype}; wanted that of the patterns, {self.patterns.dtype}")
