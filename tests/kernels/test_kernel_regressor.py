import tracemalloc

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.kernel_ridge import KernelRidge

from replica.kernels import KernelClassifier, KernelRegressor, NamedKernel, wide_kernel
from replica.kernels.kernel_functions import NAMES


def table(rows=40, inputs=3, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, inputs))
    y = np.stack([np.sin((k + 1) * X[:, 0]) + 0.1 * rng.normal(size=rows) + 3 for k in range(outputs)], 1)
    return X, y[:, 0] if outputs == 1 else y


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("kernel", ["rbf", "ntk-relu", "polynomial"])
def test_leave_one_out_errors_are_those_of_leaving_out(kernel, intercept):
    X, y = table(15)
    ridges = [1e-3, 0.1, 10.0]
    path = KernelRegressor(kernel, ridge=ridges, intercept=intercept, gamma=0.5).fit(X, y)
    for ridge, errors in zip(ridges, path.leave_one_out_, strict=True):
        missed = []
        for row in range(len(X)):
            rest = np.arange(len(X)) != row
            alone = KernelRegressor(kernel, ridge=ridge, intercept=intercept, gamma=0.5).fit(X[rest], y[rest])
            missed.append(y[row] - alone.predict(X[row : row + 1])[0])
        np.testing.assert_allclose(errors, np.sqrt(np.square(missed).mean(0)), rtol=1e-6)
    power = np.square(y - intercept * y.mean(0)).mean(0)
    assert path.ridge_ == ridges[int(np.argmin((path.leave_one_out_**2 / power).mean(1)))]


def test_the_path_and_the_factor_give_the_same_function_and_scikit_learns():
    X, y = table()
    asked = table(seed=1)[0]
    peer = KernelRidge(alpha=0.3, kernel="rbf", gamma=0.2).fit(X, y).predict(asked)
    for ridge in (0.3, [0.3, 0.3]):
        ours = KernelRegressor(ridge=ridge, gamma=0.2, intercept=False).fit(X, y)
        np.testing.assert_allclose(ours.predict(asked), peer, rtol=1e-9, atol=1e-11)
    one, other = (KernelRegressor("ntk-erf", ridge=ridge).fit(X, y) for ridge in (0.3, [0.3, 0.3]))
    np.testing.assert_allclose(one.predict(asked), other.predict(asked), rtol=1e-9)
    np.testing.assert_allclose(one.scale_, other.scale_, rtol=1e-9)
    np.testing.assert_allclose(one.coefficients_.sum(0), 0, atol=1e-9)


def test_posterior_deviation_is_that_of_a_gaussian_process():
    X, y = table(outputs=1)
    asked = table(seed=1)[0] * 2
    peer = GaussianProcessRegressor(RBF(1.5), alpha=0.1, optimizer=None).fit(X, y)
    ours = KernelRegressor(ridge=0.1, gamma=1 / (2 * 1.5**2), intercept=False, scale=1.0).fit(X, y)
    for found, wanted in zip(ours.predict(asked, return_std=True), peer.predict(asked, return_std=True), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-7)
    # A constant without penalty is one of infinite prior variance.
    flat = GaussianProcessRegressor(RBF(1.5) + ConstantKernel(1e7), alpha=0.1, optimizer=None).fit(X, y)
    ours = KernelRegressor(ridge=0.1, gamma=1 / (2 * 1.5**2), scale=1.0).fit(X, y)
    for found, wanted in zip(ours.predict(asked, return_std=True), flat.predict(asked, return_std=True), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4)
    evidence = KernelRegressor(ridge=0.1, gamma=0.2, intercept=False).fit(X, y)
    gram = NamedKernel("rbf", gamma=0.2)(X, X) + 0.1 * np.eye(len(X))
    assert evidence.scale_**2 == pytest.approx(y @ np.linalg.solve(gram, y) / len(X))
    several = KernelRegressor(ridge=0.1).fit(*table())
    mean, std = several.predict(asked, return_std=True)
    assert mean.shape == std.shape == (40, 2)


