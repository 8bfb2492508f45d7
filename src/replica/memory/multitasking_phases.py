"""Where the multitasking Hebbian network changes phase: in dilution, temperature and stability."""

import itertools
import math

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from .multitasking_equations import _check, _Equations, _warn_unless_solved, solve_overlaps


def critical_dilution(patterns: int) -> float:
    """Dilution at which the noiseless hierarchical state of K patterns stops being a fixed point.

    Where all patterns are filled, the strongest must outweigh all others even if they agree against it:
    1 − d > Σ_{μ>1} d^(μ−1) (1 − d), that is 1 − 2d + d^K > 0. The root falls from 0.618 (K = 3) to 1/2 (K →
    ∞).

    Args:
        patterns: Number K of patterns.

    Returns:
        The critical dilution; 1 for one or two patterns, whose hierarchy holds at every dilution.

    Raises:
        ValueError: If ``patterns`` is not positive.

    Source: signal-to-noise argument of arXiv 1111.5191 and arXiv 2308.04106.

    Example:
        >>> round(critical_dilution(3), 3), round(critical_dilution(10), 3), critical_dilution(2)
        (0.618, 0.5, 1.0)
    """
    _check(patterns, 0.0)
    if patterns <= 2:
        return 1.0
    # 1 − 2d + d^K = (1 − d)(1 − d − d² − … − d^(K−1)): the second factor alone has a simple root.
    return float(brentq(lambda d: 1 - sum(d**k for k in range(1, patterns)), 0.0, 1.0))


def largest_multiplier(
    data_overlaps: Float[Tensor, " patterns"],
    dilution: float,
    temperature: float,
    *,
    entropy: float = 0.0,
    nodes: int = 401,
) -> float:
    """Growth a step of the fastest small deviation from a fixed point of the equations; stable below 1.

    It is the largest absolute eigenvalue of the Jacobian of n ↦ E[η̄ tanh(g/T)]. Without dataset noise (ρ =
    0) that is the matrix E[ξ_μ ξ_ν (1 − tanh²)] / (T (1 − d)), and below 1 means a minimum of the free
    energy.

    Args:
        data_overlaps: n_μ of `solve_overlaps`.
        dilution: Share d of blank entries.
        temperature: Noise T; positive unless ``entropy`` is.
        entropy: Dataset entropy ρ.
        nodes: Quadrature points.

    Raises:
        ValueError: If an argument is out of range, or both noises are 0.

    Example:
        >>> pure = solve_overlaps(2, 0.3, 0.2, start="pure")
        >>> largest_multiplier(pure.data_overlaps, 0.3, 0.2) > 1  # a single pattern alone is no minimum
        True
    """
    patterns = data_overlaps.shape[0]
    _check(patterns, dilution, temperature, entropy)
    if temperature == 0 and entropy == 0:
        raise ValueError("temperature must be positive where entropy is 0, not 0.")
    equations = _Equations(patterns, dilution, temperature, entropy, nodes)
    if temperature == 0 and equations.has_free_neurons(data_overlaps.to(torch.float64)):
        return math.inf
    jacobian = torch.func.jacrev(equations.data_overlaps)(data_overlaps.to(torch.float64))
    return torch.linalg.eigvals(jacobian).abs().max().item()


def pure_state_temperature(dilution: float) -> float:
    """Lowest temperature at which recall of a single pattern is stable; below it the next one joins in.

    Neurons on which the pattern is blank are free to follow another one, and do so below T = d + (1 − d)(1 −
    q), with q = tanh²(√q/T) the order of the others. It is at least d: at T = 0 no dilution allows a pure
    state.

    Args:
        dilution: Share d of blank entries, in [0, 1).

    Returns:
        The temperature, in units of the critical one; 0 at d = 0, and 1 from d = 2/3 on, where no temperature
        allows a pure state.

    Raises:
        ValueError: If ``dilution`` is out of range.

    Source: stability of the pure state in arXiv 2308.04106, worked out anew in our units.

    Example:
        >>> 0.3 < pure_state_temperature(0.3) < 0.4
        True
    """
    _check(1, dilution)
    if dilution == 0:
        return 0.0
    if dilution >= 2 / 3:  # at T = 1 − ε the order is q = 3ε, and d + (1 − d)(1 − q) − T = ε (3d − 2)
        return 1.0

    def excess(field: float) -> float:
        # The pure state's √q = tanh(√q/T), with the field √q/T as its parameter.
        order = math.tanh(field)
        return dilution + (1 - dilution) * (1 - order**2) - order / field

    field = brentq(excess, 1e-4, 2 / dilution, xtol=1e-12)
    return math.tanh(field) / field


def parallel_dilution(patterns: int, temperature: float, *, entropy: float = 0.0) -> float:
    """Dilution above which recall of all K patterns with equal strength is stable: the parallel regime.

    Args:
        patterns: Number K of patterns, 2 to 10.
        temperature: Noise T, in units of the critical one; positive unless ``entropy`` is.
        entropy: Dataset entropy ρ.

    Returns:
        The dilution, 0 if equal strength is stable even for patterns without blanks.

    Raises:
        ValueError: If an argument is out of range, or both noises are 0, where the regime shrinks to the
        limit d → 1.

    Warns:
        RuntimeWarning: If overlaps were not solved for, as very near to the critical temperature.

    Source: stability of the parallel regime in arXiv 2308.04106, worked out anew in our units.

    Example:
        >>> parallel_dilution(3, 0.2) < parallel_dilution(3, 0.1)
        True
    """
    if patterns < 2:
        raise ValueError(f"patterns must be 2 or more, not {patterns}.")
    _check(patterns, 0.0, temperature, entropy)

    def excess(dilution: float) -> float:
        solution = solve_overlaps(patterns, dilution, temperature, entropy=entropy, start="parallel")
        _warn_unless_solved(solution, "parallel_dilution")
        return largest_multiplier(solution.data_overlaps, dilution, temperature, entropy=entropy) - 1

    low, high = 0.0, 0.995
    # Odd mixtures of patterns without blanks may be stable as well, so the boundary is looked for from above.
    grid = torch.linspace(high, low, 41, dtype=torch.float64).tolist()
    for above, below in itertools.pairwise(grid):
        if excess(below) > 0:
            return float(brentq(excess, below, above, xtol=1e-6)) if excess(above) < 0 else above
    return 0.0
