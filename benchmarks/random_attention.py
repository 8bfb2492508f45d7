"""Features of random attention beside scikit-learn's random Fourier features of the same rows laid flat, as many of them.

Operations that no way can do without: queries through all heads, scores, and their sums of keys, two for each product.
"""

from collections.abc import Iterator

import torch
from sklearn.kernel_approximation import RBFSampler

from replica.kernels import attention_features

from .case import Case

ROWS, KEYS, DIM, HEADS = 1000, 16, 16, 300


def cases(device: str = "cpu") -> Iterator[Case]:
    """4,800 features of 1,000 rows in double precision."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS, 1 + KEYS, DIM, generator=generator, dtype=torch.float64)
    weights = torch.randn(HEADS, DIM, DIM, generator=generator, dtype=torch.float64).to(device)
    queries, keys = rows[:, 0].to(device), rows[:, 1:].to(device)
    flat = rows.flatten(1).numpy()
    peer = RBFSampler(n_components=HEADS * DIM, random_state=0).fit(flat)
    work = 2.0 * ROWS * HEADS * DIM * (DIM + 2 * KEYS)
    name = f"random attention, {HEADS} heads, {KEYS} keys, beside as many of RBFSampler's features"
    yield Case(
        name,
        lambda: attention_features(queries, keys, weights),
        lambda: peer.transform(flat),
        work,
        1.0,
        other_work=True,
    )
