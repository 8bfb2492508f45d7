"""Going Beyond Neural Network Feature Similarity: The Network Feature Complexity and Its Interpretation Using Category Theory.

Chen, Zhou, Yan 2024. How many features of a trained network are different, does it need the others, and has a layer as many in
every run?
"""

from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from replica.data import digits, mnist
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.representations import FeatureComplexity, iterative_feature_merging, keep_units
from replica.training import Minibatches, conv_net, fit

paper = Paper("feature_complexity")
BETA, BETAS = 0.1, (0.05, 0.1, 0.15, 0.2)
WHOLE, MERGED, NORM, RANDOM = "whole", "merged", "by norm", "at random"


def images(trial: Trial) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, and others."""
    if trial.scale == "full":
        seen, unseen = mnist(split="train"), mnist(split="test")
        values = [torch.from_numpy(part.values)[:, None].to(trial.device) for part in (seen, unseen)]
        labels = [torch.from_numpy(part.labels).to(trial.device) for part in (seen, unseen)]
        return values[0], labels[0], values[1], labels[1]
    data = digits()
    order = torch.from_numpy(trial.rng("images").permutation(len(data)))
    pixels, truth = torch.from_numpy(data.values)[order, None], torch.from_numpy(data.labels)[order]
    count, end = trial.pick(smoke=(64, 128), laptop=(1000, len(data)), full=(0, 0))
    pixels, truth = pixels.to(trial.device), truth.to(trial.device)
    return pixels[:count], truth[:count], pixels[count:end], truth[count:end]


def cross_entropy(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Mean classification loss of a batch."""
    return nn.functional.cross_entropy(model(inputs), labels)


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Share of inputs told right."""
    with torch.no_grad():
        return float((model(inputs).argmax(1) == labels).float().mean())


def largest(net: nn.Sequential, found: FeatureComplexity) -> dict[str, Tensor]:
    """As many units of each layer as merging leaves: those with the largest norm of weights in and out."""
    weights = [layer.weight for layer in net if isinstance(layer, nn.Conv2d | nn.Linear)]
    kept = {}
    for name, count, inward, outward in zip(found.layers, found.features, weights[:-1], weights[1:], strict=True):
        out = outward.detach().reshape(len(outward), len(inward), -1)
        squares = inward.detach().square().flatten(1).sum(1) + out.square().sum((0, 2))
        kept[name] = squares.argsort(descending=True)[:count]
    return kept


def merging(trial: Trial) -> list[dict[str, Any]]:
    """Two networks from independent starts: what merging leaves of each layer and of the accuracy, beside removing."""
    inputs, labels, tests, truth = images(trial)
    width, steps = trial.pick(smoke=(6, 5), laptop=(32, 1000), full=(128, 20_000))
    rows: list[dict[str, Any]] = []
    for run in ("first", "second"):
        net = conv_net(
            (1, *[width] * 5), 10, size=(inputs.shape[2], inputs.shape[3]), pool_after=(1, 3),
            generator=trial.generator(f"weights of the {run}"),
        )  # fmt: skip
        _, drawn = iterative_feature_merging(net, BETA)
        descent = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=0.01)
        cooling = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
        batches = Minibatches(inputs, labels, size=64, generator=trial.generator(f"batches of the {run}"))
        fit(net, cross_entropy, batches, optimiser=descent, steps=steps, schedule=cooling, clip_norm=1.0)
        rows.append({"run": run, "method": WHOLE, "accuracy": accuracy(net, tests, truth)})
        chance = trial.generator(f"removed from the {run}", "cpu")
        for beta in BETAS:
            merged, found = iterative_feature_merging(net, beta)
            at_random = []
            for _ in range(5):
                kept = {name: torch.randperm(units, generator=chance)[:left]
                        for name, units, left in zip(found.layers, found.units, found.features, strict=True)}  # fmt: skip
                at_random.append(accuracy(keep_units(net, kept), tests, truth))
            accuracies = {
                MERGED: accuracy(merged, tests, truth),
                NORM: accuracy(keep_units(net, largest(net, found)), tests, truth),
                RANDOM: sum(at_random) / len(at_random),
            }
            facts = {"run": run, "beta": beta, "removed": found.parameters_removed}
            rows += [{**facts, "method": name, "accuracy": share} for name, share in accuracies.items()]
            if beta == BETA:
                layers = zip(found.units, found.features, drawn.features, strict=True)
                for number, (units, left, start) in enumerate(layers, 1):
                    rows.append({"run": run, "layer": number, "features": left, "untrained_share": start / units})
    return rows


def means(table: pd.DataFrame, betas: tuple[float, ...] = (BETA,)) -> pd.Series:
    """Mean accuracy of each method over the two networks, and over thresholds."""
    asked = table[table["beta"].isin(betas) | (table["method"] == WHOLE)]
    return asked.groupby("method")["accuracy"].mean()


def at_beta(axes: Any, table: pd.DataFrame) -> None:
    """Accuracies at the threshold of the claim."""
    draw = dots("method", "accuracy", "run", xlabel="network", ylabel="test accuracy (%)", percent=True)
    draw(axes, table[(table["beta"] == BETA) | (table["method"] == WHOLE)])


def over_betas(axes: Any, table: pd.DataFrame) -> None:
    """Accuracies of what is left at each threshold."""
    draw = lines("beta", "accuracy", xlabel="β", ylabel="test accuracy (%)", percent=True)
    draw(axes, table[table["beta"].notna()])


@paper.claim(merging, figure=at_beta)
def parameters_for_free(table):
    """Accuracy lost by merging, and the share of the parameters that it removes."""
    found = means(table)
    return {
        "accuracy_lost": found[WHOLE] - found[MERGED],
        "parameters_removed": table.loc[table["beta"] == BETA, "removed"].mean(),
        "lost_at_random": found[WHOLE] - found[RANDOM],
        "accuracy": found[WHOLE],
    }


@paper.claim(merging, figure=over_betas)
def better_than_removing(table):
    """Accuracy after merging less that with as many units removed, over all thresholds."""
    found = means(table, BETAS)
    return {
        "gain_over_norm": found[MERGED] - found[NORM],
        "gain_over_random": found[MERGED] - found[RANDOM],
        "lost_at_random": found[WHOLE] - found[RANDOM],
        "accuracy": found[WHOLE],
    }


@paper.claim(merging, figure=lines("layer", "features", "run", xlabel="convolution", ylabel="features left"))
def complexity_of_layers(table):
    """Rank correlation of the two networks' features over layers; 0 where all layers of one have as many."""
    features = table.dropna(subset=["layer"]).pivot_table(index="layer", columns="run", values="features")
    correlation = features["first"].rank().corr(features["second"].rank()) if (features.nunique() > 1).all() else 0.0
    return {
        "rank_correlation": correlation,
        "untrained_share": table["untrained_share"].mean(),
        "accuracy": means(table)[WHOLE],
    }
