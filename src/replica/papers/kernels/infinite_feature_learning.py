"""Yang, Hu 2021: Feature Learning in Infinite-Width Neural Networks.

How weights and rate scale with width decides whether a wide network learns features or is a kernel method. The limit that does,
under maximal update, is exact for a linear network with one hidden layer, and learns to learn where kernel limits do not.
"""

import itertools
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replica.data import digits, omniglot
from replica.kernels import (
    AbcParametrization,
    InfiniteLinearNetwork,
    KernelMaml,
    NetworkMaml,
    one_shot_tasks,
    tangent_descent,
    wide_kernel,
)
from replica.lab.claims import Choice, Paper, Trial, exponent
from replica.lab.studies import dots, lines
from replica.training import Replicas, train_replicas

paper = Paper("infinite_feature_learning")
Rows = list[dict[str, Any]]
HALF = 0.5


@paper.entry("scaling", name="maximal-update", space={"base_width": Choice((16, 32, 64))})
class MaximalUpdate:
    """Perceptrons of ReLUs without biases in the maximal-update parametrisation; the readout starts at 0.

    Args:
        trial: Not used: the problem gives the generator.
        base_width: The width from which powers count.
    """

    def __init__(self, trial: Trial, base_width: int = 32) -> None:
        self.base_width = base_width

    def build(
        self, inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator, optimiser: str
    ) -> tuple[nn.Module, list[dict[str, Any]]]:
        """A network of ``depth`` hidden layers."""
        net = AbcParametrization.mup(depth, "adam" if optimiser == "adam" else "sgd").network(
            inputs, outputs, width, gain=2**0.5, base_width=self.base_width, zero_readout=True, generator=generator
        )
        return net, [{"params": group["params"], "lr_scale": group["lr"]} for group in net.parameter_groups(1.0)]


# Two hidden layers, exponents of the rate 0 but for the standard form: r is 0, 0, 0, 1/4, 1/2, 1/2, 1/2 and 1.
PARAMETRISATIONS = {
    "maximal update": AbcParametrization.mup(2),
    "first layer alone": AbcParametrization((-HALF, 0.25, HALF), (HALF, 0.25, HALF)),
    "second layer alone": AbcParametrization((0.0, 0.0, HALF), (0.0, HALF, HALF)),
    "between": AbcParametrization((-0.25, 0.25, HALF), (0.25, 0.25, 0.25)),
    "tangent": AbcParametrization.ntk(2),
    "standard, rate 1 / n": AbcParametrization.standard(2, rate_exponent=1.0),
    "between, small readout": AbcParametrization((-0.25, 0.25, HALF), (0.25, 0.25, HALF)),
    "tangent, small readout": AbcParametrization((0.0, HALF, HALF), (0.0, 0.0, HALF)),
}
BASE, RATE = 16, 0.1


