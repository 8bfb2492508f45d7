"""Aithal, Maini, Lipton, Kolter 2024: Understanding Hallucinations in Diffusion Models through Mode Interpolation.

A net cannot jump as the exact denoiser does, and so puts samples between modes: between which, and does their path betray them?
"""

import math
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from replica.generative import (
    FourierDenoisingMLP,
    MixtureDenoiser,
    PreconditionedDenoiser,
    TrajectoryVariance,
    VarianceExplodingPath,
    denoising_loss,
    keep_steadiest,
    sample_path,
)
from replica.lab.claims import Integer, LogUniform, Paper, Trial, Uniform
from replica.lab.studies import dots
from replica.papers.baselines.sample import Diffusion
from replica.training import fit

paper = Paper("mode_interpolation")
DEVIATION, SUPPORT = 0.05, 6.0
KEPT = 0.96
LEVELS = (0.05, 0.1, 0.2, 0.4, 0.8)
PATH = VarianceExplodingPath(0.02, 10.0)
MODES = {
    "line": torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]),
    "grid": torch.cartesian_prod(torch.arange(-2.0, 3), torch.arange(-2.0, 3)),
}


class SteadyDiffusion(Diffusion):
    """The baseline's diffusion that draws more than is asked for, and keeps the samples of the steadiest paths.

    Args:
        keep: The share that is kept.
        **settings: See `Diffusion`.
    """

    def __init__(self, keep: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.keep = keep

    def sample(self, count: int, hook: Any = None) -> Tensor:
        """See the protocol; the window is the last quarter of the times, below a sixth of the data's deviation."""
        watch = TrajectoryVariance(0.75)
        drawn = super().sample(math.ceil(count / self.keep), watch)
        return keep_steadiest(drawn, watch.value, count)


@paper.entry(
    "sample",
    name="steady-diffusion",
    space={
        "learning_rate": LogUniform(3e-4, 1e-2),
        "width": Integer(32, 512),
        "depth": Integer(1, 4),
        "keep": Uniform(0.5, 1),
    },
)
def steady_diffusion(
    trial: Trial, learning_rate: float = 2e-3, width: int = 256, depth: int = 2, keep: float = 0.9
) -> SteadyDiffusion:
    """A tenth of the samples is dropped."""
    return SteadyDiffusion(keep, width=width, depth=depth, learning_rate=learning_rate, trial=trial)


def trained(trial: Trial, exact: MixtureDenoiser, name: str) -> nn.Module:
    """A denoiser trained on fresh draws of the mixture."""
    scale = float((exact.means.var(0, correction=0).mean() + DEVIATION**2).sqrt())
    net = FourierDenoisingMLP(
        exact.means.shape[1], scale=0.3, width=64, generator=trial.generator(f"{name} net", "cpu")
    )
    denoiser = PreconditionedDenoiser(net, data_scale=scale)
    generator = trial.generator(f"{name} batches", "cpu")
    steps = trial.pick(smoke=5, laptop={"line": 400, "grid": 2000}[name], full=20_000)
    optimiser = torch.optim.Adam(denoiser.parameters(), 3e-3)

    def loss(model: nn.Module) -> Tensor:
        clean = exact.sample(256, generator=generator)
        return denoising_loss(model, clean, mean_level=-1.5, level_scale=1.5, data_scale=scale, generator=generator)

    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    fit(denoiser, loss, [()], optimiser=optimiser, steps=steps, schedule=schedule)
    return denoiser


def time_of(level: float) -> float:
    """When the path has this noise."""
    low, high, here = (value ** (1 / PATH.rho) for value in (PATH.smallest, PATH.largest, level))
    return (high - here) / (high - low)


def draw(trial: Trial, denoiser: nn.Module, dim: int, count: int, name: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Ancestral samples, and by noise level the variance of predictions below it; with what the last step takes away."""
    watches = {str(level): TrajectoryVariance(time_of(level)) for level in LEVELS}
    last: dict[str, Tensor] = {}

    def hook(noisy: Tensor, clean: Tensor, time: Tensor) -> Tensor:
        for watch in watches.values():
            watch(noisy, clean, time)
        last["residual"] = (noisy - clean).norm(dim=1)
        return clean

    generator = trial.generator(name, "cpu")
    noise = torch.randn(count, dim, generator=generator)
    steps = trial.pick(smoke=20, laptop=120, full=1000)
    samples = sample_path(
        denoiser, PATH, noise, steps=steps, solver="ddim", stochasticity=1.0, hook=hook, generator=generator
    )
    return samples, {level: watch.value for level, watch in watches.items()} | last


def off(samples: Tensor, modes: Tensor) -> Tensor:
    """Which samples are out of support."""
    return torch.cdist(samples, modes).amin(1) > SUPPORT * DEVIATION


def threshold(scores: Tensor, out: Tensor) -> float:
    """What 96 % of the samples in support stay below."""
    return float(scores[~out if not bool(out.all()) else slice(None)].quantile(KEPT))


def passed(scores: Tensor, out: Tensor, limit: float) -> dict[str, float]:
    """The shares of samples out of support that are removed, and in support that are kept."""
    beyond = scores > limit
    return {
        "removed": float(beyond[out].double().mean()) if bool(out.any()) else 0.0,
        "kept": float((~beyond[~out]).double().mean()) if not bool(out.all()) else 0.0,
    }


def area(scores: Tensor, out: Tensor) -> float:
    """P(a sample out of support scores higher than one in support)."""
    return float(roc_auc_score(out, scores)) if 0 < int(out.sum()) < len(out) else 0.5


def hallucinations(trial: Trial) -> list[dict[str, Any]]:
    """For modes on a line and on a grid: how many samples are out of support, where they lie, and who tells them."""
    count = trial.pick(smoke=50, laptop=10_000, full=100_000)
    rows = []
    for name, modes in MODES.items():
        exact, dim = MixtureDenoiser(modes, DEVIATION), modes.shape[1]
        net = trained(trial, exact, name)
        tried, hints = draw(trial, net, dim, count, f"{name} tried")
        known = off(tried, modes)
        limits = {str(level): threshold(hints[str(level)], known) for level in LEVELS}
        level = max(limits, key=lambda level: passed(hints[level], known, limits[level])["removed"])
        fresh, scores = draw(trial, net, dim, 3 * count // 2, f"{name} fresh")
        out = off(fresh, modes)
        points = exact.sample(2000, generator=trial.generator(f"{name} points", "cpu"))
        ideal, _ = draw(trial, exact, dim, count // 5, f"{name} exact")
        found = passed(scores[level], out, limits[level])
        residual = passed(scores["residual"], out, threshold(hints["residual"], known))
        near, near_fresh = (torch.cdist(rows, points).amin(1) for rows in (tried, fresh))
        distance = passed(near_fresh, out, threshold(near, known))
        row = {"data": name, "level": float(level), **found, "area": area(scores[level], out)}
        row |= {"removed_by_residual": residual["removed"], "removed_by_distance": distance["removed"]}
        row |= {
            "out_of_support": float(out.double().mean()),
            "out_of_support_exact": float(off(ideal, modes).double().mean()),
            "between": float((fresh.abs() < 2 + 3 * DEVIATION).all(1)[out].double().mean()) if bool(out.any()) else 0.0,
        }
        if name == "line":
            place = fresh[out, 0].abs()
            # By symmetry: two gaps of 1, from 1 to 2 on both sides, and one of 2. Half a sample keeps logarithms finite.
            row["near"] = (float(((place > 1) & (place < 2)).sum()) / 2 + 0.5) / len(fresh)
            row["far"] = (float((place < 1).sum()) + 0.5) / len(fresh)
        rows.append(row)
    return rows


@paper.claim(
    hallucinations, figure=dots("data", "removed", xlabel="modes", ylabel="hallucinations removed (%)", percent=True)
)
def hallucinations_are_told(table):
    """Means of line and grid; the least or the most of the two in the gates."""
    means = table[["removed", "removed_by_residual", "removed_by_distance", "area", "kept"]].mean()
    return {
        **means,
        "out_of_support": table["out_of_support"].min(),
        "out_of_support_exact": table["out_of_support_exact"].max(),
    }


@paper.claim(
    hallucinations,
    figure=dots("data", "out_of_support", xlabel="modes", ylabel="samples out of support (%)", percent=True),
)
def near_modes_are_interpolated(table):
    """On the line: what lies in gaps of 1 over what lies in the gap of 2."""
    line = table[table["data"] == "line"].iloc[0]
    return {
        "log_near_over_far": np.log(line["near"] / line["far"]),
        "between": line["between"],
        "out_of_support": line["out_of_support"],
        "out_of_support_exact": line["out_of_support_exact"],
    }
