"""Where phases end under one step of replica symmetry breaking: the largest load of retrieval, the glass temperature."""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from .broken_free_energy import _violations
from .broken_replica_symmetry import _frozen_state, _newton
from .replica_symmetric import Couplings, grid_of, retrieval_limit


class RetrievalBranch(NamedTuple):
    """Retrieval states at T = 0 up to the largest load, the last entry.

    Attributes:
        load: α, ascending.
        magnetization: m.
        between: q₁, overlap of states in different valleys around the pattern.
        breaking_rate: y = βθ.
        residual: largest violation of the equations of state.
        converged: whether the search for the largest load ended by its tolerance, not because no further state was found.
    """

    load: Float[Tensor, " points"]
    magnetization: Float[Tensor, " points"]
    between: Float[Tensor, " points"]
    breaking_rate: Float[Tensor, " points"]
    residual: Float[Tensor, " points"]
    converged: bool


def one_step_retrieval_branch(order: int, *, start: float = 0.9, tolerance: float = 1e-7) -> RetrievalBranch:
    """Follow the one-step-broken retrieval state at T = 0 to its largest load, the storage capacity.

    A retrieval solution ends where its load, as a function of its magnetization, is largest. So m is prescribed, and
    load, q₁, C and y are solved for; m goes down until the load falls, and parabolas then find the maximum.

    Args:
        order: interaction order P ≥ 2.
        start: load to start from, in units of the replica-symmetric capacity; where no broken state is found there, as
            below about 0.8, where the breaking is too weak, the next hundredths are tried.
        tolerance: relative gain in load at which the branch has ended.

    Raises:
        ValueError: if `order` is below 2, or no broken state is found from `start` up to the capacity.

    Source: arXiv 2111.12997 (ground-state analysis of the capacity). For order 2 Crisanti, Amit and Gutfreund 1986
    report 0.144, Steffan and Kühn 1994 report 0.138186.

    Example:
        >>> round(float(one_step_retrieval_branch(2).load[-1]), 4)
        0.1382
    """
    limit = retrieval_limit(order, 0.0).reshape(1)
    zero = torch.zeros_like(limit)
    for share in [start, *np.arange(start + 0.01, 0.995, 0.01)]:
        load = share * limit
        state, there, _ = _frozen_state(order, load, "retrieval", "hebbian", 1e-11)
        if bool(there.all()):
            break
    else:
        raise ValueError(f"start is {start}; wanted a share of the capacity at which a broken retrieval state is found")
    points = [torch.stack([load, *state, zero])]

    def follow(m: Tensor) -> bool:
        """Solve at this m from the nearest point known, and keep the new point."""
        near = min(points, key=lambda point: float((point[1] - m).abs()))
        solved, left = _newton(order, near[0], zero, [m, *near[2:5]], (1, 2, 3, 4), "hebbian")
        if float(left) < 1e-8:
            points.append(torch.stack([solved[4], *solved[:4], left]))
        return float(left) < 1e-8

    step = (1 - state[0]) / 4
    while len(points) < 3 or float(points[-1][0]) > float(points[-2][0]):
        if not follow(points[-1][1] - step):
            step = step / 2
            if float(step) < 1e-6:
                break
    # The maximum of a parabola through the three highest points, until the load no longer gains.
    converged = False
    for _ in range(8):
        highest, move, curvature = _summit(points)
        if not (curvature < 0 and follow(highest[1] + move)):
            break
        converged = abs(float(points[-1][0]) / float(highest[0]) - 1) < tolerance
        if converged:
            break
    last = max(points, key=lambda point: float(point[0]))
    kept = sorted((point for point in points if float(point[1]) >= float(last[1])), key=lambda point: float(point[0]))
    branch = torch.cat(kept, 1)
    return RetrievalBranch(branch[0], branch[1], branch[2], branch[4], branch[5], converged)


def _summit(points: list[Tensor]) -> tuple[Tensor, float, float]:
    """The highest point, how far in m from it a parabola through the three highest has its summit, and its curvature."""
    top = sorted(points, key=lambda point: -float(point[0]))[:3]
    loads, ms = (np.array([float(point[k]) for point in top]) for k in (0, 1))
    curvature, slope, _ = np.polyfit(ms - ms[0], (loads - loads[0]) / loads[0], 2)
    return top[0], -slope / (2 * curvature), curvature


def glass_temperature(order: int, load: float = 1.0, *, couplings: Couplings = "hebbian") -> float:
    """Temperature below which a network without retrieval is a spin glass.

    Order 2: 1 + √α (Hebbian) or √α (Gaussian couplings), where q grows from 0. Above order 2 the glass comes in a jump
    of q₂ at θ = 1, where its free energy is the paramagnet's; the temperature is proportional to √α.

    Args:
        order: interaction order P ≥ 2.
        load: α > 0.
        couplings: "hebbian" or "gaussian"; the same above order 2.

    Raises:
        ValueError: if `order` is below 2 or `load` not above 0.

    Source: arXiv 2111.12997 (transition to the spin glass); Amit, Gutfreund and Sompolinsky 1987; Gardner 1985.

    Example:
        >>> round(glass_temperature(3, 0.75), 4)
        0.6514
    """
    grid_of(order, load, 0.0, "spin glass", couplings)
    if order == 2:
        return math.sqrt(load) + (1.0 if couplings == "hebbian" else 0.0)
    unit = order / (2 * math.factorial(order - 1))
    alpha = torch.full((1,), unit, dtype=torch.float64)
    zero, c = torch.zeros_like(alpha), torch.full_like(alpha, 0.2)

    def slope(temperature: float) -> float:
        nonlocal c
        t = torch.full_like(alpha, temperature)
        for _ in range(10_000):
            left = _violations(order, alpha, t, [zero, zero, c, 1 / t], couplings)
            if float(left[2].abs()) <= 1e-10:
                return float(left[3])
            c = c + left[2]
        raise ArithmeticError(f"order is {order}; the susceptibility of its glass was not found at T = {temperature}")

    # The random energy model (P → ∞) has 0.6006 in these units, and every finite order a little more.
    return float(brentq(slope, 0.6, 0.66, xtol=1e-8)) * math.sqrt(load / unit)
