"""Wide and Deep Neural Networks Achieve Optimality for Classification (Radhakrishnan, Belkin, Uhler 2022).

At infinite width and depth the activation alone decides the classifier: nearest neighbour, majority vote, or a singular
kernel, which is optimal where its exponent is the dimension of the data.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from torch import Tensor, nn

from replica.kernels import (
    HermiteActivation,
    KernelInterpolation,
    OptimalKernelClassifier,
    SphereProjection,
    WideNetwork,
    empirical_tangent_kernel,
    intrinsic_dimension,
    neural_tangent_kernel,
    optimal_activation,
)
from replica.lab.claims import LogUniform, Paper, Proportion, Trial
from replica.lab.studies import lines

paper = Paper("optimal_wide_deep")
Rows = list[dict[str, Any]]


@paper.entry("classification", name="singular-kernel", space={"exponent": LogUniform(1.0, 32.0)})
def singular_kernel(trial: Trial, exponent: float | None = None) -> OptimalKernelClassifier:
    """Infinitely wide and deep network with the activation that is optimal for the data's intrinsic dimension."""
    return OptimalKernelClassifier(exponent=exponent)


LIMIT_DEPTHS = {
    "nearest_neighbour": (1, 3, 10, 30),
    "majority": (1, 3, 10, 30, 100, 300),
    "singular_kernel": (1, 3, 10, 30, 100, 1000, 10**4, 10**5, 10**6),
}
"""Hidden layers by limit. Nearest neighbours are reached doubly exponentially, the majority exponentially, the singular
kernel only as α / (4 δ L), for points whose inner product is 1 − δ."""


