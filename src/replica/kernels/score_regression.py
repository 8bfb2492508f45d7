"""Score estimation as regression with noisy labels, by a two-layer network or the kernel that it descends along.

Han, Razaviyayn, Xu 2024 (ICLR, arXiv 2401.15604). Data are noised by dX = −X/2 dt + dW: X_t = α(t) X_0 + √h(t) Z with
α = exp(−t / 2), h = 1 − α². The score is (α E[X_0 | X_t] − X_t) / h, so X_0 is regressed on (X_t, t).
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DenoisingPairs(NamedTuple):
    """Noised points with the points they came from.

    Attributes:
        points: X_t, shape (n, dim).
        times: t, shape (n,).
        clean: X_0, the noisy label of E[X_0 | X_t], shape (n, dim).
    """

    points: Float[Tensor, "n dim"]
    times: Float[Tensor, "n"]
    clean: Float[Tensor, "n dim"]


def signal_and_noise(times: Float[Tensor, "n"]) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n 1"]]:
    """α(t) and h(t), the factor of the data and the variance of the noise at a time."""
    return torch.exp(-times / 2)[:, None], -torch.expm1(-times)[:, None]


def denoising_pairs(
    data: Float[Tensor, "n dim"], *, first: float, last: float, generator: torch.Generator | None = None
) -> DenoisingPairs:
    """Noises each point of a data set once, at a time drawn uniformly from [T_0, T].

    Args:
        data: X_0.
        first: T_0, above 0, where the score is still bounded.
        last: T.
        generator: of times and noise.

    Raises:
        ValueError: unless 0 < first < last.
    """
    if not 0 < first < last:
        raise ValueError(f"first, last: got {first} and {last}, want 0 < first < last")
    options: dict[str, Any] = {"generator": generator, "device": data.device, "dtype": data.dtype}
    times = first + (last - first) * torch.rand(len(data), **options)
    alpha, noise = signal_and_noise(times)
    return DenoisingPairs(alpha * data + noise.sqrt() * torch.randn(data.shape, **options), times, data)


def score_of(
    denoised: Float[Tensor, "n dim"], points: Float[Tensor, "n dim"], times: Float[Tensor, "n"]
) -> Float[Tensor, "n dim"]:
    """The score ∇ ln p_t(x) = (α E[X_0 | X_t = x] − x) / h, of a mean or an estimate of it (Tweedie's formula)."""
    alpha, noise = signal_and_noise(times)
    return (alpha * denoised - points) / noise


class TwoLayerScoreNet(nn.Module):
    """f(x, t) = m^(−1/2) Σ_j a_j ReLU(w_j · (x, t, 1)), signs a_j fixed, w_j drawn from N(0, I) and learned (section 3).

    Units come in pairs with one w_j and opposite signs, so the function is 0 at the start.

    Args:
        dim: of a point and of the output.
        width: m, even.
        generator: of the signs and the initial weights.

    Raises:
        ValueError: if `dim` is not positive, or `width` not positive and even.

    Shape:
        points (batch, dim), times (batch,) → (batch, dim).

    Example:
        >>> import torch
        >>> bool(TwoLayerScoreNet(2, 8)(torch.randn(3, 2), torch.rand(3)).abs().max() < 1e-5)
        True
    """

    signs: Tensor

    def __init__(self, dim: int, width: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim: got {dim}, want a positive number")
        if width < 2 or width % 2:
            raise ValueError(f"width: got {width}, want a positive even number")
        self.width = width
        half = torch.randn(width // 2, dim + 2, generator=generator)
        signs = torch.randint(2, (width // 2, dim), generator=generator).float() * 2 - 1
        self.weight = nn.Parameter(torch.cat([half, half]))
        self.register_buffer("signs", torch.cat([signs, -signs]))

    def forward(self, points: Float[Tensor, "batch dim"], times: Float[Tensor, "batch"]) -> Float[Tensor, "batch dim"]:
        """An estimate of E[X_0 | X_t]."""
        return torch.relu(_inputs(points, times) @ self.weight.T) @ self.signs / math.sqrt(self.width)


def score_kernel(
    points: Float[Tensor, "n dim"],
    times: Float[Tensor, "n"],
    others: Float[Tensor, "m dim"],
    other_times: Float[Tensor, "m"],
) -> Float[Tensor, "n m"]:
    """The tangent kernel of `TwoLayerScoreNet` at infinite width, one block of the matrix-valued K · I.

    u·u' P(w·u > 0, w·u' > 0) = u·u' (π − θ) / 2π with u = (x, t, 1) and θ the angle of u and u'.
    """
    first, second = _inputs(points, times), _inputs(others, other_times)
    inner = first @ second.T
    cosines = inner / (first.norm(dim=1)[:, None] * second.norm(dim=1))
    return inner * (0.5 - torch.acos(cosines.clamp(-1, 1)) / (2 * math.pi))


class ScoreRegression:
    """Gradient descent from 0 on Σ_i ‖f(X_i, t_i) − X_0i‖² / 2n along a fixed kernel, in closed form at every step.

    After k steps of rate η, f_k(·) = K(·, Z) K⁻¹ (I − (I − η K / n)^k) X_0: one eigendecomposition serves all steps, and a ridge
    of any strength.

    Args:
        pairs: to learn from.
        rate: η; below 2 over the largest eigenvalue of K / n.

    Raises:
        ValueError: if `rate` is not positive or descent would diverge.
    """

    def __init__(self, pairs: DenoisingPairs, *, rate: float) -> None:
        kernel = score_kernel(pairs.points, pairs.times, pairs.points, pairs.times).double()
        values, self._axes = torch.linalg.eigh(kernel / len(kernel))
        self._values = values.clamp_min(0)
        top = float(self._values[-1])
        if not 0 < rate < 2 / top:
            raise ValueError(f"rate: got {rate}, want above 0 and below {2 / top:.3g}, beyond which descent diverges")
        self.pairs, self.rate = pairs, rate
        self._targets = self._axes.T @ pairs.clean.double() / len(kernel)

    def denoised(
        self,
        points: Float[Tensor, "m dim"],
        times: Float[Tensor, "m"],
        steps: Float[Tensor, "k"],
        *,
        ridge: bool = False,
    ) -> Float[Tensor, "k m dim"]:
        """Estimates of E[X_0 | X_t] after each of these numbers of steps; infinity interpolates.

        Args:
            points: x.
            times: t.
            steps: k, shape (k,). With `ridge`, strengths λ of ridge regression on K / n instead.
            ridge: whether to filter as ridge regression does, by 1 / (s + λ).
        """
        values = self._values
        if ridge:
            filters = 1 / (values + steps[:, None].double())
        else:
            left = (1 - self.rate * values).clamp(-1, 1) ** steps[:, None].double()
            # Directions that the kernel does not have are never learned.
            filters = torch.where(values > 1e-12 * values[-1], (1 - left) / values.clamp_min(1e-300), 0.0)
        cross = score_kernel(points, times, self.pairs.points, self.pairs.times).double() @ self._axes
        return (cross @ (filters[..., None] * self._targets)).to(points.dtype)


def _inputs(points: Tensor, times: Tensor) -> Tensor:
    if points.ndim != 2 or times.shape != points.shape[:1]:
        raise ValueError(
            f"points, times: got shapes {tuple(points.shape)} and {tuple(times.shape)}, want (n, dim) and (n,)"
        )
    return torch.cat([points, times[:, None].to(points.dtype), torch.ones_like(points[:, :1])], dim=1)
