"""Alignment of two layers beside its peers: NumPy's correlations of all samples at once, and a loop over pairs of units.

The operations are those of the three products of units with units: within either layer (half of it, by symmetry) and between.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from replica.representations import UnitStatistics, match_units

from .case import Case


def aligned(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Ours: batches of 500 samples streamed into the statistics, then the matching."""
    statistics = UnitStatistics(first.shape[1], second.shape[1], device=first.device)
    for ours, theirs in zip(first.split(500), second.split(500), strict=True):
        statistics.update(ours, theirs)
    return match_units(statistics.between).partner


def all_at_once(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """NumPy's correlations of everything, which hold all samples twice in float64, then SciPy's assignment."""
    units = first.shape[1]
    correlation = np.corrcoef(first.numpy(force=True), second.numpy(force=True), rowvar=False)
    return linear_sum_assignment(correlation[:units, units:], maximize=True)[1]


def pair_by_pair(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """A double loop of NumPy's correlations of two units each, then SciPy's assignment."""
    ours, theirs = first.numpy(force=True), second.numpy(force=True)
    correlation = np.array([[np.corrcoef(one, other)[0, 1] for other in theirs.T] for one in ours.T])
    return linear_sum_assignment(correlation, maximize=True)[1]


def cases(device: str = "cpu") -> Iterator[Case]:
    """Two layers of 512 units over 20,000 samples; of 32 units over 2,000 for the loop, which takes too long otherwise."""
    for units, samples, name, peer, target in (
        (512, 20_000, "NumPy's corrcoef of all at once", all_at_once, 1.1),
        (32, 2_000, "loop over pairs", pair_by_pair, 0.1),
    ):
        generator = torch.Generator(device).manual_seed(0)
        first = torch.randn(samples, units, generator=generator, device=device)
        noise = torch.randn(samples, units, generator=generator, device=device)
        order = torch.randperm(units, generator=generator, device=device)
        second = first[:, order] + 0.5 * noise

        def ours(first: torch.Tensor = first, second: torch.Tensor = second) -> object:
            return aligned(first, second)

        def theirs(first: torch.Tensor = first, second: torch.Tensor = second, peer: object = peer) -> object:
            return peer(first, second)  # type: ignore[operator]

        operations = 2.0 * samples * units * (2 * units + 1)
        yield Case(f"match {units} units over {samples:,} samples, {name}", ours, theirs, operations, target)
