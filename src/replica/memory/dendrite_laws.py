"""How often a dendritic segment fires at the wrong pattern, or misses its own: exact laws, as logarithms.

Ahmad and Hawkins 2016, "How do neurons operate on sparse distributed representations?", arXiv 1601.00720. Their
letters: potential presynaptic cells n (`cells`), active cells a (`active`), synapses on a segment s (`synapses`),
spike threshold θ (`threshold`), active cells that noise swaps for others v (`changed`). Every probability here is a
natural logarithm, so that nothing under- or overflows.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor

from .hypergeometric_tails import _log1mexp, _log_hypergeometric, _tail


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
