"""Noise that multiplies: geometric Brownian motion, its score, and samplers by factors."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .gaussian_paths import along

Score = Callable[[Tensor, Tensor], Tensor]
"""``score(noisy, time)``, x ∘ ∇ln p_t(x), with one time a row."""


@dataclass(frozen=True)
class GeometricBrownian:
    """dX = μX dt + σX dW: ln|X_t| = ln|X₀| + (μ − σ²/2)t + σ√t ε, and no coordinate ever changes its sign.

    Its score in the form that is learned and sampled by is Hyvärinen's, h = x ∘ ∇ln p_t(x). Of U = ln|X| the score is 1 + h.

    Args:
        mu: μ; σ²/2 leaves logarithms without drift.
        sigma: σ, positive.

    Raises:
        ValueError: if σ is not positive.

    Source: Shetty, Prasath, Seelamantula 2025, Sec. 3 (process), Sec. 4 (multiplicative denoising score matching).

    Example:
        >>> import torch
        >>> from replica.generative import GeometricBrownian
        >>> process, clean = GeometricBrownian(0.5, 1.0), torch.tensor([[-2.0, 3.0]]).expand(10_000, 2)
        >>> noisy = process.perturb(clean, torch.full((10_000,), 4.0), generator=torch.Generator().manual_seed(0))
        >>> (noisy / clean).log().std(0).round(decimals=1), bool((noisy * clean > 0).all())
        (tensor([2., 2.]), True)
    """

    mu: float
    sigma: float

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma: got {self.sigma}, want above 0")

    @property
    def log_drift(self) -> float:
        """μ − σ²/2, the drift of logarithms."""
        return self.mu - self.sigma**2 / 2

    def perturb(
        self, clean: Float[Tensor, "batch *shape"], time: Tensor, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *shape"]:
        """X at each row's time (batch,), of the sign that it began with."""
        normal = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
        t = along(time, clean)
        return clean * (self.log_drift * t + self.sigma * t.sqrt() * normal).exp()

    def conditional_score(
        self, noisy: Float[Tensor, "batch *shape"], clean: Float[Tensor, "batch *shape"], time: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch *shape"]:
        """Of one x₀, x ∘ ∇ln p_t(x|x₀) = −1 − (ln(x/x₀) − (μ − σ²/2)t)/σ²t."""
        t = along(time, clean)
        return -1 - ((noisy / clean).log() - self.log_drift * t) / (self.sigma**2 * t)

    def exact_score(self, denoiser: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Score:
        """h, from the exact denoiser of the data's logarithms ln|x₀|: `MixtureDenoiser` for log-normal mixtures, say."""

        def score(noisy: Tensor, time: Tensor) -> Tensor:
            t = along(time, noisy)
            logs = noisy.abs().log() - self.log_drift * t
            clean = denoiser(logs, torch.ones_like(time), self.sigma * time.sqrt())
            return (clean - logs) / (self.sigma**2 * t) - 1

        return score


@torch.no_grad()
def dale_langevin(
    score: Score,
    process: GeometricBrownian,
    start: Float[Tensor, "batch *shape"],
    times: Float[Tensor, " steps_and_one"],
    *,
    keep_signs: bool = True,
    before: Callable[[Tensor, Tensor], Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "batch *shape"]:
    """Geometric Brownian motion backwards in time, by factors: each step is one of exponentiated gradient, with noise.

    x ← x ∘ exp((3σ²/2 − μ + σ²h)δ + σ√δ z), a step of the logarithm; or without ``keep_signs``
    x ← x ∘ (1 + (2σ² − μ + σ²h)δ + σ√δ z), a step of x itself, whose factor may be negative.

    Args:
        score: h, called as ``score(x, time)`` with one time a row.
        process: what is run backwards.
        start: x at the first time, of the signs that samples are to have: signs times log-normal numbers.
        times: falling, all positive.
        keep_signs: as above.
        before: called as ``before(x, t)`` as each step begins; returns the x to begin it with.
        generator: of noise.

    Raises:
        ValueError: if times do not fall, or are not positive.

    Source: Shetty, Prasath, Seelamantula 2025 (second version), sign-preserving and sign-agnostic samplers.

    Example:
        >>> import torch
        >>> from replica.generative import GeometricBrownian, MixtureDenoiser, dale_langevin
        >>> process, exact = GeometricBrownian(0.5, 1.0), MixtureDenoiser(torch.tensor([[1.0]]), 0.2)
        >>> noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
        >>> times = torch.logspace(1, -3, 200)
        >>> samples = dale_langevin(process.exact_score(exact), process, -(10**0.5 * noise).exp(), times)
        >>> (-samples).log().mean().round(decimals=1)
        tensor(1.)
    """
    if times.dim() != 1 or len(times) < 2 or not bool((times.diff() < 0).all()) or not bool(times[-1] > 0):
        raise ValueError(f"times: got {times.tolist()[:5]} …, want two or more that fall and stay above 0")
    variance, x = process.sigma**2, start
    for time, width in zip(times[:-1], -times.diff(), strict=True):
        if before is not None:
            x = before(x, time)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        change = (2 * variance - process.mu + variance * score(x, time.to(x).expand(len(x)))) * width
        change = change + process.sigma * width.sqrt() * noise
        x = x * (change - variance / 2 * width).exp() if keep_signs else x * (1 + change)
    return x
