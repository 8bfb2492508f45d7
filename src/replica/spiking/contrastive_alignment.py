"""Two kinds of recordings in one space: projections learned by contrast, so that what belongs together lies together."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class AlignedProjections(nn.Module):
    """One linear layer with an activation for each of two kinds of features, onto one unit sphere.

        z_a = φ(A a + b_A) / |…|,   z_b = φ(B b + b_B) / |…|;   how well a and b match is z_a · z_b.

    Args:
        first: Dimension of the first kind.
        second: Dimension of the second kind.
        dim: Dimension of the common space.
        activation: Makes φ.
        generator: Source of the initial weights, uniform in ±1/√inputs; the module lies on its device.

    Raises:
        ValueError: if a size is below 1.

    Source: Lin et al. 2023 (a layer with GELU for each, dimension 64, in the authors' code); Radford et al. 2021, figure 3.

    Example:
        >>> projections = AlignedProjections(5, 3, dim=4, generator=torch.Generator().manual_seed(0))
        >>> first, second = projections(torch.ones(2, 5), torch.ones(7, 3))
        >>> (first @ second.T).shape
        torch.Size([2, 7])
    """

    def __init__(
        self,
        first: int,
        second: int,
        dim: int = 64,
        *,
        activation: Callable[[], nn.Module] = nn.GELU,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("first", first), ("second", second), ("dim", dim)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        device = torch.get_default_device() if generator is None else generator.device
        layers = []
        for ins in (first, second):
            # Skipping PyTorch's own start leaves its global random state alone.
            layer = nn.utils.skip_init(nn.Linear, ins, dim, device=device)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -1 / math.sqrt(ins), 1 / math.sqrt(ins), generator=generator)
            layers.append(layer)
        self.first, self.second = layers
        self.activation = activation()

    def forward(
        self, first: Float[Tensor, "rows first"], second: Float[Tensor, "others second"]
    ) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "others dim"]]:
        """Unit vectors of both kinds; the numbers of rows may differ."""
        pair = (self.activation(self.first(first)), self.activation(self.second(second)))
        found = tuple(nn.functional.normalize(value, dim=-1) for value in pair)
        return found[0], found[1]


def contrastive_loss(
    first: Float[Tensor, "pairs dim"],
    second: Float[Tensor, "pairs dim"],
    *,
    temperature: float = 0.1,
    labels: Int[Tensor, " pairs"] | None = None,
) -> Float[Tensor, ""]:
    """Symmetric contrastive loss of pairs: the cross-entropy of finding each one's partner in the batch, both ways.

    With similarities S = Z_a Z_bᵀ / τ:  L = −(1 / 2n) Σ_ij P_ij (log softmax_j S_ij + log softmax_i S_ij), where P_ij is 1
    for i = j, or with labels the share of j among the pairs of i's class.

    Args:
        first: Z_a, unit vectors.
        second: Z_b, unit vectors of their partners.
        temperature: τ, above 0.
        labels: Classes of the pairs, where all pairs of one class belong together.

    Raises:
        ValueError: if the shapes differ or the temperature is not above 0.

    Source: Radford et al. 2021, figure 3; Khosla et al. 2020, equation 2, for labels.

    Example:
        >>> float(contrastive_loss(torch.eye(3), torch.eye(3), temperature=0.01)) < 1e-6
        True
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(
            f"second: got shape {tuple(second.shape)} beside {tuple(first.shape)}, want one shape (pairs, dim)"
        )
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}, want more than 0")
    similarities = first @ second.T / temperature
    if labels is None:
        wanted = torch.eye(len(first), device=first.device, dtype=first.dtype)
    else:
        if labels.shape != first.shape[:1]:
            raise ValueError(f"labels: got shape {tuple(labels.shape)} for {len(first)} pairs, want one each")
        wanted = (labels[:, None] == labels).to(first.dtype)
        wanted = wanted / wanted.sum(dim=1, keepdim=True)
    both = similarities.log_softmax(dim=1) + similarities.log_softmax(dim=0)
    return -(wanted * both).sum() / (2 * len(first))


def same_class_rows(
    labels: Sequence[Int[Tensor, " rows"]],
    classes: Int[Tensor, " some"],
    count: int,
    *,
    generator: torch.Generator | None = None,
) -> tuple[list[Int[Tensor, " count"]], Int[Tensor, " count"]]:
    """Draw rows of every kind that have the same class: what goes together, to learn from by contrast.

    Each class that all kinds have is as likely as another, and so is each of its rows.

    Args:
        labels: Classes from 0 of the rows of each kind; the numbers of rows may differ.
        classes: Those to draw from.
        count: How many.
        generator: Source of the draw.

    Returns:
        The rows of each kind, and their common classes.

    Raises:
        ValueError: if there is none of these classes that every kind has.

    Example:
        >>> rows, drawn = same_class_rows([torch.tensor([2, 0]), torch.tensor([0, 0, 1])], torch.tensor([0, 1]), 4)
        >>> rows[0].tolist(), drawn.tolist()
        ([1, 1, 1, 1], [0, 0, 0, 0])
    """
    size = max(int(values.max()) for values in (*labels, classes)) + 1
    counts = [torch.bincount(own, minlength=size) for own in labels]
    common = classes[torch.stack([many[classes] > 0 for many in counts]).all(0)]
    if not len(common):
        raise ValueError(f"classes: got {classes.tolist()}, want one or more of which every kind has a row")
    drawn = common[torch.randint(len(common), (count,), generator=generator)]
    rows = []
    for own, many in zip(labels, counts, strict=True):
        # Sorted by class, the rows of a class lie beside each other.
        order, place = (
            own.argsort(stable=True),
            torch.rand(count, generator=generator, dtype=torch.float64) * many[drawn],
        )
        rows.append(order[(many.cumsum(0) - many)[drawn] + place.long()])
    return rows, drawn


def match_accuracy(
    first: Float[Tensor, "rows dim"],
    second: Float[Tensor, "others dim"],
    first_labels: Int[Tensor, " rows"],
    second_labels: Int[Tensor, " others"],
    classes: Int[Tensor, " some"],
) -> float:
    """Share of the second kind's vectors whose best match of the first kind has their class, all among some classes.

    Example:
        >>> axes, labels = torch.eye(3), torch.arange(3)
        >>> match_accuracy(axes, axes.flip(0), labels, labels, torch.tensor([0, 1, 2]))
        0.3333333432674408
    """
    here, there = torch.isin(first_labels, classes), torch.isin(second_labels, classes)
    best = (second[there] @ first[here].T).argmax(dim=1)
    return float((first_labels[here][best] == second_labels[there]).float().mean())
