"""How often a dendritic segment fires at the wrong pattern, or misses its own: exact laws, as logarithms.

Ahmad and Hawkins 2016, "How do neurons operate on sparse distributed representations?", arXiv 1601.00720. Their
letters: potential presynaptic cells n (`cells`), active cells a (`active`), synapses on a segment s (`synapses`),
spike threshold θ (`threshold`), active cells that noise swaps for others v (`changed`), patterns of a union M
(`patterns`). Every probability here is a natural logarithm, so that nothing under- or overflows.

A hypergeometric probability is a ratio of three binomial ones, and those are taken from their distance to the mean
(Loader 2000, "Fast and accurate computation of binomial probabilities") instead of from differences of log-factorials,
whose rounding grows with n: at n = 200,000 the relative error stays below 1e-12 (5e-15 where we
checked it against exact fractions); log-factorials leave 1e-9.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor

# Shares of the occupancy distribution below this are not carried on: they could not move any sum that we give.
_NEGLIGIBLE = 1e-200


class ThresholdRange(NamedTuple):
    """Thresholds between which both errors are small; there are none where ``lowest`` exceeds ``highest``.

    Attributes:
        lowest: smallest threshold whose false match probability is within the limit.
        highest: largest threshold whose false negative probability is within the limit.
    """

    lowest: Int[Tensor, "..."]
    highest: Int[Tensor, "..."]


def log_overlap(
    cells: ArrayLike | Tensor, active: ArrayLike | Tensor, synapses: ArrayLike | Tensor, overlap: ArrayLike | Tensor
) -> Float[Tensor, "..."]:
    r"""Log-probability that exactly b of a random pattern's active cells have a synapse on the segment.

    P(b) = C(s, b) C(n − s, a − b) / C(n, a), the hypergeometric law.

    Args:
        cells: n ≥ 1; all arguments are whole numbers and broadcast against each other.
        active: a, from 0 to n.
        synapses: s, from 0 to n.
        overlap: b; outside its range the probability is 0.

    Returns:
        ln P(b), float64, of the broadcast shape.

    Raises:
        ValueError: If an argument is no whole number or out of its range.

    Source: arXiv 1601.00720, Eqs. (2) to (4).

    Example:
        >>> log_overlap(4, 2, 2, [0, 1, 2]).exp().mul(6).round(decimals=9).tolist()  # six pairs: one, four and one
        [1.0, 4.0, 1.0]
    """
    n, a, s, b = _counts(cells=cells, active=active, synapses=synapses, overlap=overlap)
    _population(n, a, s)
    return _log_hypergeometric(n, a, s, b)


def log_false_match(
    cells: ArrayLike | Tensor, active: ArrayLike | Tensor, synapses: ArrayLike | Tensor, threshold: ArrayLike | Tensor
) -> Float[Tensor, "..."]:
    r"""Log-probability that a random pattern makes a segment spike.

    P(overlap ≥ θ) = Σ_{b ≥ θ} C(s, b) C(n − s, a − b) / C(n, a).

    Args:
        cells: n ≥ 1; all arguments are whole numbers and broadcast against each other.
        active: a, from 0 to n.
        synapses: s, from 0 to n.
        threshold: θ; the probability is 1 at 0 and below, 0 above s or a.

    Returns:
        ln P, float64, of the broadcast shape.

    Raises:
        ValueError: If an argument is no whole number or out of its range.

    Source: arXiv 1601.00720, Eq. (4).

    Example:
        >>> log10 = log_false_match(200_000, 2_000, 24, 12) / math.log(10)
        >>> round(log10.item(), 3)  # about 2 in 10^18
        -17.63
    """
    n, a, s, theta = _counts(cells=cells, active=active, synapses=synapses, threshold=threshold)
    _population(n, a, s)
    return _tail(n, a, s, theta)[0]


def log_false_negative(
    active: ArrayLike | Tensor, synapses: ArrayLike | Tensor, threshold: ArrayLike | Tensor, changed: ArrayLike | Tensor
) -> Float[Tensor, "..."]:
    r"""Log-probability that a segment misses its own pattern, some of whose active cells were swapped for others.

    The s synapses are a random sample of the a active cells, and v of those fall silent while v cells outside the
    pattern become active. The number k of synapses that fall silent is hypergeometric, and the segment misses when
    fewer than θ remain:

        P(s − k < θ) = Σ_{k > s − θ} C(s, k) C(a − s, v − k) / C(a, v).

    The new cells have no synapse here, so n does not matter.

    Args:
        active: a ≥ 1; all arguments are whole numbers and broadcast against each other.
        synapses: s, from 0 to a.
        threshold: θ.
        changed: v, from 0 to a.

    Returns:
        ln P, float64, of the broadcast shape.

    Raises:
        ValueError: If an argument is no whole number or out of its range.

    Source: arXiv 1601.00720, Eqs. (5) and (6).

    Example:
        >>> log_false_negative(300, 30, 12, 60).exp().item() < 1e-7  # a fifth of 300 active cells changed
        True
    """
    a, s, theta, v = _counts(active=active, synapses=synapses, threshold=threshold, changed=changed)
    _at_least("active", a, 1)
    _between("synapses", s, a, "active")
    _between("changed", v, a, "active")
    return _tail(a, v, s, s - theta + 1)[0]


def log_any_match(log_probability: ArrayLike | Tensor, segments: ArrayLike | Tensor) -> Float[Tensor, "..."]:
    r"""Log-probability that at least one of M independent segments spikes: ln(1 − (1 − p)^M).

    Exact for segments drawn independently of each other; M p, the paper's upper bound, is its limit for rare matches.

    Args:
        log_probability: ln p ≤ 0 of one segment.
        segments: M ≥ 0; broadcasts against the first.

    Raises:
        ValueError: If ``log_probability`` is above 0 or ``segments`` is no whole number of at least 0.

    Source: arXiv 1601.00720, Eqs. (8) and (9).

    Example:
        >>> log_any_match(math.log(0.5), 2).exp().item()
        0.75
    """
    (m,) = _counts(segments=segments)
    _at_least("segments", m, 0)
    log_p = torch.as_tensor(log_probability, dtype=torch.float64, device=m.device)
    if bool((log_p > 0).any()):
        raise ValueError(f"log_probability is {float(log_p.max())} at the most; wanted numbers of at most 0")
    # −ln(1 − p) is p (1 + p/2 + …): for the smallest p it is taken as a logarithm, which does not underflow.
    log_hazard = torch.where(log_p < -40, log_p, (-_log1mexp(log_p)).log()) + m.log()
    hazard = log_hazard.exp()
    return torch.where(log_hazard < -40, log_hazard, (-torch.expm1(-hazard)).log())


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


def threshold_range(
    cells: ArrayLike | Tensor,
    active: ArrayLike | Tensor,
    synapses: ArrayLike | Tensor,
    changed: ArrayLike | Tensor = 0,
    *,
    error: float = 1e-9,
) -> ThresholdRange:
    """Thresholds at which a segment neither matches at random nor misses its own pattern under noise.

    Args:
        cells: n; the first four arguments are whole numbers and broadcast against each other.
        active: a.
        synapses: s, from 0 to a.
        changed: v active cells swapped for others.
        error: The limit of both probabilities, in (0, 1).

    Returns:
        Lowest and highest threshold, int64, each of the broadcast shape.

    Raises:
        ValueError: If an argument is no whole number or out of its range.

    Source: arXiv 1601.00720, Section 4.3; taking misses into account as well is ours.

    Example:
        >>> lowest, highest = threshold_range(10_000, 300, 30, changed=60)
        >>> lowest.item(), highest.item()
        (11, 10)
    """
    if not 0 < error < 1:
        raise ValueError(f"error is {error}; wanted a number in (0, 1)")
    n, a, s, v = torch.broadcast_tensors(*_counts(cells=cells, active=active, synapses=synapses, changed=changed))
    theta = torch.arange(int(s.max()) + 2, dtype=torch.float64, device=s.device) if s.numel() else s.new_zeros(1)
    wide = [value.unsqueeze(-1) for value in (n, a, s, v)]
    match = log_false_match(wide[0], wide[1], wide[2], theta)
    miss = log_false_negative(wide[1], wide[2], theta, wide[3])
    limit = math.log(error)
    return ThresholdRange((match > limit).sum(-1), (miss <= limit).sum(-1) - 1)


# --- The arithmetic


def _tail(n: Tensor, a: Tensor, s: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities that the overlap is at least θ and that it is less, each to rounding."""
    most = int(torch.minimum(a, s).max()) if a.numel() and s.numel() else 0
    b = torch.arange(most + 1, dtype=torch.float64, device=n.device)
    # The law does not know the threshold: it is worked out once for all thresholds that it is asked for.
    log_p = _log_hypergeometric(n.unsqueeze(-1), a.unsqueeze(-1), s.unsqueeze(-1), b)
    reached = b >= theta.unsqueeze(-1)
    upper = torch.logsumexp(log_p.masked_fill(~reached, -math.inf), -1)
    lower = torch.logsumexp(log_p.masked_fill(reached, -math.inf), -1)
    # The smaller of the two is a sum of small numbers; the larger is 1 minus that.
    return torch.where(upper > lower, _log1mexp(lower), upper), torch.where(upper > lower, lower, _log1mexp(upper))


