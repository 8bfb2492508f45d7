"""The problem recall's own methods: random guess, nearest neighbour, two classical Hopfield networks."""

from __future__ import annotations

import torch
from torch import Tensor

from replica.lab.claims import Trial
from replica.lab.problems.baseline import Baselines

baselines = Baselines()


class RandomGuess:
    """Gives back a stored pattern drawn at random: what a method is worth that does not look at its cue.

    Args:
        generator: Where the draws come from.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def store(self, patterns: Tensor) -> None:
        """Keep the patterns, of shape ``(count, dim)``."""
        self.patterns = patterns

    def recall(self, cues: Tensor) -> Tensor:
        """Give back one of the patterns for each cue of shape ``(batch, dim)``."""
        drawn = torch.randint(len(self.patterns), (len(cues),), generator=self.generator)
        return self.patterns[drawn.to(self.patterns.device)]


class NearestNeighbour:
    """Gives back the stored pattern nearest to the cue in the Euclidean metric (Cover and Hart, 1967, with
    one neighbour).

    For ±1 patterns and cues this is the smallest Hamming distance, the maximum-likelihood guess under
    independent flips; under Gaussian noise it is the maximum-likelihood guess for any patterns.
    """

    def store(self, patterns: Tensor) -> None:
        """Keep the patterns, of shape ``(count, dim)``."""
        self.patterns = patterns
        self.half_squared_norms = patterns.square().sum(dim=1) / 2

    def recall(self, cues: Tensor) -> Tensor:
        """Give back the nearest pattern (of equally near ones the first) for cues of shape ``(batch, dim)``."""
        # |x - p|² / 2 = |x|² / 2 - x·p + |p|² / 2, and the first term is the same for all patterns.
        scores = cues @ self.patterns.T - self.half_squared_norms
        return self.patterns[scores.argmax(dim=1)]


class _SpinNetwork:
    """Zero-temperature dynamics of ±1 neurons with couplings J = F Fᵀ whose diagonal is removed.

    Neurons are updated one after another, in a new random order each sweep; each takes the sign of its field
    h_i = Σ_{j≠i} J_ij s_j and keeps its state where the field vanishes. J is symmetric without
    self-coupling, so the energy −½ Σ_ij J_ij s_i s_j falls with every flip and the dynamics ends in a fixed
    point (Hopfield, 1982). All cues are updated side by side, and J is never built: fields come from the
    overlaps s F.
    """

    tolerance: float
    """Smaller fields count as none: there only rounding would decide."""

    def __init__(self, generator: torch.Generator | None = None, max_sweeps: int = 100) -> None:
        if max_sweeps < 1:
            raise ValueError(f"max_sweeps must be 1 or more, not {max_sweeps}.")
        self.generator = generator
        self.max_sweeps = max_sweeps
        self.factor: Tensor

    def recall(self, cues: Tensor) -> Tensor:
        """Let each cue of shape ``(batch, dim)`` run into a fixed point, or at most ``max_sweeps`` sweeps."""
        factor, self_couplings = self.factor, self.factor.square().sum(dim=1)
        states = cues.to(factor.dtype).T.clone(memory_format=torch.contiguous_format)  # (dim, batch): a neuron is a row
        moving = torch.arange(states.shape[1], device=states.device)
        for _ in range(self.max_sweeps):
            before = states[:, moving]
            after = before.clone()
            overlaps = factor.T @ after  # (rank, batch), afresh each sweep: updates in place gather rounding errors
            for i in torch.randperm(len(after), generator=self.generator).tolist():
                row, old = factor[i], after[i]
                field = row @ overlaps - self_couplings[i] * old
                new = torch.where(field.abs() > self.tolerance, field.sign(), old)
                overlaps.addr_(row, new - old)
                after[i] = new
            states[:, moving] = after
            moving = moving[(after != before).any(dim=0)]
            if not len(moving):
                break
        # A neuron that no field ever reached keeps what the cue said, 0 if that was nothing.
        return states.sign().T


class HebbHopfield(_SpinNetwork):
    """The classical Hopfield network (Hopfield, 1982): Hebb's rule J = XᵀX, at zero temperature.

    Stores about 0.138 N random patterns (Amit, Gutfreund and Sompolinsky, 1985), fewer where patterns
    resemble each other.

    Args:
        generator: Where the order of updates comes from.
        max_sweeps: Stop after this many updates of every neuron.
    """

    tolerance = 1e-3  # between ±1 states fields are whole numbers

    def store(self, patterns: Tensor) -> None:
        """Learn ±1 patterns X of shape ``(count, dim)``."""
        self.factor = patterns.T.contiguous()


class PseudoInverseHopfield(_SpinNetwork):
    """The Hopfield network with the projection rule (Personnaz, Guyon and Dreyfus, 1985): J = X⁺X, at zero
    temperature.

    J projects on the span of the patterns, so correlated patterns are stored as well as random ones, up to N
    linearly independent ones. Self-coupling is removed, which widens the basins of attraction (Kanter and
    Sompolinsky, 1987).

    Args:
        generator: Where the order of updates comes from.
        max_sweeps: Stop after this many updates of every neuron.
    """

    tolerance = 1e-4  # fields of stored patterns are 1 − P_ii, of the order of 1 / dim or more unless they vanish

    def store(self, patterns: Tensor) -> None:
        """Learn ±1 patterns X of shape ``(count, dim)``: keep an orthonormal basis of their span."""
        # The right singular vectors span the same space as X⁺ needs, also where patterns depend on each other.
        _, singular, basis = torch.linalg.svd(patterns, full_matrices=False)
        rank = int((singular > singular[0] * max(patterns.shape) * torch.finfo(patterns.dtype).eps).sum())
        self.factor = basis[:rank].T.contiguous()


@baselines.entry("random-guess", "a stored pattern drawn at random: the trivial method")
def random_guess(trial: Trial) -> RandomGuess:
    """Draws from the trial."""
    return RandomGuess(trial.generator("random-guess", "cpu"))


@baselines.entry("nearest-neighbour", "the stored pattern nearest to the cue: what people use today")
def nearest_neighbour(trial: Trial) -> NearestNeighbour:
    """Takes no randomness."""
    return NearestNeighbour()


@baselines.entry("hopfield-hebb", "the classical Hopfield network, Hebb's rule (Hopfield, 1982)", values=("binary",))
def hopfield_hebb(trial: Trial) -> HebbHopfield:
    """The order of updates comes from the trial."""
    return HebbHopfield(trial.generator("hopfield-hebb", "cpu"))


@baselines.entry(
    "hopfield-projection",
    "the Hopfield network with the projection rule (Personnaz et al., 1985)",
    values=("binary",),
)
def hopfield_projection(trial: Trial) -> PseudoInverseHopfield:
    """The order of updates comes from the trial."""
    return PseudoInverseHopfield(trial.generator("hopfield-projection", "cpu"))
