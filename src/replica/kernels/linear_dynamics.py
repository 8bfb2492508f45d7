"""Generalisation and training error of linear networks over training time (Advani, Saxe, Sompolinsky 2020).

Samples y = w̄·x + ε with x ~ N(0, I/N), entries of w̄ of variance `signal`, ε of variance `noise`; P = αN of them. Full-batch
gradient flow τ ẇ = X (y − Xᵀw) from entries of variance `start`; times are in units of τ.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .marchenko_pastur import MarchenkoPastur


def generalization_error(
    times: Float[Tensor, " times"],
    load: float,
    *,
    noise: float,
    signal: float = 1.0,
    start: float = 0.0,
    eigenvalues: Float[Tensor, " inputs"] | None = None,
) -> Float[Tensor, " times"]:
    """Mean squared error on new samples, over training time.

        E_g(t) = ⟨(σ_w² + σ_0²) e^{−2λt} + σ_ε² (1 − e^{−λt})² / λ⟩_λ + σ_ε²,

    where λ = 0 keeps σ_w² + σ_0². Exact on average over w̄, w_0 and ε at given eigenvalues; in the limit N → ∞ without.

    Args:
        times: t, in units of τ; infinity is allowed.
        load: α = P/N.
        noise: σ_ε², variance of targets beside w̄·x.
        signal: σ_w², variance of an entry of w̄.
        start: σ_0², variance of an entry of the initial weights.
        eigenvalues: all N of X Xᵀ, for a sample's own mean instead of the limit.

    Raises:
        ValueError: if a variance or a time is negative, or `load` no finite number above 0.

    Example:
        >>> generalization_error(torch.tensor([0.0, torch.inf]), 2.0, noise=0.5)  # at last σ_ε² (1 + 1/(α − 1))
        tensor([1.5000, 1.0000], dtype=torch.float64)
    """
    _check(times, noise=noise, signal=signal, start=start)
    found, weights, unseen = _spectrum(load, eigenvalues)
    kept, learned = _decay(times, found)
    errors = kept.square() * (signal + start) + noise * learned.square() / found
    return errors @ weights + unseen * (signal + start) + noise


def training_error(
    times: Float[Tensor, " times"],
    load: float,
    *,
    noise: float,
    signal: float = 1.0,
    start: float = 0.0,
    eigenvalues: Float[Tensor, " inputs"] | None = None,
) -> Float[Tensor, " times"]:
    """Mean squared error on the samples learned from, over training time.

        E_t(t) = (1/α) ⟨(λ (σ_w² + σ_0²) + σ_ε²) e^{−2λt}⟩_{λ>0} + (1 − 1/α)₊ σ_ε²:

    the noise in the P − N directions of sample space that inputs cannot reach stays.

    Args: see `generalization_error`.
    """
    _check(times, noise=noise, signal=signal, start=start)
    found, weights, _ = _spectrum(load, eigenvalues)
    kept, _ = _decay(times, found)
    errors = kept.square() * (found * (signal + start) + noise)
    return errors @ weights / load + max(1 - 1 / load, 0.0) * noise


class StoppingTime(NamedTuple):
    """When to stop, and what is reached.

    Attributes:
        time: in units of τ.
        error: E_g there.
    """

    time: float
    error: float


def optimal_stopping_time(load: float, *, noise: float, signal: float = 1.0, start: float = 0.0) -> StoppingTime:
    """The time of the least generalisation error, found to 1e-6 of its logarithm.

    Without noise it is never too late: the time is infinite.

    Args: see `generalization_error`.

    Example:
        >>> round(optimal_stopping_time(1.0, noise=1.0).error, 3)
        1.625
    """
    from scipy.optimize import minimize_scalar

    def errors(log_times: Tensor) -> Tensor:
        return generalization_error(log_times.exp(), load, noise=noise, signal=signal, start=start)

    if noise == 0:
        return StoppingTime(math.inf, float(errors(torch.tensor([torch.inf], dtype=torch.float64))))
    grid = torch.linspace(-12, 12, 97, dtype=torch.float64)
    best = int(errors(grid).argmin())
    bounds = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(
        lambda log_time: float(errors(torch.tensor([log_time], dtype=torch.float64))),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-6},
    )
    return StoppingTime(math.exp(found.x), float(found.fun))


def linear_dynamics(
    inputs: Float[Tensor, "inputs samples"],
    targets: Float[Tensor, "samples runs"],
    times: Float[Tensor, " times"],
    start: Float[Tensor, "inputs runs"] | None = None,
) -> Float[Tensor, "times inputs runs"]:
    """Weights of a linear network along gradient flow, exactly, for many target vectors at once.

    With X = U S Vᵀ: w(t) = w_0 + U [(1 − e^{−S²t}) / S (Vᵀy − S Uᵀw_0)]; directions outside U never move, the frozen subspace.

    Args:
        inputs: X, a sample a column.
        targets: y, a run a column.
        times: t, in units of τ; infinity gives the solution nearest to the start.
        start: w_0; zero by default.

    Raises:
        ValueError: if the numbers of samples, inputs or runs differ, or a time is negative.

    Example:
        >>> X = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
        >>> linear_dynamics(X, torch.tensor([[3.0], [4.0]]), torch.tensor([torch.inf]))[0, :, 0]
        tensor([3., 2., 0.])
    """
    if inputs.shape[1] != targets.shape[0]:
        raise ValueError(f"targets: got {targets.shape[0]} samples, want {inputs.shape[1]}, one a column of inputs")
    _check(times)
    start = inputs.new_zeros(inputs.shape[0], targets.shape[1]) if start is None else start
    if start.shape != (inputs.shape[0], targets.shape[1]):
        wanted = (inputs.shape[0], targets.shape[1])
        raise ValueError(f"start: got shape {tuple(start.shape)}, want {wanted}, inputs and runs")
    left, values, right = torch.linalg.svd(inputs, full_matrices=False)
    values = values.clamp_min(torch.finfo(values.dtype).eps * values.max())
    _, learned = _decay(times.to(values), values.square())
    gap = right @ targets - values[:, None] * (left.mT @ start)
    moved = learned[:, :, None] * (gap / values[:, None])
    return start + left @ moved


def _spectrum(load: float, eigenvalues: Tensor | None) -> tuple[Tensor, Tensor, float]:
    """Eigenvalues above 0, their weights, and the weight of 0."""
    if eigenvalues is None:
        law = MarchenkoPastur(load)
        return *law.quadrature(), law.mass_at_zero
    MarchenkoPastur(load)  # for its check
    found = eigenvalues.double()
    found = found[found > 1e-10 * found.max()]
    return found, torch.full_like(found, 1 / len(eigenvalues)), 1 - len(found) / len(eigenvalues)


def _decay(times: Tensor, eigenvalues: Tensor) -> tuple[Tensor, Tensor]:
    """e^{−λt} and 1 − e^{−λt}, shape (times, eigenvalues)."""
    exponents = -times.to(eigenvalues)[:, None] * eigenvalues
    return exponents.exp(), -torch.expm1(exponents)


def _check(times: Tensor, **variances: float) -> None:
    for name, value in variances.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}: got {value}, want a finite variance, 0 or more")
    if not bool((times >= 0).all()):
        raise ValueError("times: got a negative one, want 0 or more")
