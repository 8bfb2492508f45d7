"""Shaul, Chen, Nickel, Le, Lipman 2023: On Kinetic Optimal Probability Paths for Generative Models.

Which Gaussian path from noise to data moves least, when is it the straight one, and does moving less help to sample?
"""

from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import Tensor

from replica.generative import (
    CosinePath,
    FiniteSetDenoiser,
    GaussianPath,
    KineticOptimalPath,
    StraightPath,
    VariancePreservingPath,
    data_separation,
    kinetic_energy,
    normalised,
    sample_path,
)
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.training import sliced_wasserstein

paper = Paper("kinetic_optimal")
Rows = list[dict[str, Any]]


def digits(trial: Trial) -> tuple[Tensor, dict[str, GaussianPath], Any]:
    """Digits of mean 0 and unit mean square, four paths between noise and them, and their separation."""
    images = load_digits().data
    chosen = trial.rng("digits").permutation(len(images))[: trial.pick(smoke=30, laptop=600, full=1797)]
    points = normalised(torch.from_numpy(images[chosen]).float())
    draws, angles = trial.pick(smoke=(16, 9), laptop=(256, 49), full=(2048, 129))
    separation = data_separation(points, draws=draws, angles=angles, generator=trial.generator("separation"))
    paths = {
        "kinetic optimal": KineticOptimalPath(separation),
        "straight": StraightPath(),
        "cosine": CosinePath(),
        "variance preserving": VariancePreservingPath(),
    }
    return points, paths, separation


def energies(trial: Trial) -> Rows:
    """Mean squared velocity along each path at fresh draws, and what the separation function says."""
    points, paths, separation = digits(trial)
    denoiser, rows = FiniteSetDenoiser(points), []
    count, draws = trial.pick(smoke=(4, 8), laptop=(50, 256), full=(500, 1024))
    for name, path in paths.items():
        generator, found = trial.generator("fresh draws"), []
        for time in (torch.arange(count, dtype=torch.float64) + 0.5) / count:
            clean = points[torch.randint(len(points), (draws,), generator=generator)]
            noisy = path.perturb(clean, torch.randn(clean.shape, generator=generator), time.expand(draws))
            predicted = denoiser(noisy, *(each.float() for each in path.coefficients(time)))
            velocity = path.convert(predicted, noisy, time.expand(draws), given="data", wanted="velocity")
            found.append(float(velocity.square().mean()))
        theory = kinetic_energy(path, separation)
        rows.append(
            {"path": name, "energy": float(np.mean(found)), "theory": theory, "least": separation.least_energy()}
        )
    return rows


@paper.claim(energies, figure=dots("path", "energy", ylabel="kinetic energy a coordinate"))
def energy_of_digits(table):
    """Ln of the energy of the fitted path over those of others, and over theory."""
    energy, theory = np.log(table.set_index("path")["energy"]), np.log(table.set_index("path")["theory"])
    return {
        "log_energy_over_straight": energy["kinetic optimal"] - energy["straight"],
        "log_energy_over_diffusion": energy["kinetic optimal"] - energy["variance preserving"],
        "log_energy_over_theory": energy["kinetic optimal"] - np.log(table["least"].iloc[0]),
        "log_straight_over_theory": energy["straight"] - theory["straight"],
    }


def clouds(trial: Trial) -> Rows:
    """What the straight path's energy is above the least, for Gaussian clouds of many counts and dimensions."""
    rows = []
    counts, dims = trial.pick(
        smoke=((2, 400), (16, 100)), laptop=((4, 16, 64, 256), (16, 256, 4096)), full=((4, 1024), (16, 16384))
    )
    for dim in dims:
        for count in counts:
            points = torch.randn(count, dim, generator=trial.generator(f"cloud {count} {dim}"))
            draws = trial.pick(smoke=8, laptop=128, full=1024)
            separation = data_separation(points, draws=draws, angles=trial.pick(smoke=17, laptop=97, full=513),
                                         generator=trial.generator(f"draws {count} {dim}"))  # fmt: skip
            rows.append(
                {
                    "ratio": count / dim**0.5,
                    "dim": dim,
                    "gap": kinetic_energy(StraightPath(), separation) - separation.least_energy(),
                    "unexplained": float(separation.unexplained[len(separation.angles) // 2]),
                }
            )
    return rows


@paper.claim(
    clouds,
    figure=lines(
        "ratio", "gap", "dim", log="x", xlabel="points over the root of the dimension", ylabel="energy above the least"
    ),
)
def straight_becomes_optimal(table):
    """The gap where points are few for their dimension, and where they are many."""
    few, many = table["ratio"] <= 0.25, table["ratio"] >= 32
    return {
        "gap_of_few": table.loc[few, "gap"].mean(),
        "gap_of_many": table.loc[many, "gap"].mean(),
        "unexplained_of_few": table.loc[few, "unexplained"].mean(),
        "rank_correlation": spearmanr(table["ratio"], table["gap"]).statistic,
    }


def samples(trial: Trial) -> Rows:
    """Sliced distances between the data set and samples after few Euler steps, the same noise for all paths."""
    points, paths, _ = digits(trial)
    denoiser, rows = FiniteSetDenoiser(points), []
    noise = torch.randn(points.shape, generator=trial.generator("noise"))
    for name, path in paths.items():
        for steps in trial.pick(smoke=(4, 8, 32), laptop=(2, 4, 8, 16, 32), full=(2, 4, 8, 16, 32, 64)):
            found = sample_path(denoiser, path, noise, steps=steps, solver="euler")
            distance = sliced_wasserstein(found, points, generator=trial.generator("directions"))
            rows.append({"path": name, "steps": steps, "distance": float(distance)})
    return rows


@paper.claim(
    samples,
    figure=lines("steps", "distance", "path", log="xy", xlabel="Euler steps", ylabel="sliced distance to the data"),
)
def few_steps(table):
    """Ln of distances after few steps, the fitted path's over others'."""
    distance = table.set_index(["path", "steps"])["distance"]
    logs = np.log(distance)
    return {
        "log_distance_over_straight": logs["kinetic optimal", 4] - logs["straight", 4],
        "log_distance_over_straight_at_8": logs["kinetic optimal", 8] - logs["straight", 8],
        "log_distance_over_cosine": logs["kinetic optimal", 4] - logs["cosine", 4],
        "distance_at_4": distance["straight", 4],
        "distance_at_32": distance["straight", 32],
    }
