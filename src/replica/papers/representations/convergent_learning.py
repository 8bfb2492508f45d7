"""Convergent Learning: Do different neural networks learn the same representations? (Li et al. 2015).

Units of two independently trained networks aligned one to one, few to one, and span to span.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.data import digits, mnist
from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines
from replica.representations import (
    UnitMap,
    UnitStatistics,
    canonical_correlations,
    compare_layers,
    dense_map,
    few_to_one_map,
    match_units,
    sparse_map,
)
from replica.training import Minibatches, conv_net, fit

paper = Paper("convergent_learning")

LAYERS = ("act1", "act2", "act3", "act4", "act5")
FEW = 4
"""Most units in a prediction from few."""
PENALTY = 0.1
"""The paper's 1e-3 in conv1 on the scale of standardised units: its loss is summed over 96 units that share variance 1."""
STRONG, WEAK = 0.8, 0.5
"""A pair at the first shares nearly two thirds of its variance, one at the second a quarter."""


class Networks(NamedTuple):
    """Two networks, and images that neither has seen: one half to fit maps, the other to measure them."""

    first: nn.Sequential
    second: nn.Sequential
    fitting: tuple[Tensor, ...]
    measuring: tuple[Tensor, ...]

    def fitted(self, **options: Any) -> list[UnitStatistics]:
        """Statistics of all layers on the first half."""
        return compare_layers(self.first, self.second, self.fitting, LAYERS, **options)

    def measured(self, **options: Any) -> list[UnitStatistics]:
        """Statistics of all layers on the other half."""
        return compare_layers(self.first, self.second, self.measuring, LAYERS, **options)


