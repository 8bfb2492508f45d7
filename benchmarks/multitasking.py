"""Monte Carlo of the multitasking network: all neurons of all replicas at once, beside what one would write by hand.

Arithmetic limit of a sweep of R replicas over N neurons with F patterns: two products of R × F × N, that is 4 R F N
operations, against 2 R N² with a coupling matrix. With few patterns the R N random numbers cost more than the products.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from replica.memory import MultitaskingMemory, diluted_patterns

from .case import Case

TEMPERATURE = 0.2


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
        yield Case(
            f"multitasking sweep beside a NumPy loop over neurons ({size})",
            ours,
            loop,
            operations,
            1.0,
            updates=replicas * dim,
        )
        yield Case(
            f"multitasking sweep beside a coupling matrix in NumPy ({size})",
            ours,
            matrix,
            operations,
            1.0,
            updates=replicas * dim,
        )


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
