"""Replica-symmetric order parameters of a dense Hebbian memory that learned from examples."""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor


class OrderParameters(NamedTuple):
    """Solution of the self-consistency equations, one entry a point of the grid.

    Attributes:
        magnetization: m, overlap of the state with the hidden pattern.
        learned: n, overlap of the state with the normalised average over that pattern's examples.
        overlap: q, overlap of two replicas.
        susceptibility: C = β(1 − q), finite at zero temperature too.
        residual: largest amount by which an equation is missed.
        converged: whether that came below the tolerance within the steps allowed; elsewhere the values are no solution.
    """

    magnetization: Float[Tensor, "..."]
    learned: Float[Tensor, "..."]
    overlap: Float[Tensor, "..."]
    susceptibility: Float[Tensor, "..."]
    residual: Float[Tensor, "..."]
    converged: Bool[Tensor, "..."]


def dataset_entropy(quality: float, examples: float) -> float:
    """Entropy ρ = (1 − r²) / (M r²) of M examples of quality r: what they leave unknown of the pattern behind them.

    Args:
        quality: r in (0, 1]; an entry of an example is right with probability (1 + r)/2.
        examples: M > 0, number of examples of each pattern.

    Raises:
        ValueError: if an argument is out of its range.

    Source: arXiv 2212.00606 (definition of the dataset entropy).

    Example:
        >>> dataset_entropy(0.5, 3)
        1.0
    """
    if not 0 < quality <= 1:
        raise ValueError(f"quality is {quality}; wanted a number in (0, 1]")
    if not examples > 0:
        raise ValueError(f"examples is {examples}; wanted a number above 0")
    return (1 - quality**2) / (examples * quality**2)


def examples_needed(quality: float | Float[Tensor, "..."], magnetization: float = 0.95) -> float:
    """Number M of examples of quality r from which a supervised memory at low load recalls with overlap m.

    Without noise every neuron takes the sign of its average, so m = erf(1/√(2ρ)) at any order, and
    M = (1 − r²)/(r² ρ) grows as 1/r². Where the quality differs from neuron to neuron, as in images, m is the mean
    of erf(1/√(2ρ_i)) over the neurons, and M solves that.

    Args:
        quality: r in (0, 1], one number or one a neuron.
        magnetization: wanted overlap m in (0, 1).

    Raises:
        ValueError: if an argument is out of its range.

    Source: arXiv 2212.00606 at vanishing load; the average over neurons is ours.

    Example:
        >>> round(examples_needed(0.2, 0.95), 1)
        92.2
    """
    if not 0 < magnetization < 1:
        raise ValueError(f"magnetization is {magnetization}; wanted a number in (0, 1)")
    if isinstance(quality, Tensor) and quality.numel() > 1:
        if not bool(((quality > 0) & (quality <= 1)).all()):
            raise ValueError(f"quality is {float(quality.min())} at the least; wanted numbers in (0, 1]")
        signal = quality.double() / (2 * (1 - quality.double() ** 2)).sqrt()
        low, high = 0.0, 1.0
        while float(torch.erf(signal * math.sqrt(high)).mean()) < magnetization:
            low, high = high, 2 * high
        while high - low > 1e-12 * high:
            middle = (low + high) / 2
            if float(torch.erf(signal * math.sqrt(middle)).mean()) < magnetization:
                low = middle
            else:
                high = middle
        return high
    inverse = float(torch.erfinv(torch.tensor(magnetization, dtype=torch.float64)))
    return dataset_entropy(float(quality), 1.0) * 2 * inverse**2


