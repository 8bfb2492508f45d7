"""Scores by regression: Tweedie's formula, the kernel against networks, descent against its own recursion."""

import math

import pytest
import torch

from replica.kernels import ScoreRegression, TwoLayerScoreNet, denoising_pairs, score_kernel, score_of, signal_and_noise


def pairs(count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return denoising_pairs(data, first=0.1, last=1.0, generator=generator)


def test_noise_and_signal_are_those_of_the_diffusion():
    """Euler-Maruyama of dX = −X/2 dt + dW from one point."""
    generator = torch.Generator().manual_seed(1)
    paths, steps = torch.full((20_000,), 3.0), 50
    for _ in range(steps):
        paths = paths - paths / 2 * 0.8 / steps + math.sqrt(0.8 / steps) * torch.randn(len(paths), generator=generator)
    alpha, noise = signal_and_noise(torch.tensor([0.8]))
    assert float(paths.mean()) == pytest.approx(3 * float(alpha), abs=0.03)
    assert float(paths.var()) == pytest.approx(float(noise), rel=0.04)


def test_pairs_are_noised_by_that_law():
    noised = denoising_pairs(torch.ones(50_000, 1), first=0.5, last=0.6, generator=torch.Generator().manual_seed(2))
    alpha, noise = signal_and_noise(noised.times)
    whitened = (noised.points - alpha) / noise.sqrt()
    assert noised.times.min() >= 0.5
    assert noised.times.max() <= 0.6
    assert float(whitened.mean()) == pytest.approx(0, abs=0.02)
    assert float(whitened.var()) == pytest.approx(1, abs=0.03)


def test_tweedies_formula_is_the_gradient_of_a_mixtures_log_density():
    centres = torch.tensor([[1.0, 0.0], [-1.0, 0.5]], dtype=torch.float64)
    times = torch.tensor([0.2, 0.9], dtype=torch.float64)
    points = torch.tensor([[0.3, 0.1], [-0.5, 1.0]], dtype=torch.float64, requires_grad=True)
    alpha, noise = signal_and_noise(times)
    exponents = -(points[:, None] - alpha[..., None] * centres).square().sum(-1) / (2 * noise)
    (gradient,) = torch.autograd.grad(torch.logsumexp(exponents, 1).sum(), points)
    denoised = torch.softmax(exponents, 1).detach() @ centres
    torch.testing.assert_close(score_of(denoised, points.detach(), times), gradient)


def test_the_kernel_is_that_of_a_very_wide_network():
    given = pairs(6)
    net = TwoLayerScoreNet(2, 40_000, generator=torch.Generator().manual_seed(3)).double()
    points, times = given.points, given.times
    rows = []
    for index in range(6):
        output = net(points[index : index + 1], times[index : index + 1])[0]
        rows.append([torch.autograd.grad(output[k], net.weight, retain_graph=True)[0].flatten() for k in (0, 1)])
    jacobian = torch.stack([torch.stack(row) for row in rows], 1)
    limit = score_kernel(points, times, points, times)
    for first, second in ((0, 0), (1, 1), (0, 1)):
        wanted = limit if first == second else torch.zeros_like(limit)
        torch.testing.assert_close(jacobian[first] @ jacobian[second].T, wanted, atol=0.1, rtol=0.03)


def test_the_closed_form_is_gradient_descent_step_by_step():
    train, test = pairs(), pairs(5, seed=4)
    model = ScoreRegression(train, rate=0.3)
    kernel = score_kernel(train.points, train.times, train.points, train.times)
    cross = score_kernel(test.points, test.times, train.points, train.times)
    coefficients = torch.zeros(12, 2, dtype=torch.float64)
    for _ in range(40):
        coefficients = coefficients - 0.3 / 12 * (kernel @ coefficients - train.clean)
    (found,) = model.denoised(test.points, test.times, torch.tensor([40.0]))
    torch.testing.assert_close(found, cross @ coefficients)


def test_infinitely_many_steps_interpolate_and_ridge_is_ridge():
    train = pairs()
    model = ScoreRegression(train, rate=0.3)
    (found,) = model.denoised(train.points, train.times, torch.tensor([math.inf]))
    torch.testing.assert_close(found, train.clean, atol=1e-6, rtol=1e-6)
    kernel = score_kernel(train.points, train.times, train.points, train.times)
    expected = kernel @ torch.linalg.solve(kernel + 12 * 0.05 * torch.eye(12, dtype=torch.float64), train.clean)
    (ridge,) = model.denoised(train.points, train.times, torch.tensor([0.05]), ridge=True)
    torch.testing.assert_close(ridge, expected)


def test_a_wide_network_walks_the_kernels_path():
    train, test = pairs(), pairs(20, seed=5)
    model = ScoreRegression(train, rate=0.3)
    distances = []
    for width in (64, 4096):
        net = TwoLayerScoreNet(2, width, generator=torch.Generator().manual_seed(6)).double()
        optimiser = torch.optim.SGD(net.parameters(), 0.3)
        for _ in range(30):
            optimiser.zero_grad()
            ((net(train.points, train.times) - train.clean).square().sum() / 24).backward()
            optimiser.step()
        (expected,) = model.denoised(test.points, test.times, torch.tensor([30.0]))
        distances.append(float((net(test.points, test.times).detach() - expected).norm() / expected.norm()))
    assert distances[1] < 0.05 < distances[0]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="first, last"):
        denoising_pairs(torch.ones(3, 1), first=0.0, last=1.0)
    with pytest.raises(ValueError, match="rate"):
        ScoreRegression(pairs(), rate=50.0)
    with pytest.raises(ValueError, match="width"):
        TwoLayerScoreNet(2, 7)
