"""Bai, Gautam, Sojoudi 2022: Efficient Global Optimization of Two-layer ReLU Networks.

Training as a convex programme, solved by splitting: does it end at the global optimum where descent gets stuck, do its first
steps predict, and does its robust form withstand attacks?
"""

import math
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn

from replica.lab.claims import Integer, LogUniform, Paper, Trial
from replica.lab.studies import dots, lines
from replica.landscapes import (
    ConvexReluClassifier,
    ConvexReluRegressor,
    ConvexReluSolution,
    activation_patterns,
    convex_relu_admm,
    robust_convex_relu,
    sampled_patterns,
)
from replica.spiking import projected_gradient
from replica.training import ReplicaMinibatches, Replicas, mlp, train_replicas

paper = Paper("convex_relu")
Rows = list[dict[str, Any]]
BETA = 0.1
SPACE: dict[str, LogUniform | Integer] = {
    "penalty": LogUniform(0.01, 100.0),
    "units": Integer(10, 100),
    "steps": Integer(10, 100),
}


@paper.entry("classification", name="convex-relu-classifier", space=SPACE)
def convex_relu_classifier(trial: Trial, penalty: float = 1.0, units: int = 30, steps: int = 50) -> Any:
    """A two-layer ReLU network by a convex programme, ADMM's first iterations."""
    seed = int(trial.rng("patterns").integers(2**31))
    return ConvexReluClassifier(penalty=penalty, units=units, steps=steps, random_state=seed)


@paper.entry("regression", name="convex-relu", space=SPACE)
def convex_relu_regressor(trial: Trial, penalty: float = 10.0, units: int = 50, steps: int = 50) -> Any:
    """A two-layer ReLU network by a convex programme, ADMM's first iterations."""
    seed = int(trial.rng("patterns").integers(2**31))
    return ConvexReluRegressor(penalty=penalty, units=units, steps=steps, random_state=seed)


def toy(trial: Trial, inputs: int, rows: int) -> tuple[Tensor, Tensor]:
    """Gaussian inputs and a bias; targets of a network of five units, with noise."""
    generator = trial.generator(f"toy {inputs}")
    X = torch.randn(rows, inputs, generator=generator, dtype=torch.float64)
    X = torch.cat([X, torch.ones(rows, 1, dtype=torch.float64)], 1)
    hidden, outer = (torch.randn(5, size, generator=generator, dtype=torch.float64) for size in (inputs + 1, 1))
    noise = torch.randn(rows, 1, generator=generator, dtype=torch.float64)
    return X, (X @ hidden.T).relu() @ outer + 0.2 * noise


def solved(trial: Trial, X: Tensor, y: Tensor) -> tuple[ConvexReluSolution, int]:
    """The global optimum at β = 0.1, and the number of patterns."""
    patterns = activation_patterns(X)
    steps = trial.pick(smoke=200, laptop=5000, full=20_000)
    return convex_relu_admm(X, y, patterns, penalty=BETA, steps=steps, tolerance=1e-3), len(patterns)


def certified(trial: Trial) -> Rows:
    """The network's objective over iterations, with the bound found at the end; one input, and two."""
    rows = []
    for inputs in (1, 2):
        X, y = toy(trial, inputs, trial.pick(smoke=8, laptop=30, full=60))
        found, _ = solved(trial, X, y)
        path = [(step, objective) for step, objective in found.history if step % 100 == 0 or step < 100]
        rows += [
            {"inputs": inputs, "step": step, "objective": objective, "bound": found.bound, "last": step == found.steps}
            | {"log_excess": math.log(objective / found.bound), "zero": float(y.square().sum() / 2)}
            for step, objective in [*path, (found.steps, found.objective)]
        ]
    return rows


@paper.claim(certified, figure=lines("step", "log_excess", "inputs", log="xy", ylabel="ln objective over the bound"))
def global_optimum(table):
    """The largest gap that is left, and after 100 iterations."""
    early = table[table["step"] <= 100].groupby("inputs")["log_excess"].last()
    last = table[table["last"]]
    return {
        "certified_gap": last["log_excess"].max(),
        "certified_gap_at_100": early.max(),
        "log_share_of_zero": np.log(last["objective"] / last["zero"]).max(),
    }


class Objective(nn.Module):
    """A network whose forward is its training objective at β = 0.1, a row; minibatches stand for all rows."""

    def __init__(self, width: int, rows: int, generator: torch.Generator) -> None:
        super().__init__()
        self.rows = rows
        self.net = mlp((2, width, 1), bias=False, generator=generator, dtype=torch.float64)

    def forward(self, X: Tensor, y: Tensor) -> Tensor:
        """The objective of some rows, a row."""
        decay = sum(weights.square().sum() for weights in self.net.parameters())
        return (self.net(X) - y).square().mean() / 2 + BETA / 2 * decay / self.rows