def _log_hypergeometric(n: Tensor, a: Tensor, s: Tensor, b: Tensor) -> Tensor:
    """Hypergeometric ln[C(s, b) C(n − s, a − b) / C(n, a)] as Bin(b; s, p) Bin(a − b; n − s, p) / Bin(a; n, p) with p = a/n."""
    possible = (b >= 0) & (b <= s) & (b <= a) & (a - b <= n - s)
    certain = (a == 0) | (a == n)  # all cells or none: the overlap is s or 0, and possible says which
    n_, a_ = torch.where(certain, torch.full_like(n, 2.0), n), torch.where(certain, torch.ones_like(a), a)
    keep = possible & ~certain
    one, none = torch.ones_like(b), torch.zeros_like(b)
    s_ = torch.where(keep, s, one)
    b_ = torch.where(keep, b, none)
    rest = torch.where(keep, n - s, one)
    others = torch.where(keep, a - b, none)
    p, q = a_ / n_, (n_ - a_) / n_
    log_p = _log_binomial(b_, s_, p, q) + _log_binomial(others, rest, p, q) - _log_binomial(a_, n_, p, q)
    log_p = torch.where(certain, torch.zeros_like(log_p), log_p)
    return torch.where(possible, log_p, torch.full_like(log_p, -math.inf))


