"""Tirer, Huang, Niles-Weed 2023: Perturbation Analysis of Neural Collapse.

Features that are held near given ones: does their variability within classes fall, how do deviations from collapse come through,
and whose decay matters more, the features' or the last layer's?
"""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.landscapes import NearCollapseModel, class_scatter, unconstrained_frame, within_class_variability
from replica.training import Minibatches, fit, mlp

paper = Paper("perturbed_collapse")
Rows = list[dict[str, Any]]
DECAY = {"weight_decay": 0.005, "feature_decay": 0.005}


FACTORS = {
    "as it is": (1, 1),
    "features, doubled": (2, 1),
    "features, none": (0, 1),
    "last layer, doubled": (1, 2),
    "last layer, none": (1, 0),
}
"""Of the decay of features and of the last layer."""


def half_squared(net, inputs, targets):
    """The model's squared error, a mean over samples."""
    return (net(inputs) - targets).square().sum() / (2 * len(inputs))


def draw(trial: Trial, name: str, *shape: int) -> Tensor:
    """Standard normal numbers, in double precision."""
    return torch.randn(shape, generator=trial.generator(name), dtype=torch.float64)


def scatter(features: Tensor, labels: Tensor) -> dict[str, float]:
    """Ln tr Σ_W and ln tr Σ_B."""
    within, between = class_scatter(features, labels)
    return {"within": float(within.log()), "between": float(between.log())}


def flows(trial: Trial) -> Rows:
    """Variability along the flow and at minimisers, from features near collapse, without classes, and far from the origin."""
    classes, count, dim, steps = trial.pick(smoke=(3, 4, 5, 5), laptop=(4, 50, 20, 60), full=(10, 100, 64, 200))
    labels = torch.arange(classes * count) % classes
    noise, means = draw(trial, "noise", len(labels), dim), draw(trial, "means", classes, dim)
    starts = {
        "near": means[labels] + 0.5 * noise,
        "without classes": noise,
        "far from 0": noise + 3 * draw(trial, "shift", dim),
    }
    times = [0.0, *np.geomspace(0.01, 20, steps)]
    rows = []
    for start, given in starts.items():
        models = {beta: NearCollapseModel(given, labels, attraction=beta, **DECAY) for beta in (1.0, 10.0, 100.0)}
        for time, features in zip(times, models[1.0].flow(times), strict=True):
            rows.append({"start": start, "time": time} | scatter(features, labels))
        for beta, model in models.items():
            rows.append({"start": start, "attraction": beta} | scatter(model.minimize(), labels))
    return rows


def draw_flows(axes, table):
    """Variability over time."""
    table = table.assign(variability=np.exp(table["within"] - table["between"]))
    draw = lines("time", "variability", "start", log="y", xlabel="time of the flow", ylabel="tr Σ_W / tr Σ_B")
    draw(axes, table.dropna(subset=["time"]))


@paper.claim(flows, figure=draw_flows)
def variability_falls(table):
    """The largest rise of variability along the flow, and the largest of minimisers over the given."""
    table = table.assign(variability=table["within"] - table["between"])
    path = table.dropna(subset=["time"])
    grown = 2 * DECAY["feature_decay"] * path["time"]
    rises = path.assign(within=path["within"] + grown, between=path["between"] + grown).groupby("start")
    rises = rises[["within", "between", "variability"]].diff()
    given = path[path["time"] == 0].set_index("start")["variability"]
    ends = table.dropna(subset=["attraction"])
    over = ends["variability"] - ends["start"].map(given)
    return {
        "largest_rise": rises["variability"].max(),
        "largest_rise_within": rises["within"].max(),
        "least_rise_between": rises["between"].min(),
        "log_variability_over_given": over[ends["attraction"] > 1].max(),
        "log_variability_under_little_attraction": over[ends["attraction"] == 1].max(),
        "variability_given": np.exp(given.min()),
    }


