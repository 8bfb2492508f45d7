"""Schürholt, Meynent, Zhou, Lu, Yang, Borth 2025: A Model Zoo on Phase Transitions in Neural Networks.

A grid of widths and learning rates, a few seeds each: which phases of the loss landscape are there, and what do they tell?
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from torch import Tensor, nn

from replica.kernels import linear_cka
from replica.lab.claims import LogUniform, Paper, Trial, Uniform
from replica.lab.studies import dots
from replica.landscapes import (
    ModelZoo,
    PhaseThresholds,
    ZooBlock,
    barrier,
    landscape_metrics,
    phase_of,
    weight_matching,
)
from replica.papers.baselines.merge import Merger, averaged, mean_accuracy
from replica.training import ReplicaMinibatches, Replicas, mlp, train_replicas

paper = Paper("phase_zoo")
PHASES = ("I", "II", "III", "IV-A", "IV-B")
THRESHOLDS = PhaseThresholds(loss=0.75, barrier=0.02, similarity=0.9)
"""Set on seed 100, before any judged seed."""
SEEDS, BATCH = 3, 25


@paper.entry(
    "merge", name="phase-average", space={"tolerance": LogUniform(0.001, 1.0), "similarity": Uniform(0.0, 1.0)}
)
def phase_average(trial: Trial, tolerance: float = 0.05, similarity: float = 0.8) -> Merger:
    """The average of the best network and those, in its units' order, that are similar and no barrier parts from it."""

    def merge(base: nn.Module, networks: Sequence[nn.Module], rows: Sequence[tuple[Tensor, Tensor]]) -> nn.Module:
        best = max(networks, key=lambda net: mean_accuracy(net, rows))
        inputs = torch.cat([inputs for inputs, _ in rows])
        alike = [best]
        for net in (weight_matching(best, net).model for net in networks if net is not best):  # type: ignore[arg-type]
            with torch.no_grad():
                near = float(linear_cka(best(inputs), net(inputs)))
            if near >= similarity and float(barrier(best, net, entropy, rows, points=7).height) <= tolerance:
                alike.append(net)
        return averaged(alike)

    return Merger(merge)