def _log_binomial(x: Tensor, n: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Logarithm of Bin(x; n, p), 0 < p < 1, by Loader's saddle point."""
    y = n - x
    inner = (x > 0) & (y > 0)
    x_, y_ = torch.where(inner, x, torch.ones_like(x)), torch.where(inner, y, torch.ones_like(y))
    n_ = x_ + y_
    middle = (
        _stirling_error(n_)
        - _stirling_error(x_)
        - _stirling_error(y_)
        - _deviance(x_, n_ * p)
        - _deviance(y_, n_ * q)
        + 0.5 * (n_ / (2 * math.pi * x_ * y_)).log()
    )
    all_or_none = torch.where(x > 0, n * torch.log1p(-q), n * torch.log1p(-p))
    return torch.where(inner, middle, all_or_none)


def _stirling_error(n: Tensor) -> Tensor:
    """Stirling's error ln n! − ln[√(2πn) (n/e)^n] of n ≥ 1: log-gamma where that is small, the asymptotic series elsewhere."""
    small = n.clamp(max=16.0)
    direct = torch.lgamma(small + 1) - (small + 0.5) * small.log() + small - 0.5 * math.log(2 * math.pi)
    u = 1 / n.square()
    series = (1 / 12 - u * (1 / 360 - u * (1 / 1260 - u * (1 / 1680 - u / 1188)))) / n
    return torch.where(n < 16, direct, series)


def _deviance(x: Tensor, mean: Tensor) -> Tensor:
    """Deviance x ln(x/m) + m − x of x, m > 0, without cancellation where the two are close."""
    v = (x - mean) / (x + mean)
    w = v.square()
    # ln(x/m) = 2 artanh v, and the first term of its series is taken together with m − x.
    series = torch.zeros_like(v)
    for k in range(9, 0, -1):
        series = w * (series + 1 / (2 * k + 1))
    close = (x - mean) * v + 2 * x * v * series
    return torch.where(v.abs() < 0.1, close, x * (x / mean).log() + mean - x)


def _log1mexp(x: Tensor) -> Tensor:
    """Logarithm of 1 − e^x, of x ≤ 0."""
    return torch.where(x > -math.log(2), (-torch.expm1(x)).log(), torch.log1p(-x.exp()))


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


# --- Arguments


def _counts(**values: ArrayLike | Tensor) -> tuple[Tensor, ...]:
    """Whole numbers as float64 tensors on one device (exact to 2^53)."""
    device = next((value.device for value in values.values() if isinstance(value, Tensor)), None)
    counts = tuple(torch.as_tensor(value, dtype=torch.float64, device=device) for value in values.values())
    for name, count in zip(values, counts, strict=True):
        wrong = count[count != count.floor()]
        if wrong.numel():
            raise ValueError(f"{name} is {float(wrong[0])}; wanted whole numbers")
    return counts


def _population(n: Tensor, a: Tensor, s: Tensor) -> None:
    _at_least("cells", n, 1)
    _between("active", a, n, "cells")
    _between("synapses", s, n, "cells")


def _at_least(name: str, value: Tensor, low: int) -> None:
    if bool((value < low).any()):
        raise ValueError(f"{name} is {int(value.min())} at the least; wanted {low} or more")


def _between(name: str, value: Tensor, high: Tensor, of: str) -> None:
    wrong = (value < 0) | (value > high)
    if bool(wrong.any()):
        first = value.expand(wrong.shape)[wrong][0]
        raise ValueError(
            f"{name} is {int(first)}; wanted a number from 0 to {of} = {int(high.expand(wrong.shape)[wrong][0])}"
        )
