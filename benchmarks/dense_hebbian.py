"""Recall and Monte Carlo of the dense Hebbian memory beside straightforward NumPy, single precision on both sides.

Arithmetic limit: the fields of B states of N neurons with K stored patterns cannot do without two products of
B × K × N, that is 4 B K N operations; the powers between them take O(P B K). A sweep one neuron at a time needs 2 B K N
for the fields and as much to keep the overlaps.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from replica.memory import DenseHebbianMemory

from .case import Case


def cases() -> Iterator[Case]:
    """Zero-temperature recall and one sweep of Monte Carlo, orders 2 and 4, N = 1,000."""
    dim = 1000
    for order, count, batch in ((2, 100, 256), (4, 1000, 256), (4, 10_000, 64)):
        draw = torch.Generator().manual_seed(0)
        patterns = torch.randint(0, 2, (count, dim), generator=draw).float() * 2 - 1
        whole = patterns[torch.arange(batch) % count]
        cues = torch.where(torch.rand(batch, dim, generator=draw) < 0.1, -whole, whole)
        memory = DenseHebbianMemory(order)
        memory.store(patterns)
        stored, start = patterns.numpy(), cues.numpy()
        size = f"order {order}, N = {dim:,}, K = {count:,}, {batch} states"
        # Every state is computed at least once more than it moves.
        sweeps = int((memory.relax(cues).steps + 1).sum())
        recall_flops = 4 * sweeps * count * dim
        by_couplings = partial(recall_with_couplings, couplings(stored), start)
        by_overlaps = partial(recall_with_overlaps, stored, start, order)
        peer = by_couplings if order == 2 else by_overlaps
        ours = partial(memory.recall, cues)
        # Ties and two-cycles may leave single neurons apart.
        assert (np.asarray(ours()) != np.asarray(peer())).mean() < 1e-3
        yield Case(f"recall, {size}, beside NumPy", ours, peer, recall_flops, 1 / 3, updates=sweeps * dim)
        for block in (1, 20) if count <= 1000 else ():
            yield Case(
                f"Monte Carlo sweep, {block} at a time, order {order}, N = {dim:,}, K = {count:,}, 16 states, beside a loop",
                partial(memory.sample, cues[:16], 5.0, 1, block=block, generator=draw),
                partial(sweep_in_a_loop, stored, start[:16], order, 5.0, np.random.default_rng(0)),
                4.0 * 16 * count * dim,
                1.0,
                updates=16 * dim,
            )


def couplings(patterns: np.ndarray) -> np.ndarray:
    """Hebbian matrix of order 2."""
    matrix = patterns.T @ patterns / (patterns.shape[1] - 1)
    np.fill_diagonal(matrix, 0)
    return matrix


def recall_with_couplings(matrix: np.ndarray, cues: np.ndarray) -> np.ndarray:
    """Classical recall as one writes it: each cue follows its field until it stands still."""
    found = []
    for cue in cues:
        state = cue
        for _ in range(100):
            new = np.where(matrix @ state >= 0, 1, -1).astype(np.float32)
            if (new == state).all():
                break
            state = new
        found.append(state)
    return np.stack(found)


def recall_with_overlaps(patterns: np.ndarray, cues: np.ndarray, order: int) -> np.ndarray:
    """Dense recall as one writes it, coinciding neurons and all: field = Σ_μ ξ^μ n_μ^(P−1)."""
    found = []
    for cue in cues:
        state = cue
        for _ in range(100):
            new = np.where((patterns @ state / len(cue)) ** (order - 1) @ patterns >= 0, 1, -1).astype(np.float32)
            if (new == state).all():
                break
            state = new
        found.append(state)
    return np.stack(found)


def sweep_in_a_loop(
    patterns: np.ndarray, start: np.ndarray, order: int, beta: float, rng: np.random.Generator
) -> np.ndarray:
    """One neuron of one state after another, overlaps kept up to date."""
    dim = patterns.shape[1]
    columns = np.ascontiguousarray(patterns.T)
    states = start.copy()
    for state in states:
        overlap = patterns @ state / dim
        for i in rng.permutation(dim):
            rest = overlap - state[i] * columns[i] / dim
            field = rest ** (order - 1) @ columns[i]
            new = 1.0 if rng.random() < 1 / (1 + np.exp(-2 * beta * field)) else -1.0
            if new != state[i]:
                overlap += (new - state[i]) * columns[i] / dim
                state[i] = new
    return states
