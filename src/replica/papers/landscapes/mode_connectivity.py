"""Singh, Adilova, Kamp, Fischer, Schölkopf, Hofmann 2024: Landscaping Linear Mode Connectivity.

Networks that share their first steps of training and then part: does a barrier rise between them, and does curvature tell it?
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from replica.data import mnist_1d
from replica.lab.claims import LogUniform, Paper, Trial
from replica.lab.studies import against, lines
from replica.landscapes import (
    average_connected_layers,
    barrier,
    barrier_from_curvature,
    forked_batches,
    weight_matching,
)
from replica.papers.baselines.merge import Merger, mean_accuracy
from replica.training import Replicas, mlp, train_replicas

paper = Paper("mode_connectivity")
Rows = list[dict[str, Any]]
Pairs = tuple[Replicas, Replicas]


@paper.entry("merge", name="connected-layers", space={"tolerance": LogUniform(0.001, 1.0)})
def connected_layers(trial: Trial, tolerance: float = 0.05) -> Merger:
    """The best network, with the average in each layer that no barrier on held-out rows parts from the others, units in order."""

    def merge(base: nn.Module, networks: Sequence[nn.Module], rows: Sequence[tuple[Tensor, Tensor]]) -> nn.Module:
        best = max(networks, key=lambda net: mean_accuracy(net, rows))
        others = [weight_matching(best, net).model for net in networks if net is not best]  # type: ignore[arg-type]
        return average_connected_layers(best, others, entropy, rows, tolerance=tolerance)[0] if others else best

    return Merger(merge)


def entropy(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy."""
    return nn.functional.cross_entropy(model(inputs), labels)


def looked_at(known: Rows, pairs: Pairs, batch: tuple[Tensor, Tensor], layer: str | None = None) -> Rows:
    """Rows of pairs: what is known, height of the barrier, measured and predicted, with what simpler predictors go by."""
    layers = None if layer is None else [layer]
    measured = barrier(*pairs, entropy, [batch], layers=layers)
    predicted, coarse = (
        barrier_from_curvature(*pairs, entropy, [batch], at=np.linspace(0, 1, count).tolist(), layers=layers)
        for count in (5, 3)
    )
    moved = [name for name in pairs[0].parameters if layer is None or name.startswith(f"{layer}.")]
    with torch.no_grad():
        steps = [(pairs[1].parameters[name] - pairs[0].parameters[name]).flatten(1) for name in moved]
    columns = {
        "height": measured.height,
        "predicted": predicted.height,
        "by_three": coarse.height,
        "distance": torch.cat(steps, 1).square().sum(1),
        "end_curvature": predicted.curvatures[[0, -1]].mean(0),
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [have | dict(zip(columns, row, strict=True)) for have, row in zip(known, values, strict=True)]


def started(width: int, generator: torch.Generator) -> nn.Sequential:
    """A perceptron of tanh whose weights have variance 1 / inputs."""
    net = mlp((40, width, width, width, 10), activation=nn.Tanh, generator=generator)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3**0.5 if parameter.dim() > 1 else 0)
    return net