def squared(net: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    return (net(inputs) - targets).square().mean()


def changes_by_width(trial: Trial) -> Rows:
    """How far a few steps move the last hidden layer's features, and how far outputs are from kernel descent, by width."""
    widths = trial.pick(smoke=(16, 32), laptop=(128, 256, 512, 1024, 2048), full=(128, 512, 2048, 8192))
    steps = trial.pick(smoke=2, laptop=6, full=10)
    inputs = torch.randn(32, 4, generator=trial.generator("points"))
    targets = inputs[:, :1] * inputs[:, 1:2]
    rows = []
    for width in widths:
        for name, kind in PARAMETRISATIONS.items():
            generator = trial.generator(f"weights {width}")
            nets = max(1, widths[-1] // (2 * width))
            squares = [changes(kind, width, (inputs, targets), steps, generator) for _ in range(nets)]
            change, departure = np.sqrt(np.mean(squares, 0))
            rows.append({"parametrisation": name, "r": kind.classify().r, "width": width,
                         "change": change, "departure": departure})  # fmt: skip
    return rows


def changes(kind: AbcParametrization, width: int, data: tuple[Tensor, Tensor], steps: int, generator: Any) -> tuple:
    """Mean square change of a network's features as a share of theirs, and of its outputs from kernel descent's."""
    inputs, targets = data
    net = kind.network(inputs.shape[1], 1, width, activation=torch.tanh, base_width=BASE, generator=generator)
    before = net.features(inputs).detach()
    rates = {f"weights.{layer}": RATE * rate for layer, rate in enumerate(net.rates)}
    kernel = tangent_descent(net, lambda f: (f - targets).square().mean(), inputs, rates=rates, steps=steps)
    optimiser = torch.optim.SGD(net.parameter_groups(RATE))
    for _ in range(steps):
        optimiser.zero_grad()
        squared(net, inputs, targets).backward()
        optimiser.step()
    with torch.no_grad():
        change = (net.features(inputs) - before).square().sum() / before.square().sum()
        return float(change), float((net(inputs) - kernel).square().sum() / kernel.square().sum())


@paper.claim(
    changes_by_width,
    figure=lines("width", "change", "parametrisation", log="xy", ylabel="change of features, as a share"),
)
def dichotomy(table):
    """Slopes of changes and of distances from kernel descent in the width, logarithms, beside each parametrisation's r."""
    groups = [rows for _, rows in table.groupby("parametrisation")]
    slopes = {
        name: [(rows["r"].iloc[0], -exponent(rows["width"], rows[name])) for rows in groups]
        for name in ("change", "departure")
    }
    return {
        "worst_deviation": max(abs(slope + r) for r, slope in slopes["change"]),
        "kernel_departure": max(slope for r, slope in slopes["departure"] if r > 0),
        "feature_departure": min(slope for r, slope in slopes["departure"] if r == 0),
        "least_change": table.loc[table["width"] == table["width"].min(), "change"].min(),
    }


def distances_by_width(trial: Trial) -> Rows:
    """Relative distance of trained networks' outputs from the feature-learning limit and from the kernel limit, by width."""
    widths = trial.pick(smoke=(16, 64), laptop=(64, 256, 1024, 4096), full=(64, 256, 1024, 4096, 16_384))
    nets, steps = trial.pick(smoke=2, laptop=6, full=16), trial.pick(smoke=3, laptop=60, full=60)
    data, scale = digits(), 0.25
    chosen = trial.rng("rows").permutation(len(data.labels))[:32]
    inputs = torch.from_numpy(data.values[chosen].reshape(len(chosen), -1))
    inputs = inputs - inputs.mean(0)
    targets = nn.functional.one_hot(torch.from_numpy(data.labels[chosen]), 10) - 0.1
    start = InfiniteLinearNetwork(inputs.shape[1], 10, feature_scale=scale, readout_scale=scale)
    generator = trial.generator("weights")
    nets_of = {width: Replicas([start.sample(width, generator) for _ in range(nets)]) for width in widths}
    limit = Replicas([start])
    losses = train_replicas(limit, squared, [(inputs, targets)], steps=steps, rates=1.0)
    reached = limit(inputs)[0].detach()
    fixed = tangent_descent(start, lambda f: (f - targets).square().mean(), inputs, rates=1.0, steps=steps)
    removed = float(1 - losses[-1, 0] / losses[0, 0])
    rows = []
    for width, replicas in nets_of.items():
        train_replicas(replicas, squared, [(inputs, targets)], steps=steps, rates=1.0)
        outputs = replicas(inputs).detach()
        for name, end in (("feature learning", reached), ("kernel", fixed)):
            away = (outputs - end).square().sum((1, 2)).mean() / end.square().sum()
            rows.append({"limit": name, "width": width, "distance": float(away.sqrt()), "loss_removed": removed})
    return rows


@paper.claim(
    distances_by_width,
    figure=lines("width", "distance", "limit", log="xy", ylabel="distance of outputs from the limit"),
)
def finite_width(table):
    """Exponents of the distances from both limits in the width."""
    distances = table.pivot(index="width", columns="limit", values="distance")
    return {
        "exponent": exponent(distances.index, distances["feature learning"]),
        "exponent_to_kernel_limit": exponent(distances.index, distances["kernel"]),
        "distance_at_widest": distances["feature learning"].iloc[-1],
        "loss_removed": table["loss_removed"].iloc[-1],
    }


WAYS, COPIES, ADAPTED = 5, 20, 20  # characters a task, drawings of each, steps to learn a task to be tested
RATES = {"network": (1.0, 2.0), "kernel": (0.25, 1.0)}
SCALES = {"network": (1 / 32, 1 / 4), "kernel": (0.25, 1.0)}  # of the readout's start; of the kernel


def drawings(trial: Trial) -> Tensor:
    """Drawings less their mean, twenty a character in its order; at smoke scale those are small digits of one kind."""
    if trial.scale == "smoke":
        data = digits()
        values = data.values[np.argsort(data.labels, kind="stable")][: len(data.labels) // COPIES * COPIES]
    else:
        values = omniglot(side=trial.pick(smoke=8, laptop=12, full=28)).values
    images = torch.from_numpy(values.reshape(len(values), -1))
    return images - images.mean(0)


def learners(trial: Trial, images: Tensor) -> dict[str, NetworkMaml | KernelMaml]:
    """Finite networks and the limit, each at two rates and two scales of the readout's start; kernels at two of each."""
    networks, kernels = (list(itertools.product(SCALES[kind], RATES[kind])) for kind in ("network", "kernel"))
    inputs, generator = images.shape[1], trial.generator("weights")
    limits = [InfiniteLinearNetwork(inputs, WAYS, feature_scale=1.0, readout_scale=scale) for scale, _ in networks]
    nets: dict[str, list[Any]] = {
        str(width): [limit.sample(width, generator) for limit in limits]
        for width in trial.pick(smoke=(2, 8, 32), laptop=(2, 8, 32), full=(2, 8, 32, 128, 512))
    }
    nets["limit"] = limits
    scales, rates = torch.tensor(kernels).T
    grams = {"kernel of ReLUs": 2 * wide_kernel(images * inputs**0.5), "linear kernel": images @ images.T}
    return {
        name: NetworkMaml(Replicas(own), torch.tensor([rate for _, rate in networks]), pool=images)
        for name, own in nets.items()
    } | {name: KernelMaml(gram, WAYS, rates, scales=scales) for name, gram in grams.items()}


def few_shot_accuracies(trial: Trial) -> Rows:
    """Test accuracy of each learner at the setting that its validation tasks choose, and of the limit as it starts."""
    steps, tested = trial.pick(smoke=(2, 4), laptop=(800, 400), full=(10_000, 1000))
    images = drawings(trial)
    rng, characters = trial.rng("tasks"), len(images) // COPIES
    parts = np.split(rng.permutation(characters), (142 * characters // 242, 182 * characters // 242))
    training, validation, test = (
        partial(one_shot_tasks, classes=part, ways=WAYS, copies=COPIES, rng=rng) for part in parts
    )
    held_out, asked = validation(tested // 2), test(tested)
    batches = [training(16) for _ in range(steps)]
    rows = []
    for name, learner in learners(trial, images).items():
        if name == "limit":
            start = learner.only(0).accuracy(*asked, steps=ADAPTED)
            rows.append({"learner": "limit at its start", "accuracy": float(start)})
        for batch in batches:
            learner.learn(*batch)
        chosen = int(learner.accuracy(*held_out, steps=ADAPTED).argmax())
        reached = learner.only(chosen).accuracy(*asked, steps=ADAPTED)
        rows.append({"learner": name, "accuracy": float(reached), "chosen": chosen})
    return rows


@paper.claim(
    few_shot_accuracies, figure=dots("learner", "accuracy", xlabel="width", ylabel="test accuracy (%)", percent=True)
)
def few_shot(table):
    accuracy = table.set_index("learner")["accuracy"]
    kernels = max(accuracy["kernel of ReLUs"], accuracy["linear kernel"])
    return {
        "over_kernels": accuracy["limit"] - kernels,
        **{f"over_width_{width}": accuracy["limit"] - accuracy[width] for width in ("2", "8", "32")},
        "gain_of_meta_training": accuracy["limit"] - accuracy["limit at its start"],
        "accuracy_of_kernels": kernels,
        "accuracy_of_limit": accuracy["limit"],
    }
