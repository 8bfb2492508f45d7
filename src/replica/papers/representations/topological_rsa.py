"""Lin and Kriegeskorte 2024: The Topology and Geometry of Neural Representations.

Do summaries that keep who is near and who is far, and little of how much, tell the layers of networks from one another as well
as dissimilarity matrices do, and better under noise?
"""

from typing import Any

from torch import Tensor

from replica.lab.claims import Choice, Paper, Trial, Uniform
from replica.lab.studies import Arena, lines
from replica.papers.baselines.similarity import Measure
from replica.representations import (
    dissimilarities,
    geodesic_distances,
    geotopological_transform,
    rdm_correlation,
)

paper = Paper("topological_rsa")


@paper.entry(
    "similarity",
    name="topological-rsa",
    space={"lower": Uniform(0.0, 0.5), "upper": Uniform(0.5, 1.0), "measure": Choice(("euclidean", "correlation"))},
)
def topological_rsa(trial: Trial, lower: float = 0.2, upper: float = 0.8, measure: Any = "euclidean") -> Measure:
    """Correlation of geo-topologically transformed dissimilarity matrices."""

    def compare(X: Tensor, Y: Tensor) -> Tensor:
        ours, theirs = (geotopological_transform(dissimilarities(layer, measure), lower, upper) for layer in (X, Y))
        return rdm_correlation(ours, theirs, "pearson")

    return Measure(compare)


@paper.entry("similarity", name="geodesic-rsa", space={"share": Uniform(0.02, 1.0)})
def geodesic_rsa(trial: Trial, share: float = 0.3) -> Measure:
    """Rank correlation of distances along the shortest dissimilarities; what no path joins is farthest."""

    def compare(X: Tensor, Y: Tensor) -> Tensor:
        ours, theirs = (geodesic_distances(dissimilarities(layer), share) for layer in (X, Y))
        return rdm_correlation(ours, theirs, "spearman")

    return Measure(compare)


LAYERS = Arena(
    "similarity",
    network="conv",
    nets=4,
    depth=6,
    width=16,
    epochs=10,
    stimuli=62,
    choose={"lower": (0.0, 0.2), "upper": (0.6, 0.8), "kind": ("pearson", "spearman"), "share": (0.1, 0.3)},
    full={"nets": 10, "depth": 9, "width": 64, "epochs": 50},
)
summaries = LAYERS.compare(
    {"topological": topological_rsa, "RDM": "rsa", "geodesic": geodesic_rsa, "guess": "random-guess"}
).over(noise=(0.0, 0.5, 1.0, 2.0))
figure = lines(
    "noise", "named", xlabel="noise (standard deviations of activations)", ylabel="layers named right (%)", percent=True
)


def accuracies(table):
    """Accuracy of each summary: mean over noise, without noise, and what noise costs."""
    over_noise = table.pivot_table(index="noise", columns="method", values="named")
    clean, noisy = over_noise.iloc[0], over_noise.iloc[1:] if len(over_noise) > 1 else over_noise
    return over_noise.mean(), clean, clean - noisy.mean()


@paper.claim(summaries, figure=figure)
def layer_identification(table):
    """What topological summaries lead dissimilarity matrices by."""
    mean, clean, _ = accuracies(table)
    return {
        "gain_over_rdm": mean["topological"] - mean["RDM"],
        "gain_without_noise": clean["topological"] - clean["RDM"],
        "geodesic_gain_over_rdm": mean["geodesic"] - mean["RDM"],
        "accuracy_of_rdm_without_noise": clean["RDM"],
        "gain_over_guess": mean["topological"] - mean["guess"],
    }


@paper.claim(summaries, figure=figure)
def robust_to_noise(table):
    """What noise costs dissimilarity matrices more than topological summaries."""
    _, clean, loss = accuracies(table)
    return {
        "loss_saved": loss["RDM"] - loss["topological"],
        "geodesic_loss_saved": loss["RDM"] - loss["geodesic"],
        "loss_of_rdm": loss["RDM"],
        "accuracy_of_rdm_without_noise": clean["RDM"],
    }
