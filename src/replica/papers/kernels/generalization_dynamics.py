"""Advani, Saxe, Sompolinsky 2020: High-dimensional dynamics of generalization error in neural networks.

How far does gradient descent learn noise, over training time and the number of parameters? Linear networks have it in closed
form; networks with one hidden layer of ReLU units show whether it carries over.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replica.kernels import (
    EarlyStoppedRegressor,
    generalization_error,
    linear_dynamics,
    optimal_stopping_time,
)
from replica.lab.claims import LogUniform, Paper, Trial
from replica.lab.studies import lines
from replica.training import Replicas, mlp, train_replicas

paper = Paper("generalization_dynamics")
Rows = list[dict[str, Any]]


@paper.entry("teacher", name="early-stopped", space={"time": LogUniform(1e-2, 1e4)})
def early_stopped(trial: Trial, time: float | None = None) -> EarlyStoppedRegressor:
    """Least squares by gradient flow, stopped by generalised cross-validation."""
    return EarlyStoppedRegressor(time)


CONDITIONS = ((0.2, 0.0), (1.0, 0.0), (5.0, 0.0), (1.0, 1.0))
"""Signal-to-noise ratio, and variance of initial weights; the signal's is 1."""
LOADS = (0.1, 0.25, 0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 2.0, 4.0, 10.0)


def linear_networks(trial: Trial) -> Rows:
    """Errors over time, simulated and predicted, by load, signal-to-noise ratio and variance of the start."""
    inputs, draws, runs = trial.pick(smoke=(20, 1, 4), laptop=(400, 4, 200), full=(1000, 10, 400))
    loads = trial.pick(smoke=(0.5, 1.0, 2.0), laptop=LOADS, full=LOADS)
    times = torch.cat([torch.logspace(-2, math.log10(30), 12, dtype=torch.float64), torch.tensor([torch.inf])])
    rows = []
    for load in loads:
        samples, generator = round(load * inputs), trial.generator(f"load {load}")
        errors = torch.zeros(len(CONDITIONS), len(times), dtype=torch.float64)
        for _ in range(draws):
            X = normal(inputs, samples, generator) / math.sqrt(inputs)
            noise = torch.tensor([1 / ratio for ratio, _ in CONDITIONS]).sqrt().repeat_interleave(runs)
            start = torch.tensor([variance for _, variance in CONDITIONS]).sqrt().repeat_interleave(runs)
            truth = normal(inputs, len(noise), generator)
            targets = X.T @ truth + noise * normal(samples, len(noise), generator)
            weights = linear_dynamics(X, targets, times, start * normal(inputs, len(noise), generator))
            own = (weights - truth).square().mean(dim=1) + noise.square()
            errors += own.view(len(times), len(CONDITIONS), runs).mean(dim=2).T / draws
        for (ratio, variance), found in zip(CONDITIONS, errors, strict=True):
            theory = generalization_error(times, load, noise=1 / ratio, start=variance)
            best = optimal_stopping_time(load, noise=1 / ratio, start=variance).error
            for time, error, predicted in zip(times.tolist(), found.tolist(), theory.tolist(), strict=True):
                rows.append(
                    {"load": load, "ratio": ratio, "start": variance, "time": time if time < math.inf else None,
                     "error": error, "theory": predicted if predicted < math.inf else None, "best": best}
                )  # fmt: skip
    return rows


def normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(rows, columns, dtype=torch.float64, generator=generator, device=generator.device)


def draw_linear(axes, table):
    """Error over time at signal-to-noise ratio 1, simulated and predicted."""
    shown = table[(table["ratio"] == 1) & (table["start"] == 0) & table["load"].isin((0.25, 0.5, 1.0, 2.0, 4.0))]
    draw = lines(
        "time", "error", "load", theory="theory", xlabel="training time (τ)", ylabel="error on new samples", log="x"
    )
    draw(axes, shown)


@paper.claim(linear_networks, figure=draw_linear)
def linear_training(table):
    """The farthest of simulated errors from theory, and the load at which the most is lost after the best moment."""
    finite, end = table.dropna(subset=["time"]), table[table["time"].isna()]
    keys = ["load", "ratio", "start"]
    best = finite.groupby(keys)["error"].min()
    last = end.set_index(keys)
    lost = (last["error"] - best).reset_index(name="lost")
    worst = lost[lost["start"] == 0].sort_values("lost").groupby("ratio").last()["load"]
    start, none = (last["error"].xs((1.0, variance), level=("ratio", "start")) for variance in (1.0, 0.0))
    rise = (start - none)[[load for load in start.index if load < 0.8]]
    return {
        "largest_relative_gap": (finite["error"] / finite["theory"] - 1).abs().max(),
        "worst_load": worst.iloc[np.abs(np.log(worst)).argmax()],
        "largest_gap_of_optimum": (best / table.groupby(keys)["best"].first() - 1).abs().max(),
        "largest_deviation_of_start": (rise - (1 - rise.index)).abs().max(),
    }


INPUTS, NOISE = 20, 0.5


