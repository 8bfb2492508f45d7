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
CHANGED = {"features": (2, 1), "no features": (0, 1), "last": (1, 2), "no last": (1, 0)}
"""Factors of the decay of features and of the last layer."""


def flows(trial: Trial) -> Rows:
    """Variability along the flow and at minimisers, from features near collapse, without classes, and far from the origin."""
    classes, count, dim, steps = trial.pick(smoke=(3, 4, 5, 5), laptop=(4, 50, 20, 60), full=(10, 100, 64, 200))
    labels = torch.arange(classes * count) % classes
    shapes = {"noise": (len(labels), dim), "means": (classes, dim), "shift": (dim,)}
    noise, means, shift = (torch.randn(shape, generator=trial.generator(name)) for name, shape in shapes.items())
    times = [0.0, *np.geomspace(0.01, 20, steps)]
    rows = []
    for start, given in (("near", means[labels] + noise / 2), ("no classes", noise), ("far from 0", noise + 3 * shift)):
        models = {beta: NearCollapseModel(given, labels, attraction=beta, **DECAY) for beta in (1.0, 10.0, 100.0)}
        for time, features in zip(times, models[1.0].flow(times), strict=True):
            ratio = float(within_class_variability(features, labels, traces=True))
            rows.append({"start": start, "time": time, "ratio": ratio})
        for beta, model in models.items():
            ratio = float(within_class_variability(model.minimize(), labels, traces=True))
            rows.append({"start": start, "attraction": beta, "ratio": ratio})
    return rows


draw_flows = lines("time", "ratio", "start", log="y", xlabel="time of the flow", ylabel="tr Σ_W / tr Σ_B")


@paper.claim(flows, figure=draw_flows)
def variability_falls(table):
    """The largest rise of variability along the flow, and the largest of minimisers over the given."""
    path, ends = table.dropna(subset=["time"]), table.dropna(subset=["attraction"])
    rises = np.log(path["ratio"]).groupby(path["start"]).diff()
    given = path[path["time"] == 0].set_index("start")["ratio"]
    over = np.log(ends["ratio"] / ends["start"].map(given))
    return {
        "largest_rise": rises.max(),
        "log_variability_over_given": over[ends["attraction"] > 1].max(),
        "log_variability_under_little_attraction": over[ends["attraction"] == 1].max(),
        "variability_given": given.min(),
    }


def responses(trial: Trial) -> Rows:
    """Errors of the first order over the size of deviations; the map's spectrum; elasticities of the variability to decays."""
    classes, count, dim, sizes = trial.pick(smoke=(3, 3, 5, 3), laptop=(4, 10, 10, 6), full=(10, 20, 30, 10))
    labels = torch.arange(classes * count) % classes
    noise = torch.randn(len(labels), dim, generator=trial.generator("deviation"))

    def near(deviation: Any = 0.0, attraction: float = 100.0, **decay: float) -> NearCollapseModel:
        frame = unconstrained_frame(classes, dim, generator=trial.generator("frame"), **decay)[labels]
        return NearCollapseModel(frame + deviation, labels, attraction=attraction, **decay)

    at = near(**DECAY).given
    deviation = noise * at.norm() / noise.norm()
    rows = []
    for beta in (1.0, 100.0):
        response = near(attraction=beta, **DECAY).first_order(deviation)
        for size in np.geomspace(0.003, 0.1, sizes):
            moved = near(size * deviation, beta, **DECAY).minimize() - at
            error, whole = (float(part.norm() / at.norm()) for part in (moved - size * response, moved))
            rows.append({"attraction": beta, "size": size, "error": error, "without_response": whole})
    same, other = (torch.linalg.svdvals(near(**DECAY).response_block(0, target)) for target in (0, 1))
    found = {"attenuation": 100 * (1 - same[-1]), "crosstalk": 100 * other[0], "second": other[1] / other[0]}
    found = {name: float(value) for name, value in found.items()}
    for name, decay in DECAY.items():
        variants = (near(**DECAY | {name: factor * decay}) for factor in (0.8, 1.25))
        low, high = (class_scatter(model.first_order(noise), labels)[0] for model in variants)
        found[name] = 100 * float((high / low).log()) / np.log(1.25 / 0.8)
    return [*rows, found]


draw_errors = lines("size", "error", "attraction", log="xy", xlabel="relative deviation", ylabel="relative error")


@paper.claim(responses, figure=draw_errors)
def response_near_collapse(table):
    """Slopes of errors with and without the response, errors of the map's spectrum, and elasticities to decays."""
    lam, mu = DECAY.values()
    last, errors = table.iloc[-1], np.log(table.dropna(subset=["size"])[["size", "error", "without_response"]])
    by = errors.groupby(table["attraction"])
    slope, without = ([np.polyfit(rows["size"], rows[name], 1)[0] for _, rows in by] for name in errors.columns[1:])
    return {
        "slope": min(slope),
        "slope_without_response": max(without),
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

    def half_squared(net: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return (net(inputs) - targets).square().sum() / (2 * len(inputs))

    rows = []
    for part, factors in ({"neither": (1, 1), "other batches": (1, 1)} | CHANGED).items():
        body = nn.Sequential(mlp((64, width, width), generator=trial.generator("body")), nn.ReLU())
        net = nn.Sequential(body, nn.Linear(width, 10, bias=False))
        net[1].weight.data = torch.randn(10, width, generator=trial.generator("last")) / width**0.5
        groups = [{"params": net[index].parameters(), "weight_decay": 0.001 * factors[index]} for index in (0, 1)]
        optimiser = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        order = trial.generator("other batches" if part == "other batches" else "batches")
        batches = Minibatches(X, Y, size=50, generator=order)
        steps = epochs * len(batches)
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, steps // 3)
        fit(net, half_squared, batches, optimiser=optimiser, schedule=schedule, steps=steps)
        with torch.no_grad():
            right, features = net(X).argmax(1) == labels, body(X).double()
        variability = float(within_class_variability(features, labels))
        rows.append({"changed": part, "accuracy": float(right.float().mean()), "variability": variability})
    return rows


@paper.claim(decays, figure=dots("changed", "variability", log="y", xlabel="decay doubled, or none", ylabel="NC1"))
def feature_decay_matters_more(table):
    """How far each change of decay moves NC1, in logarithms."""
    rows = table.set_index("changed")
    moved = np.log(rows["variability"] / rows["variability"]["neither"])
    features, last = (moved[[name, f"no {name}"]].abs().mean() for name in ("features", "last"))
    return {
        "log_moves": features - last,
        "doubling_features_decay": moved["features"],
        "zeroing_features_decay": moved["no features"],
        "train_accuracy": rows["accuracy"].min(),
        "largest_move": moved[list(CHANGED)].abs().max(),
        "move_by_chance": abs(moved["other batches"]),
    }
