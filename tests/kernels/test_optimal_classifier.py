import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.dummy import DummyClassifier
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from replica.kernels import (
    HermiteActivation,
    LimitKind,
    OptimalKernelClassifier,
    SphereProjection,
    intrinsic_dimension,
    limit_kernel,
    neural_tangent_kernel,
    optimal_activation,
)

NEAREST = HermiteActivation((0, 0, 1))


@parametrize_with_checks([OptimalKernelClassifier(depth=3)])  # the defaults pass in tests/parts
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def blobs(count, features, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=count)
    return rng.normal(size=(count, features)) + 1.5 * rng.normal(size=(classes, features))[labels], labels


@pytest.mark.parametrize("features", [1, 2, 30])
def test_projection_is_conformal_and_stays_in_the_non_negative_cap(features):
    X, _ = blobs(100, features)
    projection = SphereProjection().fit(X)
    points = projection.transform(X)
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    assert (points @ points.T).min() > -1e-12
    far = projection.transform(1000 * X)
    assert np.allclose(np.linalg.norm(far, axis=1), 1)
    assert (far @ points.T).min() > -1e-12
    # Conformal: chordal distance² = 4 ‖y − z‖² / ((1 + ‖y‖²)(1 + ‖z‖²)).
    y = (X - projection.centre_) * math.tan(math.pi / 8) / projection.radius_
    factor = 2 / (1 + (y**2).sum(1))
    assert np.allclose(pairwise_distances(points) ** 2, pairwise_distances(y) ** 2 * np.outer(factor, factor))


@pytest.mark.parametrize(("dimension", "columns"), [(1, 5), (2, 3), (4, 30)])
def test_intrinsic_dimension_of_flat_and_curved_sets(dimension, columns):
    rng = np.random.default_rng(0)
    flat = rng.random((3000, dimension)) @ rng.normal(size=(dimension, columns))
    assert intrinsic_dimension(flat) == pytest.approx(dimension, rel=0.12)
    sphere = rng.normal(size=(3000, dimension + 1))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    assert intrinsic_dimension(sphere) == pytest.approx(dimension, rel=0.12)


def test_intrinsic_dimension_of_few_or_equal_points():
    assert intrinsic_dimension(np.zeros((50, 4))) == 4
    assert intrinsic_dimension(np.eye(2)) == 2
    assert 1 <= intrinsic_dimension(np.repeat(np.random.default_rng(0).random((9, 2)), 5, axis=0)) <= 2


@pytest.mark.parametrize("activation", [optimal_activation(2), optimal_activation(7), torch.erf])
def test_probabilities_are_shares_of_the_limit_kernel(activation):
    X, y = blobs(150, 4)
    asked, _ = blobs(40, 4, seed=1)
    model = OptimalKernelClassifier(activation).fit(X, y)
    points, queries = model.points_, model.projection_.transform(asked)
    weights = limit_kernel(torch.from_numpy(1 - queries @ points.T), activation).log_value.exp().numpy()
    shares = np.stack([weights[:, y == k].sum(1) for k in range(3)], axis=1)
    assert np.allclose(model.predict_proba(asked), shares / shares.sum(1, keepdims=True), atol=1e-5)


def test_small_cap_gives_the_hilbert_estimate_of_the_plane():
    # Pole exponent α: points much nearer to each other than to the cap's edge have weights ‖x − z‖^−α, up to R.
    X, y = blobs(200, 2, classes=2)
    asked, _ = blobs(50, 2, seed=1)
    hilbert = pairwise_distances(asked, X) ** -2.0
    shares = hilbert[:, y == 1].sum(1) / hilbert.sum(1)
    found = OptimalKernelClassifier(exponent=2).fit(X, y).predict_proba(asked)[:, 1]
    assert np.corrcoef(shares, found)[0, 1] > 0.97


def test_training_points_keep_their_labels_and_repeated_ones_share():
    X, y = blobs(300, 3)
    model = OptimalKernelClassifier().fit(X, y)
    assert (model.predict(X) == y).all()
    assert np.allclose(model.predict_proba(X).max(1), 1)
    again = OptimalKernelClassifier().fit(np.vstack([X, X[:1], X[:1]]), [*y, (y[0] + 1) % 3, y[0]])
    found = again.predict_proba(X[:1])[0]
    assert found[y[0]] == pytest.approx(2 / 3)
    assert found[(y[0] + 1) % 3] == pytest.approx(1 / 3)


