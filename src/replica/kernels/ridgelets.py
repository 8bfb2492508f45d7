"""Ridgelet analysis: which hidden weights a function asks for, and what a bounded range of them costs.

With Gaussian units φ(z) = exp(−z²/2) and the ridgelet ψ(z) = (−1)^{k/2} d^k/dz^k exp(−z²/2), k even:

    R f(a, b) = ∫ f(x) ψ(a · x − b) dx,        f(x) = (1/K) ∫∫ R f(a, b) φ(a · x − b) da db,
    K = (2π)^d Γ((k − d + 1) / 2).

Li, Sonoda, Cao, Wang, Liang 2023 (ICML, arXiv 2008.08427); Murata 1996; Candès 1998.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_STRENGTHS = torch.logspace(2, -14, 65, dtype=torch.float64)


def ridgelet_transform(
    values: Float[Tensor, " points"],
    points: Float[Tensor, "points dim"],
    weights: Float[Tensor, "units dim"],
    biases: Float[Tensor, " units"],
    *,
    volume: float,
    order: int = 2,
) -> Float[Tensor, " units"]:
    """R f(a, b) for each unit, as a sum over points of a grid.

    Args:
        values: f.
        points: where, dense enough for f and for ψ(a · x − b).
        weights: a.
        biases: b.
        volume: of one cell of the grid.
        order: k, even, from 2 up.

    Raises:
        ValueError: if `order` is no even number from 2 up.

    Example:
        >>> import torch
        >>> from replica.kernels import ridgelet_transform
        >>> x = torch.linspace(-8, 8, 801, dtype=torch.float64)
        >>> bump = torch.exp(-x.square() / 2)
        >>> ridgelet_transform(bump, x[:, None], torch.ones(1, 1).double(), torch.zeros(1).double(), volume=0.02)
        tensor([0.8862], dtype=torch.float64)
    """
    if order < 2 or order % 2:
        raise ValueError(f"order: got {order}, want an even number from 2 up")
    across = points @ weights.T - biases
    before, now = torch.ones_like(across), across
    for degree in range(1, order):
        before, now = now, across * now - degree * before
    ridgelets = (-1) ** (order // 2) * now * torch.exp(-across.square() / 2)
    return volume * (values @ ridgelets)


def ridgelet_constant(dim: int, order: int = 2) -> float:
    """K, by which the double integral is divided.

    Raises:
        ValueError: if `order` is not above dim − 1: the integral diverges.

    Example:
        >>> from replica.kernels import ridgelet_constant
        >>> round(ridgelet_constant(1), 4)
        6.2832
    """
    return (2 * math.pi) ** dim * math.gamma(_shape(dim, order))


def band_response(
    frequency: Float[Tensor, "*frequencies"], weight_range: float, *, dim: int = 1, order: int = 2
) -> Float[Tensor, "*frequencies"]:
    """The share of a wave exp(i ξ · x) that the reconstruction keeps whose weights go up to |a| ≤ λ, biases being free.

    In Fourier's space f̂(ξ) keeps Γ(s, (|ξ|/λ)²) / Γ(s), s = (k − d + 1)/2; in one dimension with k = 2 that is
    exp(−(ξ/λ)²). Bounded weights are a low-pass filter for these output weights, R f cut off; others may do better.

    Args:
        frequency: |ξ|, radians for a unit of length.
        weight_range: λ, above 0.
        dim: d, of inputs.
        order: k, even, above d − 1.

    Raises:
        ValueError: if `weight_range` is not above 0 or `order` is too low.

    Example:
        >>> import torch
        >>> from replica.kernels import band_response
        >>> band_response(torch.tensor([0.0, 1.0, 4.0]), 2.0)
        tensor([1.0000, 0.7788, 0.0183])
    """
    if not weight_range > 0:
        raise ValueError(f"weight_range: got {weight_range}, want a number above 0")
    squares = (frequency / weight_range).square()
    return torch.special.gammaincc(torch.full_like(squares, _shape(dim, order)), squares)


def band_loss(values: Float[Tensor, " points"], weight_range: float, *, spacing: float, order: int = 2) -> float:
    """‖f − f_λ‖ / ‖f‖: what the reconstruction from weights |a| ≤ λ leaves out of a function of one input.

    Args:
        values: f on an even grid, of which it sees all: small at both ends, and slow beside the grid.
        weight_range: λ, above 0.
        spacing: of the grid.
        order: k, even, above 0.

    Raises:
        ValueError: if `weight_range` is not above 0 or `order` is too low.

    Example:
        >>> import torch
        >>> from replica.kernels import band_loss
        >>> bump = torch.exp(-torch.linspace(-8, 8, 801, dtype=torch.float64).square() / 2)
        >>> round(band_loss(bump, 1.0, spacing=0.02), 4), round(band_loss(bump, 100.0, spacing=0.02), 4)
        (0.4039, 0.0001)
    """
    spectrum = torch.fft.rfft(values.double()).abs()
    frequency = 2 * math.pi * torch.fft.rfftfreq(len(values), spacing, dtype=torch.float64, device=values.device)
    # All frequencies but 0 stand for themselves and their negatives; the highest, of an even grid, should hold nothing.
    weight = torch.where(frequency > 0, 2.0, 1.0)
    lost = spectrum * (1 - band_response(frequency, weight_range, order=order))
    return float(((weight * lost.square()).sum() / (weight * spectrum.square()).sum()).sqrt())


def bandlimit_lower_bound(
    features: Float[Tensor, "points units"], y: Float[Tensor, " points"], output_weight: float
) -> float:
    """What no network of units from a bounded set gets below, however many they are, if its output weights sum to at most C.

    For any h, and ⟨·, ·⟩ the mean over points, ‖f − Σ_j c_j φ_j‖ ≥ (⟨f, h⟩ − C max_V |⟨φ, h⟩|) / ‖h‖. The h that are tried
    are residuals of ridge regression, which units of V hardly see. The ridgelet transform is of this form: ⟨φ_ab, h⟩.

    Args:
        features: units that cover V, one a column: the maximum is over them, so they should lie close.
        y: f, same points.
        output_weight: C = Σ_j |c_j|, 0 or more.

    Returns:
        The root mean square of the error, at least; 0 where nothing is shown.

    Raises:
        ValueError: if shapes differ or `output_weight` is negative.

    Example:
        >>> import torch
        >>> from replica.kernels import bandlimit_lower_bound
        >>> x = torch.linspace(-1, 1, 101, dtype=torch.float64)
        >>> lines = torch.stack([torch.ones_like(x), x], dim=1)
        >>> round(bandlimit_lower_bound(lines, x.square() - x.square().mean(), 10.0), 3)
        0.304
    """
    if features.dim() != 2 or features.shape[0] != len(y):
        raise ValueError(f"features: got shape {tuple(features.shape)}, want ({len(y)}, units)")
    if not output_weight >= 0:
        raise ValueError(f"output_weight: got {output_weight}, want 0 or more")
    units, target = features.double(), y.double()
    left, values, _ = torch.linalg.svd(units, full_matrices=False)
    inside = left.T @ target
    outside = target - left @ inside
    strengths = _STRENGTHS.to(values) * values.amax()
    kept = strengths.square() / (values[:, None].square() + strengths.square())
    tried = outside[:, None] + left @ (inside[:, None] * kept)
    norms = tried.square().mean(0).sqrt()
    seen = (units.T @ tried / len(y)).abs().amax(0)
    bounds = (target @ tried / len(y) - output_weight * seen) / norms.clamp_min(torch.finfo(norms.dtype).tiny)
    return max(0.0, float(bounds.amax()))


def _shape(dim: int, order: int) -> float:
    if order % 2 or order <= dim - 1:
        raise ValueError(f"order: got {order}, want an even number above {dim - 1}")
    return (order - dim + 1) / 2
