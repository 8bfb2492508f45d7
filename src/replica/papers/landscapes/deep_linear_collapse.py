"""Dang, Tran, Osher, Tran-The, Ho, Nguyen 2023: Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data.

Where do deep linear networks end whose features are free: on a simplex for balanced classes, on orthogonal vectors of lengths
by the classes' counts else?
"""

from typing import Any

import numpy as np
import torch

from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines
from replica.landscapes import (
    DeepLinearFeatures,
    class_means,
    deep_linear_minimizer,
    descend_deep_linear,
    duality_distance,
    frame_distance,
    layerwise_collapse,
    linear_layers,
    scale_logit_shape,
    simplex_frame,
    within_class_variability,
)

paper = Paper("deep_linear_collapse")
Rows = list[dict[str, Any]]
DECAY = {"weight_decay": 5e-4, "feature_decay": 5e-4}
CIRCLE = torch.tensor([[1.0, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]], dtype=torch.float64)
"""Logits of four classes on a circle: of rank 2."""


def descend(trial: Trial, name: str, counts: tuple[int, ...], depth: int, **options: Any) -> tuple[Any, Any, Any]:
    """Labels of classes of these counts, and a start and an end of a descent."""
    width, steps = trial.pick(smoke=(8, 40), laptop=(64, 20_000), full=(64, 100_000))
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    given: dict[str, Any] = DECAY | {"steps": steps, "generator": trial.generator(name)} | options
    return labels, *descend_deep_linear(counts, depth, width, **given)


def departures(net: DeepLinearFeatures, labels: torch.Tensor) -> dict[str, float]:
    """The worst NC2, and the worst of NC1, NC2 and NC3, over the layers, held to a simplex."""
    layers = layerwise_collapse(net.features, net.weights, labels, simplex_frame(4))
    off_frame = max(float(max(layer.means_off_frame, layer.weights_off_frame)) for layer in layers)
    worst = max(float(max(layer.variability, layer.duality)) for layer in layers)
    return {"off_frame": off_frame, "departure": max(off_frame, worst)}


def balanced(trial: Trial, starts: int, **loss: bool) -> Rows:
    """Descents on four classes of 100: their losses, and that of logits of rank 2, over the best simplex's."""
    count, depths = trial.pick(smoke=(4, (1, 2)), laptop=(100, (1, 3, 6)), full=(100, (1, 3, 6, 9)))
    rows = []
    for depth in depths:
        circle, simplex = (scale_logit_shape(shape, count, depth, **DECAY).loss for shape in (CIRCLE, simplex_frame(4)))
        if "cross_entropy" not in loss:
            simplex = deep_linear_minimizer([count] * 4, depth, bias=True, **DECAY).loss
        for index in range(starts):
            labels, start, end = descend(trial, f"{depth} {index}", (count,) * 4, depth, **loss)
            over = {"over_simplex": end.loss / simplex, "circle_over_simplex": circle / simplex}
            left = {"gradient": end.gradient_norm, "off_frame_at_start": departures(start, labels)["off_frame"]}
            rows.append({"depth": depth} | over | left | departures(end, labels))
    return rows


def squared_error(trial: Trial) -> Rows:
    """Squared error with a bias of the last layer, one start a depth."""
    return balanced(trial, 1, bias=True)


def entropy(trial: Trial) -> Rows:
    """Cross-entropy, three starts a depth."""
    return balanced(trial, trial.pick(smoke=1, laptop=3, full=10), cross_entropy=True)


@paper.claim(
    squared_error, figure=lines("depth", "departure", None, log="y", xlabel="layers", ylabel="worst of NC1, NC2, NC3")
)
def squared_error_collapse(table):
    """The largest departure from collapse, and how far descents end from the least loss."""
    return {
        "departure": table["departure"].max(),
        "log_loss_over_least": np.log(table["over_simplex"]).abs().max(),
        "frame_distance_at_start": table["off_frame_at_start"].min(),
        "gradient_left": table["gradient"].max(),
    }


draw_losses = lines(
    "depth", "over_simplex", None, theory="circle_over_simplex", xlabel="layers", ylabel="loss over the best simplex's"
)


@paper.claim(entropy, figure=draw_losses)
def cross_entropy_collapse(table):
    """How much less than the best simplex any other solution costs."""
    depths = table.groupby("depth")
    least = depths[["over_simplex", "circle_over_simplex"]].min()
    advantage = -np.log(least.min(axis=1))
    return {
        "advantage_of_others": advantage.max(),
        "advantage_of_others_at_one_layer": advantage.iloc[0],
        "advantage_of_descents": -np.log(least["over_simplex"].min()),
        "share_of_descents_that_collapse": (table["departure"] < 0.05).mean(),
        "departure_of_best": table.loc[depths["over_simplex"].idxmin(), "departure"].max(),
    }


def imbalanced(trial: Trial) -> Rows:
    """Squared error without bias, classes of 200, 100, 50 and 50; then a decay that should take the smallest to 0."""
    counts, depths = trial.pick(
        smoke=((8, 4, 2, 2), (1, 2)), laptop=((200, 100, 50, 50), (1, 3, 6)), full=((200, 100, 50, 50), (1, 3, 6, 9))
    )
    # At one layer class k is 0 from (N λ)² = n_k on: half way, in logarithms, between the two smallest counts.
    strong = dict.fromkeys(DECAY, (counts[1] * counts[2]) ** 0.25 / sum(counts))
    rows = []
    for name, depth, decay in [*(("weak", depth, DECAY) for depth in depths), ("strong", 1, strong)]:
        labels, _, end = descend(trial, f"{name} {depth}", counts, depth, **decay)
        least = deep_linear_minimizer(counts, depth, bias=False, **decay)
        means = class_means(end.features, labels)
        product = linear_layers(torch.eye(means.shape[1]).double(), end.weights).T
        own = [frame_distance(product, least.weights_gram), frame_distance(means, least.means_gram)]
        own.append(duality_distance(product @ means.T, least.outputs))
        rivals = [frame_distance(product, frame) for frame in (torch.eye(4), simplex_frame(4))]
        rows.append(
            {"depth": depth, "decay": name, "distance": float(max(own)), "distance_of_rivals": float(min(rivals))}
            | {"variability": float(within_class_variability(end.features, labels))}
            | {"shortest_over_longest": float(means.norm(dim=1).min() / means.norm(dim=1).max())}
        )
    return rows


draw_distances = lines("depth", "distance", "decay", log="y", xlabel="layers", ylabel="distance from the closed form")


@paper.claim(imbalanced, figure=draw_distances)
def imbalanced_frame(table):
    """Distance from the predicted frame and from rivals, and the length that minorities keep under strong decay."""
    weak, strong = (table[table["decay"] == name] for name in ("weak", "strong"))
    return {
        "distance": weak["distance"].max(),
        "distance_of_rivals": weak["distance_of_rivals"].min(),
        "variability": weak["variability"].max(),
        "minority_length": strong["shortest_over_longest"].max(),
    }