def test_close_points_are_told_apart():
    X = np.array([[0.0, 0.0], [1e-11, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    model = OptimalKernelClassifier(exponent=2).fit(X, [0, 1, 0, 1])
    assert (model.predict(X) == [0, 1, 0, 1]).all()


def test_other_kinds_of_activation_give_their_own_limits():
    X, y = blobs(200, 5)
    asked, _ = blobs(80, 5, seed=1)
    nearest = OptimalKernelClassifier(NEAREST).fit(X, y)
    sphere = nearest.projection_
    peer = KNeighborsClassifier(1).fit(sphere.transform(X), y)
    assert nearest.kind_ is LimitKind.NEAREST_NEIGHBOUR
    assert nearest.exponent_ == math.inf
    assert (nearest.predict(asked) == peer.predict(sphere.transform(asked))).all()
    majority = OptimalKernelClassifier(torch.relu).fit(X, y)
    assert np.allclose(majority.predict_proba(asked), DummyClassifier(strategy="prior").fit(X, y).predict_proba(asked))


def test_finite_depth_is_interpolation_with_the_tangent_kernel():
    X, y = blobs(60, 4)
    asked, _ = blobs(30, 4, seed=1)
    model = OptimalKernelClassifier(optimal_activation(4), depth=4, ridge=0.0).fit(X, y)
    points, queries = (torch.from_numpy(model.projection_.transform(part)) for part in (X, asked))
    gram = neural_tangent_kernel((points @ points.T).clamp(-1, 1), optimal_activation(4), 4)
    cross = neural_tangent_kernel((queries @ points.T).clamp(-1, 1), optimal_activation(4), 4)
    scores = cross @ torch.linalg.solve(gram, torch.eye(3, dtype=torch.float64)[torch.from_numpy(y)])
    assert (model.predict(asked) == scores.argmax(1).numpy()).all()
    assert np.allclose(model.predict_proba(asked).sum(1), 1)


def test_great_depth_is_the_limit():
    X, y = blobs(80, 3)
    asked, _ = blobs(40, 3, seed=1)
    limit = OptimalKernelClassifier(exponent=3).fit(X, y).predict_proba(asked)
    deep = OptimalKernelClassifier(exponent=3, depth=10**9).fit(X, y).predict_proba(asked)
    assert np.allclose(limit, deep, atol=1e-4)


def test_blocks_and_order_of_queries_change_nothing(monkeypatch):
    X, y = blobs(500, 6)
    asked, _ = blobs(101, 6, seed=1)
    model = OptimalKernelClassifier().fit(X, y)
    whole = model.predict_proba(asked)
    assert np.allclose(model.predict_proba(asked[::-1])[::-1], whole, atol=1e-12)
    shallow = OptimalKernelClassifier(depth=3).fit(X, y)
    at_once = shallow.predict_proba(asked)
    monkeypatch.setattr("replica.kernels.kernel_interpolation._BLOCK_ENTRIES", 1000)
    assert np.allclose(shallow.predict_proba(asked), at_once, atol=1e-9)
    monkeypatch.setattr("replica.kernels.optimal_classifier._BLOCK_ENTRIES", 1000)
    monkeypatch.setattr("replica.kernels.optimal_classifier._CACHED_ENTRIES", 100)
    assert np.allclose(model.predict_proba(asked), whole, atol=1e-12)


def test_hilbert_estimate_is_consistent():
    # Excess risk in one dimension, with η known: falls with the number of points where the nearest neighbour's does not.
    rng = np.random.default_rng(0)
    asked = rng.random((1000, 1))
    posterior = 0.5 + 0.4 * np.sin(2 * np.pi * asked[:, 0])
    excess = {}
    for count in (100, 10_000):
        X = rng.random((count, 1))
        y = rng.random(count) < 0.5 + 0.4 * np.sin(2 * np.pi * X[:, 0])
        for name, model in (
            ("optimal", OptimalKernelClassifier(exponent=1)),
            ("nearest", OptimalKernelClassifier(NEAREST)),
        ):
            wrong = model.fit(X, y).predict(asked) != (posterior > 0.5)
            excess[name, count] = float((np.abs(2 * posterior - 1) * wrong).mean())
    limit = float((2 * posterior * (1 - posterior) - np.minimum(posterior, 1 - posterior)).mean())
    assert excess["optimal", 10_000] < excess["optimal", 100]
    assert excess["optimal", 10_000] < 0.2 * excess["nearest", 10_000]
    assert excess["nearest", 10_000] == pytest.approx(limit, rel=0.2)


@pytest.mark.parametrize("data", [load_breast_cancer, load_wine, load_digits])
def test_real_tables_beside_five_neighbours(data):
    X, y = data(return_X_y=True)
    deviation = X.std(0) if X.max() > 16 else X.max()
    X = (X - X.mean(0)) / np.where(deviation > 0, deviation, 1)
    ours, peer = (
        cross_val_score(model, X, y, cv=3).mean() for model in (OptimalKernelClassifier(), KNeighborsClassifier(5))
    )
    assert ours > peer - 0.02


def test_parameters_survive_cloning():
    model = clone(OptimalKernelClassifier(torch.erf, depth=5))
    assert model.depth == 5
    assert model.activation is torch.erf


def test_without_projection_rows_are_unit_vectors():
    X, y = blobs(50, 3)
    unit = np.abs(X) / np.linalg.norm(X, axis=1, keepdims=True)
    model = OptimalKernelClassifier(exponent=2, projection="none").fit(unit, y)
    assert (model.predict(unit) == y).all()
    with pytest.raises(ValueError, match="unit vectors"):
        model.predict(2 * unit)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activation": "relu"}, "activation"),
        ({"activation": torch.erf, "exponent": 2}, "exponent"),
        ({"exponent": 0.2}, "exponent"),
        ({"depth": 0}, "depth"),
        ({"projection": "polar"}, "projection"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    X, y = blobs(20, 2)
    with pytest.raises(ValueError, match=message):
        OptimalKernelClassifier(**parameters).fit(X, y)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="angle"):
        SphereProjection(angle=60).fit(np.eye(3))
    with pytest.raises(ValueError, match="neighbours"):
        intrinsic_dimension(np.eye(3), neighbours=1)
    with pytest.raises(ValueError, match="points"):
        intrinsic_dimension(np.zeros(3))
