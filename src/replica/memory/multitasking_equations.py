"""Theory of the multitasking Hebbian network at low load: how strongly each of a few patterns is recalled."""

import math
import warnings
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Start = Literal["hierarchical", "parallel", "pure"]


class OverlapSolution(NamedTuple):
    """A fixed point of the self-consistency equations.

    Attributes:
        overlaps: Overlap m_μ of the state with each pattern, in [−(1 − d), 1 − d].
        data_overlaps: Overlap n_μ with the average example over r, ``overlaps`` itself if there is no
            dataset noise.
        change: Largest change in the last iteration.
        iterations: How many were made.
        converged: Whether the change came down to the tolerance; if not, this is no solution yet.
    """

    overlaps: Float[Tensor, " patterns"]
    data_overlaps: Float[Tensor, " patterns"]
    change: float
    iterations: int
    converged: bool

    @property
    def example_multiplier(self) -> Float[Tensor, " patterns"]:
        """Growth a step of differences between a class's examples, 1 − m_μ/n_μ: the modes a teacher removes.

        Without a teacher every example is a feature of its own. Linearising around a state that treats the
        examples of a class alike, a difference δ between two of them becomes δ · (ρ/(1 + ρ)) E[ξ_μ² (1 −
        tanh²)] / (T (1 − d)), which by the equation for n_μ is 1 − m_μ/n_μ < 1: such differences always die
        out. Hence teacher or not, the states are the same, and so are the thresholds for learning them (N →
        ∞, M large).
        """
        return 1 - self.overlaps / self.data_overlaps


def hierarchical_overlaps(patterns: int, dilution: float) -> Float[Tensor, " patterns"]:
    """Overlaps of the hierarchical state, m_μ = d^(μ−1) (1 − d): each takes what the stronger leave blank.

    A noiseless fixed point for dilutions below `critical_dilution`.

    Args:
        patterns: Number K of patterns.
        dilution: Share d of blank entries, in [0, 1).

    Raises:
        ValueError: If an argument is out of range.

    Source: arXiv 2308.04106 (hierarchical regime: amplitudes are a power law).

    Example:
        >>> hierarchical_overlaps(3, 0.5).tolist()
        [0.5, 0.25, 0.125]
    """
    _check(patterns, dilution)
    return (1 - dilution) * torch.tensor(dilution, dtype=torch.float64) ** torch.arange(patterns)


