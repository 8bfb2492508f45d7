"""Random projections from a few numbers to many: dense, sparse, and structured by Hadamard transforms."""

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Projection = Literal["dense", "sparse", "fastfood"]


def hadamard_transform(values: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch size"]:
    """The Walsh-Hadamard transform H x over the last axis, H_ij = ±1 in Sylvester's order, in size · log₂ size additions.

    Raises:
        ValueError: if the size is no power of 2.

    Example:
        >>> import torch
        >>> from replica.landscapes import hadamard_transform
        >>> hadamard_transform(torch.tensor([1.0, 0.0, 2.0, 0.0])).tolist()
        [3.0, 3.0, -1.0, -1.0]
    """
    size = values.shape[-1]
    if size < 1 or size & (size - 1):
        raise ValueError(f"values: got a last axis of {size}, want a power of 2")
    half = 1
    while half < size:
        pairs = values.unflatten(-1, (-1, 2, half))
        values = torch.stack([pairs[..., 0, :] + pairs[..., 1, :], pairs[..., 0, :] - pairs[..., 1, :]], -2).flatten(-3)
        half *= 2
    return values


class DenseProjection(nn.Module):
    """P ϑ with a matrix of Gaussian directions, each column of length 1: size · dim numbers (Li and others 2018, Sec. 2).

    Args:
        dim: d, what comes in.
        size: D, what comes out.
        generator: of the directions.

    Raises:
        ValueError: if `dim` or `size` is below 1.
    """

    matrix: Tensor

    def __init__(self, dim: int, size: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        _check(dim, size)
        matrix = torch.randn(size, dim, generator=generator, device=None if generator is None else generator.device)
        self.register_buffer("matrix", matrix / matrix.norm(dim=0))

    def forward(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch size"]:
        """The projected numbers."""
        return coordinates @ self.matrix.T


class SparseProjection(nn.Module):
    """P ϑ with a sparse matrix: √size numbers of either sign a column, at random places (after Li, Hastie, Church 2006).

    Columns have length 1; √size · dim numbers are kept. The authors' columns have √size numbers on average.

    Args:
        dim: d, what comes in.
        size: D, what comes out.
        generator: of places and signs.

    Raises:
        ValueError: if `dim` or `size` is below 1.
    """

    places: Tensor
    values: Tensor

    def __init__(self, dim: int, size: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        _check(dim, size)
        device = None if generator is None else generator.device
        self.dim, self.size = dim, size
        count = max(1, round(math.sqrt(size)))
        rows = torch.cat([torch.randperm(size, generator=generator, device=device)[:count] for _ in range(dim)])
        columns = torch.arange(dim, device=device).repeat_interleave(count)
        signs = 2.0 * torch.randint(2, (len(rows),), generator=generator, device=device) - 1
        self.register_buffer("places", torch.stack([rows, columns]))
        self.register_buffer("values", signs / math.sqrt(count))

    def forward(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch size"]:
        """The projected numbers."""
        parts = coordinates[..., self.places[1]] * self.values.to(coordinates.dtype)
        out = parts.new_zeros(*coordinates.shape[:-1], self.size)
        return out.index_add(-1, self.places[0], parts)


class FastfoodProjection(nn.Module):
    """P ϑ with P = S H G Π H B a block: D log D operations and O(D) numbers (Le, Sarlos, Smola 2013).

    B are random signs, Π a permutation, G Gaussian numbers, H the Walsh-Hadamard transform; ϑ is padded to a power of 2, and as
    many blocks as it takes stand above each other, cut to the size. Scaled so that columns have length 1 on average.

    Args:
        dim: d, what comes in.
        size: D, what comes out.
        generator: of all that is drawn.

    Raises:
        ValueError: if `dim` or `size` is below 1.

    Example:
        >>> import torch
        >>> from replica.landscapes import FastfoodProjection
        >>> projection = FastfoodProjection(5, 1000, generator=torch.Generator().manual_seed(0))
        >>> projection(torch.eye(5)).norm(dim=1).round().tolist(), sum(buffer.numel() for buffer in projection.buffers())
        ([1.0, 1.0, 1.0, 1.0, 1.0], 3000)
    """

    signs: Tensor
    gauss: Tensor
    order: Tensor

    def __init__(self, dim: int, size: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        _check(dim, size)
        device = None if generator is None else generator.device
        self.dim, self.size = dim, size
        self.padded = 1 << (dim - 1).bit_length()
        blocks = -(-size // self.padded)
        shape = blocks, self.padded
        self.register_buffer("signs", 2.0 * torch.randint(2, shape, generator=generator, device=device) - 1)
        self.register_buffer("gauss", torch.randn(shape, generator=generator, device=device))
        self.register_buffer("order", torch.rand(shape, generator=generator, device=device).argsort(-1))

    def forward(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch size"]:
        """The projected numbers."""
        padded = nn.functional.pad(coordinates, (0, self.padded - self.dim))[..., None, :]
        mixed = hadamard_transform(padded * self.signs)
        mixed = mixed.gather(-1, self.order.expand(mixed.shape)) * self.gauss
        spread = hadamard_transform(mixed).flatten(-2)[..., : self.size]
        # A row of H G Π H B has Σ_j ± g_j: variance padded; its square sums to size · padded a column.
        return spread / math.sqrt(self.padded * self.size)


def random_projection(
    kind: Projection, dim: int, size: int, *, generator: torch.Generator | None = None
) -> DenseProjection | SparseProjection | FastfoodProjection:
    """A projection by name: ``"dense"``, ``"sparse"`` or ``"fastfood"``.

    Raises:
        ValueError: for another name.
    """
    kinds: dict[str, Any] = {"dense": DenseProjection, "sparse": SparseProjection, "fastfood": FastfoodProjection}
    if kind not in kinds:
        raise ValueError(f"projection: got {kind!r}, want one of {sorted(kinds)}")
    return kinds[kind](dim, size, generator=generator)


def _check(dim: int, size: int) -> None:
    if dim < 1 or size < 1:
        raise ValueError(f"dim, size: got {dim} and {size}, want 1 or more")
