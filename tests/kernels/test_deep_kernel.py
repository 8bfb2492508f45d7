"""Gram layers, their objective and its optimum: closed forms, brute force, and processes of finitely many features."""

import pytest
import torch
from scipy.optimize import brentq
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from replica.kernels import (
    GramBlocks,
    deep_process_grams,
    gram_divergence,
    gram_kernel,
    gram_layer,
    optimal_grams,
    sparse_log_likelihood,
    targets_given_features,
    through_gram_layers,
)
from replica.kernels.deep_kernel import log_likelihood, triangular

LINE = torch.linspace(-2, 2, 6, dtype=torch.float64)[:, None]
STEP = torch.sign(LINE)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(points, rows):
    return GramBlocks(points @ points.T, rows @ points.T, rows.square().sum(1))


@pytest.mark.parametrize("nu", [0.3, 1.0, 10.0])
def test_one_linear_layer_in_closed_form(nu):
    """Of K = V diag(k) Vᵀ and y along v₁ each eigenvalue g of G maximises a function of its own."""
    vectors, spectrum = torch.linalg.qr(drawn(5, 5))[0], torch.tensor([2.0, 1.5, 1.0, 0.7, 0.4], dtype=torch.float64)
    targets, noise = 3 * vectors[:, :1], 0.2
    found = optimal_grams(
        vectors @ spectrum.diag() @ vectors.T, targets, nu=nu, noise=noise, kernel=nn.Identity(), jitter=1e-9
    )

    def slope(g, k, squared):
        return squared / (g + noise) ** 2 - 1 / (g + noise) - nu * (1 / k - 1 / g)

    wanted = [brentq(slope, 1e-6, 50, args=(float(k), 9.0 * (not at))) for at, k in enumerate(spectrum)]
    rotated = vectors.T @ found.grams[0] @ vectors
    torch.testing.assert_close(rotated, torch.tensor(wanted, dtype=torch.float64).diag(), atol=2e-3, rtol=2e-3)


def test_divergence_is_that_of_two_normal_laws():
    root, factor = (triangular(0.5 * drawn(4, 4, seed=seed)) for seed in (1, 2))
    zero = torch.zeros(4, dtype=torch.float64)
    laws = [MultivariateNormal(zero, scale_tril=one) for one in (root @ factor, root)]
    torch.testing.assert_close(gram_divergence(factor), kl_divergence(*laws))


def test_rows_follow_from_inducing_points_as_in_a_gaussian_process():
    kernel = gram_kernel()(blocks(drawn(4, 3), drawn(7, 3, seed=1)))
    factor = triangular(0.5 * drawn(4, 4, seed=2))
    gram, _ = gram_layer(kernel, factor, jitter=0)
    lift = torch.linalg.solve(kernel.inducing, kernel.cross.T).T
    torch.testing.assert_close(gram.cross, lift @ gram.inducing)
    own = kernel.own - (lift * kernel.cross).sum(1) + torch.einsum("ti,ij,tj->t", lift, gram.inducing, lift)
    torch.testing.assert_close(gram.own, own)


def test_inducing_points_that_are_the_rows_give_the_full_machine():
    points, factors = drawn(6, 3), [triangular(0.3 * drawn(6, 6, seed=seed)) for seed in (1, 2)]
    top = through_gram_layers(blocks(points, points), factors, gram_kernel(), jitter=0)[-1]
    torch.testing.assert_close(top.cross, top.inducing)
    torch.testing.assert_close(top.own, top.inducing.diagonal())
    targets, noise = drawn(6, 2, seed=3), torch.tensor(0.3, dtype=torch.float64)
    law = MultivariateNormal(torch.zeros(6).double(), top.inducing + noise * torch.eye(6))
    torch.testing.assert_close(sparse_log_likelihood(top, targets, noise, jitter=0), law.log_prob(targets.T).sum())
    fewer = GramBlocks(top.inducing[:3, :3], top.cross[:, :3], top.own)
    assert sparse_log_likelihood(fewer, targets, noise, jitter=0) < law.log_prob(targets.T).sum()  # Titsias's bound


def test_slopes_of_the_objective():
    points, rows, targets = 0.7 * drawn(3, 2), 0.7 * drawn(5, 2, seed=1), drawn(5, 1, seed=2)

    def objective(raw, places, log_noise):
        factors = [triangular(one) for one in raw]
        top = through_gram_layers(blocks(places, rows), factors, gram_kernel())[-1]
        return sparse_log_likelihood(top, targets, log_noise.exp()) - 2 * sum(gram_divergence(one) for one in factors)

    given = [0.2 * drawn(2, 3, 3, seed=3), points, torch.tensor(-1.0, dtype=torch.float64)]
    assert torch.autograd.gradcheck(objective, [one.requires_grad_() for one in given])


def test_a_finite_process_tends_to_the_optimum_and_without_data_to_its_prior():
    gram, generator = LINE @ LINE.T, torch.Generator().manual_seed(0)
    standard = targets_given_features(gram, STEP)(torch.eye(6).double()[None])[1]
    prior = deep_process_grams(gram, STEP, 8, noise=1e9, chains=32, turns=60, leaps=4, generator=generator).mean(0)
    torch.testing.assert_close(prior, standard, atol=0.08, rtol=0)  # the mean of a Wishart law is its kernel
    best = optimal_grams(gram, STEP, nu=1.0).grams
    mean = deep_process_grams(gram, STEP, 256, turns=30, generator=generator).mean(0)
    assert (mean - best).norm() < 0.15 * (standard - best).norm()


def test_likelihood_and_its_slope_are_those_of_the_normal_law():
    root, targets = drawn(5, 5), drawn(5, 3, seed=1)

    def covariance(root):
        return root @ root.T + torch.eye(5)

    wanted = MultivariateNormal(torch.zeros(5).double(), covariance(root)).log_prob(targets.T).sum()
    torch.testing.assert_close(log_likelihood(covariance(root), targets), wanted)
    assert torch.autograd.gradcheck(lambda one: log_likelihood(covariance(one), targets), root.requires_grad_())


def test_what_makes_no_process_is_refused():
    gram = LINE @ LINE.T
    with pytest.raises(ValueError, match="features: got 0"):
        deep_process_grams(gram, STEP, 0)
    with pytest.raises(ValueError, match="depth: got 0"):
        optimal_grams(gram, STEP, depth=0)
    with pytest.raises(ValueError, match="inputs, targets: got shapes"):
        optimal_grams(gram, STEP[:3])
    with pytest.raises(ValueError, match="kernel: got 'tanh'"):
        gram_kernel("tanh")
