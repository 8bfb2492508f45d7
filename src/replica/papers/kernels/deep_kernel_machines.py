"""Yang et al. 2023: A theory of representation learning gives a deep generalisation of kernel methods.

Gram matrices that are learned layer by layer: are they what wide deep Gaussian processes learn, do they carry over to unseen
rows, and do inducing points serve as well as all rows?
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replica.data import regression_table, uci_table
from replica.kernels import (
    DeepKernelMachineClassifier,
    DeepKernelMachineRegressor,
    deep_process_grams,
    optimal_grams,
    targets_given_features,
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


NOISE, DEPTH, NU = 0.1, 2, 10.0


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
    steps = trial.pick(smoke=20, laptop=1000, full=1000)
    best = optimal_grams(gram, targets, depth=DEPTH, noise=NOISE, steps=steps).grams
    density = targets_given_features(gram, targets, noise=NOISE)
    likeliest = torch.eye(len(rows), dtype=torch.float64).repeat(DEPTH, 1, 1)
    standard = density(likeliest)[1]
    maximise(lambda: density(likeliest)[0] - likeliest.square().sum() / 2, [likeliest.requires_grad_()], steps)
    found: Rows = []
    for kind, grams in (("standard limit", standard), ("likeliest features", density(likeliest)[1].detach())):
        found += [
            {"kind": kind, "layer": 1 + at, "distance": float(far)} for at, far in enumerate(relative(grams, best))
        ]
    for width in trial.pick(smoke=(4, 16), laptop=(4, 16, 64, 256), full=(4, 16, 64, 256, 1024)):
        turns, generator = trial.pick(smoke=3, laptop=60, full=600), trial.generator(f"width {width}")
        drawn = deep_process_grams(gram, targets, width, depth=DEPTH, noise=NOISE, turns=turns, generator=generator)
        mean = drawn.mean(0)
        learned, limit = (one - standard for one in (mean, best))
        measured = {
            "distance": relative(mean, best),
            "spread": (drawn - mean).square().sum((2, 3)).mean(0).sqrt() / best.norm(dim=(1, 2)),
            "cosine": (learned * limit).sum((1, 2)) / learned.norm(dim=(1, 2)) / limit.norm(dim=(1, 2)),
        }
        for at in range(DEPTH):
            numbers = {name: float(values[at]) for name, values in measured.items()}
            found.append({"kind": "process", "width": width, "layer": 1 + at, **numbers})
    return found


by_width = lines("width", "distance", "layer", log="xy", xlabel="features a layer", ylabel="distance from the optimum")


@paper.claim(wide_processes, figure=by_width)
def wide_processes_match(table):
    """Distances of the widest processes, slopes over width, and what is no limit."""
    nearer = table.groupby("kind")["distance"].min()
    processes = table[table["kind"] == "process"].groupby("width")
    distance, spread = processes["distance"].max(), processes["spread"].mean()
    logs = np.log(distance.index.to_numpy(float))
    return {
        "distance": distance.iloc[-1],
        "slope": np.polyfit(logs, np.log(distance), 1)[0],
        "slope_of_spread": np.polyfit(logs, np.log(spread), 1)[0],
        "direction_at_16_features": processes["cosine"].min()[16],
        "distance_of_likeliest_features": nearer["likeliest features"],
        "distance_of_standard_limit": nearer["standard limit"],
    }


def alignment(gram: Any, truth: Any, y: Any) -> float:
    """Cosine of a Gram matrix between unseen and seen rows with the products of their targets, both centred."""
    gram, products = (
        one - one.mean(0) - one.mean(1)[:, None] + one.mean() for one in (np.asarray(gram), np.outer(truth, y))
    )
    return float((gram * products).sum() / np.linalg.norm(gram) / np.linalg.norm(products))


def tables(trial: Trial) -> Rows:
    """Errors and alignments on unseen rows of full and sparse machines and of what does not learn its kernels.

    All are fitted by the same turns from the same starts; a Gaussian process is a machine without hidden layers.
    """
    names = trial.pick(smoke=("diabetes",), laptop=("concrete", "energy", "yacht"), full=("concrete", "energy", "wine"))
    count, points, steps = trial.pick(smoke=(20, 6, 4), laptop=(200, 50, 100), full=(800, 200, 100))
    found: Rows = []
    for name in names:
        table = regression_table(name) if name == "diabetes" else uci_table(name)
        order = trial.rng(name).permutation(len(table))
        train, test = order[:count], order[count : count + 300]
        X, queries = prepare(table, train, test)
        centre, spread = table.targets[train].mean(), table.targets[train].std()
        y, truth = ((table.targets[part] - centre) / spread for part in (train, test))
        shuffled = trial.rng(f"shuffled {name}").permutation(y)
        state = int(trial.rng(f"points {name}").integers(2**31))
        for machine, depth, nu, inducing, rows, values in (
            ("GP", 0, math.inf, None, count, y),
            ("NNGP", DEPTH, math.inf, None, count, y),
            ("full", DEPTH, NU, None, count, y),
            ("sparse", DEPTH, NU, points, count, y),
            ("few rows", DEPTH, NU, None, points, y),
            ("NNGP, shuffled targets", DEPTH, math.inf, None, count, shuffled),
            ("full, shuffled targets", DEPTH, NU, None, count, shuffled),
        ):
            model = DeepKernelMachineRegressor(depth, nu, inducing=inducing, steps=steps, random_state=state)
            predicted = model.fit(X[:rows], values[:rows]).predict(queries)
            row = {"table": name, "machine": machine, "rmse": float(np.sqrt(np.square(predicted - truth).mean()))}
            if depth and inducing is None and rows == count:
                row["alignment"] = alignment(model.gram(queries), truth, values[:rows])
            found.append(row)
    return found


def draw(y: str, ylabel: str) -> Any:
    """A figure of machines that saw the targets as they are, mean over tables."""

    def figure(axes, table):
        shown = table[~table["machine"].str.contains("shuffled")].dropna(subset=[y])
        mean = shown.groupby(["seed", "machine"], as_index=False, sort=False)[y].mean()
        dots("machine", y, xlabel="machine", ylabel=ylabel)(axes, mean)

    return figure


@paper.claim(tables, figure=draw("alignment", "alignment on unseen rows"))
def learns_representations(table):
    """Gains in alignment and error over the standard limit, mean over tables."""
    mean = table.groupby("machine")[["alignment", "rmse"]].mean()
    aligned, rmse = mean["alignment"], mean["rmse"]
    return {
        "gain_in_alignment": aligned["full"] - aligned["NNGP"],
        "gain_in_rmse": rmse["NNGP"] - rmse["full"],
        "gain_over_gaussian_process": rmse["GP"] - rmse["full"],
        "gain_for_shuffled_targets": aligned["full, shuffled targets"] - aligned["NNGP, shuffled targets"],
        "alignment_of_standard_limit": aligned["NNGP"],
        "rmse": rmse["full"],
    }


@paper.claim(tables, figure=draw("rmse", "error on unseen rows (target deviations)"))
def sparse_keeps_accuracy(table):
    """What inducing points cost in error, mean over tables."""
    rmse = table.groupby("machine")["rmse"].mean()
    return {
        "behind_full": rmse["sparse"] - rmse["full"],
        "gain_over_standard_limit": rmse["NNGP"] - rmse["sparse"],
        "gain_over_few_rows": rmse["few rows"] - rmse["sparse"],
        "rmse_of_full": rmse["full"],
    }
