"""One loop from noise to samples for all paths, denoisers and solvers, with one hook for whatever steers or watches it."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from .gaussian_paths import GaussianPath, VarianceExplodingPath

Solver = Literal["euler", "heun", "ddim"]
Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
Hook = Callable[[Tensor, Tensor, Tensor], Tensor]


@torch.no_grad()
def sample_path(
    denoiser: Denoiser,
    path: GaussianPath,
    noise: Float[Tensor, "batch *shape"],
    *,
    steps: int = 50,
    times: Float[Tensor, " steps_and_one"] | None = None,
    solver: Solver = "heun",
    stochasticity: float = 0.0,
    hook: Hook | None = None,
    before: Hook | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "batch *shape"]:
    """Carries noise along a path to samples, by what the denoiser says is the data behind it.

    ``"euler"`` and ``"heun"`` follow the probability flow's velocity ȧx̂₁ + ṁx̂₀; Heun's second call corrects each step but the
    last. ``"ddim"`` draws straight from predictions, x = a'x̂₁ + √(m'² − η²)x̂₀ + ηε, with η the given share of the posterior's
    deviation: 0 is DDIM, 1 ancestral sampling as in DDPM.

    Args:
        denoiser: E[x₁|x_t], called as ``denoiser(noisy, signal, noise)`` with a and m as numbers.
        path: its coefficients; its first time's noise level scales ``noise``.
        noise: standard normal, x at the first time over m; where a > 0 there it lacks the data's share, as is usual.
        steps: of even times from 0 to 1.
        times: instead of ``steps``, rising times, the last one the end.
        solver: as above.
        stochasticity: η's share, from 0 to 1, for ``"ddim"``.
        hook: called as ``hook(x_t, x̂₁, t)`` at every prediction; returns the x̂₁ to go on with. Guidance and control change it,
            recorders give it back.
        before: called as ``before(x_t, m, t)`` as each step begins; returns the x_t to begin it with. Errors, projections and
            fresh noise enter here.
        generator: of fresh noise.

    Returns:
        x at the last time.

    Raises:
        ValueError: if times do not rise, or a number or name is out of range.

    Source: Song et al. 2021 (DDIM), eq. 12; Karras et al. 2022, Algorithm 1.

    Example:
        >>> import torch
        >>> from replica.generative import MixtureDenoiser, StraightPath, sample_path
        >>> exact = MixtureDenoiser(torch.tensor([[3.0]]), 0.5)
        >>> noise = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
        >>> samples = sample_path(exact, StraightPath(), noise, steps=20)
        >>> samples.mean().round(decimals=1), samples.std().round(decimals=1)
        (tensor(3.), tensor(0.5000))
    """
    if times is None:
        if steps < 1:
            raise ValueError(f"steps: got {steps}, want 1 or more")
        times = torch.linspace(0, 1, steps + 1, dtype=noise.dtype, device=noise.device)
    if times.dim() != 1 or len(times) < 2 or not bool((times.diff() > 0).all()):
        raise ValueError(f"times: got {times.tolist()[:5]} …, want two or more that rise")
    if solver not in ("euler", "heun", "ddim"):
        raise ValueError(f"solver: got {solver!r}, want 'euler', 'heun' or 'ddim'")
    if not 0 <= stochasticity <= 1 or (stochasticity and solver != "ddim"):
        raise ValueError(f"stochasticity: got {stochasticity} with {solver!r}, want 0 to 1, and 'ddim' above 0")
    signals, levels = path.coefficients(times)
    # Rates are needed at the beginning of steps alone, where noise is left: they may be infinite at the end.
    signal_rates, noise_rates = path.rates(times)

    def predicted(x: Tensor, step: int) -> Tensor:
        clean = denoiser(x, signals[step], levels[step])
        return clean if hook is None else hook(x, clean, times[step])

    def velocity(x: Tensor, step: int) -> Tensor:
        clean = predicted(x, step)
        # ȧx̂₁ + ṁ(x − ax̂₁)/m, gathered so that x is read once.
        growth = noise_rates[step] / levels[step]
        return torch.add(growth * x, clean * (signal_rates[step] - growth * signals[step]))

    x = levels[0] * noise
    for step in range(len(times) - 1):
        if before is not None:
            x = before(x, levels[step], times[step])
        if solver == "ddim":
            clean = predicted(x, step)
            a, m, a_next, m_next = signals[step], levels[step], signals[step + 1], levels[step + 1]
            # Of x at the next time given x_t and x₁: m'²(1 − (am'/a'm)²).
            fresh = stochasticity * m_next * (1 - (a * m_next / (a_next * m)).square()).clamp_min(0).sqrt()
            left = (m_next.square() - fresh.square()).clamp_min(0).sqrt() / m
            x = left * x + (a_next - left * a) * clean
            if stochasticity:
                x = x + fresh * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            continue
        width = times[step + 1] - times[step]
        slope = velocity(x, step)
        ahead = torch.addcmul(x, slope, width)
        if solver == "heun" and levels[step + 1] > 0 and step + 2 < len(times):
            ahead = torch.addcmul(x, slope + velocity(ahead, step + 1), width / 2)
        x = ahead
    return x


def sample_karras(
    denoiser: Denoiser,
    noise: Float[Tensor, "batch *shape"],
    *,
    steps: int = 18,
    smallest: float = 0.002,
    largest: float = 80.0,
    rho: float = 7.0,
    hook: Hook | None = None,
    before: Hook | None = None,
) -> Float[Tensor, "batch *shape"]:
    """Karras' deterministic sampler: Heun's steps in the noise level σ itself, and one of Euler's to σ = 0.

    `sample_path` along `VarianceExplodingPath` takes them in time, in which the flow bends more: at few steps this is nearer.

    Args:
        denoiser: E[x₁|x_t], as for `sample_path`.
        noise: of unit scale, standard normal as a rule.
        steps: levels above 0, two or more, whose ρ-th roots fall evenly.
        smallest: the last σ above 0.
        largest: the first σ.
        rho: ρ.
        hook: see `sample_path`; times are 1 − σ/largest.
        before: likewise.

    Source: Karras et al. 2022, Algorithm 1 and eq. 5.

    Example:
        >>> import torch
        >>> from replica.generative import FiniteSetDenoiser, sample_karras
        >>> sample_karras(FiniteSetDenoiser(torch.tensor([[3.0]])), torch.tensor([[1.0]]), steps=2)  # a straight line
        tensor([[3.]])
    """
    even = torch.linspace(0, 1, steps, dtype=torch.float64, device=noise.device)
    levels = VarianceExplodingPath(smallest, largest, rho).coefficients(even)[1]
    times = torch.cat([1 - levels / levels[0], torch.ones_like(levels[:1])])
    path = VarianceExplodingPath(0.0, largest, rho=1.0)  # σ falls evenly in time
    return sample_path(denoiser, path, noise, times=times, hook=hook, before=before)
