"""How far two samples are from each other: by their projections, energies, neighbours, and by what was copied."""

import torch
from jaxtyping import Float
from torch import Tensor


def sliced_wasserstein(
    first: Float[Tensor, "count *shape"],
    second: Float[Tensor, "others *shape"],
    *,
    directions: int = 200,
    power: float = 2.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """(Mean over random directions of Wasserstein distances between projections, to a power)^(1/power).

    Both samples are projected by one product and sorted; of unequal counts, quantiles are compared where either steps.

    Args:
        first: a sample.
        second: another, of rows of the same shape.
        directions: how many, uniform on the sphere.
        power: p of the distance, 1 or more.
        generator: source of directions.

    Raises:
        ValueError: if rows differ in shape, a sample is empty, or a number is out of range.

    Source: Bonneel et al. 2015, eq. 10.

    Example:
        >>> import torch
        >>> from replica.training import sliced_wasserstein
        >>> points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
        >>> moved = points + torch.tensor([2.0, 0.0])  # 2 |cos| along each direction
        >>> sliced_wasserstein(points, moved, generator=torch.Generator().manual_seed(1)).round(decimals=1)
        tensor(1.4000)
    """
    first, second = _rows(first, second)
    if directions < 1 or not power >= 1:
        raise ValueError(f"directions, power: got {directions} and {power}, want 1 or more of both")
    lines = torch.randn(first.shape[1], directions, generator=generator, device=first.device, dtype=first.dtype)
    lines = lines / lines.norm(dim=0)
    # Directions in front: sorting runs along memory.
    ours, theirs = (torch.sort(lines.T @ rows.T, dim=1).values for rows in (first, second))
    if len(first) == len(second):
        return (ours - theirs).abs().pow(power).mean() ** (1 / power)
    steps = torch.cat([torch.arange(1, count + 1, dtype=torch.float64) / count for count in (len(first), len(second))])
    ends = steps.sort().values.to(first.device)
    widths = ends.diff(prepend=ends.new_zeros(1))
    places = [((ends - widths / 2) * count).long().clamp_max(count - 1) for count in (len(first), len(second))]
    gaps = (ours[:, places[0]] - theirs[:, places[1]]).abs().pow(power)
    return (gaps @ widths.to(gaps)).mean() ** (1 / power)


def energy_distance(first: Float[Tensor, "count *shape"], second: Float[Tensor, "others *shape"]) -> Float[Tensor, ""]:
    """2E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖, unbiased: 0 on average for samples of one law, and perhaps below.

    Raises:
        ValueError: if rows differ in shape, or a sample has fewer than two.

    Source: Székely, Rizzo 2013, eq. 6.1, with pairs of different rows alone.

    Example:
        >>> import torch
        >>> from replica.training import energy_distance
        >>> energy_distance(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]]))
        tensor(2.)
    """
    first, second = _rows(first, second, least=2)
    count, others = len(first), len(second)
    within = _pair_sum(first, first) / (count * (count - 1)) + _pair_sum(second, second) / (others * (others - 1))
    return 2 * _pair_sum(first, second) / (count * others) - within


def neighbour_test(first: Float[Tensor, "count *shape"], second: Float[Tensor, "others *shape"]) -> float:
    """Accuracy of guessing each row's sample from its nearest other row: 0.5 for samples of one law, 1 where they part.

    Below 0.5 rows stand nearer to the other sample than to their own, as copies do. Both samples are cut to one size.

    Raises:
        ValueError: if rows differ in shape, or a sample has fewer than two.

    Source: Lopez-Paz, Oquab 2017, Sec. 3, with one neighbour, left out by turns.

    Example:
        >>> import torch
        >>> from replica.training import neighbour_test
        >>> points = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> neighbour_test(points[:200], points[200:] + 9), neighbour_test(points, points + 1e-3)
        (1.0, 0.0)
    """
    first, second = _rows(first, second, least=2)
    count = min(len(first), len(second))
    ours = _nearest(first[:count], first[:count], 2)[:, 1], _nearest(first[:count], second[:count], 1)[:, 0]
    theirs = _nearest(second[:count], second[:count], 2)[:, 1], _nearest(second[:count], first[:count], 1)[:, 0]
    return float(torch.cat([own < other for own, other in (ours, theirs)]).double().mean())


def precision_and_recall(
    samples: Float[Tensor, "count *shape"], data: Float[Tensor, "others *shape"], *, neighbours: int = 5
) -> tuple[float, float]:
    """Shares of samples within the data's neighbourhoods, and of data within the samples'.

    A sample is inside where some row of the data is as near as that row's k-th nearest fellow.

    Raises:
        ValueError: if rows differ in shape, or a sample has not more rows than neighbours.

    Source: Kynkäänniemi et al. 2019, eqs. 1 and 2.

    Example:
        >>> import torch
        >>> from replica.training import precision_and_recall
        >>> data = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> precision_and_recall(data[:50] * 0.01, data)  # all of one kind: inside, and little of the data is
        (1.0, 0.0)
    """
    samples, data = _rows(samples, data, least=neighbours + 1)
    shares = []
    for points, around in ((samples, data), (data, samples)):
        radii = _nearest(around, around, neighbours + 1)[:, -1]
        inside = [(torch.cdist(rows, around) <= radii).any(1) for rows in points.split(1024)]
        shares.append(float(torch.cat(inside).double().mean()))
    return shares[0], shares[1]


def novelty(
    samples: Float[Tensor, "count *shape"],
    training: Float[Tensor, "rows *shape"],
    held_out: Float[Tensor, "others *shape"],
) -> float:
    """Median distance of samples to the nearest training row, over that of held-out data: near 0 for copies, 1 as for new data.

    Raises:
        ValueError: if rows differ in shape, or held-out data are all in the training set.

    Example:
        >>> import torch
        >>> from replica.training import novelty
        >>> data = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
        >>> novelty(data[:100], data[:200], data[200:])
        0.0
    """
    samples, training = _rows(samples, training)
    held_out, _ = _rows(held_out, training)
    floor = float(_nearest(held_out, training, 1).median())
    if not floor > 0:
        raise ValueError("held_out: got rows that are all training rows too, want new ones")
    return float(_nearest(samples, training, 1).median()) / floor


def _rows(first: Tensor, second: Tensor, least: int = 1) -> tuple[Tensor, Tensor]:
    if first.shape[1:] != second.shape[1:] or min(len(first), len(second)) < least:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"samples: got shapes {shapes}, want rows of one shape, {least} or more of each")
    return first.flatten(1), second.flatten(1)


def _pair_sum(first: Tensor, second: Tensor) -> Tensor:
    rows = max(1, 2**24 // len(second))
    parts = [_distances(first[start : start + rows], second).sum() for start in range(0, len(first), rows)]
    return torch.stack(parts).sum()


def _nearest(points: Tensor, others: Tensor, count: int) -> Tensor:
    """Distances of each point to its nearest others, rising."""
    rows = max(1, 2**24 // len(others))
    found = [
        _distances(points[start : start + rows], others).topk(count, dim=1, largest=False).values
        for start in range(0, len(points), rows)
    ]
    return torch.cat(found)


def _distances(first: Tensor, second: Tensor) -> Tensor:
    # Exact differences where products would lose the digits that copies are told by.
    mode = "donot_use_mm_for_euclid_dist" if first.shape[1] <= 32 else "use_mm_for_euclid_dist_if_necessary"
    distances: Tensor = torch.cdist(first, second, compute_mode=mode)
    return distances
