"""Poisson flow: noise of heavy tails, from D extra dimensions, between electric fields (D = 1) and diffusion (D → ∞)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .finite_set_denoiser import FiniteSetDenoiser
from .gaussian_paths import along


def align_radius(sigma: float, extra_dim: float) -> float:
    """The radius r = σ√D, the norm of the extra coordinates at which the kernel is as wide as a diffusion's noise σ.

    Raises:
        ValueError: if the dimension is not positive and finite.

    Source: Xu et al. 2023, Sec. 4 (alignment of hyperparameters).

    Example:
        >>> from replica.generative import align_radius
        >>> align_radius(0.5, 64)
        4.0
    """
    if not 0 < extra_dim < math.inf:
        raise ValueError(f"extra_dim: got {extra_dim}, want above 0 and finite")
    return sigma * math.sqrt(extra_dim)


@dataclass(frozen=True)
class PoissonFlowKernel:
    """p_r(x|y) ∝ (‖x − y‖² + r²)^(−(N+D)/2) at r = σ√D: how data y ∈ R^N are perturbed on the way out of N + D dimensions.

    At the aligned radius this is Student's t in N dimensions with D degrees of freedom and scale σ: a normal whose variance is
    drawn once for all coordinates. So x = y + σε with ε of one law at every σ, and the flow dx/dσ = (x − E[y|x])/σ is the
    diffusion's: `sample_path` follows it along `VarianceExplodingPath` from `noise` or `prior`, as it follows a diffusion.

    Args:
        data_dim: N, coordinates of a sample.
        extra_dim: D, any positive number; infinity gives a diffusion.

    Raises:
        ValueError: if a dimension is not positive, or rows have another number of coordinates.

    Source: Xu et al. 2023, eqs. 3 and 5 (kernel and loss), Theorem 4.1 (D → ∞), Appendix B (radius from a Beta law).

    Example:
        >>> import torch
        >>> from replica.generative import PoissonFlowKernel
        >>> noise = PoissonFlowKernel(64, 8.0).noise(20000, generator=torch.Generator().manual_seed(0))
        >>> noise.square().mean().round(decimals=1)  # D / (D - 2), where a normal has 1
        tensor(1.3000)
    """

    data_dim: int
    extra_dim: float = math.inf

    def __post_init__(self) -> None:
        for name, value in (("data_dim", self.data_dim), ("extra_dim", self.extra_dim)):
            if not value > 0:
                raise ValueError(f"{name}: got {value}, want above 0")

    def noise(
        self,
        count: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Float[Tensor, "count data_dim"]:
        """ε of unit scale: an even direction times a norm whose tail has power D; made where the generator is, by default."""
        device = generator.device if device is None and generator is not None else device
        normal = torch.randn(count, self.data_dim, generator=generator, device=device, dtype=dtype)
        if math.isinf(self.extra_dim):
            return normal
        # torch.distributions takes no generator.
        half = torch.full((count, 1), self.extra_dim / 2, device=normal.device, dtype=normal.dtype)
        chi_square = 2 * torch._standard_gamma(half, generator)
        return normal * (self.extra_dim / chi_square.clamp_min(torch.finfo(normal.dtype).tiny)).sqrt()

    def perturb(
        self, clean: Float[Tensor, "batch *shape"], sigma: Tensor | float, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *shape"]:
        """Rows x = y + σε; ``sigma`` is one number or one a row."""
        if clean[:1].numel() != self.data_dim:
            raise ValueError(f"clean: got rows of shape {tuple(clean.shape[1:])}, want {self.data_dim} coordinates")
        noise = self.noise(len(clean), generator=generator, device=clean.device, dtype=clean.dtype).view_as(clean)
        return clean + along(torch.as_tensor(sigma).to(clean), clean) * noise

    def prior(
        self, count: int, sigma: float, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "count data_dim"]:
        """σε: where sampling starts, data being small beside σ. `sample_path` multiplies `noise` by σ itself."""
        return sigma * self.noise(count, generator=generator)

    def log_density(self, offset: Float[Tensor, "batch data_dim"], sigma: Tensor | float) -> Float[Tensor, " batch"]:
        """Of x − y, ln p_r(x|y)."""
        level, sizes = torch.as_tensor(sigma).to(offset), (self.data_dim, self.extra_dim)
        return _log_tail(offset.square().sum(-1) / level.square(), *sizes) + _log_peak(level, *sizes)


class PoissonFlowDenoiser(FiniteSetDenoiser):
    """E[y|x] for x = a y + m ε with ε of `PoissonFlowKernel` and y any of a finite set: what the best net learns for one D.

    Weights of points are (‖x − a y‖² + Dm²)^(−(N+D)/2), those of the field of charges in N + D dimensions. Called, and used in
    `sample_path`, as `FiniteSetDenoiser`, which it is at D = ∞.

    Args:
        points: y, shape (count, *shape).
        extra_dim: D.
        chunk: rows at once.

    Raises:
        ValueError: if there are no points, rows have another shape, or the dimension is not positive.

    Source: Xu et al. 2023, eqs. 2 and 6.

    Example:
        >>> import torch
        >>> from replica.generative import PoissonFlowDenoiser
        >>> one, points = torch.tensor(1.0), torch.tensor([[-1.0], [1.0]])
        >>> [PoissonFlowDenoiser(points, D)(torch.tensor([[0.5]]), one, one).item().__round__(3) for D in (1, 1e6)]
        [0.444, 0.462]
    """

    def __init__(
        self, points: Float[Tensor, "count *shape"], extra_dim: float = math.inf, *, chunk: int = 1024
    ) -> None:
        super().__init__(points, chunk=chunk)
        self.extra_dim = PoissonFlowKernel(self.points.shape[1], extra_dim).extra_dim

    def _logits(self, rows: Tensor, a: Tensor, m: Tensor) -> Tensor:
        normal = super()._logits(rows, a, m)
        if math.isinf(self.extra_dim):
            return normal
        m = m.clamp_min(torch.finfo(rows.dtype).tiny ** 0.25)
        squares = (((rows - a * self.centre) / m).square().sum(1, keepdim=True) - 2 * normal).clamp_min(0)
        return _log_tail(squares, rows.shape[1], self.extra_dim)

    def _left_out(self, rows: Tensor, a: Tensor, m: Tensor) -> Tensor:
        if math.isinf(self.extra_dim):
            return super()._left_out(rows, a, m)
        return _log_peak(m[:, 0], rows.shape[1], self.extra_dim)


def _log_tail(squares: Tensor, data_dim: int, extra_dim: float) -> Tensor:
    """Logarithm of the kernel over its peak, at ‖x − y‖²/σ²."""
    if math.isinf(extra_dim):
        return -squares / 2
    return -(data_dim + extra_dim) / 2 * torch.log1p(squares / extra_dim)


def _log_peak(level: Tensor, data_dim: int, extra_dim: float) -> Tensor:
    """Logarithm of the kernel at x = y."""
    if math.isinf(extra_dim):
        return -data_dim / 2 * torch.log(2 * math.pi * level.square())
    peak = math.lgamma((data_dim + extra_dim) / 2) - math.lgamma(extra_dim / 2)
    return peak - data_dim / 2 * torch.log(math.pi * extra_dim * level.square())
