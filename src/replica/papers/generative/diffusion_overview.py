"""Chen, Mei, Fan, Wang 2024: An Overview of Diffusion Models.

Two results of its theory: scores of data on a subspace are learned as if the space around were not there, and a model
conditioned on rewards finds better designs without leaving the data's subspace.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replica.generative import (
    DenoisingMLP,
    MixtureDenoiser,
    PreconditionedDenoiser,
    RewardConditionedSampler,
    SubspaceScore,
    ascend_reward,
    denoising_loss,
)
from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines
from replica.training import Minibatches, fit, mlp

paper = Paper("diffusion_overview")
Rows = list[dict[str, Any]]
MODES = MixtureDenoiser(torch.tensor([[-0.96], [0.96]]), 0.28)
"""Of one coordinate on the subspace: two modes, unit variance."""
LEVELS: dict[str, Any] = {"mean_level": -0.7, "level_scale": 1.0}
TARGETS = (1.0, 2.5, 4.0, 6.0, 9.0)


def subspace(dim: int, intrinsic: int, generator: torch.Generator) -> Tensor:
    """A: orthonormal columns at random."""
    return torch.linalg.qr(torch.randn(dim, intrinsic, generator=generator))[0]


def draws(count: int, basis: Tensor, generator: torch.Generator) -> Tensor:
    """Points on a subspace, every coordinate of two modes."""
    return MODES.sample(count * basis.shape[1], generator=generator).view(count, -1) @ basis.T


def learned(net: nn.Module, points: Tensor, steps: int, name: str, trial: Trial) -> nn.Module:
    """The net after denoising, at its best by a held-out eighth."""
    held = len(points) // 8
    noise = trial.generator(f"noise of {name}")
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)

    def loss(model: nn.Module, clean: Tensor) -> Tensor:
        return denoising_loss(model, clean, generator=noise, **LEVELS)

    def validate() -> float:
        # The same noise each time: scores of different moments are paired.
        fixed = torch.Generator().manual_seed(0)
        return float(denoising_loss(net, points[:held].repeat(2048 // held + 1, 1), generator=fixed, **LEVELS))

    batches = Minibatches(points[held:], size=128, generator=trial.generator(f"batches of {name}"))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    fit(
        net,
        loss,
        batches,
        optimiser=optimiser,
        steps=steps,
        schedule=schedule,
        validate=validate,
        every=max(steps // 15, 5),
    )
    return net


def weighted_error(estimate: Any, points: Tensor, basis: Tensor, generator: torch.Generator) -> float:
    """Mean of (σ² + 1)/σ² ‖D̂ − E[x₁|x_t]‖², summed over coordinates: 1 + σ² times σ²‖ŝ − s‖²."""
    level = (LEVELS["mean_level"] + LEVELS["level_scale"] * torch.randn(len(points), generator=generator)).exp()
    noisy = points + level[:, None] * torch.randn(points.shape, generator=generator)
    one = torch.ones_like(level)
    inside = (noisy @ basis).reshape(-1, 1)
    each = level.repeat_interleave(basis.shape[1])
    truth = MODES(inside, torch.ones_like(each), each).view(len(points), -1) @ basis.T
    with torch.no_grad():
        off = (estimate(noisy, one, level) - truth).square().sum(1)
    return float(((level.square() + 1) / level.square() * off).mean())


def errors(trial: Trial) -> Rows:
    """Errors of learned scores by d, D and samples: the theory's class, a plain net, and the best linear score."""
    counts = trial.pick(smoke=(64, 128), laptop=(100, 1600), full=(100, 400, 1600, 6400))
    sizes = trial.pick(smoke=((2, 4), (6, 12)), laptop=((2, 8), (16, 64)), full=((2, 4, 8, 16), (16, 64, 256)))
    steps, rows = trial.pick(smoke=5, laptop=600, full=6000), []
    for d in sizes[0]:
        for D in sizes[1]:
            # Spaces around one subspace's data: points, first weights and minibatches are the same for all D.
            name = f"{d} in {D}"
            basis = subspace(D, d, trial.generator(f"subspace {name}"))
            test = draws(4000, basis, trial.generator(f"test {d}"))
            data = draws(counts[-1], basis, trial.generator(f"data {d}"))
            for count in counts:
                weights = trial.generator(f"weights {d} {count}")
                nets: dict[str, nn.Module] = {"linear encoder": SubspaceScore(D, d, width=64, generator=weights)}
                if count == counts[1] and d == sizes[0][-1]:
                    nets["plain"] = PreconditionedDenoiser(DenoisingMLP(D, width=64, generator=weights))
                known = {"intrinsic": d, "ambient": D, "samples": count, "data": name}
                for method, net in nets.items():
                    model = learned(net, data[:count], steps, f"{method} {d} {count}", trial)
                    error = weighted_error(model, test, basis, trial.generator(f"levels {d}"))
                    rows.append(known | {"method": method, "error": error})

                def linear(noisy: Tensor, one: Tensor, level: Tensor, basis: Tensor = basis) -> Tensor:
                    return noisy @ basis @ basis.T / (1 + level[:, None].square())

                error = weighted_error(linear, test, basis, trial.generator(f"levels {d}"))
                rows.append(known | {"method": "linear", "error": error})
    return rows


def by_samples(axes, table):
    """Errors of the theory's class over samples, a line for each pair of dimensions."""
    rows = table[table["method"] == "linear encoder"]
    lines("samples", "error", "data", log="xy", ylabel="weighted error of the score")(axes, rows)