def parallel_overlap(patterns: int, dilution: float) -> float:
    """Overlap of the majority state σ = sign(Σ_μ ξ^μ) with each pattern: all raised with the same strength.

    m = (1 − d) [P(S = 0) + P(S = 1)] with S the sum of the other K − 1 entries: what the neuron adds to
    their sum decides if that is 0, and if it is −1 makes a tie that counts nothing.

    Args:
        patterns: Number K of patterns.
        dilution: Share d of blank entries, in [0, 1).

    Returns:
        m, which tends to 1 − d as d → 1.

    Raises:
        ValueError: If an argument is out of range.

    Source: the parallel regime of arXiv 2308.04106; the closed form is ours.

    Example:
        >>> parallel_overlap(1, 0.25), parallel_overlap(3, 0.0)
        (0.75, 0.5)
    """
    _check(patterns, dilution)
    others, filled = patterns - 1, 1 - dilution

    def sum_is(value: int) -> float:
        # j entries are filled; (j + value)/2 of them are +1.
        return sum(
            math.comb(others, j) * filled**j * dilution ** (others - j) * math.comb(j, (j + value) // 2) / 2**j
            for j in range(value, others + 1, 2)
        )

    return filled * (sum_is(0) + sum_is(1))


def solve_overlaps(
    patterns: int,
    dilution: float,
    temperature: float,
    *,
    entropy: float = 0.0,
    start: Start | Float[Tensor, " patterns"] = "hierarchical",
    tolerance: float = 1e-10,
    max_iterations: int = 10_000,
    nodes: int = 401,
) -> OverlapSolution:
    """Solve the self-consistency equations of K patterns in a network of infinitely many neurons.

    With ξ ∈ {−1, 0, 1}^K and a standard Gaussian Z, the field on a neuron is

        g = [Σ_μ n_μ ξ_μ + Z √(ρ Σ_μ n_μ² ξ_μ²)] / ((1 − d)(1 + ρ)),

    and the equations are

        m_μ = E[ξ_μ tanh(g/T)],   n_μ = m_μ + ρ n_μ E[ξ_μ² (1 − tanh²(g/T))] / (T (1 − d)(1 + ρ)),

    with their limits at T = 0 (sign, error function). They hold for a memory that stored the patterns (ρ =
    0) and for one that learned them from many examples a pattern, with a teacher or without
    (`OverlapSolution.example_multiplier`). Expectations are exact sums over the 3^K values of ξ and a
    quadrature over Z.

    Args:
        patterns: Number K of patterns, 1 to 10.
        dilution: Share d of blank entries, in [0, 1).
        temperature: Noise T ≥ 0, in units of the critical one (as in `MultitaskingMemory`).
        entropy: Dataset entropy ρ ≥ 0 (`dataset_entropy`).
        start: Where the iteration begins: ``"hierarchical"``; ``"parallel"`` or ``"pure"``, which also stay
            among equal overlaps or a single one, stable or not (`largest_multiplier` tells); or overlaps of
            one's own.
        tolerance: Largest change of an overlap at which the iteration stops.
        max_iterations: Number of iterations at which it stops in any case.
        nodes: Quadrature points for Z; more are needed if T is far below √ρ but positive.

    Returns:
        `OverlapSolution` in float64.

    Raises:
        ValueError: If an argument is out of range.

    Source: low-load self-consistency equations of arXiv 2308.04106, in the weights of `MultitaskingMemory`.

    Example:
        >>> solve_overlaps(3, 0.25, 0.0).overlaps.tolist()
        [0.75, 0.1875, 0.046875]
    """
    _check(patterns, dilution, temperature, entropy)
    current = _first_overlaps(start, patterns, dilution)
    equations = _Equations(patterns, dilution, temperature, entropy, nodes)
    change, iteration = math.inf, 0
    while change > tolerance and iteration < max_iterations:
        updated = _held(equations.data_overlaps(current), start)
        change = (updated - current).abs().max().item()
        current, iteration = updated.clone(), iteration + 1
    return OverlapSolution(equations.overlaps(current), current, change, iteration, change <= tolerance)


def _first_overlaps(start: Start | Tensor, patterns: int, dilution: float) -> Float[Tensor, " patterns"]:
    """Where the iteration begins."""
    if isinstance(start, Tensor):
        if start.shape != (patterns,):
            raise ValueError(f"start must have shape ({patterns},), not {tuple(start.shape)}.")
        return start.to(torch.float64).clone()
    if start == "hierarchical":
        return hierarchical_overlaps(patterns, dilution)
    if start == "parallel":
        return torch.full((patterns,), parallel_overlap(patterns, dilution), dtype=torch.float64)
    if start == "pure":
        return torch.tensor([1 - dilution] + [0.0] * (patterns - 1), dtype=torch.float64)
    raise ValueError(f'start must be "hierarchical", "parallel", "pure" or a tensor, not {start!r}.')


def _held(overlaps: Float[Tensor, " patterns"], start: Start | Tensor) -> Float[Tensor, " patterns"]:
    """On the symmetry of the start, which rounding must not break."""
    if isinstance(start, str) and start == "parallel":
        return overlaps.mean().expand(len(overlaps))
    if isinstance(start, str) and start == "pure":
        return torch.cat([overlaps[:1], torch.zeros_like(overlaps[1:])])
    return overlaps


def _warn_unless_solved(solution: OverlapSolution, used_by: str) -> None:
    """For what rests on solutions and has no place to say that one is none."""
    if not solution.converged:
        warnings.warn(
            f"{used_by}: overlaps still change by {solution.change:.1e} after {solution.iterations} iterations",
            RuntimeWarning,
            stacklevel=3,
        )


class _Equations:
    """The right-hand sides for one network: exact over patterns, quadrature over dataset noise."""

    def __init__(self, patterns: int, dilution: float, temperature: float, entropy: float, nodes: int):
        if patterns > 10:
            raise ValueError(f"patterns must be 10 or fewer for sums over 3^patterns columns, not {patterns}.")
        values = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
        chances = torch.tensor([(1 - dilution) / 2, dilution, (1 - dilution) / 2], dtype=torch.float64)
        columns = torch.cartesian_prod(*[values] * patterns).reshape(-1, patterns)
        weights = torch.cartesian_prod(*[chances] * patterns).reshape(-1, patterns).prod(-1)
        # ξ and −ξ contribute alike and ξ = 0 nothing: half of the columns do, counted twice.
        self.columns, self.chances = columns[3**patterns // 2 + 1 :], 2 * weights[3**patterns // 2 + 1 :]
        self.temperature, self.entropy = temperature, entropy
        self.scale = (1 - dilution) * (1 + entropy)
        # Equal steps: they resolve tanh as well as the Gaussian, and converge geometrically for both.
        self.noise = torch.linspace(-8.5, 8.5, nodes if entropy and temperature else 1, dtype=torch.float64)
        if self.noise.numel() == 1:
            self.noise = torch.zeros(1, dtype=torch.float64)
        self.density = torch.softmax(-self.noise.square() / 2, 0)

    def _moments(self, data_overlaps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean activity and mean susceptibility (per unit of Σ n ξ) of a neuron, for each value of ξ."""
        signal = self.columns @ data_overlaps
        variance = self.entropy * (self.columns.square() @ data_overlaps.square())
        # A neuron blank for all recalled patterns has no field: a spread of 1 avoids 0/0 in its activity.
        spread = torch.where(variance > 0, variance, 1.0).sqrt()
        if self.temperature:
            spread = spread * (variance > 0)
            field = signal[:, None] + (spread[:, None] * self.noise if self.entropy else 0.0)
            activity = torch.tanh(field / (self.scale * self.temperature))
            slope = (1 - activity.square()) / (self.scale * self.temperature)
            return activity @ self.density, slope @ self.density
        if self.entropy:
            ratio = signal / spread
            slope = math.sqrt(2 / math.pi) * torch.exp(-ratio.square() / 2) / spread
            return torch.special.erf(ratio / math.sqrt(2)), torch.where(variance > 0, slope, 0.0)
        # In units of the largest overlap, equal overlaps cancel exactly.
        signal = self.columns @ (data_overlaps / data_overlaps.abs().max().clamp_min(1e-300))
        return signal.sign(), torch.zeros_like(signal)

    def has_free_neurons(self, data_overlaps: Tensor) -> bool:
        """Whether some neurons are filled only for patterns not recalled: any field would turn them."""
        free = (self.columns.square() @ data_overlaps.square() == 0) & (self.columns != 0).any(-1)
        return bool((free & (self.chances > 0)).any())

    def overlaps(self, data_overlaps: Tensor) -> Tensor:
        activity, _ = self._moments(data_overlaps)
        return (self.chances * activity) @ self.columns

    def data_overlaps(self, data_overlaps: Tensor) -> Tensor:
        activity, slope = self._moments(data_overlaps)
        learned = (self.chances * activity) @ self.columns
        return learned + self.entropy * data_overlaps * ((self.chances * slope) @ self.columns.square())


def _check(patterns: int, dilution: float, temperature: float = 0.0, entropy: float = 0.0) -> None:
    if patterns < 1:
        raise ValueError(f"patterns must be 1 or more, not {patterns}.")
    if not 0 <= dilution < 1:
        raise ValueError(f"dilution must lie in [0, 1), not {dilution}.")
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 or more, not {temperature}.")
    if not entropy >= 0:
        raise ValueError(f"entropy must be 0 or more, not {entropy}.")