def responses(trial: Trial) -> Rows:
    """Errors of the first order over the size of deviations; the map's spectrum; elasticities of the variability to decays."""
    classes, count, dim, sizes = trial.pick(smoke=(3, 3, 5, 3), laptop=(4, 10, 10, 6), full=(10, 20, 30, 10))
    labels = torch.arange(classes * count) % classes

    def given(**decay: float) -> Tensor:
        return unconstrained_frame(classes, dim, generator=trial.generator("frame"), **decay)[labels]

    at, noise = given(**DECAY), draw(trial, "deviation", len(labels), dim)
    deviation = noise * at.norm() / noise.norm()
    rows = []
    for beta in (1.0, 100.0):
        response = NearCollapseModel(at, labels, attraction=beta, **DECAY).first_order(deviation)
        for size in np.geomspace(0.003, 0.1, sizes):
            moved = NearCollapseModel(at + size * deviation, labels, attraction=beta, **DECAY).minimize() - at
            error, whole = (float(part.norm() / at.norm()) for part in (moved - size * response, moved))
            rows.append({"attraction": beta, "size": size, "error": error, "without_response": whole})
    collapsed = NearCollapseModel(at, labels, attraction=100.0, **DECAY)
    same, other = (torch.linalg.svdvals(collapsed.response_block(0, k)) for k in (0, 1))
    found = {
        "attenuation": 100 * float(1 - same[-1]),
        "crosstalk": 100 * float(other[0]),
        "second": float(other[1] / other[0]),
    }
    for name in DECAY:
        gains = []
        for factor in (0.8, 1.25):
            decay = DECAY | {name: factor * DECAY[name]}
            near = given(**decay) + 0.01 * deviation
            end = NearCollapseModel(near, labels, attraction=100.0, **decay).minimize()
            gains.append(scatter(end, labels)["within"] - scatter(near, labels)["within"])
        found[name] = 100 * (gains[1] - gains[0]) / np.log(1.25 / 0.8)
    return [*rows, found]


draw_errors = lines("size", "error", "attraction", log="xy", xlabel="relative deviation", ylabel="relative error")


@paper.claim(responses, figure=draw_errors)
def response_near_collapse(table):
    """Slopes of errors with and without the response, errors of the map's spectrum, and elasticities to decays."""

    def slopes(column):
        by = table.dropna(subset=["size"]).groupby("attraction")
        return [np.polyfit(np.log(rows["size"]), np.log(rows[column]), 1)[0] for _, rows in by]

    last = table.iloc[-1]
    lam, mu = DECAY.values()
    return {
        "slope": min(slopes("error")),
        "slope_without_response": max(slopes("without_response")),
        "attenuation_error": abs(last["attenuation"] / (mu / lam) ** 0.5 - 1),
        "crosstalk_error": abs(last["crosstalk"] / (2 * mu * (1 - (lam * mu) ** 0.5)) - 1),
        "second_over_first_crosstalk": last["second"],
        "elasticity_to_feature_decay": last["feature_decay"],
        "elasticity_to_weight_decay": last["weight_decay"],
        "log_ratio_of_elasticities": np.log(abs(last["feature_decay"] / last["weight_decay"])),
    }


def decays(trial: Trial) -> Rows:
    """NC1 of perceptrons on digits, the decay of features or last layer doubled or zeroed."""
    used, width, epochs = trial.pick(smoke=(60, 8, 3), laptop=(1000, 128, 240), full=(1797, 512, 400))
    images, digit = load_digits(return_X_y=True)
    drawn = trial.rng("rows").permutation(len(images))[:used]
    X, labels = torch.from_numpy(images[drawn] / 16).float(), torch.from_numpy(digit[drawn])
    Y = nn.functional.one_hot(labels, 10).float()
    rows = []
    for name, factors in FACTORS.items():
        body = nn.Sequential(mlp((64, width, width), generator=trial.generator("body")), nn.ReLU())
        last = nn.Linear(width, 10, bias=False)
        last.weight.data = torch.randn(10, width, generator=trial.generator("last")) / width**0.5
        net, batches = nn.Sequential(body, last), Minibatches(X, Y, size=50, generator=trial.generator("batches"))
        groups = [
            {"params": part.parameters(), "weight_decay": 0.005 * factor}
            for part, factor in zip((body, last), factors, strict=True)
        ]
        optimiser = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
        steps = epochs * len(batches)
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, steps // 3)
        fit(net, half_squared, batches, optimiser=optimiser, schedule=schedule, steps=steps)
        with torch.no_grad():
            accuracy, variability = (
                (net(X).argmax(1) == labels).double().mean(),
                within_class_variability(body(X).double(), labels),
            )
        rows.append({"decay": name, "accuracy": float(accuracy), "variability": float(variability)})
    return rows


@paper.claim(decays, figure=dots("decay", "variability", log="y", xlabel="decay changed", ylabel="NC1"))
def feature_decay_matters_more(table):
    """How far each change of decay moves NC1, in logarithms."""
    rows = table.set_index("decay")
    moved = np.log(rows["variability"] / rows["variability"]["as it is"])
    by = {
        part: (abs(moved[f"{part}, doubled"]) + abs(moved[f"{part}, none"])) / 2 for part in ("features", "last layer")
    }
    return {
        "log_moves": by["features"] - by["last layer"],
        "doubling_features_decay": moved["features, doubled"],
        "zeroing_features_decay": moved["features, none"],
        "train_accuracy": rows["accuracy"].min(),
        "largest_move": moved.abs().max(),
    }