@paper.claim(errors, figure=by_samples)
def intrinsic_dimension(table):
    """Slopes of ln error in the logarithms of D, d and the number of samples."""
    ours, plain, linear = (table[table["method"] == name] for name in ("linear encoder", "plain", "linear"))

    def slopes(rows):
        known = [np.log(rows[name].to_numpy(float)) for name in ("ambient", "intrinsic", "samples")]
        found = np.linalg.lstsq(np.stack([*known, np.ones(len(rows))], 1), np.log(rows["error"]), rcond=None)[0]
        return dict(zip(("ambient", "intrinsic", "samples"), found, strict=False))

    most = [np.log(rows[rows["samples"] == table["samples"].max()]["error"]).mean() for rows in (ours, linear)]
    slope = slopes(ours)
    return {
        "elasticity_in_ambient": slope["ambient"],
        "elasticity_in_intrinsic": slope["intrinsic"],
        "elasticity_in_ambient_of_plain_net": slopes(plain)["ambient"],
        "exponent_in_samples": -slope["samples"],
        "log_error_over_linear": most[0] - most[1],
    }


def regression(points: Tensor, labels: Tensor, steps: int, trial: Trial) -> nn.Module:
    """A perceptron for rewards, at its best by a held-out quarter."""
    held, model = len(points) // 4, mlp((points.shape[1], 64, 64, 1), generator=trial.generator("regression"))
    batches = Minibatches(points[held:], labels[held:], size=32, generator=trial.generator("rows"))

    def squared(net: nn.Module, inputs: Tensor, answers: Tensor) -> Tensor:
        return (net(inputs)[:, 0] - answers).square().mean()

    def validate() -> float:
        return float(squared(model, points[:held], labels[:held]))

    descent = torch.optim.Adam(model.parameters(), 1e-3)
    fit(model, squared, batches, optimiser=descent, steps=steps, validate=validate, every=10)
    return model.requires_grad_(False)


def designs(trial: Trial) -> Rows:
    """True rewards and distances to the subspace of designs found by conditioning and by ascent, over targets."""
    D, d, climb = 64, 8, trial.pick(smoke=10, laptop=200, full=400)
    labelled, count = trial.pick(smoke=(64, 256), laptop=(256, 4096), full=(256, 65_536))
    steps, found = trial.pick(smoke=10, laptop=1000, full=20_000), trial.pick(smoke=32, laptop=512, full=4096)
    basis = subspace(D, d, trial.generator("subspace"))
    direction = nn.functional.normalize(torch.randn(d, generator=trial.generator("reward")), dim=0)
    x = torch.randn(count + labelled + 2000, d, generator=trial.generator("designs")) @ basis.T
    few, many, fresh = x[:labelled], x[labelled:-2000], x[-2000:]

    def off(points: Tensor) -> Tensor:
        return (points - points @ basis @ basis.T).norm(dim=1)

    def true(points: Tensor) -> Tensor:
        return points @ basis @ direction - off(points).square()

    labels = true(few) + 0.3 * torch.randn(labelled, generator=trial.generator("labels"))
    model = regression(few, labels, steps // 2, trial)
    predicted, spread = model(many)[:, 0], float(true(fresh).std())
    sampler = RewardConditionedSampler(D, d, steps=steps, generator=trial.generator("sampler")).fit(many, predicted)
    facts = {
        "decile": float(true(fresh).quantile(0.9)) / spread,
        "correlation": float(torch.corrcoef(torch.stack([model(fresh)[:, 0], true(fresh)]))[0, 1]),
        "unconditioned": float((true(sampler.sample(found, 0.0, weight=-1.0)).mean() - true(fresh).mean()) / spread),
    }
    rows = []
    for target in TARGETS:
        aim = float(predicted.mean() + target * predicted.std())
        ways = {
            "conditioning": sampler.sample(found, aim),
            "guidance": sampler.sample(found, aim, weight=1.0),
            "ascent": ascend_reward(lambda points: model(points)[:, 0], many[:found], aim, steps=climb),
        }
        for method, points in ways.items():
            reached = (model(points)[:, 0].mean() - predicted.mean()) / predicted.std()
            here = {"reward": float(true(points).mean()) / spread, "distance": float(off(points).mean())}
            rows.append(facts | {"method": method, "target": target, "predicted": float(reached)} | here)
    return rows


@paper.claim(designs, figure=lines("target", "reward", xlabel="reward asked for (deviations)", ylabel="true reward"))
def conditioning_optimises(table):
    """True rewards, in deviations of the data's."""
    rewards = table.pivot(index="target", columns="method", values="reward")
    ours = rewards["conditioning"]
    return {
        "reward_over_top_decile": ours[2.5] - table["decile"].iloc[0],
        "reward_over_ascent": ours[2.5] - rewards["ascent"][2.5],
        "fall_after_peak": ours.max() - ours.iloc[-1],
        "gain_by_guidance": rewards["guidance"][2.5] - ours[2.5],
        "correlation_of_regression": table["correlation"].iloc[0],
        "reward_unconditioned": table["unconditioned"].iloc[0],
    }


by_target = lines(
    "target", "distance", log="y", xlabel="reward asked for (deviations)", ylabel="distance to the subspace"
)


@paper.claim(designs, figure=by_target)
def nearer_than_ascent(table):
    """Distances to the subspace beside ascent's."""
    away = table.pivot(index="target", columns="method", values="distance")
    logs = np.log(away["conditioning"] / away["ascent"])
    reached = table[(table["method"] == "ascent") & (table["target"] == 2.5)]["predicted"].iloc[0]
    return {
        "log_distance_over_ascent": logs[2.5],
        "log_distance_at_largest_target": logs.iloc[-1],
        "distance_of_ascent": away["ascent"][2.5],
        "predicted_by_ascent": reached,
    }
