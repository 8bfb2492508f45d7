"""How abstract a layer holds a binary variable: is its coding direction the same in all contexts, and does a readout carry over?

Bernardi et al. 2020, "The geometry of abstraction in the hippocampus and prefrontal cortex"; used by Alleman, Lindsey & Fusi 2024
to say how disentangled learned representations are.
"""

from itertools import permutations, product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_MOST_PAIRS = 7
"""Pairs of conditions for which all pairings are tried: 7! = 5,040."""


def parallelism_score(
    means: Float[Tensor, "... conditions units"],
    labels: Bool[Tensor, " conditions"],
    contexts: Int[Tensor, " conditions"] | None = None,
) -> Float[Tensor, "..."]:
    """Mean cosine between the coding vectors of a variable in different contexts: 1 where they are parallel.

    A coding vector goes from a condition without the label to one with it. With `contexts` each joins the two conditions of
    one context; without, conditions are paired in whatever way gives the greatest score.

    Args:
        means: mean activation in each condition, shape (..., conditions, units).
        labels: whether the variable is on; in as many conditions as it is off, two at least.
        contexts: what else a condition is, by number: each twice, once with the label and once without.

    Returns:
        In [−1 / (pairs − 1), 1]. Random directions of many units give about 0 in given contexts, and somewhat more at the
        best pairing.

    Raises:
        ValueError: if shapes do not fit, labels are unbalanced, contexts do not pair conditions, or without contexts there
            are more than 7 pairs.

    Source: Bernardi et al. 2020, STAR Methods, "Parallelism score"; Alleman et al. 2024.

    Example:
        >>> import torch
        >>> from replica.representations import parallelism_score
        >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> parallelism_score(square, torch.tensor([False, True, False, True]))
        tensor(1.)
        >>> parallelism_score(square, torch.tensor([False, True, True, False]))  # XOR of the two
        tensor(-1.)
    """
    on, off = _sides(means, labels)
    if len(on) != len(off) or len(on) < 2:
        raise ValueError(f"labels: got {len(on)} conditions on and {len(off)} off, want as many, two at least")
    if contexts is not None:
        pairings = _partners(on, off, contexts)[None]
    else:
        if len(on) > _MOST_PAIRS:
            raise ValueError(f"contexts: got none for {len(on)} pairs, want them given for more than {_MOST_PAIRS}")
        pairings = off[torch.tensor(list(permutations(range(len(off)))), device=off.device)]
    vectors = means[..., None, on, :] - means[..., pairings, :]
    # Conditions that coincide have no direction: their cosines count as 0.
    units = vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(means.dtype).tiny)
    # Σ_{i≠j} u_i · u_j = ‖Σ u_i‖² − Σ ‖u_i‖²
    crossed = units.sum(-2).square().sum(-1) - units.square().sum((-2, -1))
    return crossed.amax(-1) / (len(on) * (len(on) - 1))


