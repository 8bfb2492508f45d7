"""What a benchmark compares, and how it is measured."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


def jax_on_one_core() -> Any:
    """JAX with one thread, as ours has: it takes as many as the process has cores when it starts, whatever its flags say.

    Raises:
        ImportError: If JAX is not there.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.devices()
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
    return jax


@dataclass(frozen=True)
class Case:
    """Two ways of doing the same work, or a part beside another that takes its place.

    Args:
        name: What is done, and beside which peer.
        ours: Our way.
        peer: The peer's way.
        operations: Floating-point operations that the work cannot do without: its arithmetic limit.
        target: What the ratio ours / peer must stay under.
        memory: Measure peak memory too.
        updates: Spin updates in one call, for Monte Carlo; its rate is printed.
        other_work: The peer does other work in its place: the ratio is a cost, in no mean and under no target.
    """

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    operations: float
    target: float
    memory: bool = False
    updates: float = 0.0
    other_work: bool = False


def median_seconds(*work: Callable[[], object], rounds: int = 7, budget: float = 12.0) -> list[float]:
    """Median seconds of each, timed in turn, so that other load on the machine falls on all alike.

    At least ``rounds`` turns; more where they are quick, up to about ``budget`` seconds in all.
    """
    times: list[list[float]] = [[] for _ in work]
    begun = time.perf_counter()
    turn = 0
    while turn <= rounds or (turn < 60 and time.perf_counter() - begun < budget / 4):
        for call, taken in zip(work, times, strict=True):
            start = time.perf_counter()
            call()
            if turn:  # the first warms caches and the allocator
                taken.append(time.perf_counter() - start)
        turn += 1
    return [statistics.median(taken) for taken in times]


def peak_bytes(work: Callable[[], object]) -> int:
    """Most memory that PyTorch's allocator holds at once for the work, beyond its inputs (CPU)."""
    with torch.profiler.profile(profile_memory=True) as profile:
        work()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def peak_flops(size: int = 1536) -> float:
    """Floating-point operations a second of this machine's best: a large float32 product, one thread."""
    one, other = torch.rand(size, size), torch.rand(size, size)
    (seconds,) = median_seconds(lambda: one @ other)
    return 2.0 * size**3 / seconds
