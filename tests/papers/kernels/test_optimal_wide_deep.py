import numpy as np
import pytest
from scipy.stats import dirichlet

from replica.lab.claims import Trial
from replica.papers.kernels.optimal_wide_deep import (
    DISTRIBUTIONS,
    PRIOR,
    dirichlet_classes,
    excess_risk,
    orthant_points,
    paper,
    table_split,
)


@pytest.mark.parametrize("dim", DISTRIBUTIONS)
def test_posterior_is_bayes_rule_on_the_simplex(dim):
    points, labels, posterior = dirichlet_classes(dim, 20_000, np.random.default_rng(0))
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    shares = points / points.sum(1, keepdims=True)
    inside = (shares > 1e-9).all(1)
    first, second = (
        dirichlet.pdf((shares[inside] / shares[inside].sum(1, keepdims=True)).T, p) for p in DISTRIBUTIONS[dim]
    )
    by_hand = PRIOR * first / (PRIOR * first + (1 - PRIOR) * second)
    assert np.allclose(posterior[inside], by_hand, atol=1e-6)
    # Calibrated: among points with posterior near p, a share p has the first label.
    for low in (0.1, 0.4, 0.7):
        some = (posterior > low) & (posterior < low + 0.2)
        assert labels[some].mean() == pytest.approx(posterior[some].mean(), abs=0.04)


def test_excess_risk_of_bayes_is_zero_and_of_its_opposite_all():
    posterior = np.array([0.1, 0.9, 0.6])
    assert excess_risk(np.array([0, 1, 1]), posterior) == 0
    assert excess_risk(np.array([1, 0, 0]), posterior) == pytest.approx((0.8 + 0.8 + 0.2) / 3)


def test_split_is_disjoint_and_standardised():
    features = np.arange(60.0).reshape(30, 2)
    X, y, test_X, test_y = table_split(features, np.arange(30), 20, 10, np.random.default_rng(0))
    assert set(y) | set(test_y) == set(range(30))
    assert X.mean(0) == pytest.approx(0)
    assert X.std(0) == pytest.approx(1)
    assert test_X.shape == (10, 2)


def test_points_are_on_the_orthant():
    points = orthant_points(10, 3, Trial(0).generator("points"))
    assert float(points.min()) >= 0
    assert points.norm(dim=1).tolist() == pytest.approx([1.0] * 10)


def test_entry_is_a_classifier():
    model = paper.entries["singular-kernel"].make(Trial(0), exponent=3.0)
    X = np.random.default_rng(0).normal(size=(50, 3))
    assert (model.fit(X, X[:, 0] > 0).predict(X) == (X[:, 0] > 0)).all()
