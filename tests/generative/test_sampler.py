"""Samplers on laws that are known, the trained denoiser's preconditioning, and its loss."""

import pytest
import torch

from replica.generative import (
    CosinePath,
    DenoisingMLP,
    FiniteSetDenoiser,
    MixtureDenoiser,
    PreconditionedDenoiser,
    StraightPath,
    VarianceExplodingPath,
    VariancePreservingPath,
    denoising_loss,
    sample_karras,
    sample_path,
)

PATHS = [StraightPath(), CosinePath(), VariancePreservingPath(), VarianceExplodingPath(0.002, 80.0)]


def noise(count: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("solver", ["euler", "heun", "ddim"])
def test_the_flow_of_a_gaussian_is_linear_with_the_known_slope(path, solver: str) -> None:
    """Of data N(0, s²) the flow takes x at t = 0 to x √(a²s² + m²) at the end over the same at the start."""
    exact, x = MixtureDenoiser(torch.zeros(1, 2).double(), 0.5), noise(50, 2)
    (a, b), (m, n) = (each.tolist() for each in path.coefficients(torch.tensor([0.0, 1.0]).double()))
    slope = ((b * 0.5) ** 2 + n**2) ** 0.5 / ((a * 0.5) ** 2 + m**2) ** 0.5 * m
    many = sample_path(exact, path, x, steps=400, solver=solver)
    torch.testing.assert_close(many, slope * x, rtol=0.06 if solver != "heun" else 2e-3, atol=1e-9)


def test_heun_is_of_second_order_and_euler_of_first() -> None:
    exact, x = MixtureDenoiser(torch.zeros(1, 1).double(), 0.5), torch.ones(1, 1).double()

    def error(solver: str, steps: int) -> float:
        times = torch.linspace(0, 0.9, steps + 1, dtype=torch.float64)
        truth = (0.45**2 + 0.1**2) ** 0.5
        return abs(float(sample_path(exact, StraightPath(), x, times=times, solver=solver)) - truth)

    # Heun's last step is Euler's, whose own error is of second order too.
    assert error("euler", 50) / error("euler", 100) == pytest.approx(2, rel=0.1)
    assert error("heun", 50) / error("heun", 100) == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_ancestral_steps_keep_the_law(share: float) -> None:
    exact = MixtureDenoiser(torch.tensor([[-2.0], [1.0]]).double(), 0.3, torch.tensor([1.0, 2.0]))
    found = sample_path(
        exact,
        CosinePath(),
        noise(8000, 1),
        steps=200,
        solver="ddim",
        stochasticity=share,
        generator=torch.Generator().manual_seed(1),
    )
    assert float((found < -0.5).double().mean()) == pytest.approx(1 / 3, abs=0.02)
    assert float(found[found > -0.5].std()) == pytest.approx(0.3, abs=0.02)


def test_the_hook_sees_each_prediction_and_its_answer_is_taken() -> None:
    exact, seen = MixtureDenoiser(torch.zeros(1, 1).double(), 1.0), []

    def pull(x: torch.Tensor, clean: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        seen.append(float(time))
        return torch.full_like(clean, 5.0)

    found = sample_path(exact, StraightPath(), noise(4, 1), steps=4, solver="euler", hook=pull)
    assert seen == [0, 0.25, 0.5, 0.75]
    torch.testing.assert_close(found, torch.full((4, 1), 5.0).double())
    with pytest.raises(ValueError, match="times: got"):
        sample_path(exact, StraightPath(), noise(4, 1), times=torch.tensor([0.0, 0.0]))


def test_preconditioning_is_karras_and_stands_without_data() -> None:
    net = DenoisingMLP(3, generator=torch.Generator().manual_seed(0)).double()
    denoiser, x = PreconditionedDenoiser(net, data_scale=0.5), noise(6, 3)
    sigma = torch.full((6,), 2.0).double()
    skip, out, inner = 0.25 / (4 + 0.25), 2 * 0.5 / 4.25**0.5, 1 / 4.25**0.5
    expected = skip * x + out * net(inner * x, sigma.log() / 4)
    torch.testing.assert_close(denoiser(x, torch.ones(6).double(), sigma), expected)
    torch.testing.assert_close(
        denoiser(0.1 * x, 0.1 * torch.ones(6).double(), 0.1 * sigma), expected
    )  # x_t/a is the same
    assert bool(denoiser(x, torch.zeros(6), torch.ones(6)).isfinite().all())


def test_the_loss_is_least_at_the_truth() -> None:
    exact, other = MixtureDenoiser(torch.ones(1, 2), 1.0), MixtureDenoiser(torch.ones(1, 2), 0.7)
    data = exact.sample(4000, generator=torch.Generator().manual_seed(0))
    losses = [denoising_loss(each, data, generator=torch.Generator().manual_seed(1)) for each in (exact, other)]
    assert float(losses[0]) == pytest.approx(1, abs=0.05)
    assert losses[1] > losses[0] + 0.01


def test_karras_sampler_steps_in_the_level_and_meets_his_levels() -> None:
    """Of one point the flow is a ray, along which Heun's steps in σ have no error."""
    seen = []

    def before(x, level, time):
        seen.append(float(level))
        return x

    noise = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    point = torch.tensor([[3.0, 5.0]], dtype=torch.float64)
    torch.testing.assert_close(sample_karras(FiniteSetDenoiser(point), noise, before=before), point)
    assert len(seen) == 18
    assert (seen[0], seen[-1]) == (pytest.approx(80), pytest.approx(0.002))
    assert seen[1] == pytest.approx((80 ** (1 / 7) + (0.002 ** (1 / 7) - 80 ** (1 / 7)) / 17) ** 7)


def test_steps_begin_with_what_before_returns() -> None:
    seen = []

    def before(x: torch.Tensor, level: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        seen.append((float(time), float(level)))
        return x + 1

    still = sample_path(
        lambda x, a, m: x, VarianceExplodingPath(0.0, 3.0, rho=1.0), torch.zeros(1, 1), steps=3, before=before
    )
    assert float(still) == 3
    assert seen == [(0.0, 3.0), (pytest.approx(1 / 3), pytest.approx(2.0)), (pytest.approx(2 / 3), pytest.approx(1.0))]
