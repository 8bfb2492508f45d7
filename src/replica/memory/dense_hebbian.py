"""Dense Hebbian memory: patterns stored in interactions of order P among binary neurons, and the neurons' dynamics."""

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replica.training.mixed_precision import in_own_precision

from .dense_hebbian_fields import _powers
from .dense_hebbian_model import DenseHebbianModel


class Relaxed(NamedTuple):
    """Where zero-temperature dynamics ended, and how it got there.

    Attributes:
        spins: final states, entries ±1.
        steps: sweeps over all neurons that each state took until it stood still (or the limit).
        converged: True where the state is a fixed point: no single flip lowers its energy.
    """

    spins: Float[Tensor, "batch dim"]
    steps: Int[Tensor, " batch"]
    converged: Bool[Tensor, " batch"]


class Sampled(NamedTuple):
    """States drawn at positive temperature.

    Attributes:
        spins: states after the last sweep, entries ±1.
        mean: average of each neuron over the sweeps after the burn-in, in [−1, 1].
    """

    spins: Float[Tensor, "batch dim"]
    mean: Float[Tensor, "batch dim"]


class DenseHebbianMemory(DenseHebbianModel):
    r"""Associative memory of N binary neurons that interact in groups of P; order 2 is the Hopfield model.

    Stored vectors η^μ (μ = 1..K) give the energy of a state σ ∈ {−1, +1}^N

        E(σ) = −(N/P) Σ_μ ⟨ η_{i1} σ_{i1} ⋯ η_{iP} σ_{iP} ⟩      (mean over all groups of P different neurons)

    so that a neuron feels the field h_i = Σ_μ η_i^μ ⟨ Π_{P−1 others} η_j σ_j ⟩, which is exactly ξ_i at a stored
    pattern ξ that is alone. For large N the mean over groups is n_μ^P, with n_μ = Σ_i η_i^μ σ_i / N. No tensor
    over P neurons is ever built: means over groups follow from power sums of η_i σ_i (Newton's identities), so all
    fields of a state cost O(P·N·K).

    What is stored is either patterns (`store`), averages over labelled examples, or single examples (`learn`).

    Letters: order P, dim N, number of stored vectors K, inverse temperature `beta` β, overlaps n_μ. The paper
    writes the energy with a prefactor that depends on P alone: it rescales β and changes nothing else.

    Args:
        order: interaction order P ≥ 2.
        coincident: count groups in which a neuron occurs more than once too, as in E = −(N/P) Σ_μ n_μ^P (Krotov
            and Hopfield's form). Both forms agree for order 2 (up to N/(N − 1)); for larger orders this one adds
            interactions of lower order, whose interference takes part of the capacity: the variance of the field is
            (2P−3)!! K/N^{P−1} in place of (P−1)! K/N^{P−1}.
        max_sweeps: limit of sweeps in `relax` and `recall`.

    Raises:
        ValueError: if `order` is below 2 or `max_sweeps` below 1.

    Source: Agliari et al. 2022, arXiv 2212.00606 (model, supervised examples), and arXiv 2211.14067 (unsupervised
    examples); storing (r = 1) is the model of Gardner 1987 and of Baldi and Venkatesh 1987.

    Example:
        >>> patterns = torch.randn(500, 100, generator=torch.Generator().manual_seed(0)).sign()
        >>> memory = DenseHebbianMemory(order=4)
        >>> memory.store(patterns)
        >>> cue = patterns[:3].clone()
        >>> cue[:, :15] *= -1
        >>> bool((memory.recall(cue) == patterns[:3]).all())
        True
    """

    def __init__(self, order: int = 4, *, coincident: bool = False, max_sweeps: int = 100) -> None:
        super().__init__(order, coincident=coincident)
        if max_sweeps < 1:
            raise ValueError(f"max_sweeps is {max_sweeps}; wanted at least 1")
        self.max_sweeps = max_sweeps

    @in_own_precision
    @torch.no_grad()
    def relax(
        self,
        cues: Float[Tensor, "batch dim"],
        *,
        block: int | None = None,
        max_sweeps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Relaxed:
        """Let every neuron follow its field, σ_i ← sign(h_i), until nothing changes.

        All neurons at once is fastest and may end in a cycle (`converged` is False). One at a time the energy
        falls with each flip, so it always ends. Fixed points are the same.

        Args:
            cues: start states, signs count; a zero is an unknown entry, which takes the sign of its field at the
                start.
            block: number of neurons updated at a time; None: all.
            max_sweeps: limit of sweeps; the memory's own if None.
            generator: source of the order of the neurons, drawn anew in each sweep; None: always from first to last.

        Returns:
            States, sweeps taken, and which of them are fixed points.

        Raises:
            ValueError: if `cues` has the wrong shape, or `block` is below 1.
        """
        spins = self._start(cues)
        dim = spins.shape[1]
        if block is not None and block < 1:
            raise ValueError(f"block is {block}; wanted at least 1")
        steps = torch.zeros(len(spins), dtype=torch.long, device=spins.device)
        converged = torch.zeros(len(spins), dtype=torch.bool, device=spins.device)
        active = torch.arange(len(spins), device=spins.device)
        before = spins.clone()
        for _ in range(self.max_sweeps if max_sweeps is None else max_sweeps):
            rows = active
            old = spins if len(active) == len(spins) else spins[active]
            if block is None or block >= dim:
                along = self._spin_field(old).mul_(old)  # negative where a neuron stands against its field
                # A minimum of floats is many times faster than `any` of booleans.
                moving = along.amin(1) < 0
                new = torch.where(along < 0, -old, old)
                converged[active] = ~moving
                steps[active] += moving
                # Updates of all neurons at once end in a fixed point or, as a rule, a cycle of two (at order 2 always).
                moving &= (new * before).amin(1) < 0
            else:
                new = self._sweep(old, None, block, generator)
                moving = (new != old).any(1)
                converged[active] = ~moving
                steps[active] += moving
            active, before = active[moving], old[moving]
            spins = new if old is spins else spins.index_copy(0, rows, new)
            if len(active) == 0:
                break
        else:
            # Those that moved in the last sweep allowed may have come to a fixed point by it.
            final = spins[active]
            converged[active] = (self._spin_field(final) * final).amin(1) >= 0
        return Relaxed(spins, steps, converged)

    def recall(
        self, cues: Float[Tensor, "batch dim"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch dim"]:
        """The stored patterns that damaged cues lead to: all neurons at once, then fewer at a time where that cycles.

        Args:
            cues: signs count; zeros are unknown entries.
            generator: source of the order of the neurons, for the cues whose parallel updates do not settle; None: from
                first to last, so that equal cues always give equal states.

        Returns:
            States with entries ±1.

        Warns:
            RuntimeWarning: if a state is no fixed point after `max_sweeps` sweeps of one neuron at a time.
        """
        spins, _, converged = self.relax(cues)
        # Smaller blocks leave most cycles; single neurons leave all.
        for block in (max(1, spins.shape[1] // 16), 1):
            rest = (~converged).nonzero().squeeze(1)
            if len(rest) == 0:
                break
            settled = self.relax(spins[rest], block=block, generator=generator)
            spins[rest], converged[rest] = settled.spins, settled.converged
        if not bool(converged.all()):
            warnings.warn(
                f"recall: {int((~converged).sum())} of {len(spins)} states still move after "
                f"max_sweeps = {self.max_sweeps} sweeps",
                RuntimeWarning,
                stacklevel=2,
            )
        return spins

    @in_own_precision
    @torch.no_grad()
    def sample(
        self,
        start: Float[Tensor, "batch dim"],
        beta: float | Float[Tensor, " batch"],
        sweeps: int,
        *,
        burn_in: int = 0,
        block: int = 1,
        generator: torch.Generator | None = None,
    ) -> Sampled:
        """Glauber dynamics at inverse temperature β: P(σ_i = +1) = 1 / (1 + exp(−2 β h_i)).

        A sweep visits the neurons in a random order, new in each sweep and shared by the batch, and keeps the
        overlaps up to date with every flip: it costs O(N·K) a state. One neuron at a time the stationary law is
        exp(−β E). Blocks draw several neurons from the same overlaps (the paper's fast scheme), which is far
        cheaper on a wide machine and neglects only the interactions inside a block, a share block/N of all.

        Args:
            start: start states, signs count.
            beta: inverse temperature, one for all or one a state; infinity is the zero-temperature dynamics.
            sweeps: number of sweeps over all neurons.
            burn_in: first sweeps that do not count in the mean.
            block: number of neurons drawn at a time.
            generator: source of order and noise.

        Returns:
            The last states and every neuron's mean.

        Raises:
            ValueError: if a shape is wrong, β is negative, `burn_in` is not below `sweeps`, or `block` is below 1.
        """
        if not 0 <= burn_in < sweeps:
            raise ValueError(f"burn_in is {burn_in}; wanted 0 <= burn_in < sweeps = {sweeps}")
        if block < 1:
            raise ValueError(f"block is {block}; wanted at least 1")
        spins = self._start(start)
        inverse_temperature = torch.as_tensor(beta, dtype=spins.dtype, device=spins.device).expand(len(spins))
        if not bool((inverse_temperature >= 0).all()):
            raise ValueError(f"beta is {beta}; wanted numbers of at least 0")
        mean = torch.zeros_like(spins)
        for sweep in range(sweeps):
            spins = self._sweep(spins, inverse_temperature, block, generator)
            if sweep >= burn_in:
                mean += spins
        return Sampled(spins, mean / (sweeps - burn_in))

    @in_own_precision
    @torch.no_grad()
    def mean_field(
        self,
        start: Float[Tensor, "batch dim"],
        beta: float,
        *,
        steps: int = 500,
        damping: float = 0.5,
        tolerance: float = 1e-6,
    ) -> Float[Tensor, "batch dim"]:
        """Means of all neurons at inverse temperature β without sampling: m_i = tanh(β h_i(m)), iterated from `start`.

        The first order of Plefka's expansion of the free energy, exact for independent neurons, good to O(K/N)
        inside the retrieval phase.

        Args:
            start: start means in [−1, 1].
            beta: inverse temperature.
            steps: limit of iterations.
            damping: share of the old value kept at each step, in [0, 1).
            tolerance: largest change of a mean at which the iteration stops.

        Returns:
            Means in [−1, 1].

        Raises:
            ValueError: if `damping` is outside [0, 1), or the memory counts coincident groups (they are not linear
                in each neuron).

        Warns:
            RuntimeWarning: if means still move by more than the tolerance after the last step.
        """
        if not 0 <= damping < 1:
            raise ValueError(f"damping is {damping}; wanted 0 <= damping < 1")
        if self.coincident:
            raise ValueError("coincident is True; wanted a memory of groups of different neurons")
        mean = start.clone()
        for _ in range(steps):
            new = damping * mean + (1 - damping) * torch.tanh(beta * self.local_field(mean))
            change = (new - mean).abs().max()
            mean = new
            if float(change) < tolerance:
                break
        else:
            warnings.warn(f"mean_field: not within {tolerance:g} after {steps} steps", RuntimeWarning, stacklevel=2)
        return mean

    def _sweep(
        self,
        spins: Float[Tensor, "batch dim"],
        beta: Float[Tensor, " batch"] | None,
        block: int,
        generator: torch.Generator | None,
    ) -> Float[Tensor, "batch dim"]:
        """One sweep over all neurons, `block` at a time; `beta` None: zero temperature."""
        dim = spins.shape[1]
        if beta is None and generator is None:
            order = torch.arange(dim, device=spins.device)
        else:
            order = torch.randperm(dim, generator=generator, device=spins.device)
        columns = self.patterns.T[order]
        original, spins = spins, spins[:, order]
        noise = (
            None
            if beta is None
            else torch.rand(spins.shape, generator=generator, dtype=spins.dtype, device=spins.device)
        )
        field_of = self._binary_field if self._binary else self._real_field
        overlaps_only = self._binary or self.coincident
        sums = [self.overlaps(original)] if overlaps_only else self._group_sums(original, self.order - 1)
        for first in range(0, dim, block):
            here = slice(first, first + block)
            field = field_of(sums, spins[:, here], columns[here])
            if beta is None or noise is None:
                new = torch.where(field == 0, spins[:, here], field.sign())
            else:
                new = _flip(spins[:, here], field, beta.unsqueeze(1), noise[:, here])
            change = new - spins[:, here]
            spins[:, here] = new
            # Sums of even powers do not change with the signs.
            for total, power in zip(sums[::2], _powers(columns[here], len(sums))[::2], strict=True):
                total.addmm_(change, power, alpha=1 / dim if overlaps_only else 1.0)
        return torch.empty_like(spins).index_copy_(1, order, spins)

    def _start(self, cues: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        if self.patterns.numel() and (cues.ndim != 2 or cues.shape[1] != self.patterns.shape[1]):
            raise ValueError(f"cues has shape {tuple(cues.shape)}; wanted (batch, {self.patterns.shape[1]})")
        spins = cues.to(self.patterns.dtype).sign()
        self._check(spins)
        unknown = spins == 0
        if bool(unknown.any()):
            field = self.overlaps(spins) ** (self.order - 1) @ self.patterns
            spins = torch.where(unknown, torch.where(field < 0, -1.0, 1.0).to(spins.dtype), spins)
        return spins


def _flip(old: Tensor, field: Tensor, beta: Tensor, noise: Tensor) -> Tensor:
    # An infinite β times a zero field is NaN: a neuron without a field keeps its state at zero temperature, and
    # tosses a coin above it.
    up = torch.sigmoid(2 * beta * field)
    drawn = torch.where(noise < up, 1.0, -1.0).to(old.dtype)
    return torch.where(torch.isnan(up), old, drawn)