def relu_task(samples: int, generator: torch.Generator, tests: int = 1000) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples of a network of one hidden layer with noise, and tests without; its outputs have variance 1."""
    hidden, readout = normal(INPUTS, INPUTS, generator), normal(INPUTS, 1, generator)
    X = normal(samples + tests, INPUTS, generator)
    outputs = (X @ hidden).relu() @ readout
    outputs = (outputs - outputs.mean()) / outputs.std()
    y = outputs[:samples] + math.sqrt(NOISE) * normal(samples, 1, generator)
    return X[:samples], y[:, 0], X[samples:], outputs[samples:, 0]


def relu_networks(trial: Trial) -> Rows:
    """Last and least error over training time, by width over samples: the first layer fixed, or all weights trained."""
    samples, tasks = trial.pick(smoke=(10, 1), laptop=(100, 10), full=(400, 40))
    times = torch.cat([torch.logspace(-3, 5, 40, dtype=torch.float64), torch.tensor([torch.inf])])
    generator, rows = trial.generator("networks"), []
    drawn = [relu_task(samples, generator) for _ in range(tasks)]
    for share in (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8):
        width, errors = round(share * samples), torch.zeros(len(times), dtype=torch.float64)
        for X, y, tested, truth in drawn:
            first = normal(INPUTS, width, generator) * math.sqrt(2 / (INPUTS * width))
            weights = linear_dynamics((X @ first).relu().T, y[:, None], times)[..., 0]
            errors += (weights @ (tested @ first).relu().T - truth).square().mean(1) / tasks
        rows.append(summary("first layer fixed", share, width, errors))
    for share in (1 / 4, 1, 8):
        width = round(share * samples)
        nets = networks([1.0] * len(drawn[:3]), width, generator)
        errors, _ = trained(nets, drawn[:3], trial.pick(smoke=4, laptop=2000, full=20_000))
        rows.append(summary("all weights trained", share, width, errors.mean(1)))
    return rows


def summary(kind: str, share: float, width: int, errors: Tensor) -> dict[str, Any]:
    """Last and least error over time, with the noise of new samples, and ln of their ratio."""
    last, least = float(errors[-1]) + NOISE, float(errors.min()) + NOISE
    lost = math.log(last / least)
    return {"trained": kind, "share": share, "width": width, "last": last, "least": least, "overtraining": lost}


def networks(scales: list[float], width: int, generator: torch.Generator) -> Replicas:
    """Networks with one hidden layer; weights start at a scale over the root of a unit's inputs."""
    nets = [mlp((INPUTS, width, 1), bias=False, generator=generator, dtype=torch.float64) for _ in scales]
    for net, scale in zip(nets, scales, strict=True):
        for parameter in net.parameters():
            parameter.data.mul_(math.sqrt(3) * scale)
    return Replicas(nets)


def trained(nets: Replicas, tasks: Sequence[tuple[Tensor, ...]], steps: int) -> tuple[Tensor, Tensor]:
    """Errors without noise along full-batch gradient descent, shape (moments, nets), and the last training errors."""
    X, y, tested, truth = (torch.stack(parts) for parts in zip(*tasks, strict=True))
    moments: list[Tensor] = []

    def squared(net: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        return (net(inputs)[:, 0] - targets).square().mean()

    @torch.no_grad()
    def look(done: int) -> None:
        if done % max(steps // 40, 1) == 0:
            moments.append(nets.losses(squared, (tested, truth), shared=False))

    look(0)
    with torch.no_grad():
        hidden, readout = X @ nets.parameters["0.weight"].mT, nets.parameters["2.weight"]
        slopes = ((hidden > 0) * readout).square().sum(2) * X.square().sum(2)
        # The tangent kernel's trace bounds its largest eigenvalue; half of the rate that is stable for the largest start.
        rate = 0.5 / float((hidden.relu().square().sum(2) + slopes).mean(1).max())
    losses = train_replicas(nets, squared, [(X, y)], steps=steps, rates=rate, shared=False, after_step=look)
    return torch.stack(moments), losses[-1]


@paper.claim(
    relu_networks,
    figure=lines(
        "width",
        "overtraining",
        "trained",
        log="x",
        xlabel="hidden units, for 100 samples",
        ylabel="ln(last / least error)",
    ),
)
def large_networks(table):
    """How much more networks as wide as their samples overtrain than those eight times as wide."""
    fixed, all_trained = (rows.set_index("share") for _, rows in table.groupby("trained", sort=False))
    return {
        "less_overtraining": fixed["overtraining"][1.0] - fixed["overtraining"][8.0],
        "overtraining_at_samples": fixed["overtraining"][1.0],
        "overtraining_of_largest": fixed["overtraining"][8.0],
        "less_overtraining_all_weights": all_trained["overtraining"][1.0] - all_trained["overtraining"][8.0],
        "gain_over_best_smaller": math.log(fixed["last"][fixed.index < 1].min() / fixed["last"][8.0]),
    }


def relu_starts(trial: Trial) -> Rows:
    """Last error on new samples and on those learned from, by the scale of initial weights, a row a task and scale."""
    samples, tasks = trial.pick(smoke=(10, 1), laptop=(100, 6), full=(400, 20))
    scales, generator = (0.1, 0.3, 1.0), trial.generator("starts")
    drawn = [relu_task(samples, generator) for _ in range(tasks)]
    nets = networks([scale for scale in scales for _ in drawn], samples, generator)
    errors, learned = trained(nets, drawn * len(scales), trial.pick(smoke=4, laptop=3000, full=30_000))
    table = zip(np.repeat(scales, tasks).tolist(), errors[-1].tolist(), learned.tolist(), strict=True)
    return [{"scale": scale, "error": error + NOISE, "training_error": fitted} for scale, error, fitted in table]


@paper.claim(
    relu_starts,
    figure=lines(
        "scale", "error", None, log="x", xlabel="scale of initial weights", ylabel="last error on new samples"
    ),
)
def small_weights(table):
    """What the largest start adds to ln of the last error, beside the smallest, mean over tasks; the worst training error."""
    logs = np.log(table["error"]).groupby(table["scale"]).mean()
    return {
        "penalty": logs[1.0] - logs[0.1],
        "largest_training_error": table.groupby("scale")["training_error"].mean().max(),
    }
