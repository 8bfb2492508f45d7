"""Starting weights of low rank: cut from a random matrix, or aligned with a task; and how many directions a matrix has.

Liu, Baratin, Cornford, Mihalas, Shea-Brown, Lajoie 2024, "How connectivity structure shapes rich and lazy learning in neural
circuits". All have one Frobenius norm, so that rank is compared and not size.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def effective_rank(weight: Float[Tensor, "... rows columns"]) -> Float[Tensor, "..."]:
    """Participation ratio of squared singular values, (Σ σ²)² / Σ σ⁴: from 1 to the rank, that where all are equal.

    Raises:
        ValueError: if it is no matrix, or a matrix is 0.

    Example:
        >>> import torch
        >>> from replica.landscapes import effective_rank
        >>> effective_rank(torch.diag(torch.tensor([2.0, 2.0, 0.0])))
        tensor(2.)
    """
    if weight.dim() < 2:
        raise ValueError(f"weight: got shape {tuple(weight.shape)}, want (..., rows, columns)")
    if bool((weight == 0).all(-1).all(-1).any()):
        raise ValueError("weight: got a matrix of zeros, want one that is not 0")
    weight = weight / weight.abs().amax((-2, -1), keepdim=True)
    gram = weight @ weight.mT if weight.shape[-2] <= weight.shape[-1] else weight.mT @ weight
    return weight.square().sum((-2, -1)).square() / gram.square().sum((-2, -1))


@torch.no_grad()
def low_rank_initialization_(
    weight: Float[Tensor, "rows columns"],
    rank: int,
    *,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fills a matrix with normal numbers of deviation gain / √columns, cut to a rank and rescaled to the norm they had.

    The largest `rank` singular values and their vectors are kept. A generator in the same state gives the same matrix for
    all ranks but for the cut.

    Args:
        weight: filled in place, as by the functions of ``torch.nn.init``.
        rank: from 1 to the smaller side, where nothing is cut.
        gain: g; the authors' recurrent weights have 1.25.
        generator: source of the numbers.

    Raises:
        ValueError: if it is no matrix, the rank is out of range, or the gain is not above 0.

    Source: the authors' code, main.py: ``W0new``.

    Example:
        >>> import torch
        >>> from replica.landscapes import low_rank_initialization_
        >>> weight = low_rank_initialization_(torch.empty(30, 30), 2, generator=torch.Generator().manual_seed(0))
        >>> int(torch.linalg.matrix_rank(weight))
        2
    """
    if weight.dim() != 2 or not weight.numel():
        raise ValueError(f"weight: got shape {tuple(weight.shape)}, want (rows, columns)")
    if not 1 <= rank <= min(weight.shape):
        raise ValueError(f"rank: got {rank}, want 1 to {min(weight.shape)}")
    if not (math.isfinite(gain) and gain > 0):
        raise ValueError(f"gain: got {gain}, want a number above 0")
    weight.normal_(0.0, gain / math.sqrt(weight.shape[1]), generator=generator)
    if rank == min(weight.shape):
        return weight
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    kept = values[:rank] * (values.norm() / values[:rank].norm())
    return weight.copy_((left[:, :rank] * kept) @ right[:rank])


def aligned_low_rank(
    target: Float[Tensor, "... inputs"],
    rank: int,
    units: int,
    *,
    covariance: Float[Tensor, "inputs inputs"] | None = None,
    norm: float = 1.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "... units inputs"]:
    """The first layer of a given rank whose tangent kernel is nearest to the one that learning a linear task will end at.

    A two-layer linear network that learns β·x from small weights ends at a kernel xᵀ(ββᵀ/‖β‖² + 1)x′ (see
    `small_weight_alignment`). On inputs of covariance Σ its best approximation of rank r has the r leading eigenvectors of
    N = Σ^½ (ββᵀ/‖β‖² + 1) Σ^½ (Eckart and Young 1936), which is WᵀW in those coordinates for W = U Λ_r^½ V_rᵀ Σ^−½, with any
    orthonormal U: drawn at random here. At full rank nothing but the kernel's scale is left to learn. For white inputs and
    rank 1 it is u βᵀ/‖β‖.

    Args:
        target: β, the linear map that is to be learned, or several of them.
        rank: r, from 1 to the smaller of units and inputs.
        units: of the layer.
        covariance: Σ of the inputs, positive definite. Default 1.
        norm: Frobenius norm of the layer.
        generator: draws U, on the target's device.

    Raises:
        ValueError: if a target is 0, or another argument is out of range.

    Source: the idea of the paper's Proposition 1; the form is derived here.

    Example:
        >>> import torch
        >>> from replica.landscapes import aligned_low_rank
        >>> first = aligned_low_rank(torch.tensor([0.0, 2.0, 0.0]), 1, 5, generator=torch.Generator().manual_seed(0))
        >>> (first.norm(dim=0) + 0.0).round(decimals=4)
        tensor([0., 1., 0.])
    """
    inputs = target.shape[-1]
    if bool((target == 0).all(-1).any()):
        raise ValueError("target: got a map of zeros, want one that is not 0")
    if not 1 <= rank <= min(units, inputs):
        raise ValueError(f"rank: got {rank}, want 1 to {min(units, inputs)}")
    if not (math.isfinite(norm) and norm > 0):
        raise ValueError(f"norm: got {norm}, want a number above 0")
    eye = torch.eye(inputs, dtype=target.dtype, device=target.device)
    root = eye if covariance is None else matrix_root(covariance)
    direction = torch.nn.functional.normalize(target, dim=-1)
    goal = root @ (direction[..., :, None] * direction[..., None, :] + eye) @ root
    values, vectors = torch.linalg.eigh(goal)
    values, vectors = values[..., -rank:], vectors[..., -rank:]
    drawn = torch.randn(
        (*target.shape[:-1], units, rank), generator=generator, dtype=target.dtype, device=target.device
    )
    frame = torch.linalg.qr(drawn)[0]
    layer = (frame * values.sqrt()[..., None, :]) @ torch.linalg.solve(root, vectors).mT
    return norm * layer / layer.norm(dim=(-2, -1), keepdim=True)


def matrix_root(covariance: Float[Tensor, "inputs inputs"]) -> Float[Tensor, "inputs inputs"]:
    """The symmetric square root of a covariance.

    Raises:
        ValueError: if the matrix is not symmetric and positive definite.
    """
    square = covariance.dim() == 2 and covariance.shape[0] == covariance.shape[1]
    if square and torch.allclose(covariance, covariance.mT):
        values, vectors = torch.linalg.eigh(covariance)
        if bool(values[0] > 0):
            return (vectors * values.sqrt()) @ vectors.mT
    raise ValueError("covariance: got a matrix that is not symmetric and positive definite, want one that is")
