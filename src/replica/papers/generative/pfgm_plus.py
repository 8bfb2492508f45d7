"""Xu, Liu, Tian, Tong, Tegmark, Jaakkola 2023: PFGM++, Unlocking the Potential of Physics-Inspired Generative Models.

Noise from D extra dimensions, between electric fields and diffusion: are the limits exact, and does a small D bear errors better?
"""

import copy
import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replica.data.sets.digits import digits
from replica.generative import (
    DenoisingMLP,
    PoissonFlowDenoiser,
    PoissonFlowKernel,
    PreconditionedDenoiser,
    align_radius,
    denoising_loss,
    sample_karras,
)
from replica.lab.claims import Integer, LogUniform, Paper, Trial
from replica.lab.studies import lines
from replica.papers.baselines.sample import Diffusion
from replica.training import Minibatches, fit, sliced_wasserstein

paper = Paper("pfgm_plus")
Rows = list[dict[str, Any]]


class PoissonFlow(Diffusion):
    """The baseline's diffusion with noise of D extra dimensions, in training and in what sampling starts from.

    Args:
        extra_dim: D.
        **settings: See `Diffusion`.
    """

    def __init__(self, extra_dim: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.extra_dim = extra_dim

    def noise(self, count: int, dim: int, generator: torch.Generator) -> Tensor:
        """See `Diffusion`."""
        return PoissonFlowKernel(dim, self.extra_dim).noise(count, generator=generator)


@paper.entry(
    "sample",
    name="poisson-flow",
    space={
        "extra_dim": LogUniform(4.0, 4096.0),
        "learning_rate": LogUniform(3e-4, 1e-2),
        "width": Integer(32, 512),
        "depth": Integer(1, 4),
    },
)
def poisson_flow(
    trial: Trial, extra_dim: float = 128.0, learning_rate: float = 2e-3, width: int = 256, depth: int = 2
) -> PoissonFlow:
    """D = 128, as the paper has it where it looks at robustness; 2,048 is its best on CIFAR-10."""
    return PoissonFlow(extra_dim, width=width, depth=depth, learning_rate=learning_rate, trial=trial)


LARGEST, MIDDLE, SMALLEST = "diffusion", "D = 32", "D = 8"
MODELS = {LARGEST: math.inf, MIDDLE: 32.0, SMALLEST: 8.0}
"""Extra dimensions of the trained models."""
DATA_SCALE = 0.5


def parts(trial: Trial) -> tuple[Tensor, Tensor]:
    """Training and test digits as vectors of deviation 0.5."""
    images = torch.from_numpy(digits().values).flatten(1)
    order = torch.from_numpy(trial.rng("rows").permutation(len(images)))
    count, held = trial.pick(smoke=(80, 40), laptop=(1297, 500), full=(1297, 500))
    train = images[order[:count]]
    images = (images - train.mean()) / (train.std() / DATA_SCALE)
    return images[order[:count]], images[order[-held:]]


def electric_slope(points: Tensor, x: Tensor, z: float) -> Tensor:
    """dx/dz along the field of equal charges at (y, 0), at (x, z) in N + 1 dimensions."""
    offsets = x[:, None] - points
    logs = -(points.shape[1] + 1) / 2 * (offsets.square().sum(-1) + z**2).log()
    forces = torch.softmax(logs, 1)[..., None]  # any common factor falls out of the ratio
    return (forces * offsets).sum(1) / z


def approach(trial: Trial) -> Rows:
    """How far denoisers and samples of each D are from a diffusion's, and the flow at D = 1 from an electric field's."""
    train, _ = parts(trial)
    used, count, steps = trial.pick(smoke=(60, 30, 4), laptop=(1000, 300, 18), full=(1297, 1000, 18))
    points, level, one = train[:used].double(), torch.tensor(1.0), torch.tensor(1.0)
    normal = torch.randn(count, 64, generator=trial.generator("noise"), dtype=torch.float64)
    noisy = points[:count] + level * normal
    diffusion = PoissonFlowDenoiser(points)
    wanted, ends = diffusion(noisy, one, level), sample_karras(diffusion, normal, steps=steps)
    rows = []
    for dim in (1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6):
        exact = PoissonFlowDenoiser(points, dim)
        found = exact(noisy, one, level)
        rows.append({"D": dim, "gap": float((found - wanted).norm() / wanted.norm())})
    apart = (sample_karras(exact, normal, steps=steps) - ends).norm(dim=1) > 0.01
    radius = align_radius(float(level), 1)
    slope = (noisy - PoissonFlowDenoiser(points, 1)(noisy, one, level)) / radius
    field = electric_slope(points, noisy, radius)
    error = float((slope - field).norm() / field.norm())
    return [row | {"field_error": error, "samples_apart": float(apart.double().mean())} for row in rows]


@paper.claim(approach, figure=lines("D", "gap", None, log="xy", ylabel="denoiser's relative distance to a diffusion's"))
def limits(table):
    """The rate at which a diffusion is approached, and the error to an electric field."""
    large = np.log(table[table["D"] >= 1e3][["D", "gap"]])
    found = {"slope": np.polyfit(large["D"], large["gap"], 1)[0], "gap_at_least_dim": table["gap"][0]}
    return found | dict(table[["field_error", "samples_apart"]].iloc[0])


def trained(trial: Trial, train: Tensor, extra_dim: float) -> nn.Module:
    """A denoiser for noise of D extra dimensions; all begin with the same weights and see the same rows and levels."""
    width, steps, batch = trial.pick(smoke=(8, 3, 16), laptop=(128, 1500, 128), full=(512, 20_000, 256))
    net = DenoisingMLP(64, width=width, generator=trial.generator("net"))
    denoiser, draws = PreconditionedDenoiser(net, data_scale=DATA_SCALE), trial.generator("training noise")
    levels = trial.generator("levels")

    def loss(model: nn.Module, clean: Tensor) -> Tensor:
        noise = PoissonFlowKernel(64, extra_dim).noise(len(clean), generator=draws)
        return denoising_loss(model, clean, data_scale=DATA_SCALE, noise=noise, generator=levels)

    optimiser = torch.optim.Adam(denoiser.parameters(), 0.002)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    batches = Minibatches(train, size=batch, generator=trial.generator("batches"))
    fit(denoiser, loss, batches, optimiser=optimiser, schedule=falling, steps=steps)
    return denoiser


@torch.no_grad()
def rounded(denoiser: nn.Module, bits: int) -> nn.Module:
    """A copy whose matrices have so many bits a weight, evenly between minus and plus their largest."""
    coarse = copy.deepcopy(denoiser)
    for weight in coarse.parameters():
        if weight.dim() > 1:
            unit = weight.abs().max() / (2 ** (bits - 1) - 1)
            weight.copy_((weight / unit).round() * unit)
    return coarse


def disturb(x: Tensor, level: Tensor, time: Tensor, *, alpha: float, generator: torch.Generator) -> Tensor:
    """Normal noise of α times the level, for a step to begin with."""
    return x + alpha * level * torch.randn(x.shape, generator=generator)


def errors(trial: Trial) -> Rows:
    """Distances of samples to test digits over D, by how much noise is injected and to how many bits weights are rounded."""
    train, test = parts(trial)
    count, steps = trial.pick(smoke=(30, 3), laptop=(1000, 18), full=(5000, 18))

    def distance(samples: Tensor) -> float:
        return float(sliced_wasserstein(samples, test, generator=trial.generator("directions")))

    rows = []
    for name, dim in MODELS.items():
        denoiser = trained(trial, train, dim)
        noise = PoissonFlowKernel(64, dim).noise(count, generator=trial.generator("prior"))
        sample = partial(sample_karras, noise=noise, steps=steps)
        for alpha in (0.0, 0.2, 0.4, 0.6, 0.8):
            injected = partial(disturb, alpha=alpha, generator=trial.generator("injected"))
            rows.append({"model": name, "alpha": alpha, "distance": distance(sample(denoiser, before=injected))})
        for bits in (3, 4, 5):
            rows.append({"model": name, "bits": bits, "distance": distance(sample(rounded(denoiser, bits)))})
    return [row | {"floor": distance(train)} for row in rows]


def saved(table: Any, error: str) -> dict[str, float]:
    """How much of the rise of a diffusion's distance a smaller D saves, and controls."""
    without = table[table["alpha"] == 0].set_index("model")["distance"]
    rise = table[table[error] > 0].groupby("model")["distance"].mean() - without
    left = rise / rise[LARGEST]
    return {
        "share_of_rise_saved": 1 - left[SMALLEST],
        "share_saved_by_middle": 1 - left[MIDDLE],
        "over_floor": without[LARGEST] / table["floor"].iloc[0],
        "log_loss_without_noise": np.log(without[SMALLEST] / without[LARGEST]),
        "relative_rise": rise[LARGEST] / without[LARGEST],
    }


@paper.claim(errors, figure=lines("alpha", "distance", "model", xlabel="noise a step, of σ", ylabel="distance to test"))
def robust_to_noise(table):
    """Of noise injected at each step."""
    most = table[table["alpha"] == table["alpha"].max()].set_index("model")["distance"]
    return saved(table, "alpha") | {"log_gain_at_most_noise": np.log(most[LARGEST] / most[SMALLEST])}


@paper.claim(errors, figure=lines("bits", "distance", "model", xlabel="bits a weight", ylabel="distance to test"))
def robust_to_rounding(table):
    """Of weights rounded after training."""
    return saved(table, "bits")
