"""Burgers' equation: from a velocity to the velocity a time later."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.random_fields import periodic_field
from replica.data.sets.solution_maps import SolutionMap, cached, check_request

VISCOSITY = 0.1
TIME = 1.0
STEPS = 400
_SMALLEST_GRID = 512
VERSION = 1
"""Raised when the solver changes, so that no map made by an earlier one is taken from the cache."""


def burgers(count: int = 300, resolution: int = 64, seed: int = 0) -> SolutionMap:
    """Give samples of u(·, 0) ↦ u(·, 1) with u_t + u u_x = 0.1 u_xx on the unit circle.

    u(·, 0) is a Gaussian random field with covariance 625 (−Δ + 25)^(−2) and zero mean: the data of Li et al. (2021,
    Section 5.1), solved by `solve_burgers`. Maps are kept in the user's cache.

    Args:
        count: Samples; the first ones are the same whatever ``count`` is.
        resolution: Nodes j / resolution for j = 0, …, resolution − 1.
        seed: Another seed, other samples.

    Returns:
        Inputs and outputs of shape ``(count, 1, resolution)``.

    Raises:
        ValueError: If ``count`` is below 1 or ``resolution`` below 4.
    """
    check_request("burgers", count, resolution)

    def make() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        finer = -(-_SMALLEST_GRID // resolution)
        start = periodic_field(count, finer * resolution, seed=seed)
        end = solve_burgers(start, viscosity=VISCOSITY, time=TIME, steps=STEPS)
        return start[:, ::finer], end[:, ::finer]

    settings = {
        "equation": "burgers", "version": VERSION, "count": count, "resolution": resolution, "seed": seed,
        "viscosity": VISCOSITY,
    }  # fmt: skip
    return cached(settings, "periodic", make)


def solve_burgers(start: NDArray[np.float64], *, viscosity: float, time: float, steps: int) -> NDArray[np.float64]:
    """Solve u_t + (u²/2)_x = ν u_xx on the unit circle, all samples ``(count, nodes)`` at once, from time 0 to an end.

    Fourier pseudo-spectral in space with the upper third of the modes removed from u² (Orszag's rule); in time the
    diffusion is integrated exactly (integrating factor e^(ν k² t)) and the rest by the classical Runge–Kutta method of
    fourth order.
    """
    nodes = start.shape[-1]
    wavenumbers = 2 * np.pi * np.fft.rfftfreq(nodes, 1 / nodes)
    step = time / steps
    half = np.exp(-viscosity * wavenumbers**2 * step / 2)
    flux = np.where(np.arange(len(wavenumbers)) <= nodes // 3, -0.5j * wavenumbers * step, 0)

    def change(modes: NDArray[np.complex128]) -> NDArray[np.complex128]:
        return np.asarray(flux * np.fft.rfft(np.fft.irfft(modes, nodes) ** 2))

    state = np.fft.rfft(start)
    for _ in range(steps):
        drifted = half * state
        first = change(state)
        second = change(drifted + half * first / 2)
        third = change(drifted + second / 2)
        fourth = change(half * (drifted + third))
        state = half**2 * (state + first / 6) + half * (second + third) / 3 + fourth / 6
    return np.asarray(np.fft.irfft(state, nodes))