def table_split(
    features: np.ndarray, targets: np.ndarray, train: int, test: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random training and test rows, features standardised by the training rows."""
    order = rng.permutation(len(targets))
    kept, held = order[:train], order[train : train + test]
    mean, deviation = features[kept].mean(0), features[kept].std(0)
    scaled = (features - mean) / np.where(deviation > 0, deviation, 1.0)
    return scaled[kept], targets[kept], scaled[held], targets[held]


def limits_by_depth(trial: Trial) -> Rows:
    """On how many test rows the network of finite depth and its limit agree: breast cancer, a fifth of labels flipped."""
    train, test = trial.pick(smoke=(40, 20), laptop=(200, 100), full=(400, 169))
    data = load_breast_cancer()
    rng = trial.rng("rows")
    X, y, test_X, _ = table_split(data.data, data.target, train, test, rng)
    y = np.where(rng.random(train) < 0.2, 1 - y, y)
    activations = {
        "nearest_neighbour": HermiteActivation((0, 0, 1)),
        "majority": nn.GELU(),
        "singular_kernel": optimal_activation(intrinsic_dimension(X)),
    }
    rows = []
    for name, activation in activations.items():
        limit = OptimalKernelClassifier(activation).fit(X, y).predict(test_X)
        for depth in trial.pick(smoke=(1, 10), laptop=LIMIT_DEPTHS[name], full=LIMIT_DEPTHS[name]):
            deep = OptimalKernelClassifier(activation, depth=depth).fit(X, y).predict(test_X)
            agree = int((deep == limit).sum())
            rows.append({"limit": name, "depth": depth, "agree": agree, "tested": test, "agreement": agree / test})
    return rows


@paper.claim(
    limits_by_depth,
    figure=lines(
        "depth", "agreement", "limit", log="x", xlabel="hidden layers", ylabel="test rows that agree with the limit"
    ),
)
def three_limits(table):
    """Agreement at the greatest depth, of each limit; what the least improved gained since one layer."""
    by_limit = table.groupby("limit", sort=False)
    deep, shallow = by_limit.last(), by_limit.first()
    return {
        **{name: Proportion(row["agree"], row["tested"]) for name, row in deep.iterrows()},
        "least_gain": (deep["agreement"] - shallow["agreement"]).min(),
        "least_agreement_shallow": shallow["agreement"].min(),
    }


def orthant_points(count: int, dim: int, generator: torch.Generator) -> Float[Tensor, "count dim"]:
    """Random unit vectors of the non-negative orthant, uniformly."""
    points = torch.randn(count, dim, generator=generator, device=generator.device).abs()
    return points / points.norm(dim=-1, keepdim=True)


def kernels_by_width(trial: Trial) -> Rows:
    """Relative root-mean-square error of random networks' tangent kernels, three hidden layers, optimal sine for S²."""
    widths = trial.pick(smoke=(16, 32), laptop=(64, 128, 256, 512, 1024), full=(64, 256, 1024, 4096))
    networks = trial.pick(smoke=1, laptop=12, full=16)
    depth, activation = 3, optimal_activation(2, family="sine")
    points = orthant_points(8, 3, trial.generator("points"))
    limit = neural_tangent_kernel((points.double() @ points.double().T).clamp(-1, 1), activation, depth)
    generator = trial.generator("weights")
    rows = []
    for width in widths:
        errors = []
        for _ in range(networks):
            network = WideNetwork(3, width, depth, activation, generator=generator)
            kernel = empirical_tangent_kernel(network, points).double()
            errors.append(float((kernel - limit).square().sum() / limit.square().sum()))
        rows.append({"width": width, "error": math.sqrt(np.mean(errors))})
    return rows


@paper.claim(
    kernels_by_width,
    figure=lines(
        "width", "error", None, log="xy", xlabel="width (units a layer)", ylabel="relative error of the tangent kernel"
    ),
)
def finite_width(table):
    """Slope of ln(error) against ln(width); the error at the greatest width."""
    rate, _ = np.polyfit(np.log(table["width"]), np.log(table["error"]), 1)
    return {"rate": rate, "error": table["error"].iloc[-1]}


DISTRIBUTIONS = {
    1: ((1.0, 2.0), (2.0, 1.0)),
    2: ((0.5, 0.5, 2.5), (2.5, 0.1, 0.5)),
    4: ((3.0, 1.0, 2.0, 1.0, 1.0), (1.0, 2.0, 2.0, 2.0, 3.0)),
}
"""Dirichlet parameters of the two classes by the sphere's dimension, as in the authors' code; the first has prior 0.4."""
PRIOR = 0.4


def dirichlet_classes(dim: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of S^d, labels, and the probability of label 1: Dirichlet draws of the point's class, over their norm."""
    parameters = DISTRIBUTIONS[dim]
    labels = (rng.random(count) < PRIOR).astype(int)
    shares = np.where(labels[:, None] == 1, rng.dirichlet(parameters[0], count), rng.dirichlet(parameters[1], count))
    # The density is infinite on the simplex's edge, where the smallest shares underflow to.
    shares = np.maximum(shares, 1e-300)
    shares /= shares.sum(1, keepdims=True)
    logs = [
        (np.log(shares) * (np.array(p) - 1)).sum(1) + math.lgamma(sum(p)) - sum(map(math.lgamma, p)) for p in parameters
    ]
    odds = math.log(PRIOR / (1 - PRIOR)) + logs[0] - logs[1]
    return shares / np.linalg.norm(shares, axis=1, keepdims=True), labels, 1 / (1 + np.exp(-odds))


def excess_risk(predicted: np.ndarray, posterior: np.ndarray) -> float:
    """Probability of error beyond that of the Bayes classifier: E[|2η − 1|] where they differ."""
    return float((np.abs(2 * posterior - 1) * (predicted != (posterior > 0.5))).mean())


def risks_by_samples(trial: Trial) -> Rows:
    """Excess risk over the Bayes classifier on S^d, d = 1, 2, 4, with growing training sets.

    The nearest neighbour's tends to its asymptote E[2η(1 − η)] − E[min(η, 1 − η)].
    """
    counts = trial.pick(
        smoke=(50, 200), laptop=(100, 300, 1000, 3000, 20_000), full=(100, 1000, 10_000, 100_000, 300_000)
    )
    rows = []
    for dim in DISTRIBUTIONS:
        X, y, _ = dirichlet_classes(dim, max(counts), trial.rng(f"train {dim}"))
        test_X, _, posterior = dirichlet_classes(
            dim, trial.pick(smoke=100, laptop=2000, full=10_000), trial.rng(f"test {dim}")
        )
        activations = {
            "singular_kernel": optimal_activation(dim),
            "nearest_neighbour": HermiteActivation((0, 0, 1)),
            "majority": torch.relu,
        }
        asymptote = (2 * posterior * (1 - posterior) - np.minimum(posterior, 1 - posterior)).mean()
        for count in counts:
            row = {"dimension": dim, "samples": count, "asymptote": asymptote}
            for name, activation in activations.items():
                model = OptimalKernelClassifier(activation, projection="none").fit(X[:count], y[:count])
                row[name] = excess_risk(model.predict(test_X), posterior)
            rows.append(row)
    return rows


def draw_risks(axes, table):
    """Excess risk against samples, a line a classifier and dimension."""
    long = table.melt(
        ["seed", "dimension", "samples"], ["singular_kernel", "nearest_neighbour", "majority"], "classifier", "risk"
    )
    long["classifier"] += ", d = " + long["dimension"].astype(str)
    lines(
        "samples", "risk", "classifier", log="xy", xlabel="training points", ylabel="error beyond the Bayes classifier"
    )(axes, long)
    axes.set_ylim(bottom=2e-3)
    axes.legend(fontsize=7, ncols=3, loc="lower left")


@paper.claim(risks_by_samples, figure=draw_risks)
def consistency(table):
    """The optimal network's excess at the largest set as a share of its rivals', and how far it fell since the smallest."""
    by_dimension = table.groupby("dimension")
    last, first = by_dimension.last(), by_dimension.first()
    share = last["singular_kernel"] / last["nearest_neighbour"]
    return {
        **{f"share_of_nearest_d{dim}": share[dim] for dim in DISTRIBUTIONS},
        "share_of_majority": (last["singular_kernel"] / last["majority"]).max(),
        "least_fall": (first["singular_kernel"] - last["singular_kernel"]).min(),
        "nearest_over_asymptote": (last["nearest_neighbour"] / last["asymptote"]).mean(),
    }


def depth_tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Classification tables: the two classes of diabetes are its progression above and below the median."""
    diabetes = load_diabetes()
    return {
        "diabetes": (diabetes.data, (diabetes.target > np.median(diabetes.target)).astype(int)),
        "breast cancer": tuple(load_breast_cancer(return_X_y=True)),
        "wine": tuple(load_wine(return_X_y=True)),
    }


def tables_by_depth(trial: Trial) -> dict[str, list[float]]:
    """The optimal activation's network at each depth, trained to interpolation: accuracy on three tables, R² on one."""
    train, test = trial.pick(smoke=(40, 20), laptop=(120, 58), full=(120, 58))
    depths = trial.pick(
        smoke=(1, 8), laptop=(1, 2, 4, 8, 16, 32, 64, 128, 256), full=(1, 2, 4, 8, 16, 32, 64, 128, 1024)
    )
    columns: dict[str, list[float]] = {"depth": list(depths)}
    for name, (features, labels) in depth_tables().items():
        X, y, test_X, test_y = table_split(features, labels, train, test, trial.rng(name))
        activation = optimal_activation(intrinsic_dimension(X))
        columns[name.replace(" ", "_")] = [
            float((OptimalKernelClassifier(activation, depth=layers).fit(X, y).predict(test_X) == test_y).mean())
            for layers in depths
        ]
    features, target = load_diabetes(return_X_y=True)
    X, y, test_X, test_y = table_split(features, target, train, test, trial.rng("diabetes"))
    activation = optimal_activation(intrinsic_dimension(X))
    sphere = SphereProjection().fit(X)
    points, queries = (torch.from_numpy(sphere.transform(part)) for part in (X, test_X))
    targets = torch.from_numpy(y - y.mean())[:, None]
    columns["r2"] = []
    for layers in depths:
        predicted = KernelInterpolation(points, targets, activation, layers).predict(queries).values[:, 0].numpy()
        columns["r2"].append(float(1 - np.mean((test_y - y.mean() - predicted) ** 2) / np.var(test_y)))
    return columns


def draw_depths(axes, table):
    """Accuracy of each table and R² against depth."""
    long = table.melt(["seed", "depth"], ["diabetes", "breast_cancer", "wine", "r2"], "table", "value")
    long["table"] = long["table"].map(
        lambda name: "R², progression of diabetes" if name == "r2" else f"accuracy, {name}"
    )
    lines(
        "depth", "value", "table", log="x", xlabel="hidden layers", ylabel="accuracy, or share of variance explained"
    )(axes, long)
    axes.set_ylim(-0.5, 1.05)  # one and two layers interpolate the noise: their R², below −0.8, would flatten all else


@paper.claim(tables_by_depth, figure=draw_depths)
def depth_and_task(table):
    """Accuracy at the greatest depth over one layer, mean of the tables; R² at the best depth less that at the greatest."""
    accuracy = table[["diabetes", "breast_cancer", "wine"]].mean(axis=1)
    return {
        "accuracy_gain": accuracy.iloc[-1] - accuracy.iloc[0],
        "r2_lost": table["r2"].max() - table["r2"].iloc[-1],
    }