def descents(trial: Trial) -> Rows:
    """Objectives of gradient descent from twenty starts, at two widths, at the rate that serves each width best."""
    X, y = toy(trial, 1, trial.pick(smoke=8, laptop=30, full=60))
    found, patterns = solved(trial, X, y)
    steps, starts = trial.pick(smoke=(20, 2), laptop=(6000, 20), full=(60_000, 20))
    rates = (0.01, 0.03, 0.1, 0.3)
    rows = []
    for width, name in ((len(found.layers()[0]), "as the optimum"), (2 * patterns, "two a pattern")):
        nets = [Objective(width, len(X), trial.generator(f"{name} {start}")) for start in range(starts)]
        replicas = Replicas([net for _ in rates for net in nets])
        orders = [trial.generator(f"order {start}") for _ in rates for start in range(starts)]
        train_replicas(
            replicas,
            lambda model, X, y: model(X, y),
            ReplicaMinibatches(X, y, size=10, generators=orders),
            steps=steps,
            rates=[rate for rate in rates for _ in nets],
            momentum=0.9,
            schedule=lambda step: (1 + math.cos(math.pi * step / steps)) / 2,
            shared=False,
        )
        with torch.no_grad():
            ends = len(X) * replicas(X, y).view(len(rates), starts).nan_to_num(math.inf)
        excess = (ends[ends.median(1).values.argmin()] / found.objective).log()
        known = {"width": name, "units": width, "gap": math.log(found.objective / found.bound)}
        rows += [known | {"start": start, "log_excess": float(value)} for start, value in enumerate(excess)]
    return rows


def draw_starts(axes, table):
    """Each start's excess, lowest first, at either width."""
    ranked = table.assign(rank=table.groupby(["seed", "width"])["log_excess"].rank(method="first"))
    lines("rank", "log_excess", "width", xlabel="start, best first", ylabel="ln objective over the optimum")(
        axes, ranked
    )


@paper.claim(descents, figure=draw_starts)
def descent_gets_stuck(table):
    """The share of starts that end more than 1 % above the optimum, at both widths, and how far."""
    narrow, wide = (table.loc[table["width"] == name, "log_excess"] for name in ("as the optimum", "two a pattern"))
    return {
        "share_stuck": (narrow > math.log(1.01)).mean(),
        "median_log_excess": narrow.median(),
        "share_stuck_wide": (wide > math.log(1.01)).mean(),
        "log_range_of_starts": narrow.max() - narrow.min(),
        "least_log_excess_wide": wide.min(),
        "certified_gap": table["gap"].max(),
    }


def zeros_and_eights() -> tuple[np.ndarray, np.ndarray]:
    """Pixels from 0 to 1 less 0.3, and 1 for a zero, −1 for an eight."""
    images, digits = load_digits(return_X_y=True)
    chosen = (digits == 0) | (digits == 8)
    return images[chosen] / 16 - 0.3, np.where(digits[chosen] == 0, 1.0, -1.0)


def drawn(trial: Trial, X: np.ndarray, y: np.ndarray, count: int) -> list[Tensor]:
    """Rows to learn from and all others, with a column of ones."""
    order = trial.rng("rows").permutation(len(X))
    X = np.concatenate([X, np.ones((len(X), 1))], axis=1)
    return [torch.from_numpy(values[rows]) for rows in (order[:count], order[count:]) for values in (X, y)]


def first_steps(trial: Trial) -> Rows:
    """Test accuracy and training objective of the network after 2, 5, 10, … iterations of ADMM."""
    cancer, malignant = load_breast_cancer(return_X_y=True)
    cancer = (cancer - cancer.mean(0)) / cancer.std(0)
    count, units = trial.pick(smoke=(30, 5), laptop=(200, 50), full=(200, 200))
    rows = []
    for name, X, y in (("breast cancer", cancer, 2.0 * malignant - 1), ("zeros and eights", *zeros_and_eights())):
        X, y, test, truth = drawn(trial, X, y, count)
        patterns = sampled_patterns(X, units, generator=trial.generator(f"patterns {name}"))
        for steps in trial.pick(smoke=(10, 20), laptop=(2, 5, 10, 20, 50, 100, 400), full=(2, 10, 100, 4000)):
            found = convex_relu_admm(X, y[:, None], patterns, penalty=1.0, steps=steps, tolerance=0.0)
            with torch.no_grad():
                right = (found.network()(test)[:, 0] * truth > 0).double().mean()
            known = {
                "data": name,
                "majority": max(float((truth > 0).double().mean()), float((truth < 0).double().mean())),
            }
            rows.append(
                known | {"steps": steps, "accuracy": float(right), "objective": found.objective, "bound": found.bound}
            )
    return rows