def _gaussian_averages(
    mean: Float[Tensor, " points"], spread: Float[Tensor, " points"], temperature: Float[Tensor, " points"]
) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"], Float[Tensor, " points"]]:
    """E tanh(h/T), E tanh²(h/T) and (1 − E tanh²(h/T))/T of a Gaussian field h, to rounding at every temperature."""
    # Trapezoidal sums of functions that are analytic in a strip converge exponentially if the grid resolves them.
    # The grid lies on the wider of the two scales, s and T: on the Gaussian, or on the step of tanh, tanh(h/T) = ∫
    # dv sech²(v)/2 sign(h + vT). The second holds at T = 0 too, where it is the closed form.
    points = torch.linspace(-1.0, 1.0, 129, dtype=mean.dtype).unsqueeze(1)
    m, q, c = (torch.empty_like(mean) for _ in range(3))
    narrow = temperature < spread
    if bool(narrow.any()):
        g, s, t = mean[narrow], spread[narrow], temperature[narrow]
        v = 19.0 * points
        weight = torch.cosh(v) ** -2
        weight = weight / weight.sum()
        x = (g + v * t) / s
        m[narrow] = (weight * torch.erf(x / math.sqrt(2))).sum(0)
        c[narrow] = (weight * torch.exp(-(x**2) / 2)).sum(0) * math.sqrt(2 / math.pi) / s
        q[narrow] = 1 - t * c[narrow]
    wide = ~narrow
    if bool(wide.any()):
        g, s, t = mean[wide], spread[wide], temperature[wide]
        y = 9.0 * points
        weight = torch.exp(-(y**2) / 2)
        weight = weight / weight.sum()
        tanh = torch.tanh((g + s * y) / t)
        m[wide] = (weight * tanh).sum(0)
        q[wide] = (weight * tanh**2).sum(0)
        c[wide] = (1 - q[wide]) / t
    return m, q, c


def dense_hebbian_equations(
    order: int,
    load: ArrayLike,
    temperature: ArrayLike = 0.0,
    entropy: ArrayLike = 0.0,
    *,
    start: ArrayLike = 1.0,
    damping: float = 0.5,
    tolerance: float = 1e-10,
    max_steps: int = 5000,
) -> OrderParameters:
    r"""Solve the self-consistency equations of the supervised dense Hebbian memory, for a whole grid at once.

    With field mean g = n^{P−1}/√(1+ρ), field variance s² = n^{2P−2} ρ/(1+ρ) + V and y a standard Gaussian,

        m = E tanh β(g + s y),   q = E tanh² β(g + s y),   n = m/√(1+ρ) + ρ/(1+ρ) n^{P−1} β(1 − q),
        V = α q / (1 − β(1−q))²  for P = 2,                V = (P−1)! α q^{P−1}  for P > 2.

    At ρ = 0, P = 2 these are Amit, Gutfreund and Sompolinsky's equations; at ρ = 0, P > 2 Gardner's. The retrieval
    branch is followed by damped iteration from `start`; a smaller start, or the solution at a neighbouring point,
    continues another branch. Units: those of `DenseHebbianMemory`, in which the field at a stored pattern has size 1.

    Args:
        order: interaction order P ≥ 2.
        load: α = K / N^{P−1} ≥ 0; this and the next two broadcast against each other.
        temperature: T = 1/β ≥ 0.
        entropy: dataset entropy ρ ≥ 0 (see `dataset_entropy`); 0 is storing the patterns themselves.
        start: magnetization at which the iteration starts, in [0, 1].
        damping: share of the old value kept at each step, in [0, 1).
        tolerance: residual at which a point counts as solved.
        max_steps: limit of iterations.

    Returns:
        Order parameters, float64, in the shape of the broadcast arguments, and whether they solve the equations.

    Raises:
        ValueError: if an argument is out of its range.

    Source: arXiv 2212.00606 (replica-symmetric equations in the big-data limit), rederived in these units.

    Example:
        >>> solution = dense_hebbian_equations(2, load=[0.1, 0.2])
        >>> [round(m, 3) for m in solution.magnetization.tolist()]
        [0.998, 0.0]
    """
    if not 0 <= damping < 1:
        raise ValueError(f"damping is {damping}; wanted 0 <= damping < 1")
    shape, loads, temperatures, entropies, m = _grid(order, load, temperature, entropy, start)
    state = _first_state(order, temperatures, entropies, m)
    residual, at = torch.full_like(m, math.inf), torch.arange(len(m))
    for _ in range(max_steps):
        new, change = _undamped_step(order, loads[at], temperatures[at], entropies[at], state[:, at])
        residual[at] = change
        state[:, at] = (1 - damping) * new + damping * state[:, at]
        if order > 2:
            state[3, at] = new[3]  # it only follows from the others, and no step depends on it
        at = at[change > tolerance]
        if not len(at):
            break
    return OrderParameters(*(value.reshape(shape) for value in (*state, residual, residual <= tolerance)))


