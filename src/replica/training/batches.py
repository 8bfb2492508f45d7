"""Minibatches of tensors, and splits of a data set."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Int
from torch import Tensor


class Minibatches:
    """Minibatches of aligned tensors: each pass over it is one epoch.

    Args:
        *tensors: tensors of one length, on one device.
        size: rows a batch; the last one of an epoch may be smaller.
        generator: shuffles each epoch anew. Without one the order is that of the data.

    Raises:
        ValueError: without tensors, with tensors of different lengths or none, or a size below 1.

    Example:
        >>> import torch
        >>> from replica.training import Minibatches
        >>> batches = Minibatches(torch.arange(5), size=2, generator=torch.Generator().manual_seed(0))
        >>> [len(rows) for (rows,) in batches]
        [2, 2, 1]
    """

    def __init__(self, *tensors: Tensor, size: int, generator: torch.Generator | None = None) -> None:
        lengths = sorted({len(tensor) for tensor in tensors})
        if len(lengths) != 1 or not lengths[0]:
            raise ValueError(f"tensors: got lengths {lengths}, want one length of 1 or more")
        if size < 1:
            raise ValueError(f"size: got {size}, want 1 or more")
        self.tensors = tensors
        self.size = size
        self.generator = generator

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.tensors[0]) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """One epoch."""
        count = len(self.tensors[0])
        if self.generator is None:
            for start in range(0, count, self.size):
                yield tuple(tensor[start : start + self.size] for tensor in self.tensors)
            return
        order = torch.randperm(count, generator=self.generator, device=self.generator.device)
        for rows in order.to(self.tensors[0].device).split(self.size):
            yield tuple(tensor[rows] for tensor in self.tensors)


def split_indices(
    count: int, fractions: Sequence[float], generator: torch.Generator
) -> tuple[Int[Tensor, " part"], ...]:
    """Splits 0 … count−1 at random into disjoint parts, such as train, validation and test.

    Args:
        count: number of rows.
        fractions: share of each part; they sum to 1 or less.
        generator: source of the order; the parts lie on its device.

    Raises:
        ValueError: if a fraction is not above 0, they sum to more than 1, or a part would be empty.

    Example:
        >>> import torch
        >>> from replica.training import split_indices
        >>> [len(part) for part in split_indices(10, (0.6, 0.2, 0.2), torch.Generator().manual_seed(0))]
        [6, 2, 2]
    """
    if not all(fraction > 0 for fraction in fractions) or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"fractions: got {tuple(fractions)}, want numbers above 0 that sum to 1 or less")
    order = torch.randperm(count, generator=generator, device=generator.device)
    ends = [round(count * sum(fractions[: part + 1])) for part in range(len(fractions))]
    parts = tuple(order[start:end] for start, end in zip([0, *ends], ends, strict=False))
    if not all(len(part) for part in parts):
        raise ValueError(f"fractions: got {tuple(fractions)} of {count} rows, want parts of 1 row or more")
    return parts