@paper.claim(
    first_steps, figure=lines("steps", "accuracy", "data", log="x", xlabel="iterations", ylabel="test accuracy")
)
def first_steps_predict(table):
    """Accuracy lost by stopping after 10 iterations, mean of both data sets."""
    means = table.groupby("steps")[["accuracy", "majority"]].mean()
    objectives = np.log(table.pivot(index="steps", columns="data", values="objective"))
    end = means.iloc[-1]
    return {
        "accuracy_lost": end["accuracy"] - means.loc[10, "accuracy"],
        "log_objective_over_last": (objectives.loc[10] - objectives.iloc[-1]).max(),
        "accuracy_at_end": end["accuracy"],
        "gain_over_majority": end["accuracy"] - end["majority"],
    }


RADIUS = 0.2
HINGE_BETA = 0.1


def attacked(net: nn.Module, X: Tensor, y: Tensor, generator: torch.Generator, steps: int) -> Tensor:
    """Rows moved within the box to where the network errs most: projected gradients from a random place, ones left alone."""
    inputs, ones = X[:, :-1], X[:, -1:]

    def scores(moved: Tensor) -> Tensor:
        return net(torch.cat([moved, ones], 1)) * torch.tensor([-1.0, 1.0], dtype=X.dtype)

    size, free = 2.5 / steps * RADIUS, {"low": -math.inf, "high": math.inf}
    labels = (y > 0).long()
    moved = projected_gradient(
        scores, inputs, labels, budget=RADIUS, steps=steps, step_size=size, generator=generator, **free
    )
    return torch.cat([moved, ones], 1)


def descended(trial: Trial, X: Tensor, y: Tensor, width: int, adversarial: bool) -> nn.Module:
    """A network of Adam's on the same objective, on rows as they are or as attacked at each step; the best of three rates."""
    least, best = math.inf, nn.Module()
    for rate in (0.001, 0.003, 0.01):
        net = mlp((X.shape[1], width, 1), bias=False, generator=trial.generator("start"), dtype=X.dtype)
        optimiser = torch.optim.Adam(net.parameters(), rate)
        attack = trial.generator("attack in training")
        for _ in range(trial.pick(smoke=3, laptop=400, full=4000)):
            rows = attacked(net, X, y, attack, 5) if adversarial else X
            decay = sum(weights.square().sum() for weights in net.parameters())
            loss = (1 - y * net(rows)[:, 0]).clamp_min(0).sum() + HINGE_BETA / 2 * decay
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if loss.item() < least:
            least, best = loss.item(), net
    return best


def robust(trial: Trial) -> Rows:
    """Accuracy with and without attack: convex programmes, plain and robust, and descent likewise."""
    X, y, test, truth = drawn(trial, *zeros_and_eights(), trial.pick(smoke=10, laptop=60, full=60))
    units, steps = trial.pick(smoke=(3, 20), laptop=(20, 600), full=(60, 6000))
    patterns = sampled_patterns(X, units, along_rows=True, generator=trial.generator("patterns"))
    box = torch.full(X.shape[1:], RADIUS, dtype=X.dtype)
    box[-1] = 0

    def programme(radius: Tensor) -> nn.Module:
        return robust_convex_relu(X, y, patterns, radius=radius, penalty=HINGE_BETA, steps=steps).network()

    methods = {
        "convex": lambda: programme(0 * box),
        "robust convex": lambda: programme(box),
        "descent": lambda: descended(trial, X, y, 2 * units, False),
        "descent on attacks": lambda: descended(trial, X, y, 2 * units, True),
    }
    rows = []
    for name, train in methods.items():
        net = train()
        moved = attacked(net, test, truth, trial.generator("attack"), trial.pick(smoke=5, laptop=20, full=100))
        with torch.no_grad():
            clean, under = (((net(rows)[:, 0] * truth) > 0).double().mean() for rows in (test, moved))
        rows.append({"method": name, "accuracy": float(clean), "robust_accuracy": float(under)})
    return rows


@paper.claim(robust, figure=dots("method", "robust_accuracy", ylabel="accuracy under attack (%)", percent=True))
def robust_training(table):
    """Gains in accuracy under attack over plain training and over descent."""
    found = table.set_index("method")
    under, ours, plain = found["robust_accuracy"], found.loc["robust convex"], found.loc["convex"]
    return {
        "robust_gain": under["robust convex"] - under["convex"],
        "gain_over_adversarial_descent": under["robust convex"] - under["descent on attacks"],
        "gain_over_descent": under["robust convex"] - under["descent"],
        "clean_accuracy_lost": plain["accuracy"] - ours["accuracy"],
        "plain_accuracy": plain["accuracy"],
        "plain_accuracy_lost": plain["accuracy"] - plain["robust_accuracy"],
    }
