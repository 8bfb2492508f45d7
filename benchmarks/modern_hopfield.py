"""Modern Hopfield retrieval beside its peers: PyTorch's fused attention, and two products with a softmax between.

The floating-point operations of one update are those of its two products: 4 · queries · patterns · dim. Ours is the fused
kernel and the check whether a query stands still, a few small calls of some tenths of a millisecond in all: beside the kernel
itself one is the limit, and a single query, whose time is that of reading the patterns twice, is a few hundredths above it.
"""

from collections.abc import Iterator

import torch
from torch.nn.functional import scaled_dot_product_attention

from replica.memory import ModernHopfield

from .case import Case


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

        yield Case(f"retrieve, {size}, fused attention", ours, fused, 4.0 * batch * count * dim, 1.1, memory=True)
        yield Case(f"retrieve, {size}, two products", ours, products, 4.0 * batch * count * dim, 1.1, memory=True)
