"""The screened Poisson equation −u″ + u = f on the unit interval, solved by finite differences under each boundary condition."""

import torch
from jaxtyping import Float
from torch import Tensor

from .grid_boundaries import Boundary


def screened_poisson_inverse(boundary: Boundary, points: int) -> Float[Tensor, "points points"]:
    """The map f ↦ u with −u″ + u = f on the unit interval, by second differences, as a matrix.

    The outermost points lie on the boundary; under periodic conditions the last one's right neighbour is the first.

    Args:
        boundary: homogeneous condition at both ends.
        points: of the grid.

    Example:
        >>> import torch
        >>> from replica.physics import screened_poisson_inverse
        >>> screened_poisson_inverse("neumann", 5).sum(1).round(decimals=9)  # the solution of f = 1 is u = 1
        tensor([1., 1., 1., 1., 1.], dtype=torch.float64)
    """
    spacing = 1 / (points if boundary == "periodic" else points - 1)
    second = 2 * torch.eye(points, dtype=torch.float64)
    second -= torch.diag(torch.ones(points - 1, dtype=torch.float64), 1)
    second -= torch.diag(torch.ones(points - 1, dtype=torch.float64), -1)
    if boundary == "periodic":
        second[0, -1] = second[-1, 0] = -1
    if boundary == "neumann":  # the point beyond the end mirrors the one before it
        second[0, 1] = second[-1, -2] = -2
    system = second / spacing**2 + torch.eye(points, dtype=torch.float64)
    if boundary == "dirichlet":
        inverse = torch.zeros_like(system)
        inverse[1:-1, 1:-1] = torch.linalg.inv(system[1:-1, 1:-1])
        return inverse
    return torch.linalg.inv(system)
