"""Replica-symmetric thermodynamics of a dense network: free energy, entropy and stability of its two phases."""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor

from .dense_hebbian_equations import _gaussian_averages, dense_hebbian_equations

Phase = Literal["retrieval", "spin glass"]
Couplings = Literal["hebbian", "gaussian"]


class ReplicaSymmetric(NamedTuple):
    """A replica-symmetric state, one entry a point of the grid; energies are per neuron.

    Attributes:
        magnetization: m, overlap with the retrieved pattern.
        overlap: q, overlap of two replicas.
        susceptibility: C = β(1 − q), finite at zero temperature too.
        free_energy: f = u − T s.
        energy: u.
        entropy: s; below zero where replica symmetry cannot be right.
        stability: eigenvalue of de Almeida and Thouless; below zero replica symmetry breaks (−∞ at T = 0).
        residual: largest change that one more step of the equations would make.
        converged: whether that came below the tolerance within the steps allowed; elsewhere the values are no solution.
    """

    magnetization: Float[Tensor, "..."]
    overlap: Float[Tensor, "..."]
    susceptibility: Float[Tensor, "..."]
    free_energy: Float[Tensor, "..."]
    energy: Float[Tensor, "..."]
    entropy: Float[Tensor, "..."]
    stability: Float[Tensor, "..."]
    residual: Float[Tensor, "..."]
    converged: Bool[Tensor, "..."]


def grid_of(
    order: int, load: ArrayLike, temperature: ArrayLike, phase: str, couplings: str
) -> tuple[tuple[int, ...], Float[Tensor, " points"], Float[Tensor, " points"]]:
    """Shape of a grid of loads and temperatures and its points in a row; errors that name the argument."""
    if order < 2:
        raise ValueError(f"order is {order}; wanted an integer of at least 2")
    if phase not in ("retrieval", "spin glass"):
        raise ValueError(f"phase is {phase!r}; wanted 'retrieval' or 'spin glass'")
    if couplings not in ("hebbian", "gaussian"):
        raise ValueError(f"couplings is {couplings!r}; wanted 'hebbian' or 'gaussian'")
    if phase == "retrieval" and couplings == "gaussian":
        raise ValueError("couplings is 'gaussian'; wanted 'hebbian' in the retrieval phase (a glass stores nothing)")
    alpha, t = np.broadcast_arrays(np.asarray(load, dtype=float), np.asarray(temperature, dtype=float))
    if not (np.isfinite(alpha) & (alpha > 0)).all():
        raise ValueError(f"load is {alpha.min()} at the least; wanted finite numbers above 0")
    if not (np.isfinite(t) & (t >= 0)).all():
        raise ValueError(f"temperature is {t.min()} at the least; wanted finite numbers of at least 0")
    return alpha.shape, torch.from_numpy(alpha.reshape(-1).copy()), torch.from_numpy(t.reshape(-1).copy())


