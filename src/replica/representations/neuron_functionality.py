"""Which neurons of a feed-forward layer are for which function, and groups of neurons that work together: emergent bricks.

Xiao et al. 2024, "Configurable Foundation Models", analysis of functional specialisation and partition; Zhang et al. 2022,
"MoEfication", for balanced clustering.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def neuron_functionality(
    activations: Float[Tensor, "tokens neurons"], functions: Int[Tensor, " tokens"], count: int | None = None
) -> Float[Tensor, "neurons functions"]:
    """How well each neuron's activation tells that a token belongs to a function: average precision, 1 if it ranks all first.

    A neuron that knows nothing of a function has about the function's share of tokens. Equal activations count as one
    threshold, as in scikit-learn's ``average_precision_score``.

    Args:
        activations: of each neuron at each token.
        functions: number of each token's function, from 0.
        count: functions. Default as many as the largest number tells.

    Raises:
        ValueError: if shapes do not fit, activations are not finite, or a function has no token.

    Source: Xiao et al. 2024, functionality score.

    Example:
        >>> import torch
        >>> from replica.representations import neuron_functionality
        >>> activations = torch.tensor([[3.0, 0.0], [2.0, 0.0], [1.0, 5.0], [0.0, 0.0]])
        >>> neuron_functionality(activations, torch.tensor([0, 0, 1, 1]))
        tensor([[1.0000, 0.4167],
                [0.5000, 0.7500]])
    """
    if activations.dim() != 2 or functions.shape != activations.shape[:1] or not len(functions):
        raise ValueError(
            f"functions: got shape {tuple(functions.shape)} for activations {tuple(activations.shape)}, want (tokens,) "
            "for (tokens, neurons)"
        )
    if not bool(activations.isfinite().all()):
        raise ValueError("activations: got numbers that are not finite, want finite ones")
    totals = torch.bincount(functions, minlength=count or 0)
    if not bool((totals > 0).all()) or (count is not None and len(totals) > count):
        raise ValueError(f"functions: got {totals.tolist()} tokens of each, want one or more of {count or 'each'}")
    tokens = len(functions)
    values, order = activations.T.sort(dim=1, descending=True)
    # The last place that has the same activation: precision is that of the whole tie.
    places = torch.arange(tokens, device=activations.device).expand_as(values)
    ends = torch.where(values != values.roll(-1, 1), places, tokens - 1)
    ends[:, -1] = tokens - 1
    ends = ends.flip(1).cummin(1).values.flip(1)
    found = []
    for function, total in enumerate(totals):
        hits = (functions == function)[order]
        precision = hits.cumsum(1).gather(1, ends).to(activations) / (ends + 1)
        found.append((precision * hits).sum(1) / total)
    return torch.stack(found, 1)


def partition_neurons(
    features: Float[Tensor, "neurons features"],
    bricks: int,
    *,
    restarts: int = 4,
    iterations: int = 50,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " neurons"]:
    """Groups of equal size by balanced k-means: the number of each neuron's brick.

    Bricks by *keys*: features are the rows of the layer's input weights. By *co-activation*: each neuron's activations over
    tokens, as ``activations.T``, standardised, or less numbers with the same inner products.

    In turn centres become means, and neurons are assigned to places in bricks at the least sum of squared distances, by the
    Hungarian method; of some restarts the one with the least sum is taken.

    Args:
        features: a row a neuron.
        bricks: groups; divides the number of neurons.
        restarts: starts from neurons drawn at random.
        iterations: most rounds of one restart.
        generator: source of the starts.

    Raises:
        ValueError: if shapes or numbers do not fit.

    Source: Zhang et al. 2022, Section 3.2 (parameter clustering); Malinen & Fränti 2014, "Balanced k-means for clustering".

    Example:
        >>> import torch
        >>> from replica.representations import partition_neurons
        >>> keys = torch.tensor([[0.0], [9.0], [0.1], [9.1]])
        >>> brick = partition_neurons(keys, 2, generator=torch.Generator().manual_seed(0))
        >>> bool(brick[0] == brick[2] and brick[1] == brick[3] and brick[0] != brick[1])
        True
    """
    if features.dim() != 2:
        raise ValueError(f"features: got shape {tuple(features.shape)}, want (neurons, features)")
    if bricks < 1 or len(features) % bricks:
        raise ValueError(f"bricks: got {bricks}, want a number that divides {len(features)} neurons")
    for name, value in (("restarts", restarts), ("iterations", iterations)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, want 1 or more")
    rows = features.detach().double()
    if not bool(rows.isfinite().all()):
        raise ValueError("features: got numbers that are not finite, want finite ones")
    size = len(rows) // bricks
    best, least = torch.zeros(0), math.inf
    for _ in range(restarts):
        device = rows.device if generator is None else generator.device
        start = torch.randperm(len(rows), generator=generator, device=device)[:bricks].to(rows.device)
        centres, before = rows[start], None
        for _ in range(iterations):
            cost = torch.cdist(rows, centres).square()
            _, places = linear_sum_assignment(np.repeat(cost.cpu().numpy(), size, axis=1))
            assigned = torch.from_numpy(places // size).to(rows.device)
            if before is not None and torch.equal(assigned, before):
                break
            before = assigned
            centres = torch.stack([rows[assigned == brick].mean(0) for brick in range(bricks)])
        spread = float((rows - centres[assigned]).square().sum())
        if spread < least:
            best, least = assigned, spread
    return best
