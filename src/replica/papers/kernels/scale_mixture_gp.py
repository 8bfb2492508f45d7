"""Lee, Yun, Yang, Lee 2022: Scale Mixtures of Neural Network Gaussian Processes.

A prior on the scale of a wide network's last layer makes its Gaussian process a Student-t process: do networks tend to it, and
is it more robust to what it has not seen?
"""

import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import f, norm, t
from torch import Tensor

from replica.data import regression_table
from replica.kernels import ScaleMixtureRegressor, inverse_gamma_law, wide_kernel
from replica.lab.claims import Integer, LogUniform, Paper, Trial, exponent
from replica.lab.problems.classification.data import prepare
from replica.lab.studies import dots, lines

paper = Paper("scale_mixture_gp")
Rows = list[dict[str, Any]]


@paper.entry("regression", name="scale-mixture", space={"shape": LogUniform(0.5, 20.0), "depth": Integer(1, 6)})
def scale_mixture(trial: Trial, shape: float = 2.0, depth: int = 4) -> ScaleMixtureRegressor:
    """The Student-t process of a wide ReLU network, fitted by evidence on at most 1,000 rows, with at most 4,000 kept."""
    return ScaleMixtureRegressor(shape, shape, depth=depth)


WEIGHT, BIAS = 8.0, 0.05
"""Deviations of weights and biases in the authors' notebook; shape and rate are 1 there, so that outputs have 2 degrees."""


def readout_kernel(points: Tensor, depth: int) -> Tensor:
    """The NNGP kernel of erf networks whose last layer has weights of deviation 1 and no bias."""
    layers: dict[str, Any] = {"activation": torch.erf, "weight_variance": WEIGHT**2, "bias_variance": BIAS**2}
    return (wide_kernel(points, depth=depth, kind="nngp", **layers) - BIAS**2) / WEIGHT**2


def hidden_units(points: Tensor, width: int, depth: int, generator: torch.Generator) -> Tensor:
    """The last hidden layer of a network for each set of points, (networks, points, width)."""
    units = points
    for _ in range(depth):
        weights = torch.randn(len(units), units.shape[2], width, generator=generator)
        biases = torch.randn(len(units), 1, width, generator=generator)
        units = torch.erf(WEIGHT / math.sqrt(units.shape[2]) * units @ weights + BIAS * biases)
    return units


