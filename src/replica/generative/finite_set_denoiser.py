"""The exact denoiser of a finite set of points: what the best net of any size would learn from them."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .gaussian_paths import along


@dataclass(frozen=True)
class Posterior:
    """Of the data x₁ that a noisy x_t came from.

    Attributes:
        mean: E[x₁|x_t], shape (batch, *shape).
        variance: E‖x₁ − E[x₁|x_t]‖², summed over coordinates, shape (batch,).
        log_density: ln p_t(x_t), shape (batch,).
    """

    mean: Float[Tensor, "batch *shape"]
    variance: Float[Tensor, " batch"]
    log_density: Float[Tensor, " batch"]


class FiniteSetDenoiser(nn.Module):
    """E[x₁|x_t] for x_t = a x₁ + m x₀ and x₁ any of a finite set: a softmax of −‖x_t − a y_i‖²/2m² over its points.

    Two matrix products a call; memory for the weights of `chunk` rows at once.

    Args:
        points: y, shape (count, *shape).
        chunk: rows that are denoised at once.

    Raises:
        ValueError: if there are no points, or rows have another shape.

    Source: Karras et al. 2022, Appendix B.3, eq. 57.

    Example:
        >>> import torch
        >>> from replica.generative import FiniteSetDenoiser
        >>> denoiser = FiniteSetDenoiser(torch.tensor([[-1.0], [1.0]]))
        >>> one = torch.tensor(1.0)
        >>> denoiser(torch.tensor([[0.0], [0.5], [9.0]]), one, one).round(decimals=3)  # tanh
        tensor([[0.0000],
                [0.4620],
                [1.0000]])
    """

    points: Tensor
    centre: Tensor
    squares: Tensor

    def __init__(self, points: Float[Tensor, "count *shape"], *, chunk: int = 1024) -> None:
        super().__init__()
        if not len(points) or points.dim() < 2:
            raise ValueError(f"points: got shape {tuple(points.shape)}, want (count, *shape) with one or more")
        self.shape, self.chunk = points.shape[1:], chunk
        flat = points.flatten(1)
        # Centred: inner products then lose the fewest digits.
        self.register_buffer("centre", flat.mean(0))
        self.register_buffer("points", flat - flat.mean(0))
        self.register_buffer("squares", (flat - flat.mean(0)).square().sum(1))

    def forward(
        self, noisy: Float[Tensor, "batch *shape"], signal: Tensor, noise: Tensor
    ) -> Float[Tensor, "batch *shape"]:
        """E[x₁|x_t]; ``signal`` and ``noise`` are a and m, one number or one a row."""
        chunks = self._chunks(noisy, signal, noise)
        means = [_without_denormals(torch.softmax(self._logits(*chunk), 1)) @ self.points for chunk in chunks]
        return (torch.cat(means) + self.centre).view_as(noisy)

    def posterior(self, noisy: Float[Tensor, "batch *shape"], signal: Tensor, noise: Tensor) -> Posterior:
        """Mean, variance and density in one pass."""
        parts = []
        for rows, a, m in self._chunks(noisy, signal, noise):
            logits = self._logits(rows, a, m)
            log_sum = logits.logsumexp(1)
            weights = _without_denormals((logits - log_sum[:, None]).exp())
            means = weights @ self.points
            spread = (weights @ self.squares - means.square().sum(1)).clamp_min(0)
            log_density = log_sum + self._left_out(rows, a, m) - math.log(len(self.points))
            parts.append((means + self.centre, spread, log_density))
        means, spreads, logs = (torch.cat(each) for each in zip(*parts, strict=True))
        return Posterior(means.view_as(noisy), spreads, logs)

    def _chunks(self, noisy: Tensor, signal: Tensor, noise: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        if noisy.shape[1:] != self.shape:
            raise ValueError(f"noisy: got shape {tuple(noisy.shape)}, want (batch, {', '.join(map(str, self.shape))})")
        flat = noisy.flatten(1)
        a, m = (along(torch.as_tensor(value).to(flat), flat).expand(len(flat), 1) for value in (signal, noise))
        starts = range(0, max(len(flat), 1), self.chunk)  # an empty batch is one empty chunk
        return [tuple(each[start : start + self.chunk] for each in (flat, a, m)) for start in starts]  # type: ignore[misc]

    def _logits(self, rows: Tensor, a: Tensor, m: Tensor) -> Tensor:
        """Of the points' chances, but for what all points of a row share: ‖x − ay‖² less ‖x‖²."""
        m = m.clamp_min(torch.finfo(rows.dtype).tiny ** 0.25)  # without noise: the nearest point
        logits = ((rows - a * self.centre) * (a / m.square())) @ self.points.T
        return logits.addcmul_((a / m).square(), self.squares, value=-0.5)

    def _left_out(self, rows: Tensor, a: Tensor, m: Tensor) -> Tensor:
        """What the noise's log-density has beside `_logits`."""
        m = m[:, 0].square()
        return -(rows - a * self.centre).square().sum(1) / (2 * m) - torch.log(2 * torch.pi * m) * rows.shape[1] / 2


def _without_denormals(weights: Tensor) -> Tensor:
    """Weights that are all but 0 as 0: products with denormal numbers take several times as long."""
    least = torch.finfo(weights.dtype).tiny / torch.finfo(weights.dtype).eps
    return torch.where(weights < least, 0, weights)