def test_tolerance_takes_the_strongest_ridge_that_is_about_as_good():
    X, y = table(60, outputs=1)
    least, about = (KernelRegressor("ntk-relu", tolerance=tolerance).fit(X, y) for tolerance in (0.0, 0.02))
    errors = least.leave_one_out_
    assert least.ridge_ == least.strengths_[errors.argmin()]
    assert about.ridge_ == about.strengths_[np.flatnonzero(errors <= 1.02 * errors.min())[-1]] > least.ridge_


@pytest.mark.parametrize("kernel", ["rbf", "precomputed"])
def test_few_rows_choose_the_ridge_and_all_are_learned_from(kernel):
    X, y = table(60)
    given = np.exp(-0.5 * np.square(X[:, None] - X).sum(2)) if kernel == "precomputed" else X
    model = KernelRegressor(kernel, gamma=0.5, selection_rows=20).fit(given, y)
    few = KernelRegressor(kernel, gamma=0.5).fit(given[:20, :20] if kernel == "precomputed" else X[:20], y[:20])
    assert model.ridge_ == few.ridge_ != KernelRegressor(kernel, gamma=0.5).fit(given, y).ridge_
    whole = KernelRegressor(kernel, gamma=0.5, ridge=few.ridge_).fit(given, y)
    np.testing.assert_allclose(model.predict(given), whole.predict(given), rtol=1e-10)
    many = KernelRegressor(kernel, gamma=0.5, selection_rows=60).fit(given, y)
    np.testing.assert_array_equal(many.leave_one_out_, KernelRegressor(kernel, gamma=0.5).fit(given, y).leave_one_out_)


def test_distributions_are_the_posteriors_with_noise():
    X, y = table(400, outputs=1)
    model = KernelRegressor("ntk-erf", ridge=0.05).fit(X[:300], y[:300])
    mean, std = model.predict(X[300:], return_std=True)
    law = norm(mean, np.sqrt(std**2 + model.scale_**2 * 0.05))
    levels = np.array([0.05, 0.5, 0.95])
    quantiles = model.predict_quantiles(X[300:], levels)
    np.testing.assert_allclose(quantiles, law.ppf(levels[:, None]).T)
    np.testing.assert_allclose(model.log_density(X[300:], y[300:]), law.logpdf(y[300:]))
    assert 0.8 < ((quantiles[:, 0] < y[300:]) & (y[300:] < quantiles[:, 2])).mean() < 0.99
    flat = KernelRegressor().fit(X, np.full(400, 2.0))
    assert np.isfinite(flat.log_density(X[:3], [2.0, 2.0, 3.0])).all()
    with pytest.raises(ValueError, match="outputs"):
        KernelRegressor().fit(*table()).predict_quantiles(X, levels)


def test_classifier_is_the_regressor_of_one_hot_labels():
    X, y = load_digits(return_X_y=True)
    X, y = X[:700] / 16, y[:700]
    model = KernelClassifier("ntk-relu").fit(X[:500], y[:500])
    shares = model.predict_proba(X[500:])
    scores = KernelRegressor("ntk-relu").fit(X[:500], np.eye(10)[y[:500]]).predict(X[500:])
    np.testing.assert_allclose(scores.sum(1), 1)
    np.testing.assert_allclose(shares, scores.clip(0) / scores.clip(0).sum(1, keepdims=True))
    np.testing.assert_array_equal(model.predict(X[500:]), scores.argmax(1))
    assert (model.predict(X[500:]) == y[500:]).mean() > 0.9
    two = KernelClassifier().fit(X[:500], y[:500] > 4)
    np.testing.assert_array_equal(two.predict(X[500:]), two.decision_function(X[500:]) > 0)
    assert set(KernelClassifier().fit(X[:5], [1, 1, 1, 1, 1]).predict(X)) == {1}


