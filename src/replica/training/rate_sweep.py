"""One model at many learning rates, side by side on the same batches, and how soon each run gets where."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .replicas import Replicas

Batch = tuple[Any, ...]


class RateCurves(NamedTuple):
    """Held-out loss along training of a model at many learning rates.

    Attributes:
        steps: at which it was measured, ``evaluations`` of them.
        losses: by optimiser, ``(evaluations, rates)``.
    """

    steps: list[int]
    losses: Mapping[str, np.ndarray]

    def final(self, optimiser: str) -> np.ndarray:
        """Where each run ends, ``(rates,)``: the mean of its last three evaluations."""
        return self.losses[optimiser][-3:].mean(0)

    def steps_to(self, target: float, optimiser: str) -> np.ndarray:
        """Steps until the mean of three evaluations is at most the target, ``(rates,)``; the whole budget if it never is."""
        losses = self.losses[optimiser]
        smooth = (losses[:-2] + losses[1:-1] + losses[2:]) / 3
        reached = smooth <= target
        first = np.where(reached.any(0), reached.argmax(0) + 2, len(losses) - 1)
        return np.array(self.steps)[first]

    def beside(self, other: "RateCurves") -> dict[str, float]:
        """These runs beside another model's at the same rates, averaged over optimisers.

        Steps are those to a loss 25 % above the lowest at which any run of either ends with that optimiser; runs that never
        get there count with the whole budget.

        Returns:
            `fastest`: ratio of steps, each model at the rate that gets there first. `average`: ratio of the mean steps over
            all rates. `usable_rates`: how much larger the share of rates is that end at such a loss.
        """
        fastest, average, usable = [], [], []
        for kind in other.losses:
            target = 1.25 * min(float(self.final(kind).min()), float(other.final(kind).min()))
            ours, theirs = self.steps_to(target, kind), other.steps_to(target, kind)
            fastest.append(np.log(ours.min() / theirs.min()))
            average.append(np.log(ours.mean() / theirs.mean()))
            usable.append(float((self.final(kind) <= target).mean() - (other.final(kind) <= target).mean()))
        return {
            "fastest": float(np.exp(np.mean(fastest))),
            "average": float(np.exp(np.mean(average))),
            "usable_rates": float(np.mean(usable)),
        }


def sweep_rates(
    model: nn.Module,
    loss: Callable[..., Tensor],
    draw: Callable[[], Batch],
    held_out: Sequence[Batch],
    *,
    rates: Mapping[str, Sequence[float]],
    steps: int,
    every: int,
    worst: float,
) -> RateCurves:
    """Train copies of a model side by side, one a learning rate, on the same batches.

    Args:
        model: From whose weights all start; it is left as it is. It and the loss must work under `torch.vmap`.
        loss: ``loss(model, *batch)``, the mean over the batch; the model comes as a function.
        draw: Gives the next batch.
        held_out: Batches whose mean loss is measured.
        rates: Learning rates of ``"adam"`` and of ``"sgd"`` (Nesterov momentum of 0.9).
        steps: Updates of each run.
        every: Steps from one measurement to the next.
        worst: The highest loss that is told apart: a run above it, or one that diverged, counts as this.
    """
    count = sum(map(len, rates.values()))
    replicas = Replicas.of(model, count)
    stacked = list(replicas.parameters.values())
    # The optimisers step through views of each run's rows and its gradient's.
    gradients = [torch.zeros_like(tensor) for tensor in stacked]
    runs: list[list[nn.Parameter]] = [[] for _ in range(count)]
    for tensor, gradient in zip(stacked, gradients, strict=True):
        tensor.grad = gradient
        for run, row, own in zip(runs, tensor.detach(), gradient, strict=True):
            run.append(nn.Parameter(row))
            run[-1].grad = own
    optimisers = _optimisers(runs, rates)

    seen, at = [], []
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            with torch.no_grad():
                seen.append(torch.stack([replicas.losses(loss, batch) for batch in held_out]).mean(0))
            at.append(step)
        if step == steps:
            break
        for gradient in gradients:
            gradient.zero_()
        replicas.losses(loss, draw()).sum().backward()
        for optimiser in optimisers:
            optimiser.step()
    table = torch.stack(seen).nan_to_num(worst, worst).clamp(max=worst).cpu().numpy()
    ends = np.cumsum([len(values) for values in rates.values()])[:-1]
    return RateCurves(at, dict(zip(rates, np.split(table, ends, axis=1), strict=True)))


def _optimisers(
    runs: Sequence[list[nn.Parameter]], rates: Mapping[str, Sequence[float]]
) -> list[torch.optim.Optimizer]:
    remaining = iter(runs)
    optimisers: list[torch.optim.Optimizer] = []
    for kind, values in rates.items():
        groups = [{"params": next(remaining), "lr": rate} for rate in values]
        optimisers.append(
            torch.optim.Adam(groups, fused=True)
            if kind == "adam"
            else torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)
        )
    return optimisers
