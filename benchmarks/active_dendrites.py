"""Overlaps of sparse patterns with many segments, and the laws of their errors, beside what one would write by hand.

Arithmetic limit of the overlaps: every synapse that an active cell meets is counted once, on average a · S · s / n a
pattern. Of the laws: one exponential a term of each sum.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from scipy.stats import hypergeom

from replica.memory import ActiveDendriteSegments, log_false_match, sparse_patterns

from .case import Case


def cases() -> Iterator[Case]:
    """Overlaps of patterns given by their active cells, and false match probabilities over a grid."""
    for cells, active, segments, batch in ((2048, 40, 500, 100), (20_000, 200, 2000, 100)):
        draw = torch.Generator().manual_seed(0)
        module = ActiveDendriteSegments(cells, threshold=12, synapses_per_pattern=24)
        module.store(sparse_patterns(segments, cells, active, generator=draw), generator=draw)
        patterns = sparse_patterns(batch, cells, active, generator=draw)
        weights = torch.zeros(segments, cells).scatter_(1, module.synapses, 1.0)
        sets = [frozenset(row) for row in module.synapses.tolist()]
        size = f"{batch} patterns, {segments} segments, {active} of {cells} cells"
        met = float(batch * active * segments * 24 / cells)
        ours = partial(module.overlaps, patterns)
        yield Case(
            f"segment overlaps beside a Python loop over sets ({size})",
            ours,
            partial(set_overlaps, sets, patterns),
            met,
            1.0,
        )
        yield Case(
            f"segment overlaps beside a dense product ({size})",
            ours,
            partial(dense_overlaps, weights, patterns),
            met,
            1.0,
        )

    cells = np.linspace(10_000, 200_000, 20).round()[:, None, None]
    active = np.rint(cells * np.linspace(0.005, 0.03, 6)[:, None])
    synapses = np.arange(20, 51)
    terms = float(20 * 6 * 31 * 40)
    yield Case(
        "false match law beside scipy.stats.hypergeom.logsf (3,720 segments, threshold 12)",
        partial(log_false_match, cells, active, synapses, 12),
        partial(hypergeom.logsf, 11, cells, active, synapses),
        terms,
        1.0,
    )


def set_overlaps(sets: list[frozenset[int]], patterns: torch.Tensor) -> list[list[int]]:
    """The definition, with Python's sets."""
    return [[len(own & pattern) for own in sets] for pattern in map(frozenset, patterns.tolist())]


def dense_overlaps(weights: torch.Tensor, patterns: torch.Tensor) -> torch.Tensor:
    """One-hot patterns times a matrix of synapses."""
    dense = torch.zeros(len(patterns), weights.shape[1]).scatter_(1, patterns, 1.0)
    return dense @ weights.mT
