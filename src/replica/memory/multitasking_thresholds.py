"""How many examples the multitasking Hebbian network needs: entropy of a data set, thresholds of learning."""

import math

from jaxtyping import Float
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor

from .multitasking_equations import _warn_unless_solved, solve_overlaps


def dataset_entropy(quality: float, examples: float) -> float:
    """Dataset entropy ρ = (1 − r²)/(M r²): the variance of an average of M examples over that of its signal.

    Args:
        quality: Mean agreement r of an example with its pattern, in (0, 1].
        examples: Number M of examples a pattern.

    Raises:
        ValueError: If ``quality`` or ``examples`` is out of range.

    Source: arXiv 2308.04106.

    Example:
        >>> round(dataset_entropy(0.5, 6), 12)
        0.5
    """
    return examples_for_entropy(quality, 1.0) / _positive("examples", examples)


def examples_for_entropy(quality: float, entropy: float) -> float:
    """Number of examples M = (1 − r²)/(ρ r²) at which the dataset has entropy ρ.

    Example:
        >>> round(examples_for_entropy(0.5, 0.5), 12)
        6.0
    """
    if not 0 < quality <= 1:
        raise ValueError(f"quality must lie in (0, 1], not {quality}.")
    return (1 - quality**2) / (quality**2 * _positive("entropy", entropy))


def relative_signal(
    overlaps: Float[Tensor, "*batch patterns"], stored: Float[Tensor, " patterns"]
) -> Float[Tensor, "*batch"]:
    """Strength of recall over all patterns at once, √(Σ_μ m_μ² / Σ_μ m_μ²(stored)): 1 if as well as stored.

    Its square is the ratio of the two costs on the true patterns.

    Example:
        >>> import torch
        >>> relative_signal(torch.tensor([0.3, 0.4]), torch.tensor([0.6, 0.8])).item()
        0.5
    """
    return (overlaps.square().sum(-1) / stored.square().sum().to(overlaps)).sqrt()


def learning_threshold(
    quality: float, patterns: int, dilution: float, *, temperature: float = 0.0, level: float = 0.9
) -> float:
    """Number of examples a pattern from which recall reaches a share ``level`` of that of stored patterns.

    The equations know the dataset by its entropy only, so the threshold is M = (1 − r²)/(r² ρ*), with ρ* the
    entropy at which `relative_signal` of the state continued from the hierarchical one falls to ``level``.

    Args:
        quality: Mean agreement r of an example with its pattern, in (0, 1).
        patterns: Number K of patterns.
        dilution: Share d of blank entries.
        temperature: Noise T, in [0, 1).
        level: The share asked for, in (0, 1).

    Returns:
        M, not rounded; the same with and without a teacher when N is large. (In our simulations, r = 0.2, K = 3,
        learning without one took 4 % more examples at N = 8,192 and 1 % more at N = 32,768.)

    Raises:
        ValueError: If an argument is out of range.

    Warns:
        RuntimeWarning: If overlaps were not solved for, as very near to the critical temperature.

    Source: "the thresholds for learning" of arXiv 2308.04106; ``level`` makes one number of a crossover.

    Example:
        >>> 40 < learning_threshold(0.2, 1, 0.0, level=0.9) < 70
        True
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), not {level}.")
    if not 0 <= temperature < 1:
        raise ValueError(f"temperature must lie in [0, 1) for patterns to be recalled, not {temperature}.")

    def overlaps(entropy: float) -> Tensor:
        solution = solve_overlaps(patterns, dilution, temperature, entropy=entropy)
        _warn_unless_solved(solution, "learning_threshold")
        return solution.overlaps

    stored = overlaps(0.0)

    def excess(log_entropy: float) -> float:
        return relative_signal(overlaps(math.exp(log_entropy)), stored).item() - level

    return examples_for_entropy(quality, math.exp(brentq(excess, math.log(1e-3), math.log(1e3), xtol=1e-5)))


def signal_to_noise_examples(quality: float, level: float = 0.9) -> float:
    """Examples a pattern from which one noiseless step keeps a share (1 + level)/2 of its neurons right.

    Starting from the pattern itself, a neuron's field is 1 + Z √ρ of the right sign, so its mean agreement
    after the step is erf(1/√(2ρ)) ≥ level, that is M ≥ 2 Θ² (1 − r²)/r² with Θ = erf⁻¹(level).

    Example:
        >>> round(signal_to_noise_examples(0.2), 1)
        64.9
    """
    return examples_for_entropy(quality, 1 / float(norm.ppf((1 + level) / 2)) ** 2)


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name} must be positive, not {value}.")
    return value
