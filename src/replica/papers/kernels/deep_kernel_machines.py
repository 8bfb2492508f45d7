"""Yang et al. 2023: A theory of representation learning gives a deep generalisation of kernel methods.

Gram matrices that are learned layer by layer: are they what wide deep Gaussian processes learn, do they carry over to unseen
rows, and do inducing points serve as well as all rows?
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from torch import Tensor

from replica.data import regression_table, uci_table
from replica.kernels import (
    DeepKernelMachineClassifier,
    DeepKernelMachineRegressor,
    GramBlocks,
    gram_kernel,
    optimal_grams,
    through_gram_layers,
)
from replica.kernels.deep_kernel import maximise
from replica.lab.claims import Integer, LogUniform, Paper, Trial
from replica.lab.problems.classification.data import prepare
from replica.lab.studies import dots, lines

paper = Paper("deep_kernel_machines")
Rows = list[dict[str, Any]]
SPACE: dict[str, Any] = {"nu": LogUniform(0.3, 1000.0), "depth": Integer(1, 4)}


@paper.entry("regression", name="deep-kernel-machine", space=SPACE)
def deep_kernel_machine(trial: Trial, nu: float = 10.0, depth: int = 2) -> DeepKernelMachineRegressor:
    """Gram matrices of at most 100 inducing points, learned layer by layer; a scale for each column."""
    state = int(trial.rng("inducing points").integers(2**31))
    return DeepKernelMachineRegressor(depth, nu, relevance=True, random_state=state)


@paper.entry("classification", name="deep-kernel-classifier", space=SPACE)
def deep_kernel_classifier(trial: Trial, nu: float = 10.0, depth: int = 2) -> DeepKernelMachineClassifier:
    """The same on one-hot labels."""
    state = int(trial.rng("inducing points").integers(2**31))
    return DeepKernelMachineClassifier(depth, nu, random_state=state)


NOISE, DEPTH = 0.1, 2
Density = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From factors of the Gram matrices, (layers, rows, features), to log density of the targets and the matrices."""


def density_of_targets(inputs: Tensor, targets: Tensor) -> Density:
    """Logarithm of N(y; 0, K(G_L) + σ² 1), and G_1 to G_L."""
    blocks, kernel = GramBlocks(inputs, inputs[:0], inputs.new_zeros(0)), gram_kernel("rbf")
    noise = NOISE * torch.eye(len(inputs), dtype=inputs.dtype)

    def density(factors: Tensor) -> tuple[Tensor, Tensor]:
        *layers, top = through_gram_layers(blocks, list(factors), kernel)
        root = torch.linalg.cholesky(top.inducing + noise)
        seen = torch.linalg.solve_triangular(root, targets, upper=False)
        return -seen.square().sum() / 2 - root.diagonal().log().sum(), torch.stack([one.inducing for one in layers])

    return density


def process_grams(trial: Trial, density: Density, rows: int, width: int) -> Tensor:
    """Gram matrices of a deep Gaussian process that saw each target `width` times: (draws, layers, rows, rows).

    Hamiltonian Monte Carlo in whitened features of eight chains; the step is settled in the first third.
    """
    generator = trial.generator(f"width {width}")
    turns, leaps, step = trial.pick(smoke=3, laptop=60, full=600), 8, 0.1
    state = torch.randn(8, DEPTH, rows, width, generator=generator, dtype=torch.float64)

    def log_density(features: Tensor) -> tuple[Tensor, Tensor]:
        value, grams = density(features / math.sqrt(width))
        return width * value - features.square().sum() / 2, grams

    slope_and = torch.func.vmap(torch.func.grad_and_value(log_density, has_aux=True))
    slope, (value, grams) = slope_and(state)
    kept = []
    for turn in range(turns):
        speed = torch.randn(state.shape, generator=generator, dtype=torch.float64)
        place, ahead, energy = state, slope, value - speed.square().sum((1, 2, 3)) / 2
        for _ in range(leaps):
            speed = speed + step / 2 * ahead
            place = place + step * speed
            ahead, (reached, seen) = slope_and(place)
            speed = speed + step / 2 * ahead
        gain = reached - speed.square().sum((1, 2, 3)) / 2 - energy
        taken = torch.rand(8, generator=generator, dtype=torch.float64).log() < gain.nan_to_num(nan=-math.inf)
        state, slope, grams = (
            torch.where(taken[:, None, None, None], new, old)
            for new, old in ((place, state), (ahead, slope), (seen, grams))
        )
        value = torch.where(taken, reached, value)
        if turn < turns // 3:
            step *= math.exp((float(taken.double().mean()) - 0.8) / 4)
        else:
            kept.append(grams)
    return torch.cat(kept)


