"""Top eigenvalues of a symmetric matrix known by its products, or of many such matrices at once."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_CHECK_EVERY = 4


class Eigenpairs(NamedTuple):
    """The largest eigenvalues of symmetric matrices, and how well they are known.

    Attributes:
        values: ``(*matrices, count)``, from the largest down; NaN where a product was not finite.
        vectors: ``(*matrices, count, size)``, of norm 1.
        residuals: ``(*matrices, count)``, ‖H v − θ v‖: an eigenvalue lies this near to each value.
        converged: ``(*matrices,)``, whether all residuals met the tolerance.
        products: products that were taken with each matrix.
    """

    values: Float[Tensor, "*matrices count"]
    vectors: Float[Tensor, "*matrices count size"]
    residuals: Float[Tensor, "*matrices count"]
    converged: Bool[Tensor, "*matrices"]
    products: int


def top_eigenvalues(
    product: Callable[[Tensor], Tensor],
    start: Float[Tensor, "*matrices size"],
    count: int = 1,
    *,
    tolerance: float = 1e-3,
    most: int = 100,
) -> Eigenpairs:
    """The algebraically largest eigenvalues, by Lanczos's method with full reorthogonalisation.

    A vector is made orthogonal to all before it twice (Giraud, Langou, Rozložník 2005), so that no false copies of an
    eigenvalue appear. A start that lacks an eigenvector cannot find it, and of a multiple eigenvalue one copy is found as a
    rule: draw the start at random. ``min(size, most)`` vectors are held.

    Args:
        product: ``product(v)`` is H v for ``v`` of the start's shape; matrices are independent of each other.
        start: where the search starts, not 0.
        count: how many eigenvalues.
        tolerance: largest residual as a share of |θ|. The error of a value that stands alone is near its square.
        most: products after which it stops, converged or not.

    Raises:
        ValueError: if a number is out of range or the start is 0.

    Source: Lanczos 1950; Golub and Van Loan, Matrix Computations, Section 10.3.

    Example:
        >>> import torch
        >>> from replica.training import top_eigenvalues
        >>> spectrum = torch.tensor([5.0, 2.0, 1.0])
        >>> found = top_eigenvalues(lambda v: spectrum * v, torch.ones(3), 2)
        >>> found.values.round(decimals=4), bool(found.converged)
        (tensor([5., 2.]), True)
    """
    size = start.shape[-1]
    if not 1 <= count <= size:
        raise ValueError(f"count: got {count}, want 1 to {size}, the matrix's size")
    if tolerance < 0:
        raise ValueError(f"tolerance: got {tolerance}, want 0 or more")
    if most < count:
        raise ValueError(f"most: got {most}, want at least the {count} eigenvalues that are asked for")
    if not bool((start != 0).any(-1).all()):
        raise ValueError("start: got a vector of zeros, want another")
    most = min(size, most)
    lead = start.shape[:-1]
    basis = start.new_empty(*lead, most, size)
    # The small matrix is solved in double precision on the CPU, whatever the vectors are.
    small = torch.zeros(*lead, most, most, dtype=torch.float64)
    lost = torch.zeros(lead, dtype=torch.bool, device=start.device)
    vector = start / start.norm(dim=-1, keepdim=True)
    diagonals: list[Tensor] = []
    norms: list[Tensor] = []
    for step in range(most):
        basis[..., step, :] = vector
        image = product(vector)
        lost |= ~image.isfinite().all(-1)
        image, along = _orthogonal(image.where(~lost[..., None], 0.0), basis[..., : step + 1, :])
        norm = image.norm(dim=-1)
        diagonals.append(along[..., -1])
        norms.append(norm)
        done = step + 1
        if done == most or (done >= count and done % _CHECK_EVERY == 0):
            _fill(small, diagonals, norms)
            values, mixing = torch.linalg.eigh(small[..., :done, :done])
            values, mixing = values[..., -count:].flip(-1), mixing[..., -count:].flip(-1)
            last = norm.cpu().double()[..., None]
            # Of all eigenvalues of a whole space nothing is left over.
            residuals = last * mixing[..., -1, :].abs() if done < size else torch.zeros_like(values)
            scale = small[..., :done, :done].abs().amax((-2, -1))[..., None]
            floor = 16 * torch.finfo(start.dtype).eps * scale
            converged = (residuals <= torch.maximum(tolerance * values.abs(), floor)).all(-1)
            if done == most or bool((converged | lost.cpu()).all()):
                break
        # Where the space is invariant the search goes on outside it, in waves that no sensible basis has; norm 0 parts the two.
        ended = norm <= 16 * torch.finfo(start.dtype).eps * torch.stack(diagonals).abs().amax(0)
        if bool(ended.any()):
            waves = torch.cos(math.sqrt(2) * done * torch.arange(1, size + 1, device=start.device)).to(start)
            other, _ = _orthogonal(waves.expand_as(start), basis[..., :done, :])
            image = torch.where(ended[..., None], other, image)
            norms[-1] = norm.masked_fill(ended, 0.0)
            norm = image.norm(dim=-1)
        vector = image / norm[..., None]
    vectors = mixing.to(start).mT @ basis[..., :done, :]
    absent = lost[..., None]
    return Eigenpairs(
        values.to(start).where(~absent, torch.nan),
        vectors.where(~absent[..., None], torch.nan),
        residuals.to(start).where(~absent, torch.nan),
        converged.to(start.device) & ~lost,
        done,
    )


def _orthogonal(vector: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """The part of a vector outside the basis, and its coefficients inside."""
    total = torch.zeros_like(basis[..., 0])
    for _ in range(2):
        along = (basis @ vector[..., None])[..., 0]
        vector = vector - (along[..., None, :] @ basis)[..., 0, :]
        total = total + along
    return vector, total


def _fill(small: Tensor, diagonals: list[Tensor], norms: list[Tensor]) -> None:
    count = len(diagonals)
    small.diagonal(dim1=-2, dim2=-1)[..., :count] = torch.stack(diagonals, -1).cpu().double()
    beside = torch.stack(norms, -1).cpu().double()[..., : count - 1]
    small.diagonal(1, -2, -1)[..., : count - 1] = beside
    small.diagonal(-1, -2, -1)[..., : count - 1] = beside
