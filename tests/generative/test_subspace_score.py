"""The score on a subspace against the exact density's gradient, guidance of Gaussians in closed form, and conditioning."""

import pytest
import torch
from torch import Tensor, nn

from replica.generative import (
    MixtureDenoiser,
    RewardConditionedSampler,
    SubspaceScore,
    ascend_reward,
    denoising_loss,
    guided_score,
)
from replica.training import Minibatches, fit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_score_is_the_gradient_of_the_exact_density_of_data_on_a_subspace() -> None:
    net = SubspaceScore(6, 2, generator=seeded()).double()
    means = torch.tensor([[1.0, 0.0], [-1.0, 2.0]]).double()
    spread = torch.tensor([[[0.5, 0.2], [0.2, 0.3]], [[0.2, 0.0], [0.0, 1.0]]]).double()
    low = MixtureDenoiser(means, spread)
    net.inner.forward = lambda x, a, m, condition: low(x, a, m)  # type: ignore
    basis = net.basis.detach()
    torch.testing.assert_close(basis.T @ basis, torch.eye(2).double())
    whole = MixtureDenoiser(means @ basis.T, basis @ spread @ basis.T)
    x = torch.randn(7, 6, generator=seeded(1)).double().requires_grad_()
    for signal, noise in ((1.0, 0.5), (0.3, 0.9)):
        a, m = torch.tensor(signal).double(), torch.tensor(noise).double()
        (wanted,) = torch.autograd.grad(whole.posterior(x, a, m).log_density.sum(), x)
        torch.testing.assert_close(net.score(x, a, m).detach(), wanted)


def test_training_finds_the_subspace_and_the_gaussians_denoiser() -> None:
    basis = torch.linalg.qr(torch.randn(12, 2, generator=seeded()))[0]
    data = torch.randn(2000, 2, generator=seeded(1)) @ basis.T
    net, noise = SubspaceScore(12, 2, width=32, generator=seeded(2)), seeded(3)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 400)
    batches = Minibatches(data, size=128, generator=seeded(4))

    def loss(model: nn.Module, clean: Tensor) -> Tensor:
        return denoising_loss(model, clean, generator=noise)

    fit(net, loss, batches, optimiser=optimiser, steps=400, schedule=schedule)
    assert torch.linalg.svdvals(net.basis.T @ basis).min() > 0.999
    x, one = torch.randn(200, 12, generator=seeded(5)), torch.tensor(1.0)
    off = net(x, one, one) - x @ basis @ basis.T / 2
    assert off.square().sum(1).mean() < 0.02


def test_guidance_moves_a_gaussians_score_as_its_law_says() -> None:
    """x ~ N(0, 4) and x|y ~ N(y, 1): the guided score is that of p(x|y)^(1 + w) / p(x)^w, noised each by itself."""
    given, plain = MixtureDenoiser(torch.zeros(1, 1), 1.0), MixtureDenoiser(torch.zeros(1, 1), 2.0)

    def net(x: Tensor, a: Tensor, m: Tensor, y: Tensor | None) -> Tensor:
        clean: Tensor = plain(x, a, m) if y is None else y + given(x - a * y, a, m)
        return clean

    x, y = torch.linspace(-3, 3, 5)[:, None], torch.full((5, 1), 1.5)
    a, m = torch.tensor(0.8), torch.tensor(0.6)
    for weight in (-1.0, 0.0, 2.0):
        clean = guided_score(net, y, weight)(x, a, m)  # type: ignore[arg-type]
        conditional, unconditional = -(x - 0.8 * y) / (0.64 + 0.36), -x / (4 * 0.64 + 0.36)
        torch.testing.assert_close((a * clean - x) / m**2, (1 + weight) * conditional - weight * unconditional)
    with pytest.raises(ValueError, match="weight: got -2"):
        guided_score(net, y, -2)  # type: ignore[arg-type]


def test_samples_are_the_data_given_the_reward() -> None:
    """Of normal designs with reward x₀ + x₁, asked for r: x₀ and x₁ have mean r/2, variance ½ and covariance −½."""
    basis = torch.linalg.qr(torch.randn(6, 2, generator=seeded()))[0]
    latent = torch.randn(3000, 2, generator=seeded(1))
    sampler = RewardConditionedSampler(6, 2, width=64, steps=700, generator=seeded(2))
    sampler.fit(latent @ basis.T, 10 + 3 * latent.sum(1))
    found = sampler.sample(1000, 10 + 3 * 2.0)
    inside = found @ basis
    assert (found - inside @ basis.T).norm(dim=1).mean() < 0.05
    torch.testing.assert_close(inside.mean(0), torch.ones(2), atol=0.12, rtol=0)
    torch.testing.assert_close(inside.T.cov(), torch.tensor([[0.5, -0.5], [-0.5, 0.5]]), atol=0.12, rtol=0)
    plain = sampler.sample(1000, 99.0, weight=-1.0) @ basis  # without condition the target is not heard
    torch.testing.assert_close(plain.mean(0), torch.zeros(2), atol=0.2, rtol=0)
    torch.testing.assert_close(plain.T.cov(), torch.eye(2), atol=0.25, rtol=0)


def test_ascent_stops_where_the_prediction_is_the_target() -> None:
    starts = torch.randn(9, 3, generator=seeded())
    reached = ascend_reward(lambda x: -(x - 1).square().sum(1), starts, -0.01, steps=400)
    torch.testing.assert_close((reached - 1).norm(dim=1), torch.full((9,), 0.1), atol=1e-3, rtol=0)
    moved = ascend_reward(lambda x: x.sum(1), starts, 99.0, steps=5, size=0.1) - starts
    torch.testing.assert_close(moved, torch.full((9, 3), 0.5 / 3**0.5))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="drop: got 1"):
        RewardConditionedSampler(4, 2, drop=1.0)
    with pytest.raises(ValueError, match=r"rewards: got shape \(2,\), want 3"):
        RewardConditionedSampler(4, 2).fit(torch.zeros(3, 4), torch.zeros(2))
    with pytest.raises(ValueError, match="size: got 0"):
        ascend_reward(lambda x: x.sum(1), torch.zeros(1, 2), 1.0, size=0.0)
