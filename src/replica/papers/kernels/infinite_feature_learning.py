"""Yang, Hu 2021: Feature Learning in Infinite-Width Neural Networks.

How weights and rate scale with width decides whether a wide network learns features or is a kernel method. The limit that does,
under maximal update, is exact for a linear network with one hidden layer, and learns to learn where kernel limits do not.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp

from replica.data import digits, omniglot
from replica.kernels import (
    AbcNetwork,
    AbcParametrization,
    InfiniteLinearNetwork,
    KernelMaml,
    NetworkMaml,
    neural_tangent_kernel,
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


def kernel_descent(net: AbcNetwork, inputs: Tensor, targets: Tensor, steps: int) -> Tensor:
    """Outputs after descent of the network's first-order expansion at its start: kernel descent with its tangent kernel."""
    start = {name: tensor.detach() for name, tensor in net.named_parameters()}
    rates = dict(zip(start, net.rates, strict=True))

    def output(weights: dict[str, Tensor]) -> Tensor:
        return functional_call(net, weights, (inputs,))

    first, pull = vjp(output, start)  # type: ignore[misc]
    moved = {name: torch.zeros_like(tensor) for name, tensor in start.items()}
    for _ in range(steps):
        slope = 2 * (first + jvp(output, (start,), (moved,))[1] - targets) / targets.numel()
        (back,) = pull(slope)
        moved = {name: moved[name] - RATE * rates[name] * back[name] for name in moved}
    return first + jvp(output, (start,), (moved,))[1]