def entropy(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy."""
    return nn.functional.cross_entropy(model(inputs), labels)


def wrong(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    """Share of wrong answers."""
    return (model(inputs).argmax(-1) != labels).float().mean()


def drawn(trial: Trial, used: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training digits, a tenth of them with wrong labels, and test digits."""
    images, digits = load_digits(return_X_y=True)
    rng = trial.rng("rows")
    order = rng.permutation(len(images))
    X, Y = torch.from_numpy(images[order] / 8 - 1).float(), torch.from_numpy(digits[order])
    spoilt = torch.from_numpy(rng.permutation(used)[: used // 10])
    train = Y[:used].clone()
    train[spoilt] = (train[spoilt] + torch.from_numpy(rng.integers(1, 10, len(spoilt)))) % 10
    return X[:used], train, X[used:], Y[used:]


def averages(nets: Replicas) -> list[nn.Module]:
    """The average of each three seeds, with units in the order of the first's."""
    found = []
    for start in range(0, nets.count, SEEDS):
        first, *others = cast(list[nn.Sequential], [nets.model(index) for index in range(start, start + SEEDS)])
        found.append(averaged([first, *(weight_matching(first, net).model for net in others)]))
    return found


def zoo(trial: Trial) -> list[dict[str, Any]]:
    """Metrics of the landscape, test accuracy and that of the average, for every width and rate."""
    used, epochs, bends = trial.pick(smoke=(100, 1, 2), laptop=(1000, 20, 100), full=(1000, 100, 400))
    grid = {
        "width": trial.pick(smoke=(2, 4), laptop=(2, 4, 8, 16, 32, 64), full=(2, 4, 8, 16, 32, 64, 128, 256)),
        "rate": trial.pick(
            smoke=(0.01, 0.1), laptop=(0.001, 0.003, 0.01, 0.03, 0.1), full=(0.001, 0.003, 0.01, 0.03, 0.1)
        ),
    }
    X, Y, test, truth = drawn(trial, used)
    steps = epochs * math.ceil(used / BATCH)

    def one_cycle(step: int) -> float:
        return min(step + 1, 0.3 * steps) / (0.3 * steps) * min(1.0, (steps - step) / (0.7 * steps))

    def train(width: int, rate: list[float]) -> Replicas:
        starts = trial.generator(f"starts {width}")
        nets = Replicas([mlp((64, width, width, 10), generator=starts) for _ in range(SEEDS * len(rate))])
        orders = [trial.generator(f"order {width} {index}") for index in range(nets.count)]
        batches = ReplicaMinibatches(X, Y, size=BATCH, generators=orders)
        rates = torch.tensor(rate).repeat_interleave(SEEDS)
        options: dict[str, Any] = {"momentum": 0.9, "schedule": one_cycle, "clip_norm": 5.0, "shared": False}
        train_replicas(nets, entropy, batches, steps=steps, rates=rates, **options)
        return nets

    def measure(block: ZooBlock) -> dict[str, list[float]]:
        batches = list(zip(X.split(used // 4), Y.split(used // 4), strict=True))
        generator = trial.generator(f"metrics {block.points[0]['width']}")
        metrics = landscape_metrics(
            *block.pairs(), entropy, batches, layers=["1", "3"], generator=generator, error=wrong, bend_steps=bends
        )
        with torch.no_grad():
            right = (block.nets(test).argmax(-1) == truth).float().mean(1)
        merged = [float(1 - wrong(net, test, truth)) for net in averages(block.nets)]
        found = {name: block.means(values) for name, values in metrics._asdict().items()}
        return found | {"accuracy": block.means(right), "averaged": merged}

    return ModelZoo.build(grid, train, together=["rate"]).table(measure)


def phased(table):
    """The table with each cell's phase, and the gain of averaging."""
    columns = zip(table["loss"], table["connectivity"], table["similarity"], strict=True)
    phases = [phase_of(*values, THRESHOLDS) for values in columns]
    return table.assign(phase=phases, gain=table["averaged"] - table["accuracy"])


def explained(values, groups):
    """Share of the variance that lies between groups."""
    left = (values - values.groupby(groups).transform("mean")).pow(2).sum()
    return float(1 - left / (values - values.mean()).pow(2).sum())


def draw_grid(axes, table):
    """The phase of each cell of the grid, the most frequent over seeds."""
    cells = phased(table).groupby(["width", "rate"])["phase"].agg(lambda found: found.mode()[0]).reset_index()
    for phase, marker in zip(PHASES, "v^sDo", strict=True):
        rows = cells[cells["phase"] == phase]
        axes.plot(rows["rate"], rows["width"], marker, markersize=10, label=phase)
    axes.set(xscale="log", yscale="log", xlabel="learning rate (temperature)", ylabel="width (less load)")
    axes.legend(title="phase", bbox_to_anchor=(1, 1))


def over_phases(column, label):
    """A figure: the mean of a column in each phase, joined by seed."""
    draw = dots("phase", column, xlabel="phase", ylabel=label, percent=True)
    return lambda axes, table: draw(axes, phased(table).groupby(["seed", "phase"])[column].mean().reset_index())


@paper.claim(zoo, figure=draw_grid)
def phases_covered(table):
    """How many of the five phases are there, and the share of the rarest."""
    shares = phased(table)["phase"].value_counts(normalize=True).reindex(PHASES, fill_value=0.0)
    return {"phases": float((shares > 0).sum()), "rarest": shares.min()}


@paper.claim(zoo, figure=over_phases("accuracy", "test accuracy (%)"))
def phases_explain_accuracy(table):
    """Shares of the variance of test accuracy between phases, in all and beyond width or loss."""
    table = phased(table)
    accuracy, phases = table["accuracy"], table["phase"]
    left = accuracy - accuracy.groupby(table["width"]).transform("mean")
    share = explained(accuracy, phases)
    return {
        "explained": share,
        "beyond_width": explained(left, phases),
        "beyond_loss": share - explained(accuracy, table["loss"] > THRESHOLDS.loss),
        "spread": accuracy.std(),
        "explained_by_chance": (phases.nunique() - 1) / (len(table) - 1),
    }


def predicted(design, values):
    """R² of a linear model, each value predicted from all others."""
    return float(r2_score(values, cross_val_predict(LinearRegression(), design, values, cv=LeaveOneOut())))


@paper.claim(zoo, figure=over_phases("gain", "gain of averaging (%)"))
def phase_matters_for_averaging(table):
    """Gains of averaging in IV-B less those elsewhere, and what phase adds to predict them."""
    table = phased(table)
    best, gain = table["phase"] == "IV-B", table["gain"].to_numpy()
    means = table.groupby("phase")["gain"].mean().reindex(PHASES)
    known = np.stack([np.log(table["width"]), np.log(table["rate"]), table["loss"]], 1)
    phases = np.stack([table["phase"] == phase for phase in PHASES[1:]], 1)
    there = 0.0 < best.mean() < 1.0
    return {
        "gain_over_elsewhere": gain[best].mean() - gain[~best].mean() if there else 0.0,
        "gain_over_overfitted": float(np.nan_to_num(means["IV-B"] - means["IV-A"])),
        "gain": float(np.nan_to_num(means["IV-B"])),
        "added_by_phase": predicted(np.hstack([known, phases]), gain) - predicted(known, gain),
        "in_phase": best.mean(),
        "elsewhere": 1 - best.mean(),
    }
