"""How far a Jacobian is from symmetric, measured with random probes that never form it."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def homeostatic_loss(
    product: Callable[[Float[Tensor, "batch dim"]], Float[Tensor, "batch dim"]],
    probes: Float[Tensor, "batch dim"],
) -> Float[Tensor, ""]:
    """Asymmetry of Jacobians, estimated from products with random vectors (Laborieux and Zenke 2023, homeostatic loss).

    L = E_ε[‖Jε‖² − εᵀJ²ε] / n = ‖J − Jᵀ‖²_F / (2n) for ε of mean 0 and covariance 1: the antisymmetric part alone. Two
    products a probe, whatever the size of J; differentiable in whatever the products depend on. A multiple of the
    identity in J, such as a leak, cancels for every single probe.

    Args:
        product: ε ↦ Jε, one Jacobian a row; for a vector field f at x: ``lambda e: torch.func.jvp(f, (x,), (e,))[1]``.
        probes: ε, standard normal.

    Returns:
        The mean over rows, 0 for a symmetric Jacobian; with few probes it may be negative.

    Raises:
        ValueError: If the product changes the shape of the probes.

    Example:
        >>> rotation = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        >>> homeostatic_loss(lambda probe: probe @ rotation.T, torch.ones(1, 2))
        tensor(2.)
        >>> homeostatic_loss(lambda probe: probe @ torch.diag(torch.tensor([1.0, 5.0])), torch.ones(1, 2))
        tensor(0.)
    """
    once = product(probes)
    if once.shape != probes.shape:
        raise ValueError(f"product: gave shape {tuple(once.shape)}, want that of probes, {tuple(probes.shape)}")
    return (once.square() - probes * product(once)).sum(-1).mean() / probes.shape[-1]


def symmetry(jacobian: Float[Tensor, "*batch dim dim"]) -> Float[Tensor, " *batch"]:
    """Share of the symmetric part, ‖S‖ / (‖S‖ + ‖A‖) with J = S + A: 1 if symmetric, 0 if antisymmetric, ½ if random.

    Raises:
        ValueError: If the matrices are not square.

    Example:
        >>> symmetry(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        tensor(1.)
    """
    if jacobian.ndim < 2 or jacobian.shape[-1] != jacobian.shape[-2]:
        raise ValueError(f"jacobian: got shape {tuple(jacobian.shape)}, want square matrices")
    even = torch.linalg.matrix_norm(jacobian + jacobian.mT)
    odd = torch.linalg.matrix_norm(jacobian - jacobian.mT)
    return even / (even + odd)
