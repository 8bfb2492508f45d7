"""Sparsey's macrocolumn beside the algorithm as one writes it in NumPy, and beside a search for the nearest stored pattern.

Arithmetic limit: an input with S active entries adds S rows of Q·K weights, so storing or retrieving one takes S Q K
operations; a search over M stored patterns of N entries takes 2 M N.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from replica.memory import FamiliarityRamp, SparseyLayer

from .case import Case

RAMP = FamiliarityRamp(floor=0.5, midpoint=0.85, steepness=40.0, expansion=1.0)
INPUTS, ACTIVE, MODULES, UNITS = 1000, 20, 20, 400


def cases() -> Iterator[Case]:
    """Storing and retrieving 100 patterns in a macrocolumn that holds 10,000."""
    draw = torch.Generator().manual_seed(0)
    order = torch.rand(10_100, INPUTS, generator=draw).argsort(1)
    patterns = torch.zeros(10_100, INPUTS).scatter_(1, order[:, :ACTIVE], 1.0)
    stored, new = patterns[:10_000], patterns[10_000:]
    layer = SparseyLayer(INPUTS, MODULES, UNITS, ramp=RAMP)
    layer.store(stored, chunk=100, generator=draw)
    weights = layer.weights[0].numpy().reshape(INPUTS, MODULES, UNITS).copy()
    rng = np.random.default_rng(0)
    size = f"{INPUTS:,} inputs, {MODULES} × {UNITS} units, 10,000 stored"
    operations = 100.0 * ACTIVE * MODULES * UNITS
    found = layer.retrieve(new).winners[:, 0].numpy()
    assert (found == retrieve_in_a_loop(weights, new.numpy())).all()
    yield Case(
        f"storing 100 patterns one by one, {size}, beside NumPy",
        partial(layer.store, new, generator=draw),
        partial(store_in_a_loop, weights, new.numpy(), rng),
        operations,
        1.0,
    )
    yield Case(
        f"storing 100 patterns in one chunk, {size}, beside NumPy one by one",
        partial(layer.store, new, chunk=100, generator=draw),
        partial(store_in_a_loop, weights, new.numpy(), rng),
        operations,
        1.0,
    )
    yield Case(
        f"retrieving 100 codes at once, {size}, beside NumPy",
        partial(layer.retrieve, new),
        partial(retrieve_in_a_loop, weights, new.numpy()),
        operations,
        1.0,
    )
    one = new[:1]
    yield Case(
        f"retrieving one code, {size}, beside the nearest of the stored patterns",
        partial(layer.retrieve, one),
        lambda: (stored @ one[0]).argmax(),
        ACTIVE * MODULES * UNITS,
        1.0,
    )


def support(weights: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Share of the active inputs that each unit has learned from."""
    return weights[pattern > 0].mean(axis=0)


def retrieve_in_a_loop(weights: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """One pattern after the other."""
    return np.stack([support(weights, pattern).argmax(axis=1) for pattern in patterns])


def store_in_a_loop(weights: np.ndarray, patterns: np.ndarray, rng: np.random.Generator) -> None:
    """Code selection as one writes it: a draw a module."""
    for pattern in patterns:
        V = support(weights, pattern)
        known = max(0.0, (V.max(axis=1).mean() - RAMP.floor) / (1 - RAMP.floor)) ** RAMP.exponent
        psi = 1 + RAMP.expansion * UNITS * known / (1 + np.exp(-RAMP.steepness * (V - RAMP.midpoint)))
        rho = (psi / psi.sum(axis=1, keepdims=True)).astype(np.float64)
        for module in range(MODULES):
            winner = rng.choice(UNITS, p=rho[module] / rho[module].sum())
            weights[pattern > 0, module, winner] = 1
