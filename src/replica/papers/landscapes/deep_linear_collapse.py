"""Dang, Tran, Osher, Tran-The, Ho, Nguyen 2023: Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data.

Where do deep linear networks end whose features are free: on a simplex for balanced classes, on orthogonal vectors of lengths
by the classes' counts else?
"""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy, one_hot

from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.landscapes import (
    Descent,
    class_means,
    collapse_metrics,
    deep_linear_minimizer,
    duality_distance,
    frame_distance,
    lbfgs_descent,
    scale_logit_shape,
    simplex_frame,
    within_class_variability,
)
from replica.training import mlp

paper = Paper("deep_linear_collapse")
Rows = list[dict[str, Any]]
DECAY = 5e-4
SQUARE = torch.tensor([[1.0, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]], dtype=torch.float64)
"""Logits of four classes on a circle: of rank 2."""


def through(features: Tensor, weights: list[Tensor]) -> Tensor:
    """What layers make of features."""
    for weight in weights:
        features = features @ weight.T
    return features


def descend(
    trial: Trial, name: str, counts: tuple[int, ...], depth: int, loss: str, decay: float = DECAY
) -> tuple[list[Tensor], Tensor, Descent]:
    """Start, labels and end of a descent: features, weights W_1 … W_M and, for loss "squared, bias", the bias."""
    width, steps = trial.pick(smoke=(8, 40), laptop=(64, 20_000), full=(64, 100_000))
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    targets = one_hot(labels).double()
    shapes = [(len(labels), width), *[(width, width)] * (depth - 1), (len(counts), width)]
    generator = trial.generator(name)
    start = [0.1 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    start += [torch.zeros(len(counts))] if loss == "squared, bias" else []

    def objective(features: Tensor, *others: Tensor) -> Tensor:
        outputs = through(features, list(others[:depth])) + sum(others[depth:])
        entropy = loss == "cross-entropy"
        error = cross_entropy(outputs, labels) if entropy else (outputs - targets).square().sum() / (2 * len(labels))
        return error + decay / 2 * sum(tensor.square().sum() for tensor in (features, *others[:depth]))

    return start, labels, lbfgs_descent(objective, start, steps=steps)


def collapse_of_layers(tensors: list[Tensor], labels: Tensor, depth: int) -> dict[str, float]:
    """The worst NC1, NC2 and NC3 over layers, each with the product of the layers after it, held to a simplex."""
    worst = dict.fromkeys(("variability", "off_frame", "duality"), 0.0)
    features, weights = tensors[0], tensors[1 : depth + 1]
    for layer in range(depth):
        product = through(torch.eye(features.shape[1], dtype=torch.float64), weights[layer:]).T
        found = collapse_metrics(through(features, weights[:layer]), labels, product, frame=simplex_frame(len(product)))
        here = (found.variability, max(found.means_off_frame, found.weights_off_frame), found.duality)
        worst = {name: max(least, float(value)) for (name, least), value in zip(worst.items(), here, strict=True)}
    return worst


def balanced(trial: Trial, loss: str, starts: int) -> Rows:
    """Descents on four classes of 100, with the loss of collapsed solutions."""
    count, depths = trial.pick(smoke=(4, (1, 2)), laptop=(100, (1, 3, 6)), full=(100, (1, 3, 6, 9)))
    rows = []
    for depth in depths:
        decays = {"weight_decay": DECAY, "feature_decay": DECAY}
        square = scale_logit_shape(SQUARE, count, depth, **decays).loss
        collapsed = scale_logit_shape(simplex_frame(4), count, depth, **decays).loss
        if loss != "cross-entropy":
            collapsed = deep_linear_minimizer([count] * 4, depth, bias=True, **decays).loss
        for index in range(starts):
            start, labels, end = descend(trial, f"{depth} {index}", (count,) * 4, depth, loss)
            known = {"depth": depth, "collapsed_loss": collapsed, "square_loss": square}
            at_start = collapse_of_layers(start, labels, depth)["off_frame"]
            found = collapse_of_layers(end.tensors, labels, depth)
            reached = {"loss": end.loss, "gradient": end.gradient_norm, "departure": max(found.values())}
            rows.append(known | {"off_frame_at_start": at_start} | found | reached)
    return rows


def squared_error(trial: Trial) -> Rows:
    """Squared error with a bias of the last layer."""
    return balanced(trial, "squared, bias", 1)


def entropy(trial: Trial) -> Rows:
    """Cross-entropy, three starts a depth."""
    return balanced(trial, "cross-entropy", trial.pick(smoke=1, laptop=3, full=10))


@paper.claim(squared_error, figure=lines("depth", "departure", None, xlabel="layers", ylabel="worst of NC1, NC2, NC3"))
def squared_error_collapse(table):
    """The largest departure from collapse, and how far descents end from the least loss."""
    return {
        "departure": table["departure"].max(),
        "log_loss_over_least": np.log(table["loss"] / table["collapsed_loss"]).abs().max(),
        "frame_distance_at_start": table["off_frame_at_start"].min(),
        "gradient_left": table["gradient"].max(),
    }


def draw_losses(axes, table):
    """What descents, and logits of rank 2, cost over the best collapsed solution."""
    costs = table[["seed", "depth", "collapsed_loss"]].assign(descents=table["loss"], rank_two=table["square_loss"])
    costs = costs.melt(["seed", "depth", "collapsed_loss"], var_name="solution", value_name="loss")
    costs["over"] = costs["loss"] / costs["collapsed_loss"]
    lines("depth", "over", "solution", xlabel="layers", ylabel="loss over that of the best simplex")(axes, costs)


@paper.claim(entropy, figure=draw_losses)
def cross_entropy_collapse(table):
    """How much less than the best simplex any other solution costs."""
    depths = table.groupby("depth")
    over_descents = np.log(depths["collapsed_loss"].first() / depths["loss"].min())
    over_all = np.maximum(over_descents, np.log(depths["collapsed_loss"].first() / depths["square_loss"].first()))
    return {
        "advantage_of_others": over_all.max(),
        "advantage_of_others_at_one_layer": over_all.iloc[0],
        "advantage_of_descents": over_descents.max(),
        "share_of_descents_that_collapse": (table["departure"] < 0.05).mean(),
        "departure_of_best": table.loc[depths["loss"].idxmin(), "departure"].max(),
    }


def imbalanced(trial: Trial) -> Rows:
    """Squared error without bias, classes of 200, 100, 50 and 50; then a decay that should take the smallest to 0."""
    counts, depths = trial.pick(
        smoke=((8, 4, 2, 2), (1, 2)), laptop=((200, 100, 50, 50), (1, 3, 6)), full=((200, 100, 50, 50), (1, 3, 6, 9))
    )
    # At one layer class k is 0 from (N λ)² = n_k on: half way, in logarithms, between the two smallest counts.
    strong = (counts[1] * counts[2]) ** 0.25 / sum(counts)
    rows = []
    for depth, decay in [*((depth, DECAY) for depth in depths), (1, strong)]:
        _, labels, end = descend(trial, f"{depth} {decay}", counts, depth, "squared", decay)
        least = deep_linear_minimizer(counts, depth, weight_decay=decay, feature_decay=decay)
        features, product = end.tensors[0], through(torch.eye(end.tensors[0].shape[1]).double(), end.tensors[1:]).T
        means = class_means(features, labels)
        lengths = means.norm(dim=1)
        distances = (
            frame_distance(product, least.weights_gram),
            frame_distance(means, least.means_gram),
            duality_distance(product @ means.T, least.outputs),
        )
        rivals = [frame_distance(product, frame) for frame in (torch.eye(4), simplex_frame(4))]
        rows.append(
            {"depth": depth, "decay": "strong" if decay == strong else "weak"}
            | {"distance": float(max(distances)), "rivals": float(min(rivals))}
            | {"variability": float(within_class_variability(features, labels))}
            | {"shortest": float(lengths.min() / lengths.max())}
        )
    return rows


@paper.claim(
    imbalanced, figure=lines("depth", "distance", "decay", xlabel="layers", ylabel="distance from predicted frame")
)
def imbalanced_frame(table):
    """Distance from the predicted frame and from rivals, and the length that minorities keep under strong decay."""
    weak, strong = (table[table["decay"] == name] for name in ("weak", "strong"))
    return {
        "distance": weak["distance"].max(),
        "distance_of_rivals": weak["rivals"].min(),
        "variability": weak["variability"].max(),
        "minority_length": strong["shortest"].max(),
    }


def digits(trial: Trial) -> Rows:
    """A perceptron and a linear layer on four uneven classes of digits: distances from frames, before and after."""
    largest, width, steps = trial.pick(smoke=(16, 8, 10), laptop=(160, 128, 3000), full=(160, 512, 20_000))
    images, labels = load_digits(return_X_y=True)
    rng = trial.rng("digits")
    counts = [largest, largest // 2, largest // 4, largest // 8]
    drawn = [
        rng.permutation(np.flatnonzero(labels == digit))[:count]
        for digit, count in zip(rng.permutation(10), counts, strict=False)
    ]
    X, Y = torch.from_numpy(images[np.concatenate(drawn)] / 16), torch.arange(4).repeat_interleave(torch.tensor(counts))
    body = mlp((64, width, width, width), generator=trial.generator("body")).double()
    names, start = zip(*body.named_parameters(), strict=True)
    head = torch.randn(4, width, generator=trial.generator("head")).double() / width**0.5

    def objective(weights: Tensor, *others: Tensor) -> Tensor:
        features = functional_call(body, dict(zip(names, others, strict=True)), X)
        error = (features @ weights.T - one_hot(Y)).square().sum() / (2 * len(Y))
        return error + DECAY / 2 * (weights.square().sum() + features.square().sum())

    least = deep_linear_minimizer(counts, 1, weight_decay=DECAY, feature_decay=DECAY)
    rows = []
    for when, tensors in (
        ("start", [head, *start]),
        ("end", lbfgs_descent(objective, [head, *start], steps=steps).tensors),
    ):
        with torch.no_grad():
            features = functional_call(body, dict(zip(names, tensors[1:], strict=True)), X)
        means = class_means(features, Y)
        predicted = max(frame_distance(tensors[0], least.weights_gram), frame_distance(means, least.means_gram))
        rivals = [
            max(frame_distance(vectors, frame) for vectors in (tensors[0], means))
            for frame in (torch.eye(4), simplex_frame(4))
        ]
        accuracy = ((features @ tensors[0].T).argmax(1) == Y).double().mean()
        rows.append(
            {"when": when, "distance": float(predicted), "rivals": float(min(rivals)), "accuracy": float(accuracy)}
            | {"variability": float(within_class_variability(features, Y))}
        )
    return rows


@paper.claim(digits, figure=dots("when", "distance", xlabel="training", ylabel="distance from predicted frame"))
def practical_frame(table):
    """Distance from the predicted frame over that from the nearer rival, before and after training."""
    rows = table.set_index("when")
    over = np.log(rows["distance"] / rows["rivals"])
    return {
        "log_distance_over_rivals": over["end"],
        "log_distance_over_rivals_at_start": over["start"],
        "distance": rows["distance"]["end"],
        "variability": rows["variability"]["end"],
        "train_accuracy": rows["accuracy"]["end"],
    }