def folded_nodes(like: Tensor, count: int = 48) -> tuple[Float[Tensor, " nodes"], Float[Tensor, " nodes"]]:
    """Gauss-Legendre nodes and weights on [0, 19], where 1 − tanh falls to rounding."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy(9.5 * (nodes + 1)).to(like), torch.from_numpy(9.5 * weights).to(like)


def _local_averages(
    mean: Float[Tensor, " points"], spread: Float[Tensor, " points"], temperature: Float[Tensor, " points"]
) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"]]:
    """E T ln 2cosh(h/T) and E sech⁴(h/T)/T of a Gaussian field h, to rounding at every temperature."""
    # Below the spread the logarithm is |h|, known in closed form, plus what differs within a few T of h = 0; above
    # it, a trapezoidal sum over the Gaussian resolves everything.
    v, w = folded_nodes(mean)
    t, s = temperature.unsqueeze(-1), spread.unsqueeze(-1)
    x = mean / spread
    gaussian = sum(
        torch.exp(-(((sign * t * v - mean.unsqueeze(-1)) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
        for sign in (1, -1)
    )
    size = mean * torch.erf(x / math.sqrt(2)) + spread * math.sqrt(2 / math.pi) * torch.exp(-(x**2) / 2)
    cold_size = size + temperature**2 * (w * gaussian * torch.log1p(torch.exp(-2 * v))).sum(-1)
    cold_fourth = (w * gaussian * torch.cosh(v) ** -4).sum(-1)

    z = torch.linspace(-9.0, 9.0, 97, dtype=mean.dtype, device=mean.device)
    weight = torch.softmax(-(z**2) / 2, 0)
    h = (mean.unsqueeze(-1) + s * z).abs()
    warm_t = torch.where(t < s, torch.ones_like(t), t)
    warm_size = (weight * (h + warm_t * torch.log1p(torch.exp(-2 * h / warm_t)))).sum(-1)
    warm_fourth = (weight * torch.cosh((h / warm_t).clamp_max(300.0)) ** -4).sum(-1) / warm_t.squeeze(-1)
    cold = temperature < spread
    return torch.where(cold, cold_size, warm_size), torch.where(cold, cold_fourth, warm_fourth)


def replica_symmetric_free_energy(
    order: int,
    load: Float[Tensor, " points"],
    temperature: Float[Tensor, " points"],
    magnetization: Float[Tensor, " points"],
    susceptibility: Float[Tensor, " points"],
    *,
    couplings: Couplings = "hebbian",
) -> Float[Tensor, " points"]:
    r"""Replica-symmetric free energy f(m, C) per neuron, stationary at the self-consistency equations.

    With q = 1 − TC and a standard Gaussian z,

        f = (1 − 1/P) m^P − T E ln 2cosh β(m^{P−1} + √V z) + V C/2 − W.

    Order 2 of Hebbian couplings: V = αq/(1−C)², W = −(α/2)[T ln(1−C) − q/(1−C) + 1] (Amit, Gutfreund and
    Sompolinsky). Otherwise a glass of P spins whose energy has the covariance N c q^P, c = α(P−1)!/P: V = cP q^{P−1},
    W = (c/2T)(1 − q^P) (Gardner). Differentiable; its derivatives by m and C vanish at a solution, and that by T is
    minus the entropy.

    Args:
        order: interaction order P ≥ 2.
        load: α = K / N^{P−1}.
        temperature: T ≥ 0; the limit T → 0 at fixed C is exact.
        magnetization: m.
        susceptibility: C = β(1 − q).
        couplings: "hebbian", or "gaussian" for independent couplings of the same variance (no patterns).

    Source: arXiv 2111.12997 (replica-symmetric pressure), rederived in the units of `DenseHebbianMemory`.
    """
    q = 1 - temperature * susceptibility
    signal = magnetization ** (order - 1)
    if order == 2 and couplings == "hebbian":
        inverse = 1 / (1 - susceptibility)
        noise = load * q * inverse**2
        own = -load / 2 * (-temperature * inverse.log() - q * inverse + 1) - noise * susceptibility / 2
    else:
        strength = load * math.factorial(order - 1) / order
        noise = strength * order * q ** (order - 1)
        own = strength / 2 * bregman_rate(order, temperature, susceptibility)
    size, _ = _local_averages(signal, noise.clamp_min(1e-300).sqrt(), temperature)
    return (1 - 1 / order) * magnetization**order - size - own


def bregman_rate(order: int, temperature: Tensor, susceptibility: Tensor) -> Tensor:
    """(1 − q^P − P(1−q)q^{P−1})/T with q = 1 − TC, written so that nothing cancels as T → 0."""
    total = torch.zeros_like(susceptibility)
    for k in range(2, order + 1):
        total = total + (-1) ** k * math.comb(order, k) * (k - 1) * susceptibility**k * temperature ** (k - 1)
    return total


def replica_symmetric(
    order: int,
    load: ArrayLike,
    temperature: ArrayLike = 0.0,
    *,
    phase: Phase = "retrieval",
    couplings: Couplings = "hebbian",
    tolerance: float = 1e-11,
    max_steps: int = 5000,
) -> ReplicaSymmetric:
    r"""Replica-symmetric state of a dense network in one of its phases, for a whole grid at once.

    The retrieval phase is `dense_hebbian_equations` at entropy 0. The spin glass has m = 0 and the largest root of
    q = E tanh²(β√V z), with V(q) as in `replica_symmetric_free_energy`; where there is none above zero it is the
    paramagnet, q = 0.

    Args:
        order: interaction order P ≥ 2.
        load: α = K / N^{P−1} > 0; broadcasts against the temperature.
        temperature: T ≥ 0, in the units of `DenseHebbianMemory` (the field at a stored pattern has size 1).
        phase: which solution to follow. Where retrieval has ended, its m is 0.
        couplings: "hebbian" (K patterns), or "gaussian" (independent couplings of the same variance).
        tolerance: residual at which a point counts as solved.
        max_steps: limit of iterations.

    Raises:
        ValueError: if an argument is out of its range.

    Source: arXiv 2111.12997 (replica-symmetric theory); stability after de Almeida and Thouless 1978.

    Example:
        >>> glass = replica_symmetric(2, 1.0, 0.0, phase="spin glass", couplings="gaussian")
        >>> round(float(glass.energy), 4), round(float(glass.entropy), 4)
        (-0.7979, -0.1592)
    """
    shape, alpha, t = grid_of(order, load, temperature, phase, couplings)
    if phase == "retrieval":
        found = dense_hebbian_equations(order, alpha.numpy(), t.numpy(), tolerance=tolerance, max_steps=max_steps)
        m, c, residual = found.magnetization, found.susceptibility, found.residual
    else:
        m = torch.zeros_like(alpha)
        c, residual = _spin_glass(order, alpha, t, couplings, tolerance, max_steps)
    at = t.clone().requires_grad_()
    with torch.enable_grad():
        f = replica_symmetric_free_energy(order, alpha, at, m, c, couplings=couplings)
        (slope,) = torch.autograd.grad(f.sum(), at)
    f, s = f.detach(), -slope
    q = 1 - t * c
    curvature = alpha / (1 - c) ** 2 if order == 2 and couplings == "hebbian" else _curvature(order, alpha, q)
    noise = curvature * q / (order - 1)
    _, fourth = _local_averages(m ** (order - 1), noise.clamp_min(1e-300).sqrt(), t)
    stability = 1 - curvature * fourth / t
    values = (m, q, c, f, f + t * s, s, stability, residual, residual <= tolerance)
    return ReplicaSymmetric(*(value.reshape(shape) for value in values))


def _curvature(order: int, load: Tensor, overlap: Tensor) -> Tensor:
    return load * math.factorial(order - 1) * (order - 1) * overlap ** (order - 2)


def _spin_glass(
    order: int, alpha: Tensor, t: Tensor, couplings: str, tolerance: float, max_steps: int
) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"]]:
    """C = β(1 − q) of the solution without magnetization, and its residual."""
    zero = torch.zeros_like(alpha)

    def step(c: Tensor) -> Tensor:
        q = (1 - t * c).clamp_min(0.0)
        noise = alpha * math.factorial(order - 1) * q ** (order - 1)
        if order == 2 and couplings == "hebbian":
            noise = noise / (1 - c).clamp_min(1e-6) ** 2
        return _gaussian_averages(zero, noise.clamp_min(1e-300).sqrt(), t)[2]

    c = torch.zeros_like(alpha)
    residual = zero
    for _ in range(max_steps):
        new = step(c)
        if order == 2 and couplings == "hebbian":
            # In C/(1 − C) the equation is gentle (at T = 0 its right-hand side is constant), in C it is not.
            new = new / (new + 1 - c)
        residual = (new - c).abs()
        c = (c + new) / 2
        if float(residual.max()) < tolerance:
            break
    return c, residual


def retrieval_limit(order: int, temperature: ArrayLike = 0.0) -> Float[Tensor, "..."]:
    r"""Largest load α = K / N^{P−1} with a replica-symmetric retrieval state, for a row of temperatures at once.

    At given m the equation m = E tanh β(m^{P−1} + s z) has one noise s; q follows, and the load from V(q, α) = s².
    The limit is the largest load over m. (`critical_load` finds it by searching loads, at any dataset entropy; this
    is faster, and exact up to the very end of the branch.)

    Args:
        order: interaction order P ≥ 2.
        temperature: T ≥ 0, any shape.

    Returns:
        The loads, 0 where there is no retrieval at any load.

    Raises:
        ValueError: if an argument is out of its range.

    Source: arXiv 2111.12997 (maximal storage by a ground-state analysis, at T = 0); Amit, Gutfreund and Sompolinsky
    1987 for order 2.

    Example:
        >>> [round(float(retrieval_limit(order)), 5) for order in (2, 3, 4)]
        [0.13791, 0.1261, 0.03298]
    """
    shape, _, t = grid_of(order, 1.0, temperature, "retrieval", "hebbian")
    low, high = torch.zeros_like(t), torch.ones_like(t)
    best = torch.zeros_like(t)
    for points in (257, 33, 33):
        m = low.unsqueeze(1) + (high - low).unsqueeze(1) * torch.linspace(0, 1, points + 2, dtype=t.dtype)[1:-1]
        loads = _load_of_magnetization(order, m, t.unsqueeze(1).expand_as(m))
        best, at = loads.max(1)
        width = ((high - low) / (points + 1)).clamp_min(1e-12)
        middle = m.gather(1, at.unsqueeze(1)).squeeze(1)
        low, high = (middle - width).clamp_min(0.0), (middle + width).clamp_max(1.0)
    return best.clamp_min(0.0).reshape(shape)


def _load_of_magnetization(
    order: int, m: Float[Tensor, "temperatures points"], t: Float[Tensor, "temperatures points"]
) -> Float[Tensor, "temperatures points"]:
    """Load at which the retrieval state has this magnetization; −1 where none has."""
    shape, m, t = m.shape, m.reshape(-1), t.reshape(-1)
    signal = m ** (order - 1)
    # Without noise m would be tanh(g/T): more than that it cannot be.
    possible = torch.where(t > 0, torch.tanh(signal / t.clamp_min(1e-300)), torch.ones_like(m)) > m
    low, high = torch.full_like(m, 1e-9), torch.full_like(m, 50.0)
    for _ in range(40):
        middle = (low * high).sqrt()
        enough = _gaussian_averages(signal, middle, t)[0] < m
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    noise = (low * high).sqrt()
    _, q, c = _gaussian_averages(signal, noise, t)
    share = q / (1 - c) ** 2 if order == 2 else math.factorial(order - 1) * q ** (order - 1)
    if order == 2:
        possible &= c < 1
    return torch.where(possible, noise**2 / share, -torch.ones_like(m)).reshape(shape)
