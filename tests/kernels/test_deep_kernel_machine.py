"""Deep kernel machines: the standard limit, another library, starts, laws of predictions."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from replica.kernels import DeepKernelMachineClassifier, DeepKernelMachineRegressor


def table(count=40, seed=0):
    X = np.random.default_rng(seed).normal(size=(count, 2))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] ** 2 + 0.1 * np.random.default_rng(seed + 1).normal(size=count)


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
