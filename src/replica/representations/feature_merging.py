"""Iterative feature merging: how many different features a layer has, and the net of those alone (Chen, Zhou & Yan 2024)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .unit_layers import Chain


@dataclass(frozen=True)
class FeatureComplexity:
    """What merging left of each hidden layer.

    Attributes:
        layers: names of the hidden layers' weights.
        units: units that each had.
        features: feature complexity: units that are left.
        groups: of each layer, for each unit left the numbers of the units it stands for.
        parameters: of the net before and after.
    """

    layers: tuple[str, ...]
    units: tuple[int, ...]
    features: tuple[int, ...]
    groups: tuple[tuple[tuple[int, ...], ...], ...]
    parameters: tuple[int, int]

    @property
    def parameters_removed(self) -> float:
        """Share of the parameters that merging took away."""
        return 1 - self.parameters[1] / self.parameters[0]


def iterative_feature_merging(
    model: nn.Sequential, beta: float, *, most: float = 1.0
) -> tuple[nn.Sequential, FeatureComplexity]:
    """Merges units that have nearly the same weights in and out, the closest pair first, without data and training.

    Units m and n of layer l are D_mn = |W_l[m] − W_l[n]|² + |W_{l+1}[:, m] − W_{l+1}[:, n]|² apart. Merging adds up their
    weights in (and biases), and averages their weights out, each by the number of units it stands for: the same function, where
    units are the same and the activation is a rectifier. Layers take turns, a pair each, as the authors' code has it, until
    in every layer the least D is above β times the largest. Biases are not compared.

    A merged unit's weights in are larger than its parts', so it merges again less readily: of three copies the third is left.

    Args:
        model: a chain of Linear and Conv2d layers with rectifiers and poolings in between; batch normalisation is folded
            into the layer before it, as it acts in evaluation mode. Units of a convolution are its channels.
        beta: threshold β, from 0 (exact copies only) up to below 1. The larger, the more is merged.
        most: largest share of a layer's units that is merged away.

    Returns:
        The merged net, a smaller copy with the same module names, and what was found.

    Raises:
        ValueError: if β or `most` is out of range, or the net is no such chain.

    Example:
        >>> import torch
        >>> from replica.representations import iterative_feature_merging
        >>> from replica.training import mlp
        >>> net = mlp((4, 6, 2), generator=torch.Generator().manual_seed(0))
        >>> with torch.no_grad():  # unit 5 copies unit 2
        ...     for parameter in (net[0].weight, net[0].bias, net[2].weight.T):
        ...         parameter[5] = parameter[2]
        >>> merged, found = iterative_feature_merging(net, 0.01)
        >>> found.features, found.groups
        ((5,), (((0,), (1,), (2, 5), (3,), (4,)),))
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta: got {beta}, want a threshold of 0 or more, below 1")
    if not 0 <= most <= 1:
        raise ValueError(f"most: got {most}, want a share from 0 to 1")
    chain = Chain.of(model)
    before = chain.parameters
    units = [len(weight) for weight in chain.weights[:-1]]
    groups: list[list[tuple[int, ...]]] = [[(unit,) for unit in range(size)] for size in units]
    moving = True
    while moving:
        moving = False
        for layer, size in enumerate(units):
            left = len(groups[layer])
            if left < 2 or size - left + 1 > most * size:
                continue
            apart = unit_distances(chain.weights[layer], chain.weights[layer + 1])
            largest = float(apart.max())
            closest = int(apart.fill_diagonal_(torch.inf).argmin())
            first, second = sorted(divmod(closest, left))
            # The bound allows for the rounding that exact copies have.
            if float(apart[first, second]) > beta * largest + 1e-12 * largest:
                continue
            moving = True
            _merge(chain, layer, first, second, [len(group) for group in groups[layer]])
            groups[layer][first] += groups[layer].pop(second)
    complexity = FeatureComplexity(
        layers=tuple(chain.names[:-1]),
        units=tuple(units),
        features=tuple(len(found) for found in groups),
        groups=tuple(tuple(found) for found in groups),
        parameters=(before, chain.parameters),
    )
    return chain.net(), complexity


def unit_distances(
    inward: Float[Tensor, "units inputs positions"], outward: Float[Tensor, "outputs units positions"]
) -> Float[Tensor, "units units"]:
    """Squared distances between units by their weights in and out together (D), in double precision.

    Args:
        inward: weights of the layer whose outputs the units are.
        outward: weights of the layer that reads them.

    Example:
        >>> import torch
        >>> from replica.representations import unit_distances
        >>> unit_distances(torch.tensor([[[0.0]], [[3.0]]]), torch.tensor([[[0.0], [4.0]]]))
        tensor([[ 0., 25.],
                [25.,  0.]], dtype=torch.float64)
    """
    rows = torch.cat([inward.flatten(1), outward.movedim(1, 0).flatten(1)], 1).double()
    # Distances do not change with the origin; the smaller the rows, the less is lost to rounding.
    rows = rows - rows.mean(0)
    inner = rows @ rows.T
    square = inner.diagonal()
    return (square[:, None] + square - 2 * inner).clamp(min=0).fill_diagonal_(0)


def _merge(chain: Chain, layer: int, first: int, second: int, sizes: list[int]) -> None:
    """Lets unit `first` stand for `second`, too, in place; `second` goes."""
    inward, outward, bias = chain.weights[layer], chain.weights[layer + 1], chain.biases[layer]
    kept = torch.tensor([unit for unit in range(len(inward)) if unit != second], device=inward.device)
    inward[first] += inward[second]
    share = sizes[second] / (sizes[first] + sizes[second])
    outward[:, first].lerp_(outward[:, second].clone(), share)
    chain.weights[layer], chain.weights[layer + 1] = inward[kept], outward[:, kept]
    if bias is not None:
        bias[first] += bias[second]
        chain.biases[layer] = bias[kept]