def _grid(
    order: int, load: ArrayLike, temperature: ArrayLike, entropy: ArrayLike, start: ArrayLike
) -> tuple[tuple[int, ...], Tensor, Tensor, Tensor, Tensor]:
    """The shape that all four broadcast to, and their values in a row."""
    if order < 2:
        raise ValueError(f"order is {order}; wanted an integer of at least 2")
    grid = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (load, temperature, entropy, start)))
    for name, values in zip(("load", "temperature", "entropy"), grid, strict=False):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"{name} is {values.min()} at the least; wanted finite numbers of at least 0")
    if not ((grid[3] >= 0) & (grid[3] <= 1)).all():
        raise ValueError(f"start is {grid[3]}; wanted numbers in [0, 1]")
    loads, temperatures, entropies, starts = (torch.from_numpy(value.reshape(-1).copy()) for value in grid)
    return grid[0].shape, loads, temperatures, entropies, starts


def _first_state(order: int, temperature: Tensor, entropy: Tensor, m: Tensor) -> Float[Tensor, "4 points"]:
    """m, n, q and C to start from."""
    # Pairs feel the noise of q from the first step on: begun at q = 0, they would keep the paramagnet that it is.
    q = torch.where((temperature == 0) | (order == 2), torch.ones_like(m), m**2)
    return torch.stack([m, m / (1 + entropy).sqrt(), q, torch.zeros_like(m)])


def _undamped_step(
    order: int, load: Tensor, temperature: Tensor, entropy: Tensor, old: Float[Tensor, "4 points"]
) -> tuple[Float[Tensor, "4 points"], Float[Tensor, " points"]]:
    """Where a step leads, and by how much an equation is missed before it."""
    new = _right_sides(order, load, temperature, entropy, old)
    missed = (new[:3] - old[:3]).abs().amax(0)
    if order == 2:
        # Where other patterns add noise, it goes as 1/(1 − C)²: steps in C swing ever wider where C is large, those in
        # C/(1 − C) do not.
        noisy = load > 0
        missed = torch.where(noisy, torch.maximum(missed, (new[3] - old[3]).abs()), missed)
        new[3] = torch.where(noisy, new[3] / (new[3] + 1 - old[3]), new[3])
    return new, missed


def _right_sides(
    order: int,
    load: Float[Tensor, " points"],
    temperature: Float[Tensor, " points"],
    entropy: Float[Tensor, " points"],
    state: Float[Tensor, "4 points"],
) -> Float[Tensor, "4 points"]:
    """What the equations of m, n, q and C = β(1 − q) give for a state of these four."""
    _, n, q, c = state
    power = n ** (order - 1)
    noise = math.factorial(order - 1) * load * q ** (order - 1)
    if order == 2:
        noise = noise / (1 - c).clamp_min(1e-6) ** 2
    g = power / (1 + entropy).sqrt()
    s = (power**2 * entropy / (1 + entropy) + noise).clamp_min(1e-300).sqrt()
    m, q, c = _gaussian_averages(g, s, temperature)
    n = m / (1 + entropy).sqrt() + entropy / (1 + entropy) * power * c
    return torch.stack([m, n, q, c])


def critical_load(order: int, temperature: float = 0.0, entropy: float = 0.0, *, tolerance: float = 1e-5) -> float:
    """Largest load α = K / N^{P−1} at which the equations keep a retrieval solution (0.138 for order 2 at T = 0, ρ = 0).

    The solution ends in a jump, so the load is found by narrowing a grid to where the iteration from the pattern
    no longer keeps half of the magnetization that it has at no load.

    Args:
        order: interaction order P.
        temperature: T ≥ 0.
        entropy: dataset entropy ρ ≥ 0.
        tolerance: relative width at which the search stops.

    Returns:
        The load; 0 if there is no retrieval at any load.

    Source: arXiv 2212.00606 (phase diagram); Amit, Gutfreund and Sompolinsky 1987 for order 2.
    """
    low, high = 0.0, 1.0
    while high - low > tolerance * high:
        loads = np.linspace(low, high, 33)
        kept = dense_hebbian_equations(order, loads, temperature, entropy, tolerance=1e-9).magnetization.numpy()
        if low == 0.0:
            empty = kept[0]
            if empty < 1e-3:
                return 0.0
        lost = int(np.argmax(kept < empty / 2))
        low, high = float(loads[lost - 1]), float(loads[lost])
    return low
