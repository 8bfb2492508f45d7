"""Paths of a population between snapshots: Schrödinger bridges between neighbours, their reference refitted by turns."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .sinkhorn import EntropicTransport, sinkhorn

Features = Callable[[Tensor], Tensor]


def entropic_bridge(
    x: Float[Tensor, "rows dim"],
    y: Float[Tensor, "columns dim"],
    log_kernel: Callable[[Tensor, Tensor], Tensor],
    *,
    iterations: int = 2000,
    tolerance: float = 1e-4,
) -> EntropicTransport:
    """The static Schrödinger bridge: the coupling of two clouds that is nearest to a reference's transition in relative entropy.

    It is entropic transport with cost −ln p(y|x) and ε = 1; for Brownian motion of variance σ²Δt, that of squared distances with
    ε = 2σ²Δt. ``plan()`` of what is returned gives the coupling, ``value`` its relative entropy to p(y|x) over equal weights.

    Args:
        x: points of equal weight at the first time.
        y: points of equal weight at the second.
        log_kernel: ln p(y|x) of all pairs, shape (rows, columns).
        iterations: see `sinkhorn`.
        tolerance: see `sinkhorn`.

    Source: Shen, Berlinghieri, Broderick 2024, Sec. 3 (pairwise bridges); Léonard 2014, Prop. 2.3.

    Example:
        >>> import torch
        >>> from replica.generative import entropic_bridge
        >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [0.0]])
        >>> turned = lambda x, y: -((y.T - (1 - x)).square()) / 0.1  # a reference that carries 0 to 1 and 1 to 0
        >>> entropic_bridge(x, y, turned).plan().round(decimals=3)
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """
    log_density = log_kernel(x, y)
    if log_density.shape != (len(x), len(y)):
        raise ValueError(f"log_kernel: got shape {tuple(log_density.shape)}, want ({len(x)}, {len(y)})")
    return sinkhorn(-log_density, 1.0, iterations=iterations, tolerance=tolerance)


@dataclass(frozen=True)
class LinearisedFlow:
    """A diffusion's law from each start over a span, linear in deviations from the flow without noise.

    Attributes:
        means: m_k, the flow, shape (steps + 1, rows, dim).
        to_end: Ψ_k, what a deviation at step k becomes at the end, shape (steps + 1, rows, dim, dim).
        left: S_k, covariance at the end of all noise after step k, of the same shape.
        width: of a step.
    """

    means: Tensor
    to_end: Tensor
    left: Tensor
    width: float

    def log_kernel(self, x: Tensor, y: Float[Tensor, "columns dim"]) -> Float[Tensor, "rows columns"]:
        """Logarithm of p(y|x) of all pairs; ``x`` are the starts."""
        factor = torch.linalg.cholesky(self.left[0])
        off = (y - self.means[-1][:, None]).mT
        scaled = torch.linalg.solve_triangular(factor, off, upper=False)
        logs = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)[:, None]
        return -scaled.square().sum(1) / 2 - logs - y.shape[1] * math.log(2 * math.pi) / 2


@dataclass(frozen=True)
class _Interval:
    starts: Tensor
    ends: Tensor
    flow: LinearisedFlow
    plan: Tensor


class IterativeReferenceBridge:
    """Infers a population's paths from snapshots, given a family of drifts dX = b_ψ(X)dt + σdW of which ψ is unknown.

    By turns: (a) neighbouring snapshots are joined by Schrödinger bridges of the present reference, and those glued; (b) ψ is
    refitted to the glued process by regression of increments on the drift. Both lower KL(Q ‖ P_ψ). Bridges are of Euler steps,
    pinned by the drift linearised about each start's flow: exact for linear drifts, and for others where σ is small.

    Args:
        drift: ∂b/∂ψ, from points (batch, dim) to (batch, dim, parameters): b_ψ = drift(x)ψ, so that (b) is least squares.
        sigma: σ.
        steps: Euler steps between neighbouring snapshots.
        rounds: of (a) and (b); 0 keeps the reference that `fit` is given.
        generator: source of noise and of pairs.

    Attributes:
        parameters: ψ, zero at first: Brownian motion.
        history: ψ after each round.
        objective: KL of (a) before each round and at the end, apart from a constant.

    Raises:
        ValueError: if a number is out of range.

    Source: Shen, Berlinghieri, Broderick 2024, Algorithm 1 and Sec. 3.

    Example:
        >>> import torch
        >>> from replica.generative import IterativeReferenceBridge
        >>> generator = torch.Generator().manual_seed(0)
        >>> clouds = [0.1 * torch.randn(50, 1, generator=generator).double() + place for place in (0, 1, 2)]
        >>> constant = lambda x: torch.ones(len(x), 1, 1).to(x)
        >>> bridge = IterativeReferenceBridge(constant, 0.1, 10, 3, generator=generator).fit(clouds, [0.0, 2.0, 4.0])
        >>> bridge.parameters.round(decimals=1), bridge.at(1.0, 100).mean().round(decimals=1)
        (tensor([0.5000], dtype=torch.float64), tensor(0.5000, dtype=torch.float64))
    """

    def __init__(
        self, drift: Features, sigma: float, steps: int, rounds: int, *, generator: torch.Generator | None = None
    ) -> None:
        if not sigma > 0 or steps < 1 or rounds < 0:
            raise ValueError(f"sigma, steps, rounds: got {sigma}, {steps} and {rounds}, want above 0, 1 and 0 or more")
        self.drift, self.sigma, self.steps, self.rounds, self.generator = drift, sigma, steps, rounds, generator

    def fit(
        self,
        clouds: Sequence[Float[Tensor, "count dim"]],
        times: Sequence[float],
        *,
        parameters: Float[Tensor, " parameters"] | None = None,
    ) -> "IterativeReferenceBridge":
        """Learns from snapshots.

        Args:
            clouds: a set of points a time; sizes may differ.
            times: rising.
            parameters: ψ of the first reference; zero by default, Brownian motion.

        Raises:
            ValueError: if there are fewer than two snapshots, or times do not rise or fit.
        """
        spans = [end - begin for begin, end in pairwise(times)]
        if len(clouds) < 2 or len(clouds) != len(times) or min(spans) <= 0:
            raise ValueError(f"times: got {list(times)} for {len(clouds)} clouds, want a rising one each, two or more")
        self.times = list(times)
        count = self.drift(clouds[0][:1]).shape[-1]
        self.parameters = clouds[0].new_zeros(count) if parameters is None else parameters.to(clouds[0])
        self.history: list[Tensor] = []
        self.objective: list[float] = []
        for turn in range(self.rounds + 1):
            self._intervals = []
            total = 0.0
            for x, y, span in zip(clouds, clouds[1:], spans, strict=False):
                flow = self._linearised(x, span)
                coupling = entropic_bridge(x, y, flow.log_kernel)
                plan = coupling.plan()
                self._intervals.append(_Interval(x, y, flow, plan))
                total += float(coupling.value)
            self.objective.append(total)
            if turn < self.rounds:
                self.parameters = self._regression()
                self.history.append(self.parameters)
        return self

    def at(self, time: float, count: int) -> Float[Tensor, "count dim"]:
        """Points of the population at a time, to the nearest Euler step.

        Raises:
            ValueError: if the time is outside the snapshots'.
        """
        if not self.times[0] <= time <= self.times[-1]:
            raise ValueError(f"time: got {time}, want {self.times[0]} to {self.times[-1]}")
        index = max(k for k, begin in enumerate(self.times[:-1]) if begin <= time)
        step = round((time - self.times[index]) / self._intervals[index].flow.width)
        return self._bridged(index, self._rows(index, count))[0][:, step]

    def paths(self, count: int) -> Float[Tensor, "count points dim"]:
        """Whole paths, at all Euler steps from the first snapshot to the last."""
        rows, parts = self._rows(0, count), []
        for index in range(len(self._intervals)):
            piece, rows = self._bridged(index, rows)
            parts.append(piece if not index else piece[:, 1:])
        return torch.cat(parts, 1)

    def _b(self, x: Tensor) -> Tensor:
        return self.drift(x) @ self.parameters

    def _linearised(self, x: Tensor, span: float) -> LinearisedFlow:
        width, dim = span / self.steps, x.shape[1]
        flow: list[Tensor] = [x]
        for _ in range(self.steps):
            flow.append(flow[-1] + width * self._b(flow[-1]))
        means = torch.stack(flow)
        slope = torch.func.vmap(torch.func.jacfwd(lambda point: self._b(point[None])[0]))(means[:-1].reshape(-1, dim))
        turned = torch.eye(dim).to(x) + width * slope.view(self.steps, len(x), dim, dim)
        to_end, left = [torch.eye(dim).to(x).expand(len(x), dim, dim)], [x.new_zeros(len(x), dim, dim)]
        for step in reversed(range(self.steps)):
            left.append(left[-1] + self.sigma**2 * width * to_end[-1] @ to_end[-1].mT)
            to_end.append(to_end[-1] @ turned[step])
        return LinearisedFlow(means, torch.stack(to_end[::-1]), torch.stack(left[::-1]), width)

    def _rows(self, index: int, count: int) -> Int[Tensor, " count"]:
        """Starts in turn, so that each stands for its share."""
        starts = self._intervals[index].starts
        order = torch.randperm(len(starts), generator=self.generator, device=starts.device)
        return order.repeat(-(-count // len(starts)))[:count]

    def _bridged(self, index: int, rows: Tensor) -> tuple[Float[Tensor, "count points dim"], Int[Tensor, " count"]]:
        """Paths over an interval from given starts, and the numbers of the points where they end."""
        here = self._intervals[index]
        flow, noise = here.flow, self.sigma**2 * here.flow.width
        columns = torch.multinomial(here.plan[rows], 1, generator=self.generator)[:, 0]
        # Of a step, given the end: a Kalman update of N(μ, q) by y = m_T + Ψ(x − m) + N(0, S).
        to_end = flow.to_end[1:]
        gain = noise * torch.linalg.solve(noise * to_end @ to_end.mT + flow.left[1:], to_end).mT
        eye = torch.eye(gain.shape[-1]).to(gain)
        spread = noise * (eye - gain @ to_end)
        factor = torch.linalg.cholesky((spread + spread.mT) / 2 + 1e-6 * noise * eye)
        x, path = here.starts[rows], [here.starts[rows]]
        goal = here.ends[columns] - flow.means[-1][rows]
        for step in range(self.steps):
            ahead = x + flow.width * self._b(x)
            off = goal - _product(to_end[step][rows], ahead - flow.means[step + 1][rows])
            fresh = torch.randn(x.shape, generator=self.generator, device=x.device, dtype=x.dtype)
            last = step + 1 == self.steps
            x = ahead + _product(gain[step][rows], off) + (0 if last else _product(factor[step][rows], fresh))
            path.append(x)
        return torch.stack(path, 1), columns

    def _regression(self) -> Tensor:
        """ψ by least squares of increments, over four paths a point."""
        square, vector = torch.zeros(()).to(self.parameters), torch.zeros(()).to(self.parameters)
        for index, here in enumerate(self._intervals):
            paths, _ = self._bridged(index, self._rows(index, 4 * len(here.starts)))
            known = self.drift(paths[:, :-1].flatten(0, 1)).flatten(0, 1)
            moved = (paths.diff(dim=1) / here.flow.width).flatten()
            square, vector = square + here.flow.width * known.mT @ known, vector + here.flow.width * known.mT @ moved
        tiny = 1e-9 * square.diagonal().mean() * torch.eye(len(square)).to(square)
        solved: Tensor = torch.linalg.solve(square + tiny, vector)
        return solved


def _product(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[..., None])[..., 0]
