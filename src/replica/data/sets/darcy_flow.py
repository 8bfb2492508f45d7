"""Darcy flow: from a permeability to the pressure."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from replica.data.sets.random_fields import cosine_field
from replica.data.sets.solution_maps import SolutionMap, cached, check_request, shown_after_a_while

Coefficient = Literal["smooth", "two-phase"]
VERSION = 1
"""Raised when the solver changes, so that no map made by an earlier one is taken from the cache."""


def darcy(coefficient: Coefficient = "two-phase", count: int = 300, resolution: int = 64, seed: int = 0) -> SolutionMap:
    """Give samples of a ↦ u with −∇·(a ∇u) = 1 on the unit square and u = 0 on its boundary.

    The permeability a comes from a Gaussian random field g with covariance (−Δ + 9)^(−2) under zero Neumann conditions:
    ``"two-phase"`` is 12 where g ≥ 0 and 3 elsewhere, ``"smooth"`` is exp(3g). The first is the data of Li et al. (2021,
    Section 5.2); solved anew here by `solve_darcy`. Maps are kept in the user's cache.

    Args:
        coefficient: Which permeability.
        count: Samples; the first ones are the same whatever ``count`` is.
        resolution: Intervals a side: the grid has ``resolution + 1`` nodes a side, the boundary's included.
        seed: Another seed, other samples.

    Returns:
        Inputs a and outputs u of shape ``(count, 1, resolution + 1, resolution + 1)``; axes x, y.

    Raises:
        ValueError: If ``coefficient`` is unknown, ``count`` below 1 or ``resolution`` below 4.
    """
    if coefficient not in get_args(Coefficient):
        raise ValueError(
            f"darcy: coefficient is {coefficient!r}; want {' or '.join(map(repr, get_args(Coefficient)))}."
        )
    check_request("darcy", count, resolution)

    def make() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        fields = cosine_field(count, resolution, seed=seed)
        permeabilities = np.exp(3 * fields) if coefficient == "smooth" else np.where(fields >= 0, 12.0, 3.0)
        source = np.ones(permeabilities.shape[1:])
        title = f"Solving {count:,} Darcy flows (kept for the next time)"
        pressures = [solve_darcy(a, source) for a in shown_after_a_while(permeabilities, count, title)]
        return permeabilities, np.stack(pressures)

    settings = {
        "equation": "darcy", "version": VERSION, "coefficient": coefficient, "count": count,
        "resolution": resolution, "seed": seed,
    }  # fmt: skip
    return cached(settings, "dirichlet", make)


def solve_darcy(permeability: NDArray[np.float64], source: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve −∇·(a ∇u) = f on the unit square with u = 0 on the boundary, by finite volumes; all at nodes ``(n + 1, n + 1)``.

    The flux between neighbouring nodes is ā (u_i − u_j) / h with the harmonic mean ā = 2 a_i a_j / (a_i + a_j), which is
    exact in one dimension for a permeability that jumps halfway. Second order where a is smooth.
    """
    a = permeability
    n = len(a) - 1
    along_x = 2 * a[:-1, 1:-1] * a[1:, 1:-1] / (a[:-1, 1:-1] + a[1:, 1:-1])  # (n, n - 1): faces between rows
    along_y = 2 * a[1:-1, :-1] * a[1:-1, 1:] / (a[1:-1, :-1] + a[1:-1, 1:])  # (n - 1, n)
    diagonal = (along_x[:-1] + along_x[1:] + along_y[:, :-1] + along_y[:, 1:]).ravel()
    beside = np.zeros((n - 1, n - 1))
    beside[:, :-1] = -along_y[:, 1:-1]  # the last node of a row has no neighbour in the next row
    below = -along_x[1:-1].ravel()
    matrix = scipy.sparse.diags_array(
        [diagonal, beside.ravel()[:-1], beside.ravel()[:-1], below, below],
        offsets=[0, 1, -1, n - 1, 1 - n],
        format="csc",
    )
    factors = scipy.sparse.linalg.splu(
        matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    solution = np.zeros_like(a, dtype=np.float64)
    solution[1:-1, 1:-1] = factors.solve(source[1:-1, 1:-1].ravel() / n**2).reshape(n - 1, n - 1)
    return solution
