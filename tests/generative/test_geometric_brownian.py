"""Geometric Brownian motion against log-normal laws, autograd and the additive diffusion of logarithms."""

import math

import pytest
import torch

from replica.generative import (
    FiniteSetDenoiser,
    GeometricBrownian,
    MixtureDenoiser,
    dale_langevin,
    multiplicative_score_loss,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def falling(first: float, last: float, steps: int) -> torch.Tensor:
    return torch.logspace(math.log10(first), math.log10(last), steps + 1, dtype=torch.float64)


PROCESS = GeometricBrownian(0.3, 0.8)


def log_normal(x: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Log-density of |x|, coordinates apart, by torch's own law."""
    return torch.distributions.LogNormal(mean, deviation).log_prob(x.abs())


def test_moments_are_those_of_geometric_brownian_motion() -> None:
    clean, time = torch.full((200_000, 1), -2.0, dtype=torch.float64), torch.full((200_000,), 0.5)
    x = PROCESS.perturb(clean, time, generator=torch.Generator().manual_seed(0))
    assert float(x.mean()) == pytest.approx(-2 * math.exp(0.3 * 0.5), rel=0.01)
    variance = 4 * math.exp(2 * 0.3 * 0.5) * (math.exp(0.64 * 0.5) - 1)
    assert float(x.var()) == pytest.approx(variance, rel=0.03)


def test_conditional_score_is_autograds() -> None:
    clean, time = draw(6, 3), torch.linspace(0.1, 2, 6).double()
    noisy = PROCESS.perturb(clean, time, generator=torch.Generator().manual_seed(1)).requires_grad_()
    mean = clean.abs().log() + (0.3 - 0.32) * time[:, None]
    log_normal(noisy, mean, 0.8 * time[:, None].sqrt()).sum().backward()
    torch.testing.assert_close(PROCESS.conditional_score(noisy.detach(), clean, time), noisy.detach() * noisy.grad)


def test_exact_score_of_a_mixture_is_autograds() -> None:
    means, time = draw(4, 3), torch.linspace(0.1, 2, 5).double()
    noisy = draw(5, 3, seed=2).requires_grad_()
    deviation = (0.5**2 + 0.64 * time[:, None]).sqrt()
    parts = [log_normal(noisy, mean - 0.02 * time[:, None], deviation).sum(1) for mean in means]
    torch.stack(parts).logsumexp(0).sum().backward()
    found = PROCESS.exact_score(MixtureDenoiser(means, 0.5))(noisy.detach(), time)
    torch.testing.assert_close(found, noisy.detach() * noisy.grad)


def test_loss_is_explicit_score_matching_but_for_a_constant() -> None:
    """Of scores that are off by b the loss rises by b² σ²t: the exact score is the least, and nothing else counts."""
    points = draw(3, 2).exp()
    exact = PROCESS.exact_score(FiniteSetDenoiser(points.log()))
    clean = points[torch.randint(3, (100_000,), generator=torch.Generator().manual_seed(0))]

    def loss(off: float) -> float:
        def score(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return exact(x, time) + off / (0.8 * time.sqrt())[:, None]

        generator = torch.Generator().manual_seed(1)
        return float(multiplicative_score_loss(score, clean, PROCESS, shortest=0.1, longest=2.0, generator=generator))

    assert loss(0.3) - loss(0.0) == pytest.approx(0.09, rel=0.15)
    assert loss(-0.3) - loss(0.0) == pytest.approx(0.09, rel=0.15)


def test_factors_are_an_additive_diffusion_of_logarithms() -> None:
    """The sampler against a plain loop over U = ln|X|: dU = (−drift + σ² ∇ln p(u)) dτ + σ dW."""
    denoiser, times = MixtureDenoiser(draw(3, 2), 0.4), falling(4.0, 0.01, 50)
    start = -draw(40, 2, seed=1).exp()
    found = dale_langevin(
        PROCESS.exact_score(denoiser), PROCESS, start, times, generator=torch.Generator().manual_seed(3)
    )
    logs, generator = start.abs().log(), torch.Generator().manual_seed(3)
    for time, width in zip(times[:-1], -times.diff(), strict=True):
        point = (logs - PROCESS.log_drift * time).requires_grad_()
        one, level = torch.tensor(1.0), 0.8 * time.sqrt()
        (score,) = torch.autograd.grad(denoiser.posterior(point, one, level).log_density.sum(), point)
        noise = torch.randn(logs.shape, generator=generator, dtype=torch.float64)
        logs = logs + (0.64 * score - PROCESS.log_drift) * width + 0.8 * width.sqrt() * noise
    torch.testing.assert_close(found, -logs.exp())


def test_both_samplers_reach_the_law_in_many_steps_and_one_alone_keeps_signs_in_few() -> None:
    exact = PROCESS.exact_score(MixtureDenoiser(torch.full((1, 1), 1.0).double(), 0.3))
    start = (PROCESS.log_drift * 4 + 0.8 * 2 * draw(3000, 1)).exp()
    for keep in (True, False):
        generator, times = torch.Generator().manual_seed(0), falling(4.0, 0.01, 600)
        logs = dale_langevin(exact, PROCESS, start, times, keep_signs=keep, generator=generator).abs().log()
        assert float(logs.mean()) == pytest.approx(1.0, abs=0.05)
        assert float(logs.std()) == pytest.approx(0.3, abs=0.03)
        ends = dale_langevin(exact, PROCESS, start, falling(4.0, 0.01, 5), keep_signs=keep, generator=generator)
        assert bool((ends > 0).all()) is keep


def test_bad_arguments_are_named() -> None:
    score, ones = PROCESS.exact_score(FiniteSetDenoiser(torch.zeros(1, 2))), torch.ones(3, 2)
    for call, named in (
        (lambda: GeometricBrownian(0.0, 0.0), "sigma"),
        (lambda: multiplicative_score_loss(score, ones, PROCESS, shortest=0.0), "shortest"),
        (lambda: multiplicative_score_loss(score, 0 * ones, PROCESS), "clean"),
        (lambda: dale_langevin(score, PROCESS, ones, torch.tensor([1.0, 2.0])), "times"),
        (lambda: dale_langevin(score, PROCESS, ones, torch.tensor([1.0, 0.0])), "times"),
    ):
        with pytest.raises(ValueError, match=named):
            call()