def relative(one: Tensor, other: Tensor) -> Tensor:
    """Frobenius distance of matrices over the norm of the second."""
    return (one - other).norm(dim=(-2, -1)) / other.norm(dim=(-2, -1))


def wide_processes(trial: Trial) -> Rows:
    """Distances from the optimum of posterior mean Gram matrices over width, the standard limit and the likeliest features."""
    table = uci_table("yacht") if trial.scale != "smoke" else regression_table("diabetes")
    rows = trial.rng("rows").permutation(len(table))[: trial.pick(smoke=8, laptop=30, full=100)]
    inputs, _ = prepare(table, rows, rows)
    X, y = torch.from_numpy(inputs), torch.from_numpy(table.targets[rows])
    gram, targets = X @ X.T / X.shape[1], ((y - y.mean()) / y.std())[:, None]
    density = density_of_targets(gram, targets)
    best = optimal_grams(gram, targets, depth=DEPTH, noise=NOISE).grams
    identity = torch.eye(len(rows), dtype=torch.float64).expand(DEPTH, -1, -1)
    with torch.no_grad():
        standard = density(identity)[1]
    likeliest = identity.clone().requires_grad_()
    maximise(lambda: density(likeliest)[0] - likeliest.square().sum() / 2, [likeliest], 1000)
    with torch.no_grad():
        modes = density(likeliest)[1]
    found = []
    for layer in range(DEPTH):
        found += [
            {"kind": "standard limit", "layer": layer + 1, "distance": float(relative(standard, best)[layer])},
            {"kind": "likeliest features", "layer": layer + 1, "distance": float(relative(modes, best)[layer])},
        ]
    for width in trial.pick(smoke=(4, 16), laptop=(4, 16, 64, 256), full=(4, 16, 64, 256, 1024)):
        drawn = process_grams(trial, density, len(rows), width)
        mean = drawn.mean(0)
        spread = (drawn - mean).square().sum((2, 3)).mean(0).sqrt() / best.norm(dim=(1, 2))
        learned, limit = (one - standard for one in (mean, best))
        cosine = (learned * limit).sum((1, 2)) / learned.norm(dim=(1, 2)) / limit.norm(dim=(1, 2))
        for layer in range(DEPTH):
            measured = {"distance": relative(mean, best)[layer], "spread": spread[layer], "cosine": cosine[layer]}
            found.append(
                {"kind": "process", "width": width, "layer": layer + 1}
                | {name: float(value) for name, value in measured.items()}
            )
    return found


def draw_widths(axes, table):
    """Distances over width, beside that of the standard limit."""
    processes = table[table["kind"] == "process"].copy()
    processes["layer"] = [f"layer {layer}" for layer in processes["layer"]]
    lines("width", "distance", "layer", log="xy", xlabel="features a layer", ylabel="distance from the optimum")(
        axes, processes
    )
    axes.axhline(table[table["kind"] == "standard limit"]["distance"].mean(), linestyle=":", color="C2", label="NNGP")
    axes.legend()


