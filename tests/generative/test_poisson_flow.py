"""Poisson flow against Student's t of other libraries, its two limits, quadrature over normal mixtures, and its Beta law."""

import math

import pytest
import scipy.stats
import torch

from replica.generative import (
    FiniteSetDenoiser,
    PoissonFlowDenoiser,
    PoissonFlowKernel,
    VarianceExplodingPath,
    align_radius,
    denoising_loss,
    sample_path,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dim", [1.0, 4.0, 50.0])
def test_kernel_is_a_students_t_at_the_aligned_radius(dim: float) -> None:
    offset, sigma = draw(20, 3), 0.7
    found = PoissonFlowKernel(3, dim).log_density(offset, sigma)
    wanted = scipy.stats.multivariate_t(shape=sigma**2 * torch.eye(3).numpy(), df=dim).logpdf(offset.numpy())
    torch.testing.assert_close(found, torch.from_numpy(wanted))
    raw = -(3 + dim) / 2 * (offset.square().sum(1) + align_radius(sigma, dim) ** 2).log()  # as the paper has it
    torch.testing.assert_close(found - found[0], raw - raw[0])


@pytest.mark.parametrize("dim", [3.0, 20.0, math.inf])
def test_radii_follow_the_beta_law_and_directions_are_even(dim: float) -> None:
    noise = PoissonFlowKernel(6, dim).noise(5000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    squares = noise.square().sum(1)
    if math.isinf(dim):
        law, values = scipy.stats.chi2(6), squares
    else:
        law, values = scipy.stats.beta(3, dim / 2), squares / (squares + align_radius(1.0, dim) ** 2)
    assert scipy.stats.kstest(values.numpy(), law.cdf).pvalue > 0.01
    mean = (noise / squares.sqrt()[:, None]).mean(0)
    assert float(mean.abs().max()) < 4 * (6 * 5000) ** -0.5


def test_perturbed_data_and_the_prior_have_their_level() -> None:
    kernel, clean = PoissonFlowKernel(4, 5.0), draw(3, 2, 2)
    unit = kernel.noise(3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).view(3, 2, 2)
    level = torch.tensor([0.0, 1.0, 2.0])
    noisy = kernel.perturb(clean, level, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(noisy, clean + level.double()[:, None, None] * unit)
    prior = kernel.prior(3, 80.0, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(prior, 80 * kernel.noise(3, generator=torch.Generator().manual_seed(2)))


@pytest.mark.parametrize("dim", [1.0, 7.0])
def test_denoiser_mixes_normal_denoisers_over_the_inverse_gamma(dim: float) -> None:
    """Student's t is a normal of variance σ²D/χ²: denoisers of all variances, weighed by their density."""
    points, noisy, sigma = draw(5, 2), draw(8, 2, seed=1), 0.6
    chances = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    levels = sigma * (dim / torch.from_numpy(scipy.stats.chi2(dim).ppf(chances.numpy()))).sqrt()
    normal, one = FiniteSetDenoiser(points), torch.tensor(1.0)
    each = [normal.posterior(row.expand(4000, 2), one, levels) for row in noisy]
    wanted = torch.stack([torch.softmax(found.log_density, 0) @ found.mean for found in each])
    found = PoissonFlowDenoiser(points, dim).posterior(noisy, one, torch.tensor(sigma))
    torch.testing.assert_close(found.mean, wanted, atol=2e-4, rtol=0)
    density = torch.stack([each_one.log_density.logsumexp(0) - math.log(4000) for each_one in each])
    torch.testing.assert_close(found.log_density, density, atol=2e-3, rtol=0)
    law = PoissonFlowKernel(2, dim)
    brute = torch.stack([law.log_density(noisy - point, sigma) for point in points]).logsumexp(0) - math.log(5)
    torch.testing.assert_close(found.log_density, brute)


def test_many_dimensions_are_a_diffusion_and_infinitely_many_are_exactly() -> None:
    points, noisy, one, level = draw(9, 4), draw(6, 4, seed=1), torch.tensor(0.8), torch.tensor(0.5)
    wanted = FiniteSetDenoiser(points).posterior(noisy, one, level)
    for dim, tolerance in ((1e7, 1e-5), (math.inf, 1e-12)):
        found = PoissonFlowDenoiser(points, dim, chunk=4).posterior(noisy, one, level)
        for name in ("mean", "variance", "log_density"):
            torch.testing.assert_close(getattr(found, name), getattr(wanted, name), atol=tolerance, rtol=0)


@pytest.mark.parametrize("dim", [2.0, 30.0])
def test_the_flow_carries_one_point_along_its_ray_and_many_back_to_the_data(dim: float) -> None:
    path, noise = VarianceExplodingPath(0.002, 20.0, rho=1.0), PoissonFlowKernel(2, dim).noise(600, dtype=torch.float64)
    one = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    back = sample_path(PoissonFlowDenoiser(one, dim), path, noise, steps=8)
    torch.testing.assert_close(back, one + (20 * noise - one) * 0.002 / 20, rtol=1e-6, atol=1e-9)
    points = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    ends = sample_path(PoissonFlowDenoiser(points, dim), VarianceExplodingPath(0.002, 20.0), noise, steps=40)
    share = float((ends[:, 0] > 0).double().mean())
    assert abs(share - 0.5) < 0.1
    nearest = torch.cdist(ends, points).amin(1)
    assert float(nearest.median()) < 0.02


def test_the_loss_is_least_for_the_denoiser_of_its_noise() -> None:
    points, generator = draw(4, 2), torch.Generator().manual_seed(3)
    clean = points[torch.randint(4, (20_000,), generator=generator)]
    noise = PoissonFlowKernel(2, 1.0).noise(20_000, generator=generator, dtype=torch.float64)
    ours, diffusions = (
        denoising_loss(PoissonFlowDenoiser(points, dim), clean, noise=noise, generator=torch.Generator().manual_seed(4))
        for dim in (1.0, math.inf)
    )
    assert float(ours) < 0.95 * float(diffusions)


def test_bad_arguments_are_named() -> None:
    for call, named in (
        (lambda: align_radius(1.0, math.inf), "extra_dim"),
        (lambda: PoissonFlowKernel(0, 1.0), "data_dim"),
        (lambda: PoissonFlowKernel(3, 0.0), "extra_dim"),
        (lambda: PoissonFlowKernel(3, 1.0).perturb(draw(2, 4), 1.0), "clean"),
    ):
        with pytest.raises(ValueError, match=named):
            call()
