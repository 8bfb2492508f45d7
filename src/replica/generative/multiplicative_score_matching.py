"""Denoising score matching for noise that multiplies."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .gaussian_paths import along
from .geometric_brownian import GeometricBrownian, Score


def multiplicative_score_loss(
    score: Score,
    clean: Float[Tensor, "batch *shape"],
    process: GeometricBrownian,
    *,
    shortest: float = 1e-3,
    longest: float = 10.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Mean of σ²t ‖h(x_t, t) − x_t ∘ ∇ln p_t(x_t|x₀)‖² a coordinate, with ln t even: least where h is Hyvärinen's score.

    Args:
        score: h, called as ``score(noisy, time)``: a net, or any function.
        clean: x₀, without zeros.
        process: what multiplies.
        shortest: least t.
        longest: largest t.
        generator: source of times and noise.

    Raises:
        ValueError: if times are out of order, or a coordinate is 0, which no factor moves.

    Source: Shetty, Prasath, Seelamantula 2025, Sec. 4; it equals explicit score matching but for a constant, as Vincent's does.

    Example:
        >>> import torch
        >>> from replica.generative import GeometricBrownian, MixtureDenoiser, multiplicative_score_loss
        >>> process, clean = GeometricBrownian(0.5, 1.0), torch.ones(9, 2)
        >>> exact = process.exact_score(MixtureDenoiser(torch.zeros(1, 2), 0.0))  # of one point, which x_t tells
        >>> bool(multiplicative_score_loss(exact, clean, process) < 1e-6)
        True
    """
    if not 0 < shortest < longest:
        raise ValueError(f"shortest, longest: got {shortest} and {longest}, want above 0 and rising")
    if bool((clean == 0).any()):
        raise ValueError("clean: got a coordinate of 0, want none: noise that multiplies leaves it there")
    even = torch.rand(len(clean), generator=generator, device=clean.device, dtype=clean.dtype)
    time = (math.log(shortest) + even * math.log(longest / shortest)).exp()
    noisy = process.perturb(clean, time, generator=generator)
    error = score(noisy, time) - process.conditional_score(noisy, clean, time)
    return (process.sigma**2 * along(time, clean) * error.square()).mean()