def changes_by_width(trial: Trial) -> Rows:
    """How far ten steps move the last hidden layer's features, and how far outputs are from kernel descent, by width."""
    widths = trial.pick(smoke=(16, 32), laptop=(128, 256, 512, 1024, 2048), full=(128, 512, 2048, 8192))
    steps = trial.pick(smoke=2, laptop=6, full=10)
    inputs = torch.randn(32, 4, generator=trial.generator("points"))
    targets = inputs[:, :1] * inputs[:, 1:2]
    rows = []
    for width in widths:
        for name, kind in PARAMETRISATIONS.items():
            generator = trial.generator(f"weights {width}")
            squares = [
                changes(kind, width, inputs, targets, steps, generator)
                for _ in range(max(1, widths[-1] // (2 * width)))
            ]
            change, departure = np.sqrt(np.mean(squares, 0))
            rows.append({"parametrisation": name, "r": kind.classify().r, "width": width,
                         "change": change, "departure": departure})  # fmt: skip
    return rows


def changes(
    kind: AbcParametrization, width: int, inputs: Tensor, targets: Tensor, steps: int, generator: torch.Generator
) -> tuple[float, float]:
    """Mean square change of a network's features as a share of theirs, and of its outputs from kernel descent's."""
    net = kind.network(inputs.shape[1], 1, width, activation=torch.tanh, base_width=BASE, generator=generator)
    with torch.no_grad():
        before, kernel = net.features(inputs), kernel_descent(net, inputs, targets, steps)
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
    figure=lines(
        "width", "change", "parametrisation", log="xy", xlabel="width", ylabel="change of features, as a share"
    ),
)
def dichotomy(table):
    groups = [(rows["r"].iloc[0], rows) for _, rows in table.groupby("parametrisation")]
    slopes = {
        column: [(r, -exponent(rows["width"], rows[column])) for r, rows in groups]
        for column in ("change", "departure")
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
    # With features that stand still both layers give the kernel their part.
    kernel, fixed = 2 * scale**2 * inputs @ inputs.T, torch.zeros_like(reached)
    for _ in range(steps):
        fixed = fixed - kernel @ (2 * (fixed - targets) / targets.numel())
    rows = []
    for width, replicas in nets_of.items():
        train_replicas(replicas, squared, [(inputs, targets)], steps=steps, rates=1.0)
        outputs = replicas(inputs).detach()
        row: dict[str, Any] = {"width": width, "loss_removed": float(1 - losses[-1, 0] / losses[0, 0])}
        for name, end in (("distance", reached), ("to_kernel", fixed)):
            row[name] = float(((outputs - end).square().sum((1, 2)).mean() / end.square().sum()).sqrt())
        rows.append(row)
    return rows


def draw_distances(axes, table):
    """Both distances against width."""
    long = table.melt(["seed", "width"], ["distance", "to_kernel"], "limit", "from it")
    long["limit"] = long["limit"].map({"distance": "feature learning", "to_kernel": "kernel"})
    lines("width", "from it", "limit", log="xy", xlabel="width", ylabel="distance of outputs from the limit")(
        axes, long
    )


@paper.claim(distances_by_width, figure=draw_distances)
def finite_width(table):
    return {
        "exponent": exponent(table["width"], table["distance"]),
        "exponent_to_kernel_limit": exponent(table["width"], table["to_kernel"]),
        "distance_at_widest": table["distance"].iloc[-1],
        "loss_removed": table["loss_removed"].iloc[-1],
    }


WAYS, COPIES = 5, 20
RATES, SCALES = (1.0, 2.0), (1 / 32, 1 / 4)


def drawings(trial: Trial) -> Tensor:
    """Drawings less their mean, twenty a character in its order; at smoke scale those are small digits of one kind."""
    if trial.scale == "smoke":
        data = digits()
        values = data.values[np.argsort(data.labels, kind="stable")][: len(data.labels) // COPIES * COPIES]
    else:
        values = omniglot(side=trial.pick(smoke=8, laptop=12, full=28)).values
    images = torch.from_numpy(values.reshape(len(values), -1))
    return images - images.mean(0)


def episodes(count: int, characters: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Tasks of five characters: numbers of a drawing each to learn from, and of another to be told, both (tasks, 5)."""
    chosen = np.stack([rng.choice(characters, WAYS, replace=False) for _ in range(count)])
    copies = np.stack([[rng.choice(COPIES, 2, replace=False) for _ in range(WAYS)] for _ in range(count)])
    pairs = torch.from_numpy(chosen[:, :, None] * COPIES + copies)
    return pairs[..., 0], pairs[..., 1]


def learners(trial: Trial, images: Tensor) -> dict[str, NetworkMaml | KernelMaml]:
    """The limit and finite networks, each from two scales of the readout and at three rates; two kernels at three rates."""
    grid = [(rate, scale) for scale in SCALES for rate in RATES]
    rates, generator = torch.tensor([rate for rate, _ in grid]), trial.generator("weights")
    found: dict[str, NetworkMaml | KernelMaml] = {}
    for width in trial.pick(smoke=(2, 8, 32), laptop=(2, 8, 32), full=(2, 8, 32, 128, 512)):
        limits = [
            InfiniteLinearNetwork(images.shape[1], WAYS, feature_scale=1.0, readout_scale=scale) for _, scale in grid
        ]
        found[f"{width}"] = NetworkMaml(Replicas([limit.sample(width, generator) for limit in limits]), rates)
    found["limit"] = NetworkMaml(Replicas(limits), rates)
    lengths = images.norm(dim=1)
    products = images @ images.T
    angles = (products / (lengths[:, None] * lengths)).clamp(-1, 1)
    tangent = lengths[:, None] * lengths * neural_tangent_kernel(angles, torch.relu, 1, symmetric=True)
    for name, gram in (("kernel of ReLUs", tangent), ("linear kernel", products)):
        found[name] = KernelMaml(gram, WAYS, torch.tensor(RATES))
    return found


def accuracy(learner: NetworkMaml | KernelMaml, images: Tensor, tasks: tuple[Tensor, Tensor]) -> Tensor:
    """Of each setting, after twenty steps on each task."""
    inputs = examples(learner, images, tasks)
    parts = zip(*(part.split(25) for part in inputs[:3]), strict=True)
    right = [learner.scores(s, y, q, steps=20).argmax(-1) == y for s, y, q in parts]
    return torch.cat(right, 1).double().mean((1, 2))


def examples(learner: NetworkMaml | KernelMaml, images: Tensor, tasks: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Support, labels, query, labels: drawings, or their numbers for a kernel, which knows all of them."""
    support, query = tasks if isinstance(learner, KernelMaml) else (images[part] for part in tasks)
    labels = torch.arange(WAYS).expand_as(tasks[0])
    return support, labels, query, labels


def few_shot_accuracies(trial: Trial) -> Rows:
    """Test accuracy of each learner at the setting that its validation tasks choose, and of the limit as it starts."""
    steps, tested = trial.pick(smoke=(2, 4), laptop=(800, 400), full=(10_000, 1000))
    images = drawings(trial)
    rng, characters = trial.rng("tasks"), len(images) // COPIES
    training, validation, test = np.split(
        rng.permutation(characters), (142 * characters // 242, 182 * characters // 242)
    )
    held_out, asked = episodes(tested // 2, validation, rng), episodes(tested, test, rng)
    batches = [episodes(16, training, rng) for _ in range(steps)]
    rows = []
    for name, learner in learners(trial, images).items():
        if name == "limit":
            rows.append({"learner": "limit at its start", "accuracy": float(accuracy(learner.only(0), images, asked))})
        for batch in batches:
            learner.learn(*examples(learner, images, batch))
        chosen = int(accuracy(learner, images, held_out).argmax())
        tested_accuracy = accuracy(learner.only(chosen), images, asked)
        rows.append({"learner": name, "accuracy": float(tested_accuracy), "chosen": chosen})
    return rows


@paper.claim(
    few_shot_accuracies, figure=dots("learner", "accuracy", xlabel="width", ylabel="test accuracy (%)", percent=True)
)
def few_shot(table):
    accuracy = table.set_index("learner")["accuracy"]
    kernels = max(accuracy["kernel of ReLUs"], accuracy["linear kernel"])
    over = {
        f"over_width_{width}": accuracy["limit"] - accuracy[width] for width in ("2", "8", "32") if width in accuracy
    }
    return {
        "over_kernels": accuracy["limit"] - kernels,
        **over,
        "gain_of_meta_training": accuracy["limit"] - accuracy["limit at its start"],
        "accuracy_of_kernels": kernels,
        "accuracy_of_limit": accuracy["limit"],
    }
