"""Shetty, Prasath, Seelamantula 2025: Dale meets Langevin, A Multiplicative Denoising Diffusion Model.

Sampling and learning by factors: do signs stay, do samples reach the data's law, and are learned weights log-normal?
"""

import math
from typing import Any

import numpy as np
import torch
from scipy.stats import kstest
from torch import Tensor

from replica.generative import (
    ExponentiatedGradient,
    FiniteSetDenoiser,
    GeometricBrownian,
    MixtureDenoiser,
    VarianceExplodingPath,
    dale_langevin,
    sample_path,
)
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots
from replica.training import sliced_wasserstein

paper = Paper("dale_langevin")
Rows = list[dict[str, Any]]
OURS, AMBIENT, ADDITIVE = "factors", "steps of x", "additive"
LONGEST, SHORTEST = 25.0, 0.001
DIM = 8


def sign_changes(seen: list[Tensor]) -> float:
    """The share of coordinates that have had another sign than at first."""
    signs = torch.stack(seen).sign()
    return float((signs != signs[0]).any(0).double().mean())


def samplers(trial: Trial) -> Rows:
    """Sign changes of three samplers over their number of steps, and distances of logarithms to fresh data."""
    count = trial.pick(smoke=60, laptop=2000, full=10_000)
    law = MixtureDenoiser(torch.randn(5, DIM, generator=trial.generator("means")), 0.3)  # of logarithms
    signs = torch.randn(DIM, generator=trial.generator("signs")).sign()
    data, fresh, other = (law.sample(count, generator=trial.generator(name)) for name in ("data", "fresh", "other"))
    process = GeometricBrownian(0.5, 1.0)
    noise = torch.randn(count, DIM, generator=trial.generator("start"))
    start = signs * (process.log_drift * LONGEST + process.sigma * LONGEST**0.5 * noise).exp()

    def distance(logs: Tensor) -> float:
        return float(sliced_wasserstein(logs, fresh, generator=trial.generator("directions")))

    known = {"floor": distance(other), "from_start": distance(start.abs().log())}
    rows: Rows = []
    for steps in trial.pick(smoke=(4, 6), laptop=(10, 30, 100), full=(10, 30, 100, 1000)):
        times = torch.logspace(math.log10(LONGEST), math.log10(SHORTEST), steps + 1, dtype=torch.float64)
        for sampler in (OURS, AMBIENT, ADDITIVE):
            seen: list[Tensor] = []
            generator = trial.generator("steps")

            def look(x: Tensor, *when: Tensor, seen: list[Tensor] = seen) -> Tensor:
                seen.append(x)
                return x

            if sampler == ADDITIVE:
                path = VarianceExplodingPath(SHORTEST, 30.0)
                x = sample_path(FiniteSetDenoiser(signs * data.exp()), path, noise, steps=steps, solver="ddim",
                                stochasticity=1.0, before=look, generator=generator)  # fmt: skip
            else:
                score, keep = process.exact_score(law), sampler == OURS
                x = dale_langevin(score, process, start, times, keep_signs=keep, before=look, generator=generator)
            found = {"changed": sign_changes([*seen, x]), "distance": distance(x.abs().clamp_min(1e-30).log())}
            found["wrong_at_end"] = float((x.sign() != signs).double().mean())
            rows.append({"sampler": sampler, "steps": steps} | found | known)
    return rows


@paper.claim(samplers, figure=dots("sampler", "changed", "steps", ylabel="coordinates that change sign", percent=True))
def signs_kept(table):
    """Means over numbers of steps."""
    means = table.groupby("sampler")[["changed", "wrong_at_end"]].mean()
    return {
        "changed": means["changed"][OURS],
        "changed_by_steps_of_x": means["changed"][AMBIENT],
        "changed_by_additive": means["changed"][ADDITIVE],
        "wrong_at_end_by_additive": means["wrong_at_end"][ADDITIVE],
    }


@paper.claim(samplers, figure=dots("sampler", "distance", "steps", ylabel="distance to fresh data", log="y"))
def samples_from_log_normal(table):
    """Of most steps."""
    most = table[table["steps"] == table["steps"].max()].set_index("sampler")
    logs, floor = np.log(most["distance"]), np.log(most["floor"].iloc[0])
    return {
        "log_over_floor": logs[OURS] - floor,
        "log_gain_over_steps_of_x": logs[AMBIENT] - logs[OURS],
        "log_start_over_floor": np.log(most["from_start"].iloc[0]) - floor,
    }


def weights(trial: Trial) -> Rows:
    """How far ln|w| is from normal after either rule, from equal weights and from log-normal ones, all of given signs."""
    dim, count, steps = trial.pick(smoke=(40, 10, 20), laptop=(2000, 500, 600), full=(20_000, 5000, 3000))
    draw = {name: torch.randn(shape, generator=trial.generator(name)) for name, shape in
            (("inputs", (count, dim)), ("teacher", (dim,)), ("signs", (dim,)), ("sizes", (dim,)))}  # fmt: skip
    inputs, targets = draw["inputs"], draw["inputs"] @ draw["teacher"]
    starts = {"equal": draw["signs"].sign(), "log-normal": draw["signs"].sign() * (draw["sizes"] / 2).exp()}
    rows = []
    for start, first in starts.items():
        for rule, optimiser in (("exponentiated", ExponentiatedGradient), ("plain", torch.optim.SGD)):
            runs = [descend(optimiser, rate, first, inputs, targets, steps) for rate in (0.02, 0.05, 0.1)]
            left, learned = min(runs, key=lambda run: run[0])
            logs = learned.abs().clamp_min(1e-30).log().double()
            normal = ((logs - logs.mean()) / logs.std()).numpy()
            spread = float((logs - first.abs().log()).std())
            rows.append({"start": start, "rule": rule, "distance": float(kstest(normal, "norm").statistic), "left": left,
                         "spread": spread, "crossed": float((learned * first < 0).double().mean())})  # fmt: skip
    return rows


def descend(rule: Any, rate: float, first: Tensor, inputs: Tensor, targets: Tensor, steps: int) -> tuple[float, Tensor]:
    """The share of the loss that is left, and the weights."""
    linear = torch.nn.Parameter(first.clone())
    optimiser, losses = rule([linear], lr=rate), []
    for _ in range(steps + 1):
        optimiser.zero_grad()
        loss = (inputs @ linear - targets).square().mean() / 2
        losses.append(float(loss.detach()))
        if not losses[-1] <= 1e3 * losses[0]:
            return math.inf, linear.detach()
        loss.backward()
        optimiser.step()
    return losses[-1] / losses[0], linear.detach()


@paper.claim(weights, figure=dots("rule", "distance", "start", ylabel="distance of ln|w| from normal"))
def log_normal_weights(table):
    """Means over starts."""
    rules = table.assign(log=np.log(table["distance"]), log_left=np.log(table["left"].clip(lower=1e-30)))
    means = rules.groupby("rule")[["distance", "log", "log_left", "spread"]].mean()
    return {
        "log_ratio": means["log"]["plain"] - means["log"]["exponentiated"],
        "distance": means["distance"]["exponentiated"],
        "distance_plain": means["distance"]["plain"],
        "log_loss_left": means["log_left"].max(),
        "spread_gained": means["spread"]["exponentiated"],
    }
