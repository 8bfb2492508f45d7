"""The multitasking Hebbian network: patterns with blank entries, recalled several at once."""

import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training.mixed_precision import in_own_precision
from replica.training.tracing import is_exported

from .multitasking_losses import mattis_overlaps, squared_error_losses
from .multitasking_patterns import _positive


class MultitaskingMemory(nn.Module):
    """Hebbian memory of patterns with blank entries, whose neurons serve several patterns at the same time.

    With features a_f (rows of ``features``) and their weights c_f, the cost of a state σ ∈ {−1, +1}^N is

        H(σ) = −(N/2) Σ_f c_f n_f²,   n_f = (1/N) Σ_i a_fi σ_i.

    What the features are depends on how the memory came to them (d: share of blank entries, r: quality, M:
    number of examples a pattern, ρ = (1 − r²)/(M r²): dataset entropy):

    - `store`: the patterns themselves, c = 1/(1 − d);
    - `learn` with a teacher: the average example of each class over r, c = 1/((1 − d)(1 + ρ));
    - `learn` without: every example over r, c = 1/(M (1 − d)(1 + ρ)); which example belongs to which class
      is not used.

    These weights measure temperature in units of the critical one: overlaps vanish at ``temperature`` ≥ 1
    when N is large.

    States move by exact Gibbs sampling of exp(−H/T) through one Gaussian hidden unit a feature (the
    network's restricted Boltzmann machine): z_f ~ N(n_f, T/(N c_f)), then all σ_i ~ ±1 with mean tanh(Σ_f
    c_f a_fi z_f / T). A sweep over batch states costs O(batch · F · N); no N × N matrix is built. The hidden
    units carry the diagonal of the couplings, which only adds a constant to H. At ``temperature`` 0 all
    neurons turn to their fields together, fewer of them where that would not lower the cost; it never rises,
    and where nothing moves no single neuron can lower it. A neuron without field stays.

    Dense ±1 patterns are the case d = 0, the Hopfield network of 1982 at low load (about 0.05 N patterns and
    fewer give clean recall): it then recalls one pattern at a time. With blanks, one state answers for
    several patterns at once: `agreement` says how far each is recalled, `read_out` cuts the state into them.
    A 0 in a cue is an unknown entry.

    Args:
        temperature: Noise T of `recall` and default of `sweep` and `evolve`; 0 is noiseless descent.
        max_steps: Largest number of sweeps of `recall` (exact number if ``temperature`` > 0).
        generator: Random numbers of `recall` at positive temperature; PyTorch's own if None.

    Raises:
        ValueError: If ``temperature`` is negative or ``max_steps`` not positive.

    Source: Agliari, Alessandrelli, Barra, Ricci-Tersenghi 2023, "Parallel Learning by Multitasking Neural
    Networks" (arXiv 2308.04106).

    Example:
        >>> from replica.memory import diluted_patterns
        >>> draw = torch.Generator().manual_seed(0)
        >>> patterns = diluted_patterns(2, 500, 0.3, generator=draw)
        >>> memory = MultitaskingMemory().store(patterns)
        >>> memory.agreement(memory.recall(patterns[:1])).abs() > 0.25  # one state, two patterns
        tensor([[True, True]])
    """

    features: Tensor
    weights: Tensor

    def __init__(
        self, *, temperature: float = 0.0, max_steps: int = 100, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.temperature = _temperature(temperature)
        _positive("max_steps", max_steps)
        self.max_steps = max_steps
        self.generator = generator
        self.register_buffer("features", torch.zeros(0, 0))
        self.register_buffer("weights", torch.zeros(0))

    def store(self, patterns: Float[Tensor, "count dim"]) -> "MultitaskingMemory":
        """Store patterns by the Hebbian rule in place of what was there; d is the share of zeros in them.

        Args:
            patterns: ``(count, dim)`` entries in {−1, 0, +1}.

        Returns:
            The memory itself.

        Raises:
            ValueError: If ``patterns`` is not a matrix, has other entries, or only blanks.
        """
        filled = _ternary("patterns", patterns, 2)
        self._keep(patterns, patterns.new_full(patterns.shape[:1], 1 / filled))
        return self

    def learn(
        self, examples: Float[Tensor, "patterns examples dim"], *, quality: float, teacher: bool = True
    ) -> "MultitaskingMemory":
        """Learn patterns never seen from noisy examples of them, in place of what was there.

        Args:
            examples: ``(patterns, examples, dim)`` entries in {−1, 0, +1}; blanks are those of the patterns.
            quality: Mean agreement r of an example with its pattern, in (0, 1]. It fixes the units of cost
                and temperature; noiseless recall does not depend on it.
            teacher: Whether the classes are told. Without a teacher examples enter one by one, and shuffling
                them across classes changes nothing.

        Returns:
            The memory itself.

        Raises:
            ValueError: If ``examples`` has not three axes, has other entries or only blanks, or ``quality``
            is out of range.
        """
        filled = _ternary("examples", examples, 3)
        if not 0 < quality <= 1:
            raise ValueError(f"quality must lie in (0, 1], not {quality}.")
        patterns, count, dim = examples.shape
        entropy = (1 - quality**2) / (count * quality**2)
        weight = 1 / (filled * (1 + entropy))
        if teacher:
            self._keep(examples.mean(1) / quality, examples.new_full((patterns,), weight))
        else:
            rows = examples.reshape(patterns * count, dim) / quality
            self._keep(rows, examples.new_full((patterns * count,), weight / count))
        return self

    def overlaps(self, states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch features"]:
        """Overlaps n_f of states with the memory's features: the Mattis overlaps m_μ of stored patterns."""
        return mattis_overlaps(self._states(states), self.features)

    @in_own_precision
    def energy(self, states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        """Cost H(σ) = −(N/2) Σ_f c_f n_f² of each state (extensive: divide by N for the cost a neuron)."""
        return self._cost(self.overlaps(states))

    @in_own_precision
    def fields(self, states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Field on each neuron from the others, h_i = Σ_{j≠i} J_ij σ_j, J_ij = (1/N) Σ_f c_f a_fi a_fj."""
        states = self._states(states)
        return self._drive(self.overlaps(states)) - self._diagonal() * states

    def losses(
        self, states: Float[Tensor, "*batch dim"]
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch features"]]:
        """Squared errors of states to each feature and to its mirror image (`squared_error_losses`).

        They determine the cost exactly: with q_f = ‖a_f‖²/N, H = −(N/2) Σ_f c_f [((1 + q_f)/2)² − L−_f
        L+_f], so the states of least cost are those of least weighted sum of loss products (`loss_product`).
        """
        return squared_error_losses(self._states(states), self.features)

    def cost_from_losses(
        self, to_pattern: Float[Tensor, "*batch features"], to_mirror: Float[Tensor, "*batch features"]
    ) -> Float[Tensor, "*batch"]:
        """Cost of states of ±1 from their squared errors alone (the identity of `losses`).

        Example:
            >>> memory = MultitaskingMemory().store(torch.tensor([[1.0, 0.0, -1.0]]))
            >>> state = torch.ones(1, 3)
            >>> memory.cost_from_losses(*memory.losses(state)).item(), memory.energy(state).item()
            (-0.0, -0.0)
        """
        level = ((1 + self.features.square().mean(-1)) / 2).square()
        return -self._dim / 2 * ((level - to_pattern * to_mirror) * self.weights).sum(-1)

    @in_own_precision
    @torch.no_grad()
    def sweep(
        self,
        states: Float[Tensor, "*batch dim"],
        *,
        temperature: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch dim"]:
        """Update every neuron of every state once: a Gibbs sweep, or a step of descent at temperature 0.

        Args:
            states: ``(..., dim)`` entries ±1; every state is a replica of its own.
            temperature: Noise T ≥ 0; the memory's own if None.
            generator: On the device of the memory.

        Returns:
            New states of the same shape.

        Raises:
            ValueError: If the memory is empty, the width is not its own, or ``temperature`` is negative.
        """
        states = self._states(states)
        temperature = self.temperature if temperature is None else _temperature(temperature)
        overlap = self.overlaps(states)
        if temperature == 0:
            return self._descend(states, overlap)
        noise = torch.randn(overlap.shape, generator=generator, device=overlap.device, dtype=overlap.dtype)
        hidden = overlap + noise * (temperature / (self._dim * self.weights)).sqrt()
        up = torch.sigmoid(2 / temperature * self._drive(hidden))
        uniform = torch.rand(up.shape, generator=generator, device=up.device, dtype=up.dtype)
        return torch.where(uniform < up, 1.0, -1.0).to(states.dtype)

    def evolve(
        self,
        states: Float[Tensor, "*batch dim"],
        sweeps: int,
        *,
        temperature: float | None = None,
        generator: torch.Generator | None = None,
        patterns: Float[Tensor, "patterns dim"] | None = None,
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "sweeps *batch patterns"]]:
        """Run `sweep` many times and record the overlaps on the way.

        Args:
            states: ``(..., dim)`` entries ±1.
            sweeps: How often every neuron is updated.
            temperature: Noise T ≥ 0; the memory's own if None.
            generator: On the device of the memory.
            patterns: What the overlaps are taken with: the true patterns, say, of a memory that saw examples
                only; the memory's own features if None.

        Returns:
            The last states, and the overlaps after each sweep, ``(sweeps, ..., patterns)``.

        Raises:
            ValueError: As `sweep`; or if ``sweeps`` is not positive.
        """
        _positive("sweeps", sweeps)
        patterns = self.features if patterns is None else patterns
        trace = []
        for _ in range(sweeps):
            states = self.sweep(states, temperature=temperature, generator=generator)
            trace.append(mattis_overlaps(states, patterns))
        return states, torch.stack(trace)

    def recall(self, cues: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Let damaged cues relax: descend until nothing moves, or run ``max_steps`` Gibbs sweeps if T > 0.

        Args:
            cues: ``(batch, dim)``; signs are taken, and a 0 (unknown) first takes the sign of its field.

        Returns:
            ``(batch, dim)`` entries ±1, in the dtype of ``cues``.

        Raises:
            ValueError: If the memory is empty or the width is not its own.

        Warns:
            RuntimeWarning: If at T = 0 something still moves after ``max_steps`` sweeps.
        """
        states = self._states(cues).sign()
        field = self._drive(self.overlaps(states))
        guess = torch.where(field < 0, -torch.ones_like(states), torch.ones_like(states))
        states = torch.where(states == 0, guess, states)
        for _ in range(self.max_steps):
            before = states
            states = self.sweep(states, generator=self.generator)
            if self.temperature == 0 and not is_exported() and torch.equal(before, states):
                break
        else:
            if self.temperature == 0:
                warnings.warn(
                    f"recall: states still move after max_steps = {self.max_steps} sweeps", RuntimeWarning, stacklevel=2
                )
        return states.to(cues.dtype)

    def agreement(self, states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch features"]:
        """How far each feature is recalled: Σ_i a_i σ_i / Σ_i |a_i|, 1 if all agree."""
        states = self._states(states)
        largest = self.features.abs().sum(-1).clamp_min(torch.finfo(states.dtype).tiny)
        return states @ self.features.mT / largest

    def read_out(self, states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch features dim"]:
        """Cut each state into one reading a stored pattern: the state where that is filled, 0 where blank.

        Patterns recalled upside down (their mirror image) are turned over, as the memory cannot tell the two
        apart.
        """
        states = self._states(states)
        turn = torch.where(self.overlaps(states) < 0, -1.0, 1.0).to(states.dtype)
        return states.unsqueeze(-2) * (self.features != 0) * turn.unsqueeze(-1)

    def extra_repr(self) -> str:
        """Sizes and temperature, as ``print(memory)`` shows them."""
        return f"features={self.features.shape[0]}, dim={self._dim}, temperature={self.temperature}"

    @property
    def _dim(self) -> int:
        return self.features.shape[1]

    def _keep(self, features: Tensor, weights: Tensor) -> None:
        self.features, self.weights = features.detach().clone(), weights.detach()

    def _states(self, states: Tensor) -> Tensor:
        if not self._dim:
            raise ValueError("states came while the memory is empty: call store or learn first.")
        if states.shape[-1] != self._dim:
            raise ValueError(f"states must have {self._dim} entries on the last axis, not {states.shape[-1]}.")
        return states.to(self.features)

    def _cost(self, overlaps: Tensor) -> Tensor:
        return -self._dim / 2 * (self.weights * overlaps.square()).sum(-1)

    def _drive(self, overlaps: Tensor) -> Tensor:
        return (overlaps * self.weights) @ self.features

    def _diagonal(self) -> Tensor:
        return (self.weights / self._dim) @ self.features.square()

    def _descend(self, states: Tensor, overlaps: Tensor) -> Tensor:
        drive = self._drive(overlaps)
        field = drive - self._diagonal() * states
        together = _sign(field, states)
        lower = (self._cost(self.overlaps(together)) < self._cost(overlaps)).unsqueeze(-1)
        # Neurons that all move at once can raise the cost and cycle; with self-coupling they cannot, because
        # the cost is concave in the state, but it may hold some back: of those, the most opposed turns alone.
        held = _sign(drive, states)
        worst, index = (states * field).min(-1, keepdim=True)
        alone = torch.where(worst < 0, states.scatter(-1, index, -states.gather(-1, index)), states)
        moved = (held != states).any(-1, keepdim=True)
        return torch.where(lower, together, torch.where(moved, held, alone))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        # A saved memory has its own number of features: the empty buffers of a fresh one make room for it.
        for name in ("features", "weights"):
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, getattr(self, name).new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _sign(field: Tensor, otherwise: Tensor) -> Tensor:
    return torch.where(field == 0, otherwise, field.sign())


def _temperature(value: float) -> float:
    if not value >= 0:
        raise ValueError(f"temperature must be 0 or more, not {value}.")
    return float(value)


def _ternary(name: str, values: Tensor, axes: int) -> float:
    """Check entries in {−1, 0, +1} and return the share that is not blank."""
    if values.ndim != axes or not values.is_floating_point():
        raise ValueError(
            f"{name} must be a floating tensor with {axes} axes, not {values.dtype} of shape {tuple(values.shape)}."
        )
    if not values.numel():
        raise ValueError(f"{name} must have an entry, not shape {tuple(values.shape)}.")
    squares = values.square()
    if not torch.equal(squares, values.abs()) or squares.max() > 1:
        raise ValueError(f"{name} must have entries in {{-1, 0, +1}}, not {values.unique()[:4].tolist()}….")
    filled = squares.mean().item()
    if not filled:
        raise ValueError(f"{name} must have an entry that is not 0, not only blanks.")
    return filled