def networks(trial: Trial, *, trained: bool = True) -> Networks:
    """Two networks from independent initial weights, trained on the same images in independent orders.

    As AlexNet has it: five convolutions, poolings after the first ones and the last, stochastic gradient descent with
    momentum, weight decay and a drop of the learning rate. Fewer steps need a stronger weight decay to make the filters
    leave their random start.
    """
    if trial.scale == "full":
        seen, unseen = mnist(split="train"), mnist(split="test")
        images, labels = torch.from_numpy(seen.values), torch.from_numpy(seen.labels)
        rest = torch.from_numpy(unseen.values)
    else:
        data = digits()
        order = torch.from_numpy(trial.rng("images").permutation(len(data)))
        values = torch.from_numpy(data.values)[order]
        images, labels = values[:1000], torch.from_numpy(data.labels)[order][:1000]
        rest = values[1000 : trial.pick(smoke=1100, laptop=len(data), full=0)]
    channels = trial.pick(smoke=(6, 8, 8, 8, 8), laptop=(16, 32, 48, 48, 32), full=(96, 256, 384, 384, 256))
    epochs = trial.pick(smoke=1, laptop=40, full=20)
    decay = trial.pick(smoke=0.01, laptop=0.01, full=5e-4)
    images, rest = images[:, None].to(trial.device), rest[:, None].to(trial.device)
    labels = labels.to(trial.device)
    if trial.scale == "smoke":
        images, labels = images[:128], labels[:128]
    nets = []
    for name in ("first", "second"):
        net = conv_net(
            (1, *channels),
            10,
            size=(images.shape[2], images.shape[3]),
            kernels=(5, 3, 3, 3, 3),
            pool_after=trial.pick(smoke=(2, 5), laptop=(2, 5), full=(1, 2, 5)),
            generator=trial.generator(f"weights of the {name}"),
        )
        if trained:
            batches = Minibatches(images, labels, size=64, generator=trial.generator(f"batches of the {name}"))
            steps = epochs * len(batches)
            descent = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=decay)
            drop = torch.optim.lr_scheduler.MultiStepLR(descent, [3 * steps // 4], 0.1)
            fit(net, cross_entropy, batches, optimiser=descent, steps=steps, schedule=drop, clip_norm=1.0)
        nets.append(net.eval())
    half = len(rest) // 2
    return Networks(nets[0], nets[1], rest[:half].split(500), rest[half:].split(500))


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Mean classification loss of a batch."""
    return nn.functional.cross_entropy(model(images), labels)


def matched(statistics: UnitStatistics, kind: Any = "assignment") -> Float[Tensor, " alive"]:
    """Correlation of each unit of the first network that is not dead with its partner in the second."""
    return match_units(statistics.between, kind).similarity[~statistics.dead[: statistics.first]]


def explained(unit_map: UnitMap, statistics: UnitStatistics) -> float:
    """Share of the variance of the second network's units, on average over those not dead, that a map explains."""
    alive = ~statistics.dead[statistics.first :]
    return 1.0 - float(unit_map.unexplained(statistics)[alive].mean())


def standardising_rotation(
    statistics: UnitStatistics, generator: torch.Generator
) -> Float[Tensor, "second directions"]:
    """Matrix that standardises the second network's units and turns them by a uniformly random rotation."""
    deviation = statistics.deviation[statistics.first :]
    alive = deviation > 0
    normal = torch.randn(int(alive.sum()), int(alive.sum()), dtype=torch.float64, generator=generator)
    orthogonal, triangular = torch.linalg.qr(normal)
    turn = (orthogonal * triangular.diagonal().sign()).to(deviation)
    matrix = torch.zeros(len(deviation), len(turn), dtype=deviation.dtype, device=deviation.device)
    matrix[alive] = turn / deviation[alive, None]
    return matrix


def layers_compared(trial: Trial) -> list[dict[str, Any]]:
    """Two networks, layer by layer: how their units match, what units and spans explain, and what chance would give.

    Maps and canonical directions are fitted on one half of the unseen images and measured on the other.
    """
    nets, untrained = networks(trial), networks(trial, trained=False)
    rotation = trial.generator("rotation", "cpu")
    chance = (nets.fitted(shuffle=trial.generator("fit")), nets.measured(shuffle=trial.generator("shuffle")))
    layers = zip(nets.fitted(), nets.measured(), *chance, untrained.measured(), strict=True)
    rows = []
    for number, (fitted, measured, fitted_chance, measured_chance, start) in enumerate(layers, start=1):
        one, nearest, absolute = matched(measured), matched(measured, "nearest"), measured.between.abs()
        alive = ~measured.dead[: measured.first]
        turned = measured.mapped(standardising_rotation(measured, rotation)).between.abs()
        rows.append(
            {
                "layer": number,
                "alive": len(one),
                "strong": int((one > STRONG).sum()),
                "weak": int((nearest < WEAK).sum()),
                "one to one": one.mean(),
                "partners shared": nearest.mean(),
                "untrained": matched(start).mean(),
                "shuffled samples": matched(measured_chance).mean(),
                "units": match_units(absolute).similarity[alive].mean(),
                "units rotated": match_units(turned).similarity[alive].mean(),
                "spans": canonical_correlations(fitted, keep=0.9, held_out=measured).mean(),
                "spans, shuffled": canonical_correlations(fitted_chance, keep=0.9, held_out=measured_chance).mean(),
                "best 1": explained(few_to_one_map(fitted, 1), measured),
                "at most 4": explained(few_to_one_map(fitted, FEW), measured),
                "Lasso": explained(sparse_map(fitted, PENALTY), measured),
                "all": explained(dense_map(fitted), measured),
            }
        )
    return rows


def by_layer(*cases: str, ylabel: str) -> Any:
    """A figure: these columns over the layers."""

    def draw(axes, table):
        long = table.melt(["seed", "layer"], list(cases), "case", "value")
        lines("layer", "value", "case", xlabel="convolutional layer", ylabel=ylabel)(axes, long)
        axes.set_xticks(sorted(table["layer"].unique()))

    return draw


@paper.claim(
    layers_compared,
    figure=by_layer(
        "one to one", "partners shared", "untrained", "shuffled samples", ylabel="mean correlation with partner"
    ),
)
def reliable_units(table):
    """Units whose one-to-one partner correlates above 0.8, and units with no partner above 0.5, over all layers."""
    weight = table["alive"] / table["alive"].sum()
    return {
        "strong_share": table["strong"].sum() / table["alive"].sum(),
        "weak_share": table["weak"].sum() / table["alive"].sum(),
        "gain_over_chance": (weight * (table["one to one"] - table["shuffled samples"])).sum(),
        "gain_over_untrained": (table["one to one"] - table["untrained"]).mean(),
    }


@paper.claim(
    layers_compared, figure=by_layer("one to one", "untrained", ylabel="mean correlation of units matched one to one")
)
def agreement_by_depth(table):
    """Mean correlation of units matched one to one: the first layer's less the best other's; the fifth's less the fourth's."""
    one = table["one to one"].to_numpy()
    return {"first_over_others": one[0] - one[1:].max(), "fifth_over_fourth": one[4] - one[3]}


@paper.claim(
    layers_compared,
    figure=by_layer("best 1", "at most 4", "Lasso", "all", ylabel="explained share of variance, new images"),
)
def few_to_one(table):
    """In conv1 and conv2 all units less at most four, and less the Lasso's own map; four less one; deeper layers' error."""
    early, deep = table[:2].mean(), table[2:].mean()
    return {
        "cost_of_few": early["all"] - early["at most 4"],
        "cost_of_penalty": early["all"] - early["Lasso"],
        "gain_of_few": (table["at most 4"] - table["best 1"]).mean(),
        "deeper_error": early["all"] - deep["all"],
        "unexplained_conv1": 1 - table["all"].iloc[0],
    }


@paper.claim(
    layers_compared, figure=by_layer("spans", "units", "spans, shuffled", ylabel="mean |correlation|, new images")
)
def common_subspaces(table):
    """Mean canonical correlation of the directions that hold 90 % of a layer's variance, less that of matched units."""
    return {
        "span_over_units": (table["spans"] - table["units"]).mean(),
        "explained_over_partner": (table["all"] - table["best 1"]).mean(),
        "span_over_chance": (table["spans"] - table["spans, shuffled"]).mean(),
    }


@paper.claim(layers_compared, figure=by_layer("units", "units rotated", ylabel="mean |correlation| with partner"))
def mixed_code(table):
    """What matched units lead random directions of their span by, and what all units explain beyond the best one."""
    distributed = (table["all"] - table["best 1"]).mean()
    return {
        "local": (table["units"] - table["units rotated"]).mean(),
        "distributed": distributed,
        "slightly": (table["at most 4"] - table["best 1"]).mean() / distributed if distributed else 0.0,
    }