@pytest.mark.parametrize("name", NAMES)
def test_named_kernels_are_symmetric_and_positive_and_know_their_diagonal(name):
    X = table()[0]
    kernel = NamedKernel(name, gamma=0.7)
    gram = kernel(X, X)
    np.testing.assert_allclose(gram, gram.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(kernel(X, X.copy()), gram, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(kernel.diagonal(X), gram.diagonal(), rtol=1e-9, atol=1e-12)
    assert np.linalg.eigvalsh(gram)[0] > -1e-9 * np.trace(gram)


@pytest.mark.parametrize("ridge", [None, 0.0, 1e-3])
def test_hard_tables_give_right_answers(ridge):
    X, y = table()
    hard = {
        "repeated rows": (np.repeat(X[:10], 4, 0), np.repeat(y[:10], 4, 0)),
        "constant column": (np.c_[X, np.ones(40)], y),
        "only constants": (np.ones((40, 2)), y),
        "one row": (X[:1], y[:1]),
        "two rows": (X[:2], y[:2]),
        "two equal rows": (X[[0, 0]], y[[0, 0]]),
        "constant target": (X, np.full(40, 7.0)),
        "large target": (X, 1e12 + y),
        "huge target": (X, 1e200 * y),
    }
    for name, (inputs, targets) in hard.items():
        model = KernelRegressor("ntk-relu", ridge=ridge).fit(inputs, targets)
        mean, std = model.predict(inputs, return_std=True)
        assert np.isfinite(mean).all(), name
        assert np.isfinite(std).all(), name
        fitted = np.abs(mean - targets).max() / max(np.ptp(targets), np.abs(targets).max() * 1e-10)
        assert fitted < (1.0 if name in ("only constants", "two rows", "two equal rows") else 0.2), name
    with pytest.raises(ValueError, match="NaN"):
        KernelRegressor(ridge=ridge).fit(np.full((3, 2), np.nan), np.ones(3))


def test_functions_and_precomputed_kernels_are_left_as_they_were():
    X, y = table()
    kept = wide_kernel(torch.from_numpy(X)).numpy()
    before = kept.copy()
    by_function = KernelRegressor(lambda a, b: kept if a is b else wide_kernel(*map(torch.from_numpy, (a, b))).numpy())
    by_function.fit(X, y)
    precomputed = KernelRegressor("precomputed").fit(kept, y)
    np.testing.assert_array_equal(kept, before)
    np.testing.assert_allclose(precomputed.predict(kept[:5]), by_function.predict(X[:5]), rtol=1e-6)
    assert np.isfinite(by_function.predict(X[:5], return_std=True)[1]).all()


@pytest.mark.parametrize("settings", [{}, {"ridge": 0.1}, {"kernel": "polynomial"}])
def test_one_gram_matrix_is_held_and_no_second(settings):
    X, y = table(1000, outputs=1)
    KernelRegressor(**settings).fit(X[:50], y[:50])
    tracemalloc.start()
    model = KernelRegressor(**settings).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.75 * 8 * 1000**2
    if "ridge" not in settings:
        assert sum(value.nbytes for value in vars(model).values() if isinstance(value, np.ndarray)) < 8 * 1000 * 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": "cosine"}, "kernel"),
        ({"ridge": -1.0}, "ridge"),
        ({"ridge": [0.0, 1.0]}, "ridge"),
        ({"ridge": []}, "ridge"),
        ({"gamma": 0.0}, "gamma"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"kernel": "polynomial", "degree": 0}, "degree"),
        ({"scale": 0.0}, "scale"),
        ({"kernel": "precomputed"}, "square"),
        ({"kernel": lambda a, b: a}, "shape"),
        ({"kernel": lambda a, b: np.full((len(a), len(b)), np.inf)}, "finite"),
        ({"kernel": lambda a, b: -100.0 * np.eye(len(a))}, "semi-definite"),
        ({"kernel": lambda a, b: -100.0 * np.eye(len(a)), "ridge": 1.0}, "semi-definite"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        KernelRegressor(**settings).fit(*table())
    with pytest.raises(ValueError, match="precomputed"):
        KernelRegressor("precomputed").fit(np.eye(3), np.ones(3)).predict(np.eye(3), return_std=True)
