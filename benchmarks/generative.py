"""Exact denoisers, the sampler's loop, sliced Wasserstein distances and Sinkhorn, beside products, bare calls and POT."""

from collections.abc import Iterator

import torch

from replica.generative import (
    CosinePath,
    DenoisingMLP,
    FiniteSetDenoiser,
    PreconditionedDenoiser,
    sample_path,
    sinkhorn,
    squared_distance,
)
from replica.training import sliced_wasserstein

from .case import Case

POINTS, DIM, BATCH, STEPS = 10_000, 784, 256, 50
CLOUD, EPSILON = 2_000, 0.05


def cases(device: str = "cpu") -> Iterator[Case]:
    """10,000 points of 784 numbers; 50 steps of 256 rows; 5,000 rows of 32 numbers; 2,000 points to 2,000."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    points, noisy = draw(POINTS, DIM), draw(BATCH, DIM)
    exact, half = FiniteSetDenoiser(points), torch.tensor(0.5)
    weights = draw(BATCH, POINTS)
    yield Case(
        f"exact denoiser, {POINTS:,} × {DIM}, two matrix products",
        lambda: exact(noisy, half, half),
        lambda: (noisy @ points.T, weights @ points),
        4.0 * BATCH * POINTS * DIM,
        1.2,
    )

    net = PreconditionedDenoiser(DenoisingMLP(64, width=256, generator=generator)).to(device).eval()
    start, levels = draw(BATCH, 64), torch.linspace(0.1, 0.9, STEPS)

    @torch.no_grad()
    def bare() -> None:
        for level in levels:
            net(start, level, level)

    yield Case(
        f"sampler, {STEPS} Euler steps, the bare network calls",
        lambda: sample_path(net, CosinePath(), start, steps=STEPS, solver="euler"),
        bare,
        STEPS * 2.0 * BATCH * (2 * 64 * 256 + 16 * 256 + 4 * 256**2),
        1.05,
    )

    ours, theirs = draw(5000, 32), draw(5000, 32)
    yield from _beside_pot(ours, theirs, draw(CLOUD, 16), draw(CLOUD, 16) + 1)


def _beside_pot(ours: torch.Tensor, theirs: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> Iterator[Case]:
    try:
        import ot
    except ImportError:
        return
    lines = torch.randn(32, 200, generator=torch.Generator().manual_seed(1)).to(ours)
    lines /= lines.norm(dim=0)
    yield Case(
        "sliced Wasserstein, 5,000 × 32 by 200 directions, POT",
        lambda: sliced_wasserstein(ours, theirs, generator=torch.Generator().manual_seed(1)),
        lambda: ot.sliced_wasserstein_distance(ours, theirs, projections=lines),
        2 * 2.0 * 5000 * 32 * 200,
        1 / 3,
    )
    cost = squared_distance(first, second)
    epsilon = EPSILON * float(cost.mean())
    uniform = torch.full((CLOUD,), 1 / CLOUD).to(cost)

    def pot() -> torch.Tensor:
        return ot.sinkhorn(uniform, uniform, cost, epsilon, method="sinkhorn_log", numItermax=2000, stopThr=1e-4)

    # POT stops by the norm of the marginal's error, ours by its sum of absolute values: √2,000 times as much, and less strict.
    found = sinkhorn(cost, epsilon, tolerance=4e-3)
    assert abs(float((found.plan() * cost).sum() / (pot() * cost).sum()) - 1) < 1e-2
    name = f"Sinkhorn, {CLOUD:,} × {CLOUD:,}, ε {EPSILON} of the mean cost, POT in the log domain"
    yield Case(
        name, lambda: sinkhorn(cost, epsilon, tolerance=4e-3), pot, 4.0 * found.iterations * CLOUD**2, 0.5, memory=True
    )
