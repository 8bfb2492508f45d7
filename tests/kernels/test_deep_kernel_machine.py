"""Deep kernel machines: closed forms, the standard limit, inducing points, other libraries, and finite deep processes."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from replica.kernels import (
    DeepKernelMachineClassifier,
    DeepKernelMachineRegressor,
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
from replica.kernels.deep_kernel import triangular

LINE = torch.linspace(-2, 2, 6, dtype=torch.float64)[:, None]
STEP = torch.sign(LINE)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(points, rows):
    return GramBlocks(points @ points.T, rows @ points.T, rows.square().sum(1))


def table(count=40, seed=0):
    X = np.random.default_rng(seed).normal(size=(count, 2))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] ** 2 + 0.1 * np.random.default_rng(seed + 1).normal(size=count)


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


def test_without_layers_it_is_a_gaussian_process_of_scikit_learn():
    X, y = table()
    ours = DeepKernelMachineRegressor(0, inducing=None, jitter=1e-10).fit(X, y)
    peer = GaussianProcessRegressor(ConstantKernel() * RBF() + WhiteKernel(0.1), n_restarts_optimizer=3, random_state=0)
    peer.fit(X, (y - y.mean()) / y.std())
    assert ours.objective_ == pytest.approx(peer.log_marginal_likelihood_value_, abs=0.01)
    mean, deviation = peer.predict(X + 0.3, return_std=True)
    np.testing.assert_allclose(ours.predict(X + 0.3), y.mean() + y.std() * mean, atol=0.02)
    np.testing.assert_allclose(ours.predict(X + 0.3, return_std=True)[1], y.std() * deviation, rtol=0.02)


def test_the_best_of_several_starts_goes_on():
    """A wave that evidence takes for noise where it starts from long lengths."""
    X = np.linspace(-1, 1, 60)[:, None]
    y = np.sin(20 * X[:, 0]) + 0.3 * np.random.default_rng(0).normal(size=60)
    fitted = DeepKernelMachineRegressor(0, inducing=None).fit(X, y)
    noise = norm.logpdf((y - y.mean()) / y.std()).sum()
    assert fitted.objective_ > noise + 20
    assert fitted.score(X, y) > 0.8


def test_large_nu_gives_the_standard_limit_and_small_nu_leaves_it():
    X, y = table()
    fitted = {
        nu: DeepKernelMachineRegressor(2, nu, inducing=None, jitter=1e-5).fit(X, y) for nu in (math.inf, 1e6, 1.0)
    }
    limit = fitted[math.inf]
    inner = torch.from_numpy((X - limit.centre_) / limit.spread_ * math.exp(float(limit._known.columns) / 2))
    gram = inner @ inner.T
    for found in limit.grams_:  # the kernel of the kernel, by hand
        gram = torch.exp(gram - (gram.diagonal()[:, None] + gram.diagonal()) / 2) + 1e-5 * torch.eye(len(X))
        np.testing.assert_allclose(found, gram, atol=1e-10)
    for nu, least, most in ((1e6, 0.0, 1e-3), (1.0, 0.05, 10.0)):
        assert least <= np.abs(fitted[nu].grams_ - limit.grams_).max() < most
    assert limit.divergences_.tolist() == [0.0, 0.0]
    assert fitted[1.0].objective_ > limit.objective_


def test_a_finite_process_tends_to_the_optimum_and_without_data_to_its_prior():
    gram, generator = LINE @ LINE.T, torch.Generator().manual_seed(0)
    standard = targets_given_features(gram, STEP)(torch.eye(6).double()[None])[1]
    prior = deep_process_grams(gram, STEP, 8, noise=1e9, turns=150, generator=generator).mean(0)
    torch.testing.assert_close(prior, standard, atol=0.08, rtol=0)  # the mean of a Wishart law is its kernel
    best = optimal_grams(gram, STEP, nu=1.0).grams
    mean = deep_process_grams(gram, STEP, 256, turns=60, generator=generator).mean(0)
    assert (mean - best).norm() < 0.15 * (standard - best).norm()


def test_laws_of_predictions():
    X, y = table()
    model = DeepKernelMachineRegressor(1, inducing=8, steps=20, random_state=0).fit(X, y)
    mean, deviation = model.predict(X, return_std=True)
    np.testing.assert_allclose(model.log_density(X, y), norm(mean, deviation).logpdf(y))
    np.testing.assert_allclose(model.predict_quantiles(X, [0.1, 0.5])[:, 0], norm(mean, deviation).ppf(0.1))
    classes = DeepKernelMachineClassifier(1, inducing=8, steps=20, random_state=0).fit(X, np.digitize(y, [0, 1]))
    shares = classes.predict_proba(X)
    values = classes._posterior(X)[0] + classes.shares_ / classes.scale_
    spread = np.sqrt(classes._posterior(X)[1] + classes.noise_)[:, None, None]
    samples = values[:, :, None] + spread * np.random.default_rng(0).normal(size=(len(X), 3, 4000))
    np.testing.assert_allclose(shares, np.eye(3)[samples.argmax(1)].mean(1), atol=0.05)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"depth": -1}, "depth: got -1"),
        ({"nu": 0}, "nu: got 0"),
        ({"noise": -1.0}, "noise"),
        ({"inducing": 0}, "inducing"),
    ],
)
def test_bad_settings_are_named(setting, message):
    with pytest.raises(ValueError, match=message):
        DeepKernelMachineRegressor(**setting).fit(*table())
    with pytest.raises(ValueError, match="features: got 0"):
        deep_process_grams(LINE @ LINE.T, STEP, 0)
