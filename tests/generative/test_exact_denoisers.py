"""Exact denoisers against each other, against Bayes by brute force, and against derivatives of their own density."""

import math

import pytest
import torch

from replica.generative import FiniteSetDenoiser, MixtureDenoiser


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


A, M = torch.tensor(0.7).double(), torch.tensor(0.5).double()


def test_a_finite_set_is_bayes_and_a_mixture_of_points() -> None:
    points, noisy = draw(6, 3) + 2, draw(5, 3, seed=1) + 1
    found = FiniteSetDenoiser(points, chunk=2).posterior(noisy, A, M)
    normal = torch.distributions.MultivariateNormal(torch.zeros(3).double(), M**2 * torch.eye(3).double())
    likelihood = normal.log_prob(noisy[:, None] - A * points).exp()
    weights = likelihood / likelihood.sum(1, keepdim=True)
    torch.testing.assert_close(found.mean, weights @ points)
    spread = (weights[..., None] * (points - (weights @ points)[:, None]).square()).sum((1, 2))
    torch.testing.assert_close(found.variance, spread)
    torch.testing.assert_close(found.log_density, likelihood.mean(1).log())
    mixture = MixtureDenoiser(points, 0.0).posterior(noisy, A, M)
    for one, other in zip(vars(found).values(), vars(mixture).values(), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(FiniteSetDenoiser(points)(noisy, A, M), found.mean)


@pytest.mark.parametrize("round_components", [True, False])
def test_tweedie_holds(round_components: bool) -> None:
    """E[x₁|x] = (x + m²∇ln p(x))/a and Cov = m²/a² (1 + m²∇∇ln p), from the density's own derivatives."""
    square = draw(4, 3, 3)
    covariances = torch.tensor([0.3, 0.5, 1.0, 0.1]) if round_components else square @ square.mT / 5
    mixture = MixtureDenoiser(2 * draw(4, 3, seed=1), covariances, torch.tensor([1.0, 2, 3, 4]))
    for row in draw(3, 3, seed=2):

        def log_density(x: torch.Tensor) -> torch.Tensor:
            return mixture.posterior(x[None], A, M).log_density[0]

        found = mixture.posterior(row[None], A, M)
        score = torch.func.grad(log_density)(row)
        torch.testing.assert_close(found.mean[0], (row + M**2 * score) / A)
        bend = torch.func.hessian(log_density)(row)
        torch.testing.assert_close(found.variance[0], (M / A) ** 2 * (3 + M**2 * bend.trace()))


def test_the_density_is_one_and_samples_follow_it() -> None:
    mixture = MixtureDenoiser(
        torch.tensor([[-1.0], [2.0]]).double(), torch.tensor([0.5, 1.0]), torch.tensor([1.0, 3.0])
    )
    grid = torch.linspace(-12, 12, 4801, dtype=torch.float64)[:, None]
    density = mixture.log_density(grid).exp()
    assert float(density.sum() * 0.005) == pytest.approx(1)
    samples = mixture.sample(40_000, generator=torch.Generator().manual_seed(0))
    assert float(samples.mean()) == pytest.approx(1.25, abs=0.03)
    assert float((samples < 0).double().mean()) == pytest.approx(float(density[grid[:, 0] < 0].sum() * 0.005), abs=0.01)


def test_no_data_and_no_noise_are_limits() -> None:
    points = draw(5, 2)
    denoiser, zero, one = FiniteSetDenoiser(points), torch.zeros(()).double(), torch.ones(()).double()
    torch.testing.assert_close(denoiser(draw(3, 2), zero, one), points.mean(0).expand(3, 2))
    torch.testing.assert_close(denoiser(points + 1e-3, one, zero), points)
    images = FiniteSetDenoiser(draw(5, 1, 4, 4).float())
    assert images(draw(3, 1, 4, 4).float(), torch.ones(3), torch.full((3,), 0.5)).shape == (3, 1, 4, 4)
    assert math.isfinite(float(images.posterior(draw(1, 1, 4, 4).float(), 1, 1e-4).mean.sum()))
    with pytest.raises(ValueError, match=r"noisy: got shape \(3, 3\), want \(batch, 2\)"):
        denoiser(draw(3, 3), one, one)
