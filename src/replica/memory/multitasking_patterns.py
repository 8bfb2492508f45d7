"""Patterns with blank entries, noisy examples of them, and the states that hold several at once."""

import torch
from jaxtyping import Float
from torch import Tensor


def diluted_patterns(
    count: int,
    dim: int,
    dilution: float,
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Float[Tensor, "count dim"]:
    """Draw patterns whose entries are 0 with probability ``dilution`` and else −1 or +1, evenly.

    P(ξ = 0) = d, P(ξ = ±1) = (1 − d)/2, all entries independent. The field's letters: count K, dim N,
    dilution d.

    Args:
        count: Number of patterns.
        dim: Number of neurons.
        dilution: Share of blank entries, in [0, 1).
        generator: Where the random numbers come from; its device must be ``device``.
        dtype: Floating dtype of the result.
        device: Where the result lives; the generator's device if None.

    Returns:
        ``(count, dim)`` entries in {−1, 0, +1}.

    Raises:
        ValueError: If a size is not positive or ``dilution`` lies outside [0, 1).

    Source: Agliari, Alessandrelli, Barra, Ricci-Tersenghi 2023 (arXiv 2308.04106).

    Example:
        >>> patterns = diluted_patterns(3, 1000, 0.4, generator=torch.Generator().manual_seed(0))
        >>> patterns.unique().tolist()
        [-1.0, 0.0, 1.0]
    """
    _positive("count", count)
    _positive("dim", dim)
    _dilution(dilution)
    device = _device(device, generator)
    uniform = torch.rand(count, dim, generator=generator, device=device)
    half = (1 - dilution) / 2
    return (uniform < half).to(dtype) - (uniform >= 1 - half).to(dtype)


def noisy_examples(
    patterns: Float[Tensor, "patterns dim"],
    examples: int,
    quality: float,
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "patterns examples dim"]:
    """Draw noisy examples of each pattern: signs flip with probability (1 − r)/2, blanks stay blank.

    η = χ ξ with P(χ = ±1) = (1 ± r)/2, so that E[η | ξ] = r ξ. The field's letters: examples M, quality r.

    Args:
        patterns: ``(patterns, dim)`` entries in {−1, 0, +1}.
        examples: Number of examples of each pattern.
        quality: Mean agreement r of an example with its pattern, in [−1, 1]; 1 copies the pattern, 0 is
            noise.
        generator: Where the random numbers come from, on the device of ``patterns``.

    Returns:
        ``(patterns, examples, dim)``; for nested sets, draw the largest once and cut it.

    Raises:
        ValueError: If ``examples`` is not positive or ``quality`` lies outside [−1, 1].

    Source: arXiv 2308.04106.

    Example:
        >>> patterns = torch.tensor([[1.0, 0.0, -1.0]])
        >>> noisy_examples(patterns, 2, 1.0).tolist()
        [[[1.0, 0.0, -1.0], [1.0, 0.0, -1.0]]]
    """
    _positive("examples", examples)
    if not -1 <= quality <= 1:
        raise ValueError(f"quality must lie in [-1, 1], not {quality}.")
    count, dim = patterns.shape
    uniform = torch.rand(count, examples, dim, generator=generator, device=patterns.device)
    keep = uniform < (1 + quality) / 2
    return torch.where(keep, patterns[:, None], -patterns[:, None])


def hierarchical_state(
    patterns: Float[Tensor, "patterns dim"], *, generator: torch.Generator | None = None
) -> Float[Tensor, " dim"]:
    """The state in which each neuron follows the first pattern that is not blank there.

    σ_i = ξ_i^μ for the smallest μ with ξ_i^μ ≠ 0; a fair coin where all patterns are blank. Its overlaps are
    d^(μ−1) (1 − d) on average (`hierarchical_overlaps`).

    Args:
        patterns: ``(patterns, dim)`` entries in {−1, 0, +1}, strongest first.
        generator: For the coins, on the device of ``patterns``.

    Source: the hierarchical ansatz of arXiv 2308.04106 and of Agliari et al. 2012 (arXiv 1111.5191).

    Example:
        >>> hierarchical_state(torch.tensor([[1.0, 0.0], [-1.0, -1.0]])).tolist()
        [1.0, -1.0]
    """
    state = _coins(patterns[0], generator)
    for pattern in patterns.flip(0):
        state = torch.where(pattern == 0, state, pattern)
    return state


def parallel_state(
    patterns: Float[Tensor, "patterns dim"], *, generator: torch.Generator | None = None
) -> Float[Tensor, " dim"]:
    """The state in which each neuron follows the majority of the patterns that are not blank there.

    σ_i = sign(Σ_μ ξ_i^μ); a fair coin where the sum is 0. All its overlaps are equal on average
    (`parallel_overlap`).

    Args:
        patterns: ``(patterns, dim)`` entries in {−1, 0, +1}.
        generator: For the coins, on the device of ``patterns``.

    Source: the parallel ansatz of arXiv 2308.04106.

    Example:
        >>> parallel_state(torch.tensor([[1.0, 0.0], [1.0, -1.0], [-1.0, 0.0]])).tolist()
        [1.0, -1.0]
    """
    total = patterns.sum(0)
    return torch.where(total == 0, _coins(total, generator), total.sign())


def _coins(like: Tensor, generator: torch.Generator | None) -> Tensor:
    heads = torch.rand(like.shape, generator=generator, device=like.device) < 0.5
    return torch.where(heads, 1.0, -1.0).to(like.dtype)


def _device(device: torch.device | str | None, generator: torch.Generator | None) -> torch.device | str | None:
    return generator.device if device is None and generator is not None else device


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}.")


def _dilution(value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"dilution must lie in [0, 1), not {value}.")