def laws(trial: Trial) -> Rows:
    """Kolmogorov distances of networks from t_2 and from the nearest normal law, as they are drawn and with trained last layers.

    As they are drawn, outputs at six inputs and their differences are asked; after training the output that spreads most. Descent
    on the last layer ends at the posterior of the hidden layer's own kernel.
    """
    generator = trial.generator("networks")
    known = torch.rand(5, 1, generator=generator) * 2 * math.pi - math.pi
    targets = (torch.sin(known[:, 0]) + 0.1 * torch.randn(5, generator=generator)).double()
    points = torch.cat([known, torch.linspace(-math.pi, math.pi, 6)[:, None]])
    limit = readout_kernel(points.double(), 3)[None]
    rows = []
    for width in trial.pick(smoke=(4, 16), laptop=(4, 16, 64, 256, 512), full=(4, 16, 64, 256, 1024)):
        networks = torch.arange(trial.pick(smoke=50, laptop=min(8192, 2**19 // width), full=2**21 // width))
        drawn = [hidden_units(points.expand(len(some), 11, 1), width, 3, generator) for some in networks.split(128)]
        units = torch.cat(drawn).double()
        found, wanted = (gaussian_laws(kernel, targets) for kernel in (units @ units.mT / width, limit))
        widest = int(wanted["trained"][1][0].argmax())
        for kind, (means, scales) in found.items():
            mean, scale = wanted[kind][0][0].numpy(), wanted[kind][1][0].numpy()
            for place in (widest,) if kind == "trained" else range(len(scale)):
                away = distances(means[:, place].numpy(), scales[:, place].numpy(), mean[place], scale[place])
                rows.append({"kind": kind, "width": width, "output": place, **away})
    return rows


def gaussian_laws(kernels: Tensor, targets: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Means and deviations for the scale 1, by kernel and output, from kernels between five training points and six others."""
    differences = torch.cat([torch.eye(6), torch.eye(6)[1:] - torch.eye(6)[:-1]]).double()
    drawn = torch.einsum("cp,npq,cq->nc", differences, kernels[:, 5:, 5:], differences).clamp_min(0).sqrt()
    ridge = 1e-4 * torch.eye(5).double()  # as in the authors' notebook
    lift = torch.linalg.solve(kernels[:, :5, :5] + ridge, kernels[:, :5, 5:])
    variances = kernels[:, 5:, 5:].diagonal(dim1=1, dim2=2) - (kernels[:, :5, 5:] * lift).sum(1)
    return {"drawn": (torch.zeros_like(drawn), drawn), "trained": (targets @ lift, variances.clamp_min(0).sqrt())}


def distances(means: np.ndarray, scales: np.ndarray, mean: float, scale: float) -> dict[str, float]:
    """Of a mixture of t_2, a mean and a scale for each network, from one t_2 and from the nearest normal law."""
    values = mean + scale * t(2).ppf((np.arange(400) + 0.5) / 400)
    law = t(2).cdf((values[:, None] - means) / np.maximum(scales, 1e-12)).mean(1)

    def from_normal(log: float) -> float:
        return float(np.abs(law - norm.cdf((values - mean) / math.exp(log))).max())

    ends = math.log(scale) - 1, math.log(scale) + 2
    nearest = minimize_scalar(from_normal, bounds=ends, method="bounded").fun
    return {"distance": float(np.abs(law - t(2).cdf((values - mean) / scale)).max()), "from_normal": float(nearest)}


def draw_distances(axes, table):
    """The largest distance of any output, over width."""
    most = table.groupby(["seed", "kind", "width"], as_index=False)[["distance", "from_normal"]].max()
    named = most.rename(columns={"distance": "Student-t of 2 degrees", "from_normal": "nearest normal"})
    long = named.melt(["seed", "kind", "width"], var_name="law", value_name="away")
    long["law"] = long["kind"] + ", " + long["law"]
    lines("width", "away", "law", log="xy", ylabel="Kolmogorov distance")(axes, long)


@paper.claim(laws, figure=draw_distances)
def limits_of_wide_networks(table):
    """The largest distances at the greatest and the least width, and their slopes."""
    most = table.groupby(["kind", "width"])["distance"].max().unstack("kind")
    return {
        "distance": most["drawn"].iloc[-1],
        "distance_trained": most["trained"].iloc[-1],
        "slope": -exponent(most.index, most["drawn"]),
        "distance_narrow": most["drawn"].iloc[0],
        "distance_narrow_trained": most["trained"].iloc[0],
        "distance_from_normal": table[table["width"] == table["width"].max()]["from_normal"].min(),
    }


PROCESSES = {"NNGP": math.inf, "Student-t": 2.0}
TABLES = ("diabetes", "airfoil", "auto-mpg", "insurance")


def corrupted_tables(trial: Trial) -> Rows:
    """Negative log densities on test rows as they are and with noise on every column, fitted by evidence to few rows."""
    rows = []
    for name in trial.pick(smoke=TABLES[:1], laptop=TABLES, full=TABLES):
        content, rng = regression_table(name), trial.rng(name)
        for count in trial.pick(smoke=(20,), laptop=(20, 50, 100), full=(20, 50, 100, 200)):
            for _ in range(trial.pick(smoke=1, laptop=4, full=20)):
                order = rng.permutation(len(content))
                train, test = order[:count], order[count : count + 200]
                X, queries = prepare(content, train, test)
                centre, scale = content.targets[train].mean(), content.targets[train].std()
                y, truth = ((content.targets[part] - centre) / scale for part in (train, test))
                noise = rng.normal(size=queries.shape)
                for process, shape in PROCESSES.items():
                    model = ScaleMixtureRegressor(shape, 2.0).fit(X, y)
                    for corrupted in (0, 1):
                        nll = -float(model.log_density(queries + corrupted * noise, truth).mean())
                        own = {"table": name, "rows": count, "process": process, "corrupted": corrupted}
                        rows.append({**own, "nll": nll})
    return rows


def gains(table: pd.DataFrame, by: list[str]) -> pd.Series:
    """The NNGP's negative log density less the Student-t process's, mean within groups."""
    wide = table.pivot_table(index=by, columns="process", values="nll", aggfunc="mean")
    return wide["NNGP"] - wide["Student-t"]


def draw_gains(axes, table):
    """Gains on corrupted rows over the rows that are learned from, a line a table."""
    found = gains(table[table["corrupted"] == 1], ["seed", "table", "rows"]).rename("gain").reset_index()
    lines("rows", "gain", "table", log="x", ylabel="gain over the NNGP (nats a row)")(axes, found)


@paper.claim(corrupted_tables, figure=draw_gains)
def shifted_inputs(table):
    """Gains on corrupted and clean rows, mean over tables and numbers of rows; what corruption costs the NNGP, median of them."""
    gain, few = gains(table, ["corrupted"]), gains(table, ["corrupted", "rows"])
    nngp = table[table["process"] == "NNGP"].pivot_table(index=["table", "rows"], columns="corrupted", values="nll")
    return {
        "gain_corrupted": gain[1],
        "gain_clean": gain[0],
        "gain_corrupted_at_20_rows": few[1, 20],
        "harm": (nngp[1] - nngp[0]).median(),
    }


def small_functions(scales: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Networks of 64 units, one for each scale, at 25 points with noise: what their Gaussian process of scale 1 makes of them.

    Returns:
        yᵀK⁻¹y of the 5 points that are seen, (count,); and the 20 others less their mean, over their deviation, (count, 20).
    """
    points = torch.rand(len(scales), 25, 1, generator=generator) * 2 * math.pi - math.pi
    outputs = hidden_units(points, 64, 1, generator) @ torch.randn(len(scales), 64, 1, generator=generator) / 8
    noised = outputs[:, :, 0] + 0.1 * torch.randn(len(scales), 25, generator=generator)
    grams = torch.stack([readout_kernel(own.double(), 1) for own in points]) + 0.01 * torch.eye(25).double()
    values = noised.double() * torch.from_numpy(scales).sqrt()[:, None]
    lift = torch.linalg.solve(grams[:, :5, :5], grams[:, :5, 5:])
    distances = (values[:, :5] * torch.linalg.solve(grams[:, :5, :5], values[:, :5])).sum(1)
    variances = grams[:, 5:, 5:].diagonal(dim1=1, dim2=2) - (grams[:, :5, 5:] * lift).sum(1)
    away = values[:, 5:] - (lift * values[:, :5, None]).sum(1)
    return distances.numpy(), (away / variances.sqrt()).numpy()


def fitted_prior(distances: np.ndarray) -> tuple[float, float]:
    """Shape and rate of the most evidence for many functions of five points: yᵀK⁻¹y over 5 b / a is F of 5 and 2a degrees."""

    def loss(logs: np.ndarray) -> float:
        shape, rate = np.exp(logs)
        return -float(f.logpdf(distances, 5, 2 * shape, scale=5 * rate / shape).mean())

    shape, rate = np.exp(minimize(loss, np.zeros(2), method="Nelder-Mead").x)
    return float(shape), float(rate)


def scales(trial: Trial) -> Rows:
    """Negative log densities at scales seen in fitting and at others, of values standardised by the process of scale 1."""
    count = trial.pick(smoke=10, laptop=100, full=1000)
    learned, seen = np.exp(trial.rng("scales").uniform(-math.log(3), math.log(3), (2, count)))
    known, _ = small_functions(learned, trial.generator("learned"))
    shape, rate = fitted_prior(known)
    rows = []
    for name, tested in {"seen": seen, "larger": np.full(count, 30.0), "smaller": np.full(count, 1 / 30)}.items():
        distances, values = small_functions(tested, trial.generator(name))
        posteriors = [inverse_gamma_law(shape, rate, 5, distance) for distance in distances]
        found = {
            "scale known": norm.logpdf(values, scale=np.sqrt(tested)[:, None]),
            "NNGP": norm.logpdf(values, scale=math.sqrt(known.mean() / 5)),
            "NNGP refitted": norm.logpdf(values, scale=np.sqrt(distances / 5)[:, None]),
            "Student-t": np.stack([law.logpdf(row) for law, row in zip(posteriors, values, strict=True)]),
        }
        rows += [{"scales": name, "process": process, "nll": -float(logs.mean())} for process, logs in found.items()]
    return rows


def draw_regrets(axes, table):
    """What is lost to not knowing a function's scale."""
    nll = table.pivot(index=["seed", "scales"], columns="process", values="nll")
    regret = nll.drop(columns="scale known").sub(nll["scale known"], axis=0)
    long = regret.stack().rename("regret").reset_index()
    dots("scales", "regret", "process", log="y", ylabel="loss by not knowing the scale (nats)")(axes, long)


@paper.claim(scales, figure=draw_regrets)
def unseen_scales(table):
    """Gains over the NNGP, and over one refitted to each function; what unseen scales cost the NNGP beyond seen ones."""
    nll = table.pivot(index="scales", columns="process", values="nll")
    gain, refitted = nll["NNGP"] - nll["Student-t"], nll["NNGP refitted"] - nll["Student-t"]
    regret, unseen = nll["NNGP"] - nll["scale known"], ["larger", "smaller"]
    return {
        "least_gain": gain[unseen].min(),
        "gain_larger": gain["larger"],
        "gain_smaller": gain["smaller"],
        "gain_seen": gain["seen"],
        "least_gain_over_refitted": refitted[unseen].min(),
        "harm": (regret[unseen] - regret["seen"]).min(),
    }
