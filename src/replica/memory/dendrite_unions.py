"""A dendritic segment that holds a union of patterns: how many synapses, how often it fires at the wrong pattern.

Ahmad and Hawkins 2016, "How do neurons operate on sparse distributed representations?", arXiv 1601.00720,
Section 3.3. Their letters as in `dendrite_laws`, and patterns of a union M (`patterns`).
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from .dendrite_laws import _at_least, _counts, _population, log_false_match, log_overlap

# Shares of the occupancy distribution below this are not carried on: they could not move any sum that we give.
_NEGLIGIBLE = 1e-200


def expected_union_synapses(
    cells: ArrayLike | Tensor, synapses: ArrayLike | Tensor, patterns: ArrayLike | Tensor
) -> Float[Tensor, "..."]:
    """Expected number of distinct synapses where M patterns gave a segment s synapses each: n (1 − (1 − s/n)^M).

    Args:
        cells: n ≥ 1; all arguments are whole numbers and broadcast against each other.
        synapses: s of one pattern, from 0 to n.
        patterns: M ≥ 0.

    Raises:
        ValueError: If an argument is no whole number or out of its range.

    Source: arXiv 1601.00720, Eq. (13).

    Example:
        >>> round(expected_union_synapses(20_000, 25, 10).item(), 1)
        248.6
    """
    n, s, m = _counts(cells=cells, synapses=synapses, patterns=patterns)
    _population(n, torch.zeros_like(n), s)
    _at_least("patterns", m, 0)
    return -n * torch.expm1(m * torch.log1p(-s / n))


def union_synapses(cells: int, synapses: int, patterns: int) -> Float[Tensor, " synapses"]:
    r"""Exact distribution of the number of distinct synapses after a union of M random samples of s cells.

    Adding a sample to a segment with x synapses brings s − b new ones, b hypergeometric: an occupancy law, by M
    steps of a Markov chain. Its mean is `expected_union_synapses`.

    Args:
        cells: n.
        synapses: s of one pattern, from 0 to n.
        patterns: M ≥ 0.

    Returns:
        Probabilities of 0, 1, …, min(M s, n) synapses, float64.

    Raises:
        ValueError: If an argument is out of its range.

    Source: ours; the paper replaces the number by its mean.

    Example:
        >>> union_synapses(4, 2, 2).mul(6).round().tolist()  # the same pair, one cell in common, none
        [0.0, 0.0, 1.0, 4.0, 1.0]
    """
    n, s, m = _counts(cells=cells, synapses=synapses, patterns=patterns)
    _population(n, torch.zeros_like(n), s)
    _at_least("patterns", m, 0)
    whole = torch.zeros(min(patterns * synapses, cells) + 1, dtype=torch.float64)
    for step, (first, share) in enumerate(_occupancy(cells, synapses)):
        if step == patterns:
            whole[first : first + len(share)] = share
            break
    return whole


def log_union_false_match(
    cells: int, active: int, synapses: int, threshold: int, patterns: int, *, exact: bool = True
) -> Float[Tensor, ""]:
    r"""Log-probability that a random pattern makes a segment spike that holds a union of M patterns.

    Exact: Σ_x P(x distinct synapses) P(overlap ≥ θ | x), the first from `union_synapses`, the second
    from `log_false_match`. The paper's approximation puts the expected number, rounded, in the place of x; it leaves
    out the spread of x.

    Args:
        cells: n.
        active: a.
        synapses: s that each stored pattern gave.
        threshold: θ.
        patterns: M ≥ 0.
        exact: Whether to sum over the number of distinct synapses, or to take the paper's approximation.

    Raises:
        ValueError: If an argument is out of its range.

    Source: arXiv 1601.00720, Section 3.3; the exact law is ours.

    Example:
        >>> laws = [log_union_false_match(20_000, 200, 25, 15, 10, exact=exact).exp().item() for exact in (True, False)]
        >>> [f"{probability:.2e}" for probability in laws]
        ['3.26e-08', '3.32e-08']
    """
    if not exact:
        return log_false_match(
            cells, active, expected_union_synapses(cells, synapses, patterns).round(), threshold
        )  # fmt: skip
    share = union_synapses(cells, synapses, patterns)
    held = share.nonzero().squeeze(-1)
    return torch.logsumexp(share[held].log() + log_false_match(cells, active, held, threshold), 0)


def union_capacity(cells: int, active: int, synapses: int, threshold: int, *, error: float = 1e-9) -> int:
    """Largest number of patterns in one segment whose false match probability stays within a limit.

    Args:
        cells: n.
        active: a ≥ θ.
        synapses: s that each stored pattern gives, from 1 to n.
        threshold: θ ≥ 1.
        error: The limit, in (0, 1).

    Returns:
        M by the exact law of `log_union_false_match`; 0 if one pattern is too many already.

    Raises:
        ValueError: If an argument is out of its range, or the segment could never spike by chance.

    Source: arXiv 1601.00720, Section 3.3 and Figure 7B, solved for M.

    Example:
        >>> union_capacity(20_000, 200, 25, 15, error=1e-9)
        7
    """
    n, a, s, theta = _counts(cells=cells, active=active, synapses=synapses, threshold=threshold)
    _population(n, a, s)
    _at_least("synapses", s, 1)
    _at_least("threshold", theta, 1)
    if threshold > active:
        raise ValueError(f"threshold is {threshold}; wanted at most active = {active}: else no pattern ever matches")
    if not 0 < error < 1:
        raise ValueError(f"error is {error}; wanted a number in (0, 1)")
    limit = math.log(error)
    capacity = -1
    for first, share in _occupancy(cells, synapses):
        held = torch.arange(first, first + len(share))
        if float(torch.logsumexp(share.log() + log_false_match(cells, active, held, threshold), 0)) > limit:
            break
        capacity += 1
    return capacity


def _occupancy(cells: int, synapses: int) -> Iterator[tuple[int, Tensor]]:
    """For 0, 1, 2, … patterns without end: the least number of synapses, and the probabilities from there on."""
    first, share = 0, torch.ones(1, dtype=torch.float64)
    fresh = torch.arange(synapses + 1)
    while True:
        yield first, share
        held = torch.arange(first, first + len(share))
        step = share.unsqueeze(-1) * log_overlap(cells, held.unsqueeze(-1), synapses, synapses - fresh).exp()
        share = torch.zeros(len(share) + synapses, dtype=torch.float64)
        share.index_add_(0, (held.unsqueeze(-1) - first + fresh).flatten(), step.flatten())
        kept = (share > _NEGLIGIBLE).nonzero()
        low, high = int(kept[0]), int(kept[-1])
        first, share = first + low, share[low : high + 1]