@paper.claim(wide_processes, figure=draw_widths)
def wide_processes_match(table):
    """Distances of the widest processes, slopes over width, and what is no limit."""
    worst = table[table["kind"] != "process"].groupby("kind")["distance"]
    by_width = table[table["kind"] == "process"].groupby("width")
    distance, spread = by_width["distance"].max(), by_width["spread"].mean()
    logs = np.log(distance.index.to_numpy(float))
    return {
        "distance": distance.iloc[-1],
        "slope": np.polyfit(logs, np.log(distance), 1)[0],
        "slope_of_spread": np.polyfit(logs, np.log(spread), 1)[0],
        "direction_at_16_features": by_width["cosine"].min()[16],
        "distance_of_likeliest_features": worst.min()["likeliest features"],
        "distance_of_standard_limit": worst.min()["standard limit"],
    }


POINTS, NU = 50, 10.0


def alignment(model: DeepKernelMachineRegressor, X: Any, y: Any, truth: Any) -> float:
    """Cosine of the top Gram matrix between unseen and seen rows with the products of their targets, both centred."""
    gram, products = model.gram(X), np.outer(truth, y)
    gram, products = (one - one.mean(0) - one.mean(1)[:, None] + one.mean() for one in (gram, products))
    return float((gram * products).sum() / np.linalg.norm(gram) / np.linalg.norm(products))


def tables(trial: Trial) -> Rows:
    """Errors and alignments on unseen rows of full and sparse machines, the standard limit, and machines of few rows."""
    names = trial.pick(smoke=("diabetes",), laptop=("concrete", "energy", "yacht"), full=("concrete", "energy", "wine"))
    count = trial.pick(smoke=20, laptop=200, full=800)
    points = trial.pick(smoke=6, laptop=POINTS, full=200)
    found = []
    for name in names:
        table = regression_table(name) if name == "diabetes" else uci_table(name)
        order = trial.rng(name).permutation(len(table))
        train, test = order[:count], order[count : count + 300]
        X, queries = prepare(table, train, test)
        y, truth = (
            (table.targets[part] - table.targets[train].mean()) / table.targets[train].std() for part in (train, test)
        )
        state = int(trial.rng(f"points {name}").integers(2**31))
        process = GaussianProcessRegressor(ConstantKernel() * RBF() + WhiteKernel(0.1)).fit(X, y)
        error = float(np.sqrt(np.square(process.predict(queries) - truth).mean()))
        found.append({"table": name, "machine": "GP", "rmse": error})
        for machine, nu, inducing, rows in (
            ("NNGP", math.inf, None, count),
            ("full", NU, None, count),
            ("sparse", NU, points, count),
            ("few rows", NU, None, points),
        ):
            model = DeepKernelMachineRegressor(DEPTH, nu, inducing=inducing, random_state=state)
            predicted = model.fit(X[:rows], y[:rows]).predict(queries)
            row = {"table": name, "machine": machine, "rmse": float(np.sqrt(np.square(predicted - truth).mean()))}
            if inducing is None:
                row["alignment"] = alignment(model, queries, y[:rows], truth)
            found.append(row)
    return found


def draw_errors(axes, table):
    """Errors of the machines, mean over tables."""
    mean = table.groupby(["seed", "machine"], as_index=False, sort=False)["rmse"].mean()
    dots("machine", "rmse", xlabel="machine", ylabel="error on unseen rows (target deviations)")(axes, mean)


@paper.claim(tables, figure=draw_errors)
def learned_kernels_predict_better(table):
    """Gains over the standard limit, mean over tables."""
    mean = table.groupby("machine")[["alignment", "rmse"]].mean()
    aligned, rmse = mean["alignment"], mean["rmse"]
    return {
        "gain_in_rmse": rmse["NNGP"] - rmse["full"],
        "gain_over_gaussian_process": rmse["GP"] - rmse["full"],
        "gain_in_alignment": aligned["full"] - aligned["NNGP"],
        "rmse": rmse["full"],
    }


@paper.claim(tables, figure=draw_errors)
def sparse_keeps_accuracy(table):
    """What inducing points cost in error, mean over tables."""
    rmse = table.groupby("machine")["rmse"].mean()
    return {
        "behind_full": rmse["sparse"] - rmse["full"],
        "gain_over_standard_limit": rmse["NNGP"] - rmse["sparse"],
        "gain_over_few_rows": rmse["few rows"] - rmse["sparse"],
        "rmse_of_full": rmse["full"],
    }
