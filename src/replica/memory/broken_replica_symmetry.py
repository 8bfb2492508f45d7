"""One step of replica symmetry breaking in a dense network: states, free energy, and the load it can bear."""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from torch import Tensor
from torch.special import log_ndtr

from .replica_symmetric import Couplings, Phase, bregman_rate, folded_nodes, grid_of, replica_symmetric, retrieval_limit


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
    broken: Tensor


class _Averages(NamedTuple):
    """Averages over the Gaussian fields: E₁ of e^{yL} (as its logarithm), then of what is weighted with e^{yL}, over z₁."""

    logarithm: Float[Tensor, " points"]
    magnetization: Float[Tensor, " points"]
    between: Float[Tensor, " points"]
    susceptibility: Float[Tensor, " points"]
    size: Float[Tensor, " points"]


def _outer_nodes(
    signal: Tensor, low: Tensor, high: Tensor, temperature: Tensor, rate: Tensor, finest: float
) -> tuple[Tensor, Tensor]:
    """Trapezoidal nodes for z₀, as fine as the sharpest feature of what is averaged."""
    with torch.no_grad():
        spread, inner = low.sqrt(), (high - low).clamp_min(0).sqrt()
        sharp = torch.maximum(inner, temperature).minimum(0.5 / rate) / spread
        # A point where Newton's method has gone astray must not take the others with it.
        step = float((0.8 * sharp).nan_to_num(nan=0.3).clamp(finest, 0.3).min())
        if float(spread.max()) == 0.0:
            step = 18.0
    count = 2 * round(9.0 / step) + 1
    z = torch.linspace(-9.0, 9.0, count, dtype=signal.dtype, device=signal.device)
    return z, torch.softmax(-(z**2) / 2, 0)


def _averages(
    signal: Tensor, low: Tensor, high: Tensor, temperature: Tensor, rate: Tensor, finest: float = 0.005
) -> _Averages:
    """Nested averages at fields h = g + √V₁ z₀ + √(V₂−V₁) z₁, weighted with e^{yL}, L = T ln 2cosh(h/T)."""
    z, weight = _outer_nodes(signal, low, high, temperature, rate, finest)
    inner = (high - low).clamp_min(1e-300).sqrt().unsqueeze(-1)
    center = signal.unsqueeze(-1) + low.clamp_min(1e-300).sqrt().unsqueeze(-1) * z
    t, y = temperature.unsqueeze(-1), rate.unsqueeze(-1)
    frozen = temperature == 0
    cold = ~frozen & (temperature < high.sub(low).clamp_min(0).sqrt())
    parts = [signal.new_empty(center.shape) for _ in range(4)]
    for kind, at in ((_frozen, frozen), (_cold, cold), (_warm, ~(frozen | cold))):
        if bool(at.any()):
            found = kind(center[at], inner[at], t[at], y[at])
            parts = [part.index_put((at,), value) for part, value in zip(parts, found, strict=True)]
    logarithm, magnetization, susceptibility, size = parts
    return _Averages(
        (weight * logarithm).sum(-1),
        (weight * magnetization).sum(-1),
        (weight * magnetization**2).sum(-1),
        (weight * susceptibility).sum(-1),
        (weight * size).sum(-1),
    )


