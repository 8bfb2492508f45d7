"""States of a dense network with one step of replica symmetry breaking: where its free energy is stationary."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor

from .broken_free_energy import _violations, one_step_free_energy
from .replica_symmetric import Couplings, Phase, grid_of, replica_symmetric


class OneStepBroken(NamedTuple):
    """A one-step-broken state, one entry a point of the grid; energies are per neuron.

    Attributes:
        magnetization: m, overlap with the retrieved pattern.
        between: q₁, overlap of two replicas in different valleys.
        within: q₂ ≥ q₁, overlap of two replicas in one valley.
        susceptibility: C = β(1 − q₂), finite at zero temperature too.
        breaking_rate: y = βθ, Parisi's breaking point θ over the temperature; θ → 0 as T → 0 and y stays.
        free_energy: f = u − T s.
        energy: u.
        entropy: s.
        residual: largest violation of the four equations of state.
        broken: True where q₂ > q₁; elsewhere the replica-symmetric state is returned.
        converged: whether the state solves its equations: a broken one to 1e-7, the replica-symmetric one to the tolerance.
            False too where Newton's method was lost while the valleys were still apart, so that a broken state is missing.
    """

    magnetization: Float[Tensor, "..."]
    between: Float[Tensor, "..."]
    within: Float[Tensor, "..."]
    susceptibility: Float[Tensor, "..."]
    breaking_rate: Float[Tensor, "..."]
    free_energy: Float[Tensor, "..."]
    energy: Float[Tensor, "..."]
    entropy: Float[Tensor, "..."]
    residual: Float[Tensor, "..."]
    broken: Bool[Tensor, "..."]
    converged: Bool[Tensor, "..."]


# Breaking rates tried at T = 0, in units of 1/√V: glasses break at about 1, retrieval states at 5 and more.
RATES = {
    "spin glass": (0.15, 0.25, 0.4, 0.6, 0.9, 1.3, 2.0, 3.0, 5.0, 8.0),
    "retrieval": (2.0, 3.5, 6.0, 10.0, 16.0, 25.0, 40.0, 70.0),
}


_SOLVED = 1e-7
"""Violation of the equations up to which a broken state counts as found."""


def _relaxed(
    order: int, load: Tensor, rate: Tensor, start: tuple[Tensor, Tensor, Tensor], couplings: str, phase: str
) -> tuple[list[Tensor], Tensor]:
    """Damped iteration of m, q₁, C at given y and T = 0, from m, C and C₁ = C + y(q₂ − q₁); and −∂f/∂y there."""
    zero, glass = torch.zeros_like(load), phase == "spin glass"
    m, c, total = start
    between = zero if glass and order > 2 else (1 - (total - c) / rate).clamp_min(0.0)
    for _ in range(400):
        violations = _violations(order, load, zero, [m, between, c, rate], couplings, 0.04)
        if order == 2 and couplings == "hebbian":
            # In C/(1 − C) and C₁/(1 − C₁), C₁ = C + y(q₂ − q₁), the equations are gentle, in C and q₁ they are not.
            now = c + rate * (1 - between)
            new_c = c + violations[2]
            new = new_c + rate * (1 - between - violations[1])
            new_c, new = new_c / (new_c + 1 - c), new / (new + 1 - now)
            moves = [violations[0] / 2, (new - now) / 2, (new_c - c) / 2]
            c = c + moves[2]
            between = (1 - (now + moves[1] - c) / rate).clamp_min(0.0)
        else:
            moves = [value / 2 for value in violations[:3]]
            between = between + moves[1] * (0.0 if glass and order > 2 else 1.0)
            c = c + moves[2]
        m = m + moves[0] * (0.0 if glass else 1.0)
        if max(float(move.abs().max()) for move in (moves[0], moves[2])) < 1e-7:
            break
    return [m, between, c, rate], _violations(order, load, zero, [m, between, c, rate], couplings, 0.04)[3]


def _newton(
    order: int,
    load: Tensor,
    t: Tensor,
    state: list[Tensor],
    free: tuple[int, ...],
    couplings: str,
    tolerance: float = 1e-11,
    max_steps: int = 20,
) -> tuple[list[Tensor], Tensor]:
    """Newton's method for the unknowns named in `free` (0..3 of the state, 4 the load), all points at once.

    Returns the state with the load, and the largest violation of each point.
    """
    equations = [k for k in range(4) if k in free or (4 in free and k == 0)]
    whole = torch.stack([*state, load])
    sizes = torch.full_like(load, math.inf)

    def evaluate(values: Tensor, at: Tensor) -> Tensor:
        left = _violations(order, values[4], t[at], list(values[:4]), couplings)
        # In units of the couplings' own scale, so that one tolerance serves every load.
        scale = (values[4].detach() * math.factorial(order - 1)).sqrt()
        units = (1.0, 1.0, scale, 1 / scale**2)
        return torch.stack([left[k] * units[k] for k in equations], -1)

    at = torch.arange(len(load))
    for _ in range(max_steps):
        values = whole[:, at]
        left, jacobian = _with_jacobian(partial(evaluate, at=at), values, free)
        size = left.abs().amax(-1)
        sizes[at] = size
        going = (size > tolerance) & jacobian.isfinite().all(-1).all(-1)
        at, values, left, jacobian, size = at[going], values[:, going], left[going], jacobian[going], size[going]
        if len(at) == 0:
            break
        move = torch.zeros_like(values)
        move[list(free)] = torch.linalg.solve_ex(jacobian, -left.unsqueeze(-1)).result.squeeze(-1).T.nan_to_num(0.0)
        done = torch.zeros_like(size, dtype=torch.bool)
        for halvings in range(5):
            tried = torch.where(done, values, values + move / 2**halvings)
            good = _physical(order, t[at], tried, couplings) & ~done
            if bool(good.any()):
                here = good.nonzero().squeeze(1)
                # Far from the solution the violations may grow for a step; near it they fall, or rounding is reached.
                slack = torch.where(size[here] > 1e-8, 30.0, 0.9)
                better = evaluate(tried[:, here], at[here]).abs().amax(-1) < slack * size[here]
                values[:, here[better]] = tried[:, here[better]]
                done[here[better]] = True
            if bool(done.all()):
                break
        whole[:, at] = values
        # Where no step is better, rounding has been reached, or there is no solution.
        at = at[done]
        if len(at) == 0:
            break
    return list(whole), sizes


def _with_jacobian(
    function: Callable[[Tensor], Tensor], values: Float[Tensor, "5 points"], free: tuple[int, ...]
) -> tuple[Float[Tensor, "points equations"], Float[Tensor, "points equations unknowns"]]:
    """What a function gives at each point, and its derivatives with respect to the rows of `values` named in `free`."""
    with torch.enable_grad():
        leaves = [value.clone().requires_grad_(k in free) for k, value in enumerate(values)]
        left = function(torch.stack(leaves))
        rows = [
            torch.stack(torch.autograd.grad(left[:, k].sum(), [leaves[j] for j in free], retain_graph=True), -1)
            for k in range(left.shape[1])
        ]
    return left.detach(), torch.stack(rows, 1)


def _physical(order: int, t: Tensor, values: Float[Tensor, "5 points"], couplings: str) -> Bool[Tensor, " points"]:
    """Whether a state is one that a network may have."""
    _, between, c, rate, alpha = values
    gap = 1 - t * c - between
    good = (c > 0) & (rate > 0) & (gap > 0) & (between > -1e-9) & (alpha > 0)
    good &= values.isfinite().all(0) & (rate < 1e12)  # a singular Jacobian sends a step to infinity
    if order == 2 and couplings == "hebbian":
        good &= c + rate * gap < 1
    return good


def _unknowns(order: int, phase: str) -> tuple[int, ...]:
    """Which of m, q₁, C, y are to be solved for: a glass has m = 0, and above order 2 valleys without overlap."""
    if phase == "retrieval":
        return (0, 1, 2, 3)
    return (1, 2, 3) if order == 2 else (2, 3)


def _frozen_state(
    order: int, load: Tensor, phase: str, couplings: str, tolerance: float
) -> tuple[list[Tensor], Tensor, Tensor]:
    """One-step states at T = 0, where f is largest over y; which points have one, and for which it was seen but lost."""
    symmetric = replica_symmetric(order, load.numpy(), 0.0, phase=phase, couplings=couplings)  # type: ignore[arg-type]
    m, c = symmetric.magnetization, symmetric.susceptibility
    noise = load * math.factorial(order - 1)
    if order == 2 and couplings == "hebbian":
        noise = noise / (1 - c) ** 2
    rates = torch.tensor(RATES[phase], dtype=load.dtype) / noise.sqrt().unsqueeze(1)
    tried = rates.shape
    alike = [value.unsqueeze(1).expand(tried).reshape(-1) for value in (load, m, c)]
    rate = rates.reshape(-1)
    start = (alike[1], alike[2] - torch.minimum(0.4 * alike[2], rate / 2), alike[2])
    state, slope = _relaxed(order, alike[0], rate, start, couplings, phase)
    past = (slope.reshape(tried) > 0).long()
    crossing = past.argmax(1)
    there = (past.sum(1) > 0) & (crossing > 0)
    row = torch.arange(len(load)) * tried[1] + crossing
    found = [value[row] for value in state]
    low, high = state[3][row - there.long()].log(), found[3].log()
    # A start good enough for Newton's method, from which the retrieval solution is not left.
    for _ in range(4):
        middle = ((low + high) / 2).exp()
        total = found[2] + found[3] * (1 - found[1])
        found, slope = _relaxed(order, load, middle, (found[0], found[2], total), couplings, phase)
        low, high = torch.where(slope > 0, low, middle.log()), torch.where(slope > 0, middle.log(), high)
    if phase == "retrieval":
        # Below this susceptibility the slope of f in y is lost in rounding.
        there &= (m > 0.1) & (found[0] > m / 2) & (c > 1e-3)
    seen = there
    if bool(there.any()):
        solved, left = _newton(
            order, load[there], torch.zeros_like(load[there]), [v[there] for v in found], _unknowns(order, phase), couplings,
            tolerance,
        )  # fmt: skip
        found = [v.index_put((there,), new) for v, new in zip(found, solved[:4], strict=True)]
        there = there.index_put((there,), left < _SOLVED)
    return found, there, seen & ~there


def one_step_broken(
    order: int,
    load: ArrayLike,
    temperature: ArrayLike = 0.0,
    *,
    phase: Phase = "retrieval",
    couplings: Couplings = "hebbian",
    stride: float = 0.1,
    tolerance: float = 1e-11,
) -> OneStepBroken:
    r"""One-step-broken state of a dense network in one of its phases, for a whole grid at once.

    The equations of state (averages as in `one_step_free_energy`, those over z₁ weighted with e^{yL}) are

        m = E₀⟨tanh βh⟩,   q₁ = E₀⟨tanh βh⟩²,   q₂ = E₀⟨tanh² βh⟩,   ∂f/∂θ = 0.

    At T = 0 they are iterated at a row of fixed y, and Newton's method starts where f is largest over y; each point is
    then followed in temperature, from T = 0 upwards in steps of `stride`. A point whose valleys merge (q₂ = q₁) or
    whose breaking reaches θ = 1 gets the replica-symmetric state. So does a retrieval state whose breaking is too
    weak to be seen: at T = 0 it breaks only where C is exponentially small, at y beyond every rate tried.

    Args:
        order: interaction order P ≥ 2.
        load: α = K / N^{P−1} > 0; broadcasts against the temperature.
        temperature: T ≥ 0, in the units of `DenseHebbianMemory`.
        phase: "retrieval", or "spin glass" (m = 0).
        couplings: "hebbian" (K patterns), or "gaussian" (independent couplings of the same variance).
        stride: largest step in T/√V between two solutions of a point, V = (P−1)! α.
        tolerance: violation of the equations at which a point counts as solved.

    Raises:
        ValueError: if an argument is out of its range.

    Source: arXiv 2111.12997 (one-step self-consistency equations), rederived; Gardner 1987.

    Example:
        >>> glass = one_step_broken(2, 1.0, 0.0, phase="spin glass", couplings="gaussian")
        >>> round(float(glass.energy), 4), round(float(glass.entropy), 4)
        (-0.7653, -0.0143)
    """
    shape, alpha, target = grid_of(order, load, temperature, phase, couplings)
    if not stride > 0:
        raise ValueError(f"stride is {stride}; wanted a number above 0")
    symmetric = replica_symmetric(order, alpha.numpy(), target.numpy(), phase=phase, couplings=couplings)
    state, broken, left, lost = _followed_from_zero(order, alpha, target, phase, couplings, stride, tolerance)
    rs = [value.reshape(-1) for value in symmetric]
    m, between, c, y = (
        torch.where(broken, ours, theirs)
        for ours, theirs in zip(state, (rs[0], rs[1], rs[2], torch.zeros_like(alpha)), strict=True)
    )
    f, s = rs[3].clone(), rs[5].clone()
    if bool(broken.any()):
        at = broken.nonzero().squeeze(1)
        there = [value[at] for value in (m, between, c, y)]
        f[at], s[at] = _free_energy_and_entropy(order, alpha[at], target[at], there, couplings)
    residual = torch.where(broken, left, rs[7])
    converged = (broken | rs[8]) & ~lost
    values = (m, between, 1 - target * c, c, y, f, f + target * s, s, residual, broken, converged)
    return OneStepBroken(*(value.reshape(shape) for value in values))


def _free_energy_and_entropy(
    order: int, load: Tensor, t: Tensor, state: list[Tensor], couplings: Couplings
) -> tuple[Tensor, Tensor]:
    """At a solution, where all derivatives of f but that by T vanish: minus that is the entropy."""
    with torch.enable_grad():
        t = t.clone().requires_grad_()
        value = one_step_free_energy(order, load, t, *state, couplings=couplings)
        (slope,) = torch.autograd.grad(value.sum(), t)
    return value.detach(), -slope


def _followed_from_zero(
    order: int, load: Tensor, target: Tensor, phase: str, couplings: str, stride: float, tolerance: float
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """States followed in temperature from T = 0; where they are broken, by how much they miss, and where they were lost."""
    distinct, of = load.unique(return_inverse=True)
    frozen, there, unsolved = _frozen_state(order, distinct, phase, couplings, tolerance)
    state, broken, lost = [value[of] for value in frozen], there[of], unsolved[of]
    residual = torch.zeros_like(load)
    scale = (load * math.factorial(order - 1)).sqrt()
    count = max(1, math.ceil(float((target / scale).max()) / stride))
    free = _unknowns(order, phase)
    before = state
    for k in range(1, count + 1):
        at = broken.nonzero().squeeze(1)
        if len(at) == 0:
            break
        start = [2 * new[at] - old[at] if k > 2 else new[at] for new, old in zip(state, before, strict=True)]
        t = target[at] * k / count
        gap = 1 - t * start[2] - start[1]
        start = [torch.where(gap > 0, a, b[at]) for a, b in zip(start, state, strict=True)]
        solved, left = _newton(order, load[at], t, start, free, couplings, tolerance)
        before = state
        state = [value.index_put((at,), new) for value, new in zip(state, solved[:4], strict=True)]
        gap = 1 - t * solved[2] - solved[1]
        still = (gap > 1e-4) & (t * solved[3] < 1)
        if phase == "retrieval":
            still &= solved[0] > 0.1
        lost = lost.index_put((at,), still & ~(left < _SOLVED))
        broken = broken.index_put((at,), still & (left < _SOLVED))
        residual = residual.index_put((at,), left)
    return state, broken, residual, lost