def cross_condition_generalization(
    activations: Float[Tensor, "... samples units"],
    conditions: Int[Tensor, " samples"],
    labels: Bool[Tensor, " conditions"],
    contexts: Int[Tensor, " conditions"] | None = None,
    *,
    penalty: float = 1e-3,
) -> Float[Tensor, "..."]:
    """How well a linear readout of a variable does in conditions that it was not fitted on (CCGP).

    A pair of conditions, one with the label and one without, is held out, the readout is fitted on the others, and told right
    is the share of the held-out samples; the mean over all pairs, or over those of a context. 1/2 is chance, and less is
    possible: a readout can be wrong on purpose, as for XOR on a square. Of four conditions on a square the pairs across a
    diagonal tell nothing, which leaves 3/4 for its sides; in given contexts they have 1.

    The readout is the regularised least-squares classifier of labels −1 and 1, samples weighted so that every condition
    counts alike.

    Args:
        activations: shape (..., samples, units).
        conditions: number of each sample's condition.
        labels: by condition, two on and two off at least.
        contexts: see `parallelism_score`. Default: every pair is held out in turn.
        penalty: of the readout's squared weights, as a share of the activations' mean squared distance from their mean.

    Raises:
        ValueError: if shapes do not fit, a condition has no samples, there are too few of a label, contexts do not pair
            conditions, or the penalty is not above 0.

    Source: Bernardi et al. 2020, STAR Methods, "Cross-condition generalization performance", with a classifier in closed
        form in place of a support vector machine.

    Example:
        >>> import torch
        >>> from replica.representations import cross_condition_generalization
        >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> right, upper = torch.tensor([False, True, False, True]), torch.tensor([0, 0, 1, 1])
        >>> cross_condition_generalization(square, torch.arange(4), right, upper)
        tensor(1.)
        >>> cross_condition_generalization(square, torch.arange(4), torch.tensor([False, True, True, False]), upper)
        tensor(0.)
    """
    if activations.dim() < 2 or conditions.shape != activations.shape[-2:-1]:
        want = tuple(activations.shape[-2:-1])
        raise ValueError(f"conditions: got shape {tuple(conditions.shape)}, want {want}, one a sample")
    on, off = ((labels == side).nonzero().flatten() for side in (True, False))
    if labels.dim() != 1 or len(on) < 2 or len(off) < 2:
        raise ValueError(f"labels: got {len(on)} conditions on and {len(off)} off, want two of each")
    counts = torch.bincount(conditions, minlength=len(labels))
    if len(counts) != len(labels) or not bool((counts > 0).all()):
        raise ValueError(f"conditions: got {len(counts.nonzero())} with samples, want each of {len(labels)}")
    if not penalty > 0:
        raise ValueError(f"penalty: got {penalty}, want above 0")
    targets = 2.0 * labels[conditions].to(activations) - 1
    if contexts is None:
        pairs = list(product(on.tolist(), off.tolist()))
    else:
        pairs = list(zip(on.tolist(), _partners(on, off, contexts).tolist(), strict=True))
    found = []
    for held in pairs:
        unseen = torch.isin(conditions, torch.tensor(held, device=conditions.device))
        right = _readout(activations, targets, (~unseen) / counts[conditions], penalty) * targets > 0
        # Samples of the two conditions count alike, however many there are of each.
        share = torch.stack([right[..., conditions == each].to(activations).mean(-1) for each in held])
        found.append(share.mean(0))
    return torch.stack(found).mean(0)


def _readout(activations: Tensor, targets: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """Scores of all samples by ridge regression on the weighted ones, with a free constant; in whichever form is smaller."""
    weights = weights.to(activations) / weights.sum()
    mean = (weights[:, None] * activations).sum(-2, keepdim=True)
    centred = activations - mean
    level = (weights * targets).sum()
    seen = weights.sqrt()[:, None] * centred
    wanted = (weights.sqrt() * (targets - level))[:, None]
    ridge = penalty * seen.square().sum((-2, -1), keepdim=True).clamp(min=torch.finfo(seen.dtype).tiny)
    if seen.shape[-1] <= seen.shape[-2]:
        eye = torch.eye(seen.shape[-1], dtype=seen.dtype, device=seen.device)
        slope = torch.linalg.solve(seen.mT @ seen + ridge * eye, seen.mT @ wanted)
    else:
        eye = torch.eye(seen.shape[-2], dtype=seen.dtype, device=seen.device)
        slope = seen.mT @ torch.linalg.solve(seen @ seen.mT + ridge * eye, wanted)
    return (centred @ slope).squeeze(-1) + level


def _partners(on: Tensor, off: Tensor, contexts: Tensor) -> Tensor:
    """The condition without the label in the context of each with it."""
    if contexts.shape != (len(on) + len(off),):
        raise ValueError(f"contexts: got shape {tuple(contexts.shape)}, want {(len(on) + len(off),)} as labels")
    ours, theirs = contexts[on].sort(), contexts[off].sort()
    if not torch.equal(ours.values, theirs.values) or len(ours.values.unique()) < len(on):
        raise ValueError("contexts: got one that is not there once with the label and once without, want pairs")
    return off[theirs.indices][ours.indices.argsort()]


def _sides(means: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if means.dim() < 2 or labels.shape != means.shape[-2:-1]:
        want = tuple(means.shape[-2:-1])
        raise ValueError(f"labels: got shape {tuple(labels.shape)}, want {want}, one a condition")
    return (labels == 1).nonzero().flatten(), (labels == 0).nonzero().flatten()
