"""Free energy of a dense network with one step of replica symmetry breaking, and its equations of state."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import log_ndtr

from .replica_symmetric import Couplings, bregman_rate, folded_nodes


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
