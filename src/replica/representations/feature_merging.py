"""Iterative feature merging: how many different features a layer has, and the net of those alone (Chen, Zhou & Yan 2024)."""

from collections.abc import Callable
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
    in every layer the least D is above β times the largest. Biases are not compared. A merge takes time of the order of the
    squared number of units: inner products are brought up to date, not computed anew.

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
    before, dtype = chain.parameters, chain.weights[0].dtype
    # In double precision, and at the end back: inner products are kept up to date, and must stay those of the weights.
    chain.weights = [weight.double() for weight in chain.weights]
    inward = [_inner(weight) for weight in chain.weights[:-1]]
    outward = [_inner(weight.movedim(1, 0)) for weight in chain.weights[1:]]
    units = [len(weight) for weight in chain.weights[:-1]]
    groups: list[list[tuple[int, ...]]] = [[(unit,) for unit in range(size)] for size in units]
    moving = True
    while moving:
        moving = False
        for layer, size in enumerate(units):
            left = len(groups[layer])
            if left < 2 or size - left + 1 > most * size:
                continue
            inner = inward[layer] + outward[layer]
            apart = inner.diagonal()[:, None] + inner.diagonal() - 2 * inner
            largest = float(apart.max())
            closest = int(apart.fill_diagonal_(torch.inf).argmin())
            first, second = sorted(divmod(closest, left))
            # Rounding leaves exact copies a little apart.
            if float(apart[first, second]) > (beta + 1e-12) * largest:
                continue
            moving = True
            ours, theirs = len(groups[layer][first]), len(groups[layer][second])
            merged = _Merge(first, second, theirs / (ours + theirs))
            inward[layer], outward[layer] = merged.summed(inward[layer]), merged.averaged(outward[layer])
            if layer:  # whose weights out are this layer's weights in
                outward[layer - 1] += merged.change(chain.weights[layer], merged.add)
            if layer + 1 < len(units):
                inward[layer + 1] += merged.change(chain.weights[layer + 1].movedim(1, 0), merged.average)
            merged.apply(chain, layer)
            groups[layer][first] += groups[layer].pop(second)
    chain.weights = [weight.to(dtype) for weight in chain.weights]
    complexity = FeatureComplexity(
        layers=tuple(chain.names[:-1]),
        units=tuple(units),
        features=tuple(len(found) for found in groups),
        groups=tuple(tuple(found) for found in groups),
        parameters=(before, chain.parameters),
    )
    return chain.net(), complexity


def _inner(rows: Float[Tensor, "units others positions"]) -> Float[Tensor, "units units"]:
    flat = rows.flatten(1)
    return flat @ flat.T


@dataclass(frozen=True)
class _Merge:
    """Unit `first` comes to stand for `second`, too, which goes; `share` is the second's part of an average of both."""

    first: int
    second: int
    share: float

    def add(self, rows: Tensor) -> Tensor:
        return rows[self.first] + rows[self.second]

    def average(self, rows: Tensor) -> Tensor:
        return torch.lerp(rows[self.first], rows[self.second], self.share)

    def without(self, rows: Tensor) -> Tensor:
        """The rows but the second's."""
        return torch.cat([rows[: self.second], rows[self.second + 1 :]])

    def replaced(self, rows: Tensor, combine: Callable[[Tensor], Tensor]) -> Tensor:
        rows = rows.clone()
        rows[self.first] = combine(rows)
        return self.without(rows)

    def summed(self, inner: Tensor) -> Tensor:
        """Inner products of weights, with the pair's added up."""
        return self.replaced(self.replaced(inner, self.add).T, self.add)

    def averaged(self, inner: Tensor) -> Tensor:
        """Inner products of weights, with the pair's averaged."""
        return self.replaced(self.replaced(inner, self.average).T, self.average)

    def change(
        self, rows: Float[Tensor, "units others positions"], combine: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "others others"]:
        """What the inner products of the neighbouring layer's units, which run over this one's, change by."""
        first, second, new = rows[self.first], rows[self.second], combine(rows)
        return new @ new.T - first @ first.T - second @ second.T

    def apply(self, chain: Chain, layer: int) -> None:
        """The merge itself, in the weights."""
        chain.weights[layer] = self.replaced(chain.weights[layer], self.add)
        bias = chain.biases[layer]
        chain.biases[layer] = None if bias is None else self.replaced(bias, self.add)
        outward = chain.weights[layer + 1].movedim(1, 0)
        chain.weights[layer + 1] = self.replaced(outward, self.average).movedim(0, 1)