def _truncated(center: Tensor, inner: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Weights e^{y|h|} of the two signs of h over their larger, the logarithm of that, density at h = 0, E|h|."""
    shift = y * inner**2
    plus = y * center + y * shift / 2 + log_ndtr((center + shift) / inner)
    minus = -y * center + y * shift / 2 + log_ndtr((shift - center) / inner)
    top = torch.maximum(plus, minus)
    p, n = (plus - top).exp(), (minus - top).exp()
    density = torch.exp(-((center / inner) ** 2) / 2 - top) / (inner * math.sqrt(2 * math.pi))
    size = p * (center + shift) + n * (shift - center) + 2 * inner**2 * density
    return p, n, top, density, size


def _frozen(center: Tensor, inner: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logarithm of E₁e^{yL} and the weighted averages of tanh, sech²/T and L, at T = 0: closed forms."""
    p, n, top, density, size = _truncated(center, inner, y)
    total = p + n
    return top + total.log(), (p - n) / total, 2 * density / total, size / total


def _cold(center: Tensor, inner: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same where T is below the width of z₁'s field: what T = 0 gives, plus what differs within a few T of h = 0."""
    p, n, top, _, size = _truncated(center, inner, y)
    v, w = folded_nodes(center, 36)
    t3, y3, rest = t.unsqueeze(-1), y.unsqueeze(-1), torch.log1p(torch.exp(-2 * v))
    width = inner.unsqueeze(-1)
    ahead, behind = (
        torch.exp(-(((sign * t3 * v - center.unsqueeze(-1)) / width) ** 2) / 2 + y3 * t3 * v - top.unsqueeze(-1))
        * (w / (width * math.sqrt(2 * math.pi)))
        for sign in (1, -1)
    )
    both = ahead + behind
    extra = torch.expm1(y3 * t3 * rest)
    tanh = torch.tanh(v)
    t = t.squeeze(-1)
    total = p + n + t.unsqueeze(-1) * (both * extra).sum(-1)
    magnetization = p - n + t.unsqueeze(-1) * ((ahead - behind) * ((extra + 1) * tanh - 1)).sum(-1)
    susceptibility = (both * (extra + 1) * (1 - tanh**2)).sum(-1)
    size = size + t.unsqueeze(-1) ** 2 * (both * ((extra + 1) * (v + rest) - v)).sum(-1)
    return top + total.log(), magnetization / total, susceptibility / total, size / total


def _warm(center: Tensor, inner: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same where T resolves the field of z₁: a trapezoidal sum."""
    z = torch.linspace(-9.0, 9.0, 41, dtype=center.dtype, device=center.device)
    h = (center.unsqueeze(-1) + inner.unsqueeze(-1) * z) / t.unsqueeze(-1)
    size = t.unsqueeze(-1) * (h.abs() + torch.log1p(torch.exp(-2 * h.abs())))
    logs = y.unsqueeze(-1) * size + torch.log_softmax(-(z**2) / 2, 0)
    logarithm = logs.logsumexp(-1)
    weight = (logs - logarithm.unsqueeze(-1)).exp()
    tanh = torch.tanh(h)
    return logarithm, (weight * tanh).sum(-1), (weight * (1 - tanh**2)).sum(-1) / t, (weight * size).sum(-1)


class _Noise(NamedTuple):
    """What the other patterns contribute: covariances V₁, V₂ of their fields, their part of −f, its slope in y."""

    low: Float[Tensor, " points"]
    high: Float[Tensor, " points"]
    own: Float[Tensor, " points"]
    slope: Float[Tensor, " points"]


def _noise(
    order: int, load: Tensor, t: Tensor, between: Tensor, susceptibility: Tensor, rate: Tensor, couplings: str
) -> _Noise:
    within = 1 - t * susceptibility
    gap = within - between
    if order == 2 and couplings == "hebbian":
        upper = 1 - susceptibility
        lower = upper - rate * gap
        low = load * between / lower**2
        high = low + load * gap / (lower * upper)
        # Δ₁/Δ₂ < 1 falls with y; below zero the network would have no finite response.
        ratio = (lower / upper).clamp_min(1e-300).log()
        own = -load / 2 * (t * upper.clamp_min(1e-300).log() + ratio / rate - between / lower + 1)
        slope = load / 2 * (ratio / rate**2 + gap / (rate * lower) + between * gap / lower**2)
        own = own - (high * susceptibility + rate * (high * within - low * between)) / 2
        return _Noise(low, high, own, slope - (high * within - low * between) / 2)
    strength = load * math.factorial(order - 1) / order
    low, high = (strength * order * q ** (order - 1) for q in (between, within))
    slope = -strength * (order - 1) / 2 * (within**order - between**order)
    own = strength / 2 * bregman_rate(order, t, susceptibility) + rate * slope
    return _Noise(low, high, own, slope)


def one_step_free_energy(
    order: int,
    load: Float[Tensor, " points"],
    temperature: Float[Tensor, " points"],
    magnetization: Float[Tensor, " points"],
    between: Float[Tensor, " points"],
    susceptibility: Float[Tensor, " points"],
    breaking_rate: Float[Tensor, " points"],
    *,
    couplings: Couplings = "hebbian",
) -> Float[Tensor, " points"]:
    r"""One-step-broken free energy f(m, q₁, C, y) per neuron, stationary at the four equations of state.

    With q₂ = 1 − TC, θ = Ty, fields h = m^{P−1} + √V₁ z₀ + √(V₂−V₁) z₁ and L = T ln 2cosh(h/T),

        f = (1 − 1/P) m^P − (1/y) E₀ ln E₁ e^{yL} − W.

    Order 2 of Hebbian couplings, with Δ₂ = 1 − C and Δ₁ = Δ₂ − y(q₂−q₁):
    V₁ = αq₁/Δ₁², V₂ = V₁ + α(q₂−q₁)/(Δ₁Δ₂), and
    W = −(α/2)[T ln Δ₂ + (1/y) ln(Δ₁/Δ₂) − q₁/Δ₁ + 1] − [V₂C + y(V₂q₂ − V₁q₁)]/2.
    Otherwise (glass of P spins, covariance N c q^P, c = α(P−1)!/P): V_i = cP q_i^{P−1}, and
    W = (c/2T)[1 − q₂^P − P(1−q₂)q₂^{P−1}] − y c(P−1)(q₂^P − q₁^P)/2.
    For q₁ = q₂ it is the replica-symmetric free energy at any y. The limit T → 0 at fixed C, y is exact. In the
    paper's sign, pressure −βf, Guerra's bound says that breaking lowers it: f is to be made largest over q₁, q₂, θ.

    Args:
        order: interaction order P ≥ 2.
        load: α = K / N^{P−1}.
        temperature: T ≥ 0.
        magnetization: m.
        between: q₁, overlap between valleys.
        susceptibility: C = β(1 − q₂).
        breaking_rate: y = βθ > 0.
        couplings: "hebbian", or "gaussian" for independent couplings of the same variance.

    Source: arXiv 2111.12997 (one-step pressure), rederived; order 2 is Crisanti, Amit and Gutfreund's 1986.
    """
    noise = _noise(order, load, temperature, between, susceptibility, breaking_rate, couplings)
    averages = _averages(magnetization ** (order - 1), noise.low, noise.high, temperature, breaking_rate)
    return (1 - 1 / order) * magnetization**order - averages.logarithm / breaking_rate - noise.own


def _violations(
    order: int, load: Tensor, t: Tensor, state: list[Tensor], couplings: str, finest: float = 0.005
) -> list[Tensor]:
    """What is left of each equation of state: of m, q₁, C, and of stationarity in y."""
    m, between, susceptibility, rate = state
    noise = _noise(order, load, t, between, susceptibility, rate, couplings)
    averages = _averages(m ** (order - 1), noise.low, noise.high, t, rate, finest)
    stationary = (averages.size - averages.logarithm / rate) / rate + noise.slope
    return [
        averages.magnetization - m,
        averages.between - between,
        averages.susceptibility - susceptibility,
        stationary,
    ]


# Breaking rates tried at T = 0, in units of 1/√V: glasses break at about 1, retrieval states at 5 and more.
RATES = {
    "spin glass": (0.15, 0.25, 0.4, 0.6, 0.9, 1.3, 2.0, 3.0, 5.0, 8.0),
    "retrieval": (2.0, 3.5, 6.0, 10.0, 16.0, 25.0, 40.0, 70.0),
}


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

    def allowed(values: Tensor, at: Tensor) -> Tensor:
        _, between, c, rate, alpha = values
        gap = 1 - t[at] * c - between
        good = (c > 0) & (rate > 0) & (gap > 0) & (between > -1e-9) & (alpha > 0)
        good &= values.isfinite().all(0) & (rate < 1e12)  # a singular Jacobian sends a step to infinity
        if order == 2 and couplings == "hebbian":
            good &= c + rate * gap < 1
        return good

    at = torch.arange(len(load))
    for _ in range(max_steps):
        values = whole[:, at]
        with torch.enable_grad():
            leaves = [value.clone().requires_grad_(k in free) for k, value in enumerate(values)]
            left = evaluate(torch.stack(leaves), at)
            rows = [
                torch.stack(torch.autograd.grad(left[:, k].sum(), [leaves[j] for j in free], retain_graph=True), -1)
                for k in range(len(equations))
            ]
        left, jacobian = left.detach(), torch.stack(rows, 1)
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
            good = allowed(tried, at) & ~done
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


def _unknowns(order: int, phase: str) -> tuple[int, ...]:
    """Which of m, q₁, C, y are to be solved for: a glass has m = 0, and above order 2 valleys without overlap."""
    if phase == "retrieval":
        return (0, 1, 2, 3)
    return (1, 2, 3) if order == 2 else (2, 3)


def _frozen_state(
    order: int, load: Tensor, phase: str, couplings: str, tolerance: float
) -> tuple[list[Tensor], Tensor]:
    """One-step states at T = 0, where f is largest over y; and which points have one."""
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
    if bool(there.any()):
        solved, left = _newton(
            order, load[there], torch.zeros_like(load[there]), [v[there] for v in found], _unknowns(order, phase), couplings,
            tolerance,
        )  # fmt: skip
        found = [v.index_put((there,), new) for v, new in zip(found, solved[:4], strict=True)]
        there = there.index_put((there,), left < 1e-7)
    return found, there


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
    distinct, of = alpha.unique(return_inverse=True)
    frozen, there = _frozen_state(order, distinct, phase, couplings, tolerance)
    state, broken = [value[of] for value in frozen], there[of]
    residual = symmetric.residual.clone()
    scale = (alpha * math.factorial(order - 1)).sqrt()
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
        solved, left = _newton(order, alpha[at], t, start, free, couplings, tolerance)
        before = state
        state = [value.index_put((at,), new) for value, new in zip(state, solved[:4], strict=True)]
        gap = 1 - t * solved[2] - solved[1]
        still = (gap > 1e-4) & (t * solved[3] < 1) & (left < 1e-7)
        if phase == "retrieval":
            still &= solved[0] > 0.1
        residual = residual.index_put((at,), torch.where(still, left, symmetric.residual.reshape(-1)[at]))
        broken = broken.index_put((at,), still)
    rs = [value.reshape(-1) for value in symmetric]
    m, between, c, y = (
        torch.where(broken, ours, theirs)
        for ours, theirs in zip(state, (rs[0], rs[1], rs[2], torch.zeros_like(alpha)), strict=True)
    )
    f, s = rs[3].clone(), rs[5].clone()
    if bool(broken.any()):
        at = broken.nonzero().squeeze(1)
        with torch.enable_grad():
            t = target[at].requires_grad_()
            value = one_step_free_energy(order, alpha[at], t, m[at], between[at], c[at], y[at], couplings=couplings)
            (slope,) = torch.autograd.grad(value.sum(), t)
        f[at], s[at] = value.detach(), -slope
    values = (m, between, 1 - target * c, c, y, f, f + target * s, s, residual, broken)
    return OneStepBroken(*(value.reshape(shape) for value in values))


class RetrievalBranch(NamedTuple):
    """Retrieval states at T = 0 up to the largest load, the last entry.

    Attributes:
        load: α, ascending.
        magnetization: m.
        between: q₁, overlap of states in different valleys around the pattern.
        breaking_rate: y = βθ.
        residual: largest violation of the equations of state.
    """

    load: Float[Tensor, " points"]
    magnetization: Float[Tensor, " points"]
    between: Float[Tensor, " points"]
    breaking_rate: Float[Tensor, " points"]
    residual: Float[Tensor, " points"]


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
        state, there = _frozen_state(order, load, "retrieval", "hebbian", 1e-11)
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
    for _ in range(8):
        top = sorted(points, key=lambda point: -float(point[0]))[:3]
        loads, ms = (np.array([float(point[k]) for point in top]) for k in (0, 1))
        curvature, slope, _ = np.polyfit(ms - ms[0], (loads - loads[0]) / loads[0], 2)
        if not (curvature < 0 and follow(top[0][1] - slope / (2 * curvature))):
            break
        if abs(float(points[-1][0]) / loads[0] - 1) < tolerance:
            break
    last = max(points, key=lambda point: float(point[0]))
    kept = sorted((point for point in points if float(point[1]) >= float(last[1])), key=lambda point: float(point[0]))
    branch = torch.cat(kept, 1)
    return RetrievalBranch(branch[0], branch[1], branch[2], branch[4], branch[5])


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
        left = _violations(order, alpha, t, [zero, zero, c, 1 / t], couplings)
        while float(left[2].abs()) > 1e-10:
            c = c + left[2]
            left = _violations(order, alpha, t, [zero, zero, c, 1 / t], couplings)
        return float(left[3])

    # The random energy model (P → ∞) has 0.6006 in these units, and every finite order a little more.
    return float(brentq(slope, 0.6, 0.66, xtol=1e-8)) * math.sqrt(load / unit)
