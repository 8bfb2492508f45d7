"""What people use today to carry one cloud of points onto another: baselines of the problem transport."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from replica.generative import sinkhorn, squared_distance
from replica.generative.sinkhorn import Cost
from replica.lab.claims import Integer, LogUniform, Trial
from replica.lab.problems.baseline import Baselines
from replica.training import fit, mlp

baselines = Baselines()


@baselines.entry("mean-shift", "moves all points by the difference of the means: the trivial method")
class MeanShift:
    """Optimal for every convex cost where the target is the source, shifted."""

    def __init__(self, trial: Trial) -> None:
        pass

    def fit(self, source: Tensor, target: Tensor) -> None:
        """Take the means' difference."""
        self.shift = target.mean(0) - source.mean(0)

    def map(self, points: Tensor) -> Tensor:
        """Add it."""
        return points + self.shift


@baselines.entry("bures-gaussian", "the optimal affine map between Gaussians with the clouds' means and covariances")
class BuresGaussian:
    """Dowson, Landau 1982: x → m₁ + A (x − m₀), A = Σ₀^(−½) (Σ₀^½ Σ₁ Σ₀^½)^½ Σ₀^(−½); directions without spread are left out."""

    def __init__(self, trial: Trial) -> None:
        pass

    def fit(self, source: Tensor, target: Tensor) -> None:
        """Take means and covariances."""
        self.means = source.mean(0), target.mean(0)
        ours, theirs = (torch.atleast_2d(cloud.double().T.cov(correction=0)) for cloud in (source, target))
        root, inverse = _roots(ours)
        self.matrix = (inverse @ _roots(root @ theirs @ root)[0] @ inverse).to(source)

    def map(self, points: Tensor) -> Tensor:
        """Apply the affine map."""
        return self.means[1] + (points - self.means[0]) @ self.matrix


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A covariance's symmetric root and the pseudo-inverse of that."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > 1e-10 * values.abs().max().clamp_min(1e-300)
    roots = values.clamp_min(0).sqrt()
    return (vectors * roots) @ vectors.T, (vectors * torch.where(kept, 1 / roots, 0.0)) @ vectors.T


@baselines.entry("entropic-map", "means of targets by the entropic plan", space={"epsilon": LogUniform(0.003, 0.3)})
class EntropicMap:
    """Pooladian, Niles-Weed 2021: T(x) = Σ_j w_j(x) y_j, w(x) the softmax of (g_j − c(x, y_j))/ε, for any x.

    Args:
        trial: Unused.
        epsilon: In units of the mean cost between the clouds.
    """

    def __init__(self, trial: Trial, epsilon: float = 0.03) -> None:
        self.epsilon = epsilon

    def fit(self, source: Tensor, target: Tensor, cost: Cost = squared_distance) -> None:
        """Solve for the dual potential g of the target."""
        costs = cost(source, target)
        self.cost, self.target = cost, target
        self.level = max(self.epsilon * float(costs.mean()), 1e-6)
        self.potential = sinkhorn(costs, self.level).column_potential

    def map(self, points: Tensor) -> Tensor:
        """Project barycentrically."""
        return ((self.potential - self.cost(points, self.target)) / self.level).softmax(1) @ self.target


@baselines.entry("nearest-assigned", "where an exact assignment takes the nearest point that was seen")
class NearestAssigned:
    """The optimal assignment between the clouds, of which the larger gives as many points as the smaller has, drawn at random."""

    def __init__(self, trial: Trial) -> None:
        self.generator = trial.generator("nearest-assigned", "cpu")

    def fit(self, source: Tensor, target: Tensor, cost: Cost = squared_distance) -> None:
        """Assign."""
        count = min(len(source), len(target))
        drawn = (cloud[torch.randperm(len(cloud), generator=self.generator)[:count]] for cloud in (source, target))
        self.source, theirs = drawn
        self.images = theirs[_assigned(cost(self.source, theirs))]

    def map(self, points: Tensor) -> Tensor:
        """Look up."""
        return self.images[torch.cdist(points, self.source).argmin(1)]


def _assigned(costs: Tensor) -> Tensor:
    return torch.from_numpy(linear_sum_assignment(costs.cpu().numpy())[1]).to(costs.device)


@baselines.entry(
    "ot-cfm",
    "a flow along straight lines between points that small batches assign",
    space={"learning_rate": LogUniform(3e-4, 1e-2), "batch": Integer(16, 256), "width": Integer(16, 128)},
)
class AssignedFlow:
    """Tong et al. 2024: minibatch optimal-transport conditional flow matching, without noise.

    Args:
        trial: Draws weights, batches and times.
        learning_rate: Of Adam, falling to 0 by a cosine.
        batch: Points that are assigned to one another at a time.
        width: Units of the two hidden layers.
        flow_steps: Steps of the midpoint rule by which points are mapped.
    """

    def __init__(
        self, trial: Trial, learning_rate: float = 3e-3, batch: int = 128, width: int = 64, flow_steps: int = 10
    ) -> None:
        self.generator = trial.generator("ot-cfm")
        self.learning_rate, self.batch, self.width, self.flow_steps = learning_rate, batch, width, flow_steps

    def fit(self, source: Tensor, target: Tensor, cost: Cost = squared_distance, steps: int = 1000) -> None:
        """Learn the velocity of points on their way to where they are assigned."""
        dim = source.shape[1]
        self.net = mlp((dim + 1, self.width, self.width, dim), activation=nn.SiLU, generator=self.generator)
        optimiser = torch.optim.Adam(self.net.parameters(), self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        size = min(self.batch, len(source), len(target))

        def loss(net: nn.Module, ours: Tensor, theirs: Tensor, time: Tensor) -> Tensor:
            at = ours + time * (theirs - ours)
            return (net(torch.cat([at, time], 1)) - (theirs - ours)).square().sum(1).mean()

        fit(self.net, loss, _Pairs(source, target, cost, size, steps, self.generator), optimiser=optimiser,
            schedule=schedule, steps=steps)  # fmt: skip

    @torch.no_grad()
    def map(self, points: Tensor) -> Tensor:
        """Follow the velocity from time 0 to 1."""
        step = 1 / self.flow_steps
        for number in range(self.flow_steps):
            half = points + step / 2 * self._velocity(points, number * step)
            points = points + step * self._velocity(half, (number + 0.5) * step)
        return points

    def _velocity(self, points: Tensor, time: float) -> Tensor:
        found: Tensor = self.net(torch.cat([points, points.new_full((len(points), 1), time)], 1))
        return found


class _Pairs:
    """Batches of source points, the target points that are assigned to them, and times."""

    def __init__(
        self, source: Tensor, target: Tensor, cost: Cost, size: int, steps: int, generator: torch.Generator
    ) -> None:
        self.clouds, self.cost, self.size, self.steps, self.generator = (source, target), cost, size, steps, generator

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for _ in range(self.steps):
            ours, theirs = (
                cloud[torch.randperm(len(cloud), generator=self.generator, device=cloud.device)[: self.size]]
                for cloud in self.clouds
            )
            time = torch.rand(self.size, 1, generator=self.generator, device=ours.device)
            yield ours, theirs[_assigned(self.cost(ours, theirs))], time
