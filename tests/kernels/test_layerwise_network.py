"""Layerwise learning: the first stage against a projection, the second against planted functions, and what neither can do."""

import numpy as np
import pytest

from replica.data.sets.teachers.hierarchical_polynomials import HierarchicalPolynomial
from replica.kernels import LayerwiseThreeLayerNetwork


def taught(count, dim=8, seed=0, outer=3):
    rng = np.random.default_rng(seed)
    teacher = HierarchicalPolynomial(dim, 2, outer, 0.0, rng)
    return teacher, teacher.examples(count, rng)


def test_stage_one_is_the_projection_of_the_targets_on_quadratic_forms():
    """E[h (xxᵀ − I)] / 2 is the quadratic part of h: what least squares on monomials finds in the limit."""
    _, train = taught(40_000)
    net = LayerwiseThreeLayerNetwork(random_state=0).fit(train.inputs, train.targets)
    X, y = train.inputs, train.targets
    form = (X.T * (y - y.mean())) @ X / len(X)
    projected = np.einsum("ni,ij,nj->n", X, form, X)
    assert np.corrcoef(projected, net.bottleneck(X))[0, 1] > 0.97


def test_the_bottleneck_is_the_feature_and_is_standardised():
    teacher, train = taught(6000)
    net = LayerwiseThreeLayerNetwork(random_state=0).fit(train.inputs, train.targets)
    fresh = teacher.examples(4000, np.random.default_rng(9))
    found = net.bottleneck(fresh.inputs)
    assert np.corrcoef(found, teacher.inner(fresh.inputs))[0, 1] ** 2 > 0.85
    assert found.mean() == pytest.approx(0, abs=0.06)
    assert found.std() == pytest.approx(1, abs=0.06)


def test_the_outer_function_is_found_where_the_feature_is_linear():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((1200, 3))
    p = X @ [0.6, 0.8, 0.0]
    net = LayerwiseThreeLayerNetwork(1, random_state=0).fit(X, np.abs(p) + p)
    fresh = rng.standard_normal((500, 3))
    q = fresh @ [0.6, 0.8, 0.0]
    assert np.mean((net.predict(fresh) - np.abs(q) - q) ** 2) < 0.02


def test_an_even_function_of_the_feature_hides_it():
    """With E[g'] = 0 the first stage sees nothing of p: the paper's assumption is needed."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((2000, 6))
    p = X[:, 0]
    net = LayerwiseThreeLayerNetwork(1, random_state=0).fit(X, p**2)
    assert np.corrcoef(net.bottleneck(X), p)[0, 1] ** 2 < 0.5


def test_halves_do_not_overlap_and_the_seed_decides_them():
    _, train = taught(300)
    first, again, other = (
        LayerwiseThreeLayerNetwork(random_state=seed).fit(train.inputs, train.targets).predict(train.inputs)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_scale_of_targets_is_carried():
    _, train = taught(400)
    one = LayerwiseThreeLayerNetwork(random_state=0).fit(train.inputs, train.targets)
    large = LayerwiseThreeLayerNetwork(random_state=0).fit(train.inputs, 1e12 * train.targets)
    np.testing.assert_allclose(large.predict(train.inputs) / 1e12, one.predict(train.inputs), rtol=1e-5, atol=1e-8)


def test_what_makes_no_network_is_refused():
    with pytest.raises(ValueError, match="degree, width"):
        LayerwiseThreeLayerNetwork(0).fit(np.ones((4, 2)), np.ones(4))
