"""What people use today to compare layers: baselines of the problem similarity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from replica.kernels import linear_cka
from replica.lab.claims import Choice, Trial, Uniform
from replica.lab.problems.baseline import Baselines
from replica.representations import (
    dissimilarities,
    mean_canonical_correlation,
    procrustes_distance,
    rdm_correlation,
)

baselines = Baselines()


class Measure:
    """A similarity of layers that is a function of their activations.

    Args:
        compare: Takes activations of two layers on the same stimuli, float64 of shape ``(stimuli, units)``.
    """

    def __init__(self, compare: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.compare = compare

    def similarity(self, X: Tensor, Y: Tensor) -> float:
        """Give how alike they are."""
        return float(self.compare(X.double(), Y.double()))


@baselines.entry("random-guess", "a random number: the trivial method")
def random_guess(trial: Trial) -> Measure:
    """Looks at neither layer."""
    generator = trial.generator("random-guess", "cpu")
    return Measure(lambda X, Y: torch.rand((), generator=generator))


@baselines.entry("linear-cka", "linear centred kernel alignment", space={"debiased": Choice((False, True))})
def linear_kernel_alignment(trial: Trial, debiased: bool = False) -> Measure:
    """Kornblith et al. 2019."""
    return Measure(lambda X, Y: linear_cka(X, Y, debiased=debiased))


@baselines.entry(
    "rsa",
    "rank correlation of dissimilarity matrices",
    space={"measure": Choice(("euclidean", "correlation")), "kind": Choice(("spearman", "pearson"))},
)
def representational_similarity(trial: Trial, measure: str = "euclidean", kind: str = "spearman") -> Measure:
    """Kriegeskorte et al. 2008."""

    def compare(X: Tensor, Y: Tensor) -> Tensor:
        ours, theirs = (dissimilarities(layer, measure) for layer in (X, Y))  # type: ignore[arg-type]
        return rdm_correlation(ours, theirs, kind)  # type: ignore[arg-type]

    return Measure(compare)


@baselines.entry("svcca", "mean canonical correlation of principal directions", space={"keep": Uniform(0.5, 0.999)})
def principal_canonical_correlation(trial: Trial, keep: float = 0.99) -> Measure:
    """Raghu et al. 2017."""
    return Measure(lambda X, Y: mean_canonical_correlation(X, Y, keep=keep))


@baselines.entry("procrustes", "distance under the best rotation, its sign turned")
def best_rotation(trial: Trial) -> Measure:
    """Schönemann 1966."""
    return Measure(lambda X, Y: -procrustes_distance(X, Y))


@baselines.entry("linear-r2", "what ridge regression predicts of the other layer, on held-out stimuli")
def linear_predictivity(trial: Trial) -> Measure:
    """Every second stimulus is held out; the penalty is chosen by leave-one-out among the others."""
    return Measure(predicted_share)


def predicted_share(X: Tensor, Y: Tensor) -> Tensor:
    """Share of the variance of Y's units, on every second stimulus, that ridge regression on X predicts from the others.

    The penalty is the one of 13, four decades above and below the mean eigenvalue of the Gram matrix, with the least
    leave-one-out error.
    """
    mean, target_mean = X[::2].mean(0), Y[::2].mean(0)
    inputs, targets = X[::2] - mean, Y[::2] - target_mean
    values, vectors = torch.linalg.eigh(inputs @ inputs.T)
    values = values.clamp(min=0)
    projected = vectors.T @ targets
    best, weights = torch.inf, torch.zeros_like(targets)
    for penalty in values.mean().clamp(min=1e-12) * torch.logspace(-4, 4, 13, dtype=X.dtype, device=X.device):
        # Residuals left out one by one are (α G⁻¹ y)_i / (α G⁻¹)_ii with G = K + α; centring is held fixed.
        dual = vectors @ (projected / (values + penalty)[:, None])
        diagonal = (vectors.square() / (values + penalty)).sum(1)
        error = (dual / diagonal[:, None]).square().mean()
        if error < best:
            best, weights = error, dual
    predicted = (X[1::2] - mean) @ inputs.T @ weights + target_mean
    left = (Y[1::2] - predicted).square().sum()
    return 1 - left / (Y[1::2] - Y[1::2].mean(0)).square().sum().clamp(min=1e-300)