def forked(trial: Trial) -> Rows:
    """Barriers between forks, between starts, and of layers."""
    starts, used, steps = trial.pick(smoke=(2, 60, 8), laptop=(3, 1000, 3000), full=(8, 4000, 12_000))
    forks = [0, steps // 15, steps // 5, 2 * steps // 5, 2 * steps // 3]
    middle, width = steps // 2, trial.pick(smoke=8, laptop=32, full=64)
    data = mnist_1d(trial.seed)
    batch = torch.from_numpy(data.features[:used]), torch.from_numpy(data.labels[:used])
    nets = [started(width, trial.generator(f"start {start}")) for start in range(starts)]
    replicas = Replicas([net for net in nets for _ in range(2 * len(forks))])
    order = forked_batches(*batch, size=8, steps=steps, forks=forks, runs=starts, generator=trial.generator("batches"))
    seen: dict[int, list[Any]] = {}

    def keep(step: int) -> None:
        if step in (middle, steps):
            seen[step] = [replicas.model(index) for index in range(replicas.count)]

    def share(step: int) -> float:
        return min(1.0, 3 * (1 - step / steps))

    options: dict[str, Any] = {"rates": 0.05, "momentum": 0.9, "schedule": share, "shared": False, "after_step": keep}
    train_replicas(replicas, entropy, order, steps=steps, **options)
    accuracy = float((replicas(batch[0]).argmax(-1) == batch[1]).float().mean())
    rows: Rows = []
    at = [(start, fork) for start in range(starts) for fork in forks]
    for time, every in seen.items():
        apart = [index for index, (_, fork) in enumerate(at) if fork < time]
        first, second = (Replicas([every[2 * index + which] for index in apart]) for which in (0, 1))
        known = [{"time": time, "start": at[index][0], "fork": at[index][1], "accuracy": accuracy} for index in apart]
        rows += looked_at([{"kind": "forks"} | have for have in known], (first, second), batch)
        for layer in ("0", "2", "4", "6") if time == steps else ():
            rows += looked_at(
                [{"kind": "layers", "layer": layer} | have for have in known], (first, second), batch, layer
            )
    ends = [seen[steps][start * 2 * len(forks)] for start in range(starts)]
    others = [ends[start - 1] for start in range(starts)]
    matched = [weight_matching(one, other).model for one, other in zip(ends, others, strict=True)]
    for kind, nearby in (("starts", others), ("matched", matched)):
        at_end: Rows = [{"kind": kind, "time": steps, "start": start} for start in range(starts)]
        rows += looked_at(at_end, (Replicas(ends), Replicas(nearby)), batch)
    return rows


def correlation(table, predictor="predicted"):
    """Spearman's, with the measured heights; 0 where one of the two does not vary."""
    if min(table["height"].nunique(), table[predictor].nunique()) < 2:
        return 0.0
    return float(spearmanr(table[predictor], table["height"]).statistic)


@paper.claim(forked, figure=lines("fork", "height", "time", xlabel="steps shared", ylabel="barrier (nats)"))
def barrier_falls_with_shared_steps(table):
    """Barriers of first and last forks, of independent starts, and after weight matching, in nats."""
    ends = table[table["time"] == table["time"].max()]
    means = ends.groupby("kind")["height"].mean()
    forks = ends[ends["kind"] == "forks"].groupby("fork")["height"].mean()
    return {
        "fall": forks.iloc[0] - forks.iloc[-1],
        "independent_over_first_fork": means["starts"] - forks.iloc[0],
        "lowered_by_matching": means["starts"] - means["matched"],
        "barrier_at_start": forks.iloc[0],
        "train_accuracy": table["accuracy"].mean(),
    }


@paper.claim(forked, figure=against("predicted", "height", "kind", xlabel="predicted (nats)", ylabel="measured (nats)"))
def curvature_predicts_height(table):
    """Rank correlations of predictors with heights over forks, times and pairs of starts, before matching."""
    pairs = table[table["kind"].isin(["forks", "starts"])]
    ours = correlation(pairs)
    return {
        "rank_correlation": ours,
        "by_three_curvatures": correlation(pairs, "by_three"),
        "over_distance": ours - correlation(pairs, "distance"),
        "over_end_curvature": ours - correlation(pairs, "end_curvature"),
        "high_barrier": pairs["height"].quantile(0.9),
    }


@paper.claim(
    forked, figure=against("predicted", "height", "layer", xlabel="predicted (nats)", ylabel="measured (nats)")
)
def curvature_predicts_layers(table):
    """Rank correlations over layers."""
    layers = table[table["kind"] == "layers"]
    pairs = [rows for _, rows in layers.groupby(["start", "fork"]) if rows["height"].max() > 0.01]
    ours = correlation(layers)
    return {
        "rank_correlation": ours,
        "within_pairs": np.mean([correlation(rows) for rows in pairs]) if pairs else 0.0,
        "by_three_curvatures": correlation(layers, "by_three"),
        "over_distance": ours - correlation(layers, "distance"),
        "layers_with_barrier": (layers["height"] > 0.01).mean(),
    }
