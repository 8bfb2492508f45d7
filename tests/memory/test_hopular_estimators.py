"""Hopular in scikit-learn's form: what it learns, what must not change it, what it refuses."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.dummy import DummyRegressor

from replica.memory import HopularClassifier, HopularRegressor

SMALL = {"width": 4, "heads": 2, "blocks": 1, "batch_size": 32, "random_state": 0}


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


def test_it_learns_a_table_and_gives_probabilities(wine):
    X, y = wine
    model = HopularClassifier(steps=30, random_state=0).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) > 0.9
    shares = model.predict_proba(X)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert (model.classes_[shares.argmax(1)] == model.predict(X)).all()


def test_the_regressor_beats_the_mean():
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:200], y[:200]
    model = HopularRegressor(steps=30, random_state=0).fit(X[::2], y[::2])
    assert model.score(X[1::2], y[1::2]) > 0.2 + DummyRegressor().fit(X[::2], y[::2]).score(X[1::2], y[1::2])


def test_it_looks_up_labels_that_only_the_memory_holds():
    """Random codes with random labels: only the training row of the same code tells the label."""
    rng = np.random.default_rng(0)
    codes, labels = np.repeat(np.arange(12), 12), np.repeat(rng.permutation(12) % 2, 12)
    X = codes[:, None].astype(float)
    model = HopularClassifier(steps=60, categorical_features=[0], random_state=0)
    assert model.fit(X, labels).score(X, labels) == 1.0


def test_units_and_names_do_not_matter(wine):
    X, y = wine
    one = HopularClassifier(steps=5, **SMALL).fit(X, y)
    other = HopularClassifier(steps=5, **SMALL).fit(1000 * X + 7, np.array(["c", "d", "e"])[y])
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(1000 * X + 7), atol=1e-4)
    assert list(other.classes_) == ["c", "d", "e"]


def test_categories_are_named_by_indices_or_a_mask():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.integers(3, size=40) * 10.0, rng.normal(size=40), np.full(40, 5.0)])
    y = (X[:, 0] == 10).astype(int)
    found = [
        HopularClassifier(steps=5, categorical_features=chosen, **SMALL).fit(X, y).predict_proba(X)
        for chosen in ([0, 2], np.array([True, False, True]))
    ]
    np.testing.assert_array_equal(*found)
    model = HopularClassifier(steps=5, categorical_features=[0, 2], **SMALL).fit(X, y)
    assert model.network_.columns.sizes == (3, 1, 1, 2)
    unseen = np.array([[15.0, 0.0, 5.0], [99.0, 0.0, 5.0]])
    np.testing.assert_array_equal(*model.predict_proba(unseen))  # both count as hidden


def test_a_seed_fixes_all_and_the_global_state_stays(wine):
    X, y = wine
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = (HopularClassifier(steps=5, **SMALL).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert torch.equal(before, torch.random.get_rng_state())
    other = HopularClassifier(steps=5, **{**SMALL, "random_state": 1}).fit(X, y)
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))
    again = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))


def test_rows_are_predicted_one_by_one(wine):
    X, y = wine
    model = HopularClassifier(steps=5, **SMALL).fit(X, y)
    together = model.predict_proba(X[:5])
    alone = np.concatenate([model.predict_proba(row[None]) for row in X[:5]])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_wide_tables_get_narrow_embeddings_and_long_ones_are_looked_up_in_part():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(80, 60))
    y = (X[:, 0] > 0).astype(int)
    model = HopularClassifier(steps=3, memory_rows=50, random_state=0).fit(X, y)
    assert model.network_.positions.shape == (61, 4)
    assert len(model.memory_) == 80
    assert np.isfinite(model.predict_proba(X)).all()


def test_one_row_more_than_a_block_of_predictions():
    X, y = load_iris(return_X_y=True)
    model = HopularClassifier(steps=3, **SMALL).fit(X, y)
    many = np.tile(X, (4, 1))[:513]
    np.testing.assert_allclose(model.predict_proba(many)[-1:], model.predict_proba(many[-1:]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": 0}, "steps"),
        ({"memory_rows": 0}, "memory_rows"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"averaging": -1.0}, "averaging"),
        ({"feature_weight": 2.0}, "feature_weight"),
        ({"width": 0}, "width"),
        ({"hide": 2.0}, "hide"),
        ({"batch_size": 0}, "size"),
        ({"categorical_features": [4]}, "categorical_features"),
        ({"categorical_features": [True]}, "categorical_features"),
    ],
)
def test_bad_parameters_are_named(options, named):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=named):
        HopularClassifier(**options).fit(X, y)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="one class"):
        HopularClassifier().fit(np.zeros((5, 2)), np.zeros(5))
