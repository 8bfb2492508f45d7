"""Modern Hopfield retrieval beside its peers: PyTorch's fused attention, and two products with a softmax between.

Each case yields callables that compute the same thing on the same tensors, and the floating-point operations
that it cannot do without: 4 · queries · patterns · dim for one update (two products).

    python benchmarks/modern_hopfield.py
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention

from replica.memory import ModernHopfield


@dataclass(frozen=True)
class Case:
    """Callables that do the same work: ours and a peer's."""

    name: str
    ours: Callable[[], torch.Tensor]
    peer: Callable[[], torch.Tensor]
    flops: int
    """Floating-point operations of the work itself."""


def cases(device: str = "cpu") -> Iterator[Case]:
    """Retrieval by one update from 10,000 patterns of 1,024 dimensions with 256 queries, and of 64 dimensions."""
    for count, dim, batch in ((10_000, 1024, 256), (10_000, 64, 256), (10_000, 1024, 1)):
        generator = torch.Generator(device).manual_seed(0)
        patterns = torch.randn(count, dim, generator=generator, device=device)
        queries = patterns[:batch] + 0.5 * torch.randn(batch, dim, generator=generator, device=device)
        memory, beta = ModernHopfield(patterns), dim**-0.5
        size = f"{batch} of {count:,} × {dim:,}"

        def ours(memory: ModernHopfield = memory, queries: torch.Tensor = queries) -> torch.Tensor:
            return memory.retrieve(queries).state

        def fused(patterns: torch.Tensor = patterns, queries: torch.Tensor = queries) -> torch.Tensor:
            stored = patterns[None, None]
            return scaled_dot_product_attention(queries[None, None], stored, stored)[0, 0]

        def products(
            patterns: torch.Tensor = patterns, queries: torch.Tensor = queries, beta: float = beta
        ) -> torch.Tensor:
            return torch.softmax(beta * (queries @ patterns.T), dim=-1) @ patterns

        yield Case(f"retrieve, {size}, fused attention", ours, fused, 4 * batch * count * dim)
        yield Case(f"retrieve, {size}, two products", ours, products, 4 * batch * count * dim)


def peak_bytes(work: Callable[[], torch.Tensor]) -> int:
    """Most memory that PyTorch's allocator holds at once for the work, beyond its inputs (CPU)."""
    with torch.profiler.profile(profile_memory=True) as profile:
        work()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def seconds(*work: Callable[[], torch.Tensor], rounds: int = 15) -> list[float]:
    """Median seconds of each, timed in turn so that other load falls on all alike."""
    times: list[list[float]] = [[] for _ in work]
    for turn in range(rounds + 2):
        for call, taken in zip(work, times, strict=True):
            start = time.perf_counter()
            call()
            if turn >= 2:  # The first turns warm caches and the allocator.
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def benchmarks() -> list[dict[str, float | str]]:
    """Seconds and peak bytes of ours and the peer for every case, and their ratio."""
    rows: list[dict[str, float | str]] = []
    for case in cases():
        torch.testing.assert_close(case.ours(), case.peer(), atol=1e-4, rtol=1e-4)
        ours, peer = seconds(case.ours, case.peer)
        rows.append(
            {
                "case": case.name,
                "ours_seconds": ours,
                "peer_seconds": peer,
                "ratio": ours / peer,
                "ours_peak_bytes": peak_bytes(case.ours),
                "peer_peak_bytes": peak_bytes(case.peer),
                "flops": case.flops,
                "gflops_per_second": case.flops / ours / 1e9,
            }
        )
    return rows


if __name__ == "__main__":
    for row in benchmarks():
        print(", ".join(f"{name} {value:.4g}" if name != "case" else value for name, value in row.items()))
