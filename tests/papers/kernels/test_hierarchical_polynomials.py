"""The studies of hierarchical_polynomials: teacher and network against other libraries, and judges on made tables."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PolynomialFeatures

from replica.data.sets.teachers.hierarchical_polynomials import HierarchicalPolynomial
from replica.kernels import LayerwiseThreeLayerNetwork
from replica.lab.claims import Trial
from replica.papers.kernels.hierarchical_polynomials import (
    GOAL,
    INNER,
    OUTER,
    layerwise_network,
    paper,
    recovery,
    share_left,
)


def test_targets_are_a_cubic_of_a_quadratic_that_is_standard_and_mostly_linear():
    for dim in (200, 16):
        rng = np.random.default_rng(0)
        teacher = HierarchicalPolynomial(dim, INNER, OUTER, 0.0, rng)
        drawn = teacher.examples(20_000, rng)
        p, y = teacher.inner(drawn.inputs), drawn.targets
        assert (p.mean(), p.var()) == pytest.approx((0, 1), abs=0.05)
        assert (y.mean(), y.var()) == pytest.approx((0, 1), abs=0.2)  # tails of degree six
        np.testing.assert_allclose(np.polynomial.Polynomial.fit(p, y, 3)(p), y, atol=1e-6)  # g: of degree three
        linear = 1 / (1 + 1 / 4 + 1 / 9) if dim == 200 else 0.65  # of few inputs p is less nearly Gaussian
        assert np.corrcoef(p, y)[0, 1] ** 2 == pytest.approx(linear, abs=0.03)
    few = drawn.inputs[:300]
    quadratic = Ridge(1e-8).fit(PolynomialFeatures(2).fit_transform(few), p[:300])
    assert quadratic.score(PolynomialFeatures(2).fit_transform(few), p[:300]) > 1 - 1e-6


def test_both_stages_are_ridge_of_scikit_learn_on_halves():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 4))
    y = X[:, 0] * X[:, 1] + X[:, 2] + 0.1 * rng.standard_normal(300)
    net = LayerwiseThreeLayerNetwork(width=30, random_state=7).fit(X, y)
    order = np.random.RandomState(7).permutation(300)
    first, second = order[:150], order[150:]
    monomials = PolynomialFeatures(2, include_bias=False).fit_transform(X)
    scales = [
        Ridge(net.ridges_[0] * times).fit(monomials[first], y[first]).coef_ - net.inner_ for times in (1.0, 150.0)
    ]
    assert min(np.abs(gap).max() for gap in scales) < 1e-6  # a strength, or a strength a row
    feature = net.bottleneck(X)
    assert (feature[second].mean(), feature[second].std()) == pytest.approx((0, 1))
    units = np.maximum(net.signs_ * feature[:, None] - net.kinks_, 0) / np.sqrt(30)
    design = np.column_stack([units, feature])
    gaps = [Ridge(net.ridges_[1] * times).fit(design[second], y[second]).predict(design) - net.predict(X)
            for times in (1.0, 150.0)]  # fmt: skip
    assert min(np.abs(gap).max() for gap in gaps) < 1e-6


def test_entry_and_share_that_is_left():
    truth = np.array([1.0, 2.0, 6.0])
    assert share_left(truth, truth) == 0
    assert share_left(np.full(3, 3.0), truth) == pytest.approx(1)
    model = layerwise_network(Trial(100), degree=1, width=50)
    assert (model.degree, model.width) == (1, 50)
    assert model.random_state != layerwise_network(Trial(101)).random_state


def test_more_samples_find_more_of_the_feature():
    found = pd.DataFrame(recovery(Trial(100, "smoke")))
    assert found["feature"].between(0, 1).all()
    measures = paper.claims["feature_is_recovered"].measures(found)
    assert measures["squared_correlation"] > measures["squared_correlation_of_few"]
    assert measures["squared_correlation"] == found["feature"].iloc[-1]


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_the_exponent_of_planted_errors(power):
    """Errors d^k / n: 0.3 takes d^k / 0.3 samples; each teacher of a pair is as far off as the other, to both sides."""
    counts = np.unique(np.geomspace(10, 1e7, 40).astype(int))
    rows = [
        {"dim": dim, "samples": int(count), "error": dim**power / count * factor, "feature": 1.0}
        for dim in (24, 34, 48)
        for count in counts
        for factor in (0.5, 1.5)
    ]
    found = paper.claims["samples_as_degree_of_feature"].measures(pd.DataFrame(rows))
    assert found == pytest.approx({"exponent": power, "not_reached": 0.0}, abs=1e-6)
    short = pd.DataFrame([row | {"error": max(row["error"], 2 * GOAL)} if row["dim"] == 48 else row for row in rows])
    assert paper.claims["samples_as_degree_of_feature"].measures(short)["not_reached"] == pytest.approx(1 / 3)


def test_the_rival_is_the_kernel_that_leave_one_out_chooses_not_the_best_at_test():
    rows = [{"method": "network", "error": 0.2}]
    rows += [{"method": "a", "error": 0.5, "held_out": 1.0}, {"method": "b", "error": 0.4, "held_out": 2.0}]
    found = paper.claims["fewer_than_kernels"].measures(pd.DataFrame(rows))
    assert found == pytest.approx({"log_error_over_best_kernel": np.log(0.4), "error_of_best_kernel": 0.5})
