"""The Helmholtz equation: from a wave speed to the wave that one side excites."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from replica.data.sets.random_fields import cosine_field
from replica.data.sets.solution_maps import SolutionMap, cached, check_request, shown_after_a_while

FREQUENCY = 1000.0
"""ω; with c near 20 the unit square is about eight wavelengths wide."""
EXCITED = (0.35, 0.65)
"""Where on the top side the wave is excited."""
_TERMS = 4096
VERSION = 1
"""Raised when the solver changes, so that no map made by an earlier one is taken from the cache."""


def helmholtz(count: int = 300, resolution: int = 64, seed: int = 0) -> SolutionMap:
    """Give samples of c ↦ u with (−Δ − ω²/c²) u = 0 on the unit square, excited at its top side.

    ∂u/∂n is 1 for 0.35 ≤ x ≤ 0.65 on the top side y = 1 and 0 elsewhere on the boundary; ω = 10³; c = 20 + tanh(g) with a
    Gaussian random field g of covariance (−Δ + 9)^(−2) under zero Neumann conditions: the data of de Hoop, Huang, Qian and
    Stuart (2022), who solve it with bilinear finite elements on 100 × 100 squares and cut g off after 100 modes. Here it
    is solved by `solve_helmholtz`. Maps are kept in the user's cache.

    Args:
        count: Samples; the first ones are the same whatever ``count`` is.
        resolution: Intervals a side: the grid has ``resolution + 1`` nodes a side, the boundary's included.
        seed: Another seed, other samples.

    Returns:
        Inputs c and outputs u of shape ``(count, 1, resolution + 1, resolution + 1)``; axes x, y.

    Raises:
        ValueError: If ``count`` is below 1 or ``resolution`` below 32 (four nodes a wavelength).
    """
    check_request("helmholtz", count, resolution, smallest=32)

    def make() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        speeds = 20 + np.tanh(cosine_field(count, resolution, seed=seed))
        uniform = uniform_wave(FREQUENCY / 20, EXCITED, resolution)
        title = f"Solving {count:,} Helmholtz equations (kept for the next time)"
        waves = [_wave(FREQUENCY / c, uniform) for c in shown_after_a_while(speeds, count, title)]
        return speeds, np.stack(waves)

    settings = {
        "equation": "helmholtz", "version": VERSION, "count": count, "resolution": resolution, "seed": seed,
        "frequency": FREQUENCY,
    }  # fmt: skip
    return cached(settings, "neumann", make)


def _wave(wavenumber: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    # u = u₀ + w with the known wave u₀ of c = 20 takes the jumps of the excitation out of what is solved on the grid.
    return uniform + solve_helmholtz(wavenumber, (wavenumber**2 - (FREQUENCY / 20) ** 2) * uniform)


def solve_helmholtz(wavenumber: NDArray[np.float64], source: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve −Δu − k²u = f on the unit square with ∂u/∂n = 0 on its boundary; all at nodes ``(n + 1, n + 1)``.

    Bilinear elements whose integrals are taken at the points ±√(2/3) of each element: the mass matrix M of an axis is then
    h (1, 10, 1)/12, Numerov's, and with the stiffness matrix K a wave of wavenumbers (κ_x, κ_y) meets the symbol
    κ_x² + κ_y² − h⁴ (κ_x⁶ + κ_y⁶)/240 + O(h⁶). Waves of the equation have κ_x² + κ_y² = k², so that the error is
    h⁴ (k⁶ − 3 k² κ_x² κ_y²)/240 and can be taken off with the same stencil of nine nodes: a smaller k² and a multiple of
    K ⊗ K. Waves then travel with an error of sixth order; the response to a source is of fourth order, where k and f
    have no slope across the sides.
    """
    n = len(wavenumber) - 1
    h = 1 / n
    ends = np.ones(n + 1)
    ends[[0, -1]] = 0.5  # half an element at either end
    beside = np.ones(n)
    stiffness = scipy.sparse.diags_array([2 * ends, -beside, -beside], offsets=[0, 1, -1], format="csr") / h
    mass = scipy.sparse.diags_array([10 * ends, beside, beside], offsets=[0, 1, -1], format="csr") * (h / 12)
    masses = scipy.sparse.kron(mass, mass, format="csc")
    squared = wavenumber.ravel() ** 2
    matrix = (
        scipy.sparse.kron(stiffness, mass)
        + scipy.sparse.kron(mass, stiffness)
        - scipy.sparse.kron(stiffness, stiffness) * (h**4 * squared.mean() / 80)
        - masses @ scipy.sparse.diags_array(squared - h**4 * squared**3 / 240)
    )
    factors = scipy.sparse.linalg.splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A")
    return np.asarray(factors.solve(masses @ source.ravel())).reshape(wavenumber.shape)


def uniform_wave(wavenumber: float, excited: tuple[float, float], intervals: int) -> NDArray[np.float64]:
    """Give the solution for one wavenumber k everywhere: −Δu − k²u = 0, ∂u/∂n = 1 on a part of the top side, else 0.

    u = Σ_m g_m cos(πmx) cosh(μ_m y) / (μ_m sinh μ_m) with μ_m² = π²m² − k² and the cosine coefficients g_m of the excitation.
    """
    nodes = np.linspace(0, 1, intervals + 1)
    angles = np.pi * np.arange(_TERMS)
    start, stop = excited
    weights = np.full(_TERMS, stop - start)
    weights[1:] = 2 * (np.sin(angles[1:] * stop) - np.sin(angles[1:] * start)) / angles[1:]
    rates = np.emath.sqrt(angles**2 - wavenumber**2).astype(complex)
    # cosh and sinh over e^μ, which does not overflow.
    rise = np.exp(rates[:, None] * (nodes - 1)) + np.exp(-rates[:, None] * (nodes + 1))
    profiles = (rise / (rates * (1 - np.exp(-2 * rates)))[:, None]).real
    return np.asarray(np.cos(nodes[:, None] * angles) @ (weights[:, None] * profiles))
