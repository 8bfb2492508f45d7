"""Han, Razaviyayn, Xu 2024: Neural Network-Based Score Estimation in Diffusion Models: Optimization and Generalization.

A wide network learns a score by gradient descent on noisy labels: is its path a kernel's, does stopping early help, and does
the error fall with samples?
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replica.kernels import DenoisingPairs, ScoreRegression, TwoLayerScoreNet, denoising_pairs, signal_and_noise
from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines

paper = Paper("score_ntk")
Rows = list[dict[str, Any]]
CENTRES = torch.tensor([[0.0, 2.0], [1.7, -1.0], [-1.7, -1.0]])
SPREAD = 0.4
RATE = 0.3
STEPS = torch.logspace(0, 5, 51).round().unique()


def data(count: int, generator: torch.Generator) -> Tensor:
    """Points of three Gaussians of equal weight."""
    which = torch.randint(3, (count,), generator=generator)
    return CENTRES[which] + SPREAD * torch.randn(count, 2, generator=generator)


def pairs(count: int, generator: torch.Generator) -> DenoisingPairs:
    """Their noised points, each with the point it came from."""
    return denoising_pairs(data(count, generator), first=0.1, last=1.0, generator=generator)


def posterior_mean(points: Tensor, times: Tensor, centres: Tensor, variance: Tensor | float) -> Tensor:
    """E[X_0 | X_t] of Gaussians of equal weight; variances may have a leading axis."""
    alpha, noise = signal_and_noise(times)
    variance = torch.as_tensor(variance)[..., None, None]
    total = alpha**2 * variance + noise
    offsets = points[:, None] - alpha[..., None] * centres
    weights = torch.softmax(-offsets.square().sum(-1) / (2 * total), dim=-1)
    mean = weights @ centres
    return mean + alpha * variance / total * (points - alpha * mean)


def score_error(estimates: Tensor, test: DenoisingPairs) -> Tensor:
    """E h ‖ŝ − s‖² against the true score: α² / h times the squared error of E[X_0 | X_t]."""
    alpha, noise = signal_and_noise(test.times)
    truth = posterior_mean(test.points, test.times, CENTRES, SPREAD**2)
    return (alpha**2 / noise * (estimates - truth).square()).sum(-1).mean(-1)


def stop(model: ScoreRegression, held: DenoisingPairs, steps: Tensor, *, ridge: bool = False) -> int:
    """Index of the number of steps (or ridge strength) with the least loss on held-out pairs: the noisy labels alone decide."""
    losses = (model.denoised(held.points, held.times, steps, ridge=ridge) - held.clean).square().sum(-1).mean(-1)
    return int(losses.argmin())


def paths(trial: Trial) -> Rows:
    """Relative distance of networks from the kernel's path, by width and step; 200 pairs, full-batch descent."""
    widths = trial.pick(smoke=(16, 64), laptop=(16, 64, 256, 1024, 4096), full=(16, 64, 256, 1024, 4096, 16_384))
    generator = trial.generator("data")
    train, held, test = (pairs(count, generator) for count in (200, 200, 500))
    kernel = ScoreRegression(train, rate=RATE)
    grid = STEPS[: trial.pick(smoke=8, laptop=30, full=36)]
    stopping = int(grid[stop(kernel, held, grid)])
    predicted = kernel.denoised(test.points, test.times, grid)
    rows = []
    for width in widths:
        net = TwoLayerScoreNet(2, width, generator=trial.generator(f"weights {width}"))
        optimiser = torch.optim.SGD(net.parameters(), RATE)
        place = 0
        for step in range(1, int(grid[-1]) + 1):
            optimiser.zero_grad()
            loss = (net(train.points, train.times) - train.clean).square().sum() / (2 * len(train.clean))
            loss.backward()
            optimiser.step()
            if step == grid[place]:
                with torch.no_grad():
                    away = (net(test.points, test.times) - predicted[place]).norm() / predicted[place].norm()
                rows.append({"width": width, "step": step, "stopping": stopping, "distance": float(away)})
                place += 1
    return rows


@paper.claim(paths, figure=lines("step", "distance", "width", log="xy", ylabel="distance from the kernel's path"))
def kernel_regression(table):
    """Distances at the stopping time, their slope in width, and the largest on the widest network's path."""
    stopped = table[table["step"] == table["stopping"]].set_index("width")["distance"]
    wide = table[table["width"] == table["width"].max()]
    return {
        "distance": stopped.iloc[-1],
        "slope": np.polyfit(np.log(stopped.index.to_numpy(float)), np.log(stopped), 1)[0],
        "largest_distance_on_path": wide["distance"].max(),
        "distance_narrow": stopped.iloc[0],
    }


def errors_by_samples(trial: Trial) -> Rows:
    """Score errors of the kernel's descent stopped and at its end, of ridge, a kernel density and no score at all."""
    counts = trial.pick(smoke=(25, 50), laptop=(50, 100, 200, 400, 800, 1600), full=(50, 200, 800, 3200))
    test = pairs(2000, trial.generator("test"))
    rows = []
    for count in counts:
        generator = trial.generator(f"data {count}")
        train, held = pairs(count, generator), pairs(count, generator)
        kernel = ScoreRegression(train, rate=RATE)
        strengths, widths = torch.logspace(-7, 1, 60), torch.logspace(-2, 0.5, 40)
        densities = posterior_mean(held.points, held.times, train.clean, widths**2)
        width = widths[(densities - held.clean).square().sum(-1).mean(-1).argmin()]
        strength = strengths[stop(kernel, held, strengths, ridge=True)]
        found = {
            "stopped early": kernel.denoised(test.points, test.times, STEPS[[stop(kernel, held, STEPS)]]),
            "interpolating": kernel.denoised(test.points, test.times, torch.tensor([math.inf])),
            "best ridge": kernel.denoised(test.points, test.times, strength[None], ridge=True),
            "kernel density": posterior_mean(test.points, test.times, train.clean, width**2)[None],
            "no score": (test.points / signal_and_noise(test.times)[0])[None],
        }
        rows += [
            {"samples": count, "method": name, "error": float(score_error(estimate, test))}
            for name, estimate in found.items()
        ]
    return rows


by_samples = lines("samples", "error", log="xy", xlabel="noised points", ylabel="error of the score")


@paper.claim(errors_by_samples, figure=by_samples)
def early_stopping(table):
    """Logarithms of errors over that at the stop, at 200 samples."""
    few = table[table["samples"] == (200 if (table["samples"] == 200).any() else table["samples"].max())]
    logs = np.log(few.set_index("method")["error"])
    gain = logs - logs["stopped early"]
    return {
        "log_gain": gain["interpolating"],
        "log_gain_of_best_ridge": -gain["best ridge"],
        "log_gain_over_density": gain["kernel density"],
        "log_gain_over_no_score": gain["no score"],
    }


@paper.claim(errors_by_samples, figure=by_samples)
def sample_complexity(table):
    """The exponents of the error in samples, stopped early and at interpolation."""
    logs = np.log(table.pivot(index="samples", columns="method", values="error"))
    falls = {name: -np.polyfit(np.log(logs.index.to_numpy(float)), logs[name], 1)[0] for name in logs}
    return {"exponent": falls["stopped early"], "exponent_at_interpolation": falls["interpolating"]}
