"""The Monge gap: what a map costs beyond the cheapest transport between the same clouds; and maps of any network held to it."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import fit

from .sinkhorn import Cost, sinkhorn, squared_distance


def monge_gap(
    source: Float[Tensor, "points dim"],
    target: Float[Tensor, "points dim"],
    cost: Cost = squared_distance,
    epsilon: float = 0.01,
    *,
    debiased: bool = False,
    iterations: int = 2000,
    tolerance: float = 1e-4,
) -> Float[Tensor, ""]:
    """M(T) = mean c(x, T(x)) − W_ε(x, T(x)): near 0 where no other pairing of points with images is cheaper.

    Gradients flow to both clouds, through the plan held fixed, which is exact where Sinkhorn's iteration has converged.

    Args:
        source: x.
        target: T(x), row by row.
        cost: c of all pairs, as a matrix; ½‖x − y‖² by default.
        epsilon: ε, in the cost's units. The gap of an optimal map goes to 0 with it, and is never below −ε ln(points).
        debiased: take away half of W_ε(x, x) and W_ε(T(x), T(x)) from W_ε, so that the identity's gap is exactly 0 for a
            cost that is 0 between equal points.
        iterations: of Sinkhorn, at most.
        tolerance: see `sinkhorn`.

    Raises:
        ValueError: if the clouds differ in shape, or ε is not above 0.

    Source: Uscidda, Cuturi 2023, definition of the Monge gap and its entropic estimate.

    Example:
        >>> import torch
        >>> from replica.generative import monge_gap
        >>> line = torch.linspace(-1, 1, 50)[:, None]
        >>> turned = monge_gap(line, -line, epsilon=1e-3)  # ½ mean (2x)²
        >>> stretched = monge_gap(line, 2 * line, epsilon=1e-3)
        >>> round(turned.item(), 2), round(abs(stretched.item()), 2)
        (0.69, 0.0)
    """
    if source.shape != target.shape or source.dim() != 2 or not len(source):
        raise ValueError(
            f"source, target: got shapes {tuple(source.shape)} and {tuple(target.shape)}, want (points, dim) of both"
        )
    if not epsilon > 0:
        raise ValueError(f"epsilon: got {epsilon}, want above 0")
    across = cost(source, target)

    def cheapest(costs: Tensor) -> Tensor:
        return sinkhorn(costs, epsilon, iterations=iterations, tolerance=tolerance).value

    gap = across.diagonal().mean() - cheapest(across)
    if debiased:
        gap = gap + (cheapest(cost(source, source)) + cheapest(cost(target, target))) / 2
    return gap


class MongeGapMap(nn.Module):
    """A map T of any network, fitted to carry x onto y: min over T of S(T(x), y) + λ M(T), S a Sinkhorn divergence.

    Args:
        net: T, or T(x) − x where ``residual``; called on points of shape (batch, dim).
        cost: c that the map should be cheap for; ½‖x − y‖² by default.
        strength: λ; 0 leaves the gap out.
        fit_epsilon: ε of the divergence, whose cost is ½‖x − y‖², in units of the mean cost.
        gap_epsilon: ε of the gap, likewise.
        residual: whether the net gives the displacement.

    Raises:
        ValueError: if the strength is below 0, or an ε not above 0.

    Source: Uscidda, Cuturi 2023; strength and ε as in the example of the authors' library.

    Example:
        >>> import torch
        >>> from replica.generative import MongeGapMap
        >>> from replica.training import mlp
        >>> generator = torch.Generator().manual_seed(0)
        >>> source, target = torch.randn(2, 200, 2, generator=generator) / 2
        >>> carried = MongeGapMap(mlp((2, 16, 2), generator=generator), residual=True)
        >>> carried = carried.fit(source, target + 2, steps=100, batch=64, learning_rate=0.03, generator=generator)
        >>> carried(source).mean(0).round().tolist()
        [2.0, 2.0]
    """

    def __init__(
        self,
        net: nn.Module,
        cost: Cost = squared_distance,
        strength: float = 1.0,
        *,
        fit_epsilon: float = 0.1,
        gap_epsilon: float = 0.01,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if not strength >= 0 or not min(fit_epsilon, gap_epsilon) > 0:
            got = f"{strength}, {fit_epsilon} and {gap_epsilon}"
            raise ValueError(f"strength, fit_epsilon, gap_epsilon: got {got}, want 0 or more, and above 0")
        self.net, self.cost, self.strength, self.residual = net, cost, strength, residual
        self.fit_epsilon, self.gap_epsilon = fit_epsilon, gap_epsilon

    def forward(self, points: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """T(x)."""
        out: Tensor = self.net(points)
        return points + out if self.residual else out

    def fit(
        self,
        source: Float[Tensor, "points dim"],
        target: Float[Tensor, "others dim"],
        *,
        steps: int = 1000,
        batch: int = 128,
        learning_rate: float = 3e-3,
        generator: torch.Generator | None = None,
    ) -> "MongeGapMap":
        """Train by Adam on random batches of both clouds; the rate falls to 0 by a cosine.

        Args:
            source: x.
            target: y.
            steps: updates.
            batch: points of each cloud an update, or fewer where a cloud has fewer.
            learning_rate: Adam's first.
            generator: draws batches.

        Raises:
            ValueError: if the clouds are not points of one dimension.
        """
        if source.dim() != 2 or target.dim() != 2 or source.shape[1] != target.shape[1]:
            got = f"{tuple(source.shape)} and {tuple(target.shape)}"
            raise ValueError(f"source, target: got shapes {got}, want (points, dim) and (others, dim)")
        optimiser = torch.optim.Adam(self.net.parameters(), learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        batches = _Batches((source, target), min(batch, len(source), len(target)), steps, generator)
        fit(self, MongeGapMap.loss, batches, optimiser=optimiser, schedule=schedule, steps=steps)
        return self

    def loss(self, source: Tensor, target: Tensor) -> Float[Tensor, ""]:
        """S(T(x), y) less what of it does not depend on T, and λ M(T), on as many points of both."""
        mapped = self(source)
        costs = torch.stack([squared_distance(mapped, target), squared_distance(mapped, mapped)])
        value = sinkhorn(costs, _share(self.fit_epsilon, costs[0]), iterations=500, tolerance=1e-2).value
        found: Tensor = value[0] - value[1] / 2
        return found + self.strength * self.penalty(source, mapped) if self.strength else found

    def penalty(self, source: Tensor, mapped: Tensor) -> Float[Tensor, ""]:
        """M(T) on a batch."""
        epsilon = _share(self.gap_epsilon, self.cost(source, mapped))
        return monge_gap(source, mapped, self.cost, epsilon, iterations=500, tolerance=1e-2)


def _share(share: float, costs: Tensor) -> float:
    """A share of the mean cost, kept above 0 where all points are one."""
    return max(share * float(costs.detach().mean()), 1e-6)


class _Batches:
    """Random batches of two clouds, each drawn without regard to the other."""

    def __init__(self, clouds: tuple[Tensor, Tensor], size: int, steps: int, generator: torch.Generator | None) -> None:
        self.clouds, self.size, self.steps, self.generator = clouds, size, steps, generator

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for _ in range(self.steps):
            yield tuple(
                cloud[torch.randperm(len(cloud), generator=self.generator, device=cloud.device)[: self.size]]
                for cloud in self.clouds
            )
