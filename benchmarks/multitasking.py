"""Monte Carlo of the multitasking network: all neurons of all replicas at once, beside what one would write by hand.

Arithmetic limit of a sweep of R replicas over N neurons with F patterns: two products of R × F × N, that is 4 R F N
operations, against 2 R N² with a coupling matrix. With few patterns the R N random numbers cost more than the products.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from replica.memory.multitasking import MultitaskingMemory, diluted_patterns

TEMPERATURE = 0.2


class Case(NamedTuple):
    """Two ways of doing the same work, and the least number of operations it takes."""

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    operations: float


def cases() -> Iterator[Case]:
    """One sweep of every replica at the same temperature: ours, and each peer."""
    for replicas, dim, patterns in ((16, 1000, 4), (64, 4000, 4)):
        draw = torch.Generator().manual_seed(0)
        memory = MultitaskingMemory(temperature=TEMPERATURE)
        memory.store(diluted_patterns(patterns, dim, 0.3, generator=draw))
        states = torch.where(torch.rand(replicas, dim, generator=draw) < 0.5, -1.0, 1.0)
        rows, weights, start = memory.features.numpy(), memory.weights.numpy(), states.numpy()
        couplings = (rows.T * weights) @ rows / dim
        np.fill_diagonal(couplings, 0)
        rng = np.random.default_rng(0)
        size = f"{replicas} replicas, {dim} neurons, {patterns} patterns"

        ours = partial(memory.sweep, states, generator=draw)
        loop = partial(neuron_by_neuron, rows, weights, start, rng)
        matrix = partial(with_coupling_matrix, couplings, start, rng)
        operations = 4.0 * replicas * dim * patterns
        yield Case(f"against a NumPy loop over neurons ({size})", ours, loop, operations)
        yield Case(f"against a coupling matrix in NumPy ({size})", ours, matrix, operations)


def neuron_by_neuron(rows: np.ndarray, weights: np.ndarray, start: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Heat-bath updates of one neuron after another, with the overlaps kept up to date."""
    states = start.copy()
    dim = rows.shape[1]
    for state in states:
        overlaps = rows @ state / dim
        for neuron in rng.permutation(dim):
            entries = rows[:, neuron]
            field = (weights * (overlaps - entries * state[neuron] / dim)) @ entries
            value = 1.0 if rng.random() < 1 / (1 + np.exp(-2 * field / TEMPERATURE)) else -1.0
            if value != state[neuron]:
                overlaps += 2 * value * entries / dim
                state[neuron] = value
    return states


def with_coupling_matrix(couplings: np.ndarray, start: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All neurons at once from an N × N matrix (a sweep of the same size, but not an exact Boltzmann sampler)."""
    up = 1 / (1 + np.exp(-2 / TEMPERATURE * (start @ couplings)))
    return np.where(rng.random(start.shape) < up, 1.0, -1.0)


if __name__ == "__main__":
    import time

    for case in cases():
        times = {}
        for label, run in (("ours", case.ours), ("peer", case.peer)):
            run()
            rounds = []
            for _ in range(5):
                began = time.perf_counter()
                run()
                rounds.append(time.perf_counter() - began)
            times[label] = sorted(rounds)[2]
        print(
            f"{case.name}: ours {times['ours'] * 1e3:.3f} ms, peer {times['peer'] * 1e3:.3f} ms, "
            f"ratio {times['ours'] / times['peer']:.4f}, {case.operations / times['ours'] / 1e9:.2f} GFLOP/s"
        )
