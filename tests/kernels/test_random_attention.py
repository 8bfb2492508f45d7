"""Random-feature attention: against a slow loop, the arc-cosine kernel, the mean of a ReLU, and scikit-learn's ridge."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import Ridge

from replica.kernels import RandomFeatureAttention, attention_features


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sphere(*shape, seed=0):
    vectors = drawn(*shape, seed=seed)
    return math.sqrt(shape[-1]) * vectors / vectors.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("heads", [3, 500_000])  # many heads: blocks of one row
def test_features_are_the_sum_over_keys_and_heads(heads):
    queries, keys, weights = drawn(4, 3, seed=1), drawn(4, 5, 3, seed=2), drawn(heads, 3, 3, seed=3)
    features = attention_features(queries, keys, weights, torch.tanh)
    for row, head in ((0, 0), (1, 2), (3, 1), (2, heads - 1)):
        slow = torch.zeros(3, dtype=torch.float64)
        for key in keys[row]:
            slow += math.tanh(float(sum(weights[head] * torch.outer(queries[row], key)).sum())) * key / 5
        torch.testing.assert_close(features[row, head], slow)


def test_many_heads_give_the_arc_cosine_kernel_of_products_of_query_and_key():
    queries, keys = sphere(2, 3, seed=1), sphere(2, 4, 3, seed=2)
    features = attention_features(queries, keys, drawn(200_000, 3, 3))
    for one, other in ((0, 1), (0, 0)):
        products = keys[one] @ keys[other].T
        cosine = ((queries[one] @ queries[other]) * products / 9).clamp(-1, 1)
        angle = cosine.arccos()
        kernel = 9 * (angle.sin() + (math.pi - angle) * cosine) / (2 * math.pi)
        found = (features[one] * features[other]).sum(1)
        error = float(found.std()) / math.sqrt(len(found))
        assert float(found.mean()) == pytest.approx(float((kernel * products).mean()), abs=4 * error)


@pytest.mark.parametrize("bias", [0.0, 1.0, -2.0])
def test_a_mean_of_weights_turns_heads_to_matching_keys(bias):
    """x₀ᵀ W x_i ~ N(bias · √d ⟨x₀, x_i⟩, d²), so that the mean of ReLU is known."""
    vectors = sphere(3, 5, 4)
    model = RandomFeatureAttention(100_000, bias, alpha=1.0, random_state=0)
    model.fit(vectors[:, :2, 0].numpy(), [0.0, 1.0, 0.0])  # of two numbers; then as drawn for four
    assert model.weights_.mean(0) == pytest.approx(bias * math.sqrt(2) * np.eye(2), abs=0.02)
    assert model.weights_.std(0) == pytest.approx(1.0, abs=0.02)
    weights = drawn(100_000, 4, 4) + bias * 2 * torch.eye(4, dtype=torch.float64)
    found = attention_features(vectors[:, 0], vectors[:, 1:], weights).mean(1)
    matches = bias * 2 * torch.einsum("nd,nkd->nk", vectors[:, 0], vectors[:, 1:]).numpy()
    means = torch.from_numpy(4 * norm.pdf(matches / 4) + matches * norm.cdf(matches / 4))
    expected = (means[..., None] * vectors[:, 1:]).mean(1)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_the_order_of_keys_and_how_often_all_come_do_not_matter():
    queries, keys, weights = drawn(4, 3, seed=1), drawn(4, 5, 3, seed=2), drawn(7, 3, 3, seed=3)
    features = attention_features(queries, keys, weights)
    torch.testing.assert_close(attention_features(queries, keys[:, [3, 1, 4, 0, 2]], weights), features)
    torch.testing.assert_close(attention_features(queries, torch.cat([keys, keys], 1), weights), features)
    assert not torch.allclose(attention_features(queries.flip(0), keys, weights), features)


def test_values_are_ridge_regression_on_the_features():
    X, y = drawn(60, 4, 3), drawn(60, 2, seed=1).numpy()
    model = RandomFeatureAttention(6, 0.5, "softplus", 0.3, random_state=1).fit(X.flatten(1), y, shape=(4, 3))
    weights = torch.from_numpy(model.weights_)
    columns = attention_features(X[:, 0], X[:, 1:], weights, torch.nn.functional.softplus).flatten(1)
    peer = Ridge(alpha=0.3).fit(columns, y)
    np.testing.assert_allclose(model.predict(X.flatten(1)), peer.predict(columns), rtol=1e-7)


def test_leave_one_out_learns_what_lies_in_its_span_and_holds_back_from_noise():
    X = sphere(300, 9, 4).numpy()
    y, noise = X[:, 1:, 0].mean(1), drawn(300, seed=5).numpy()
    flat = X.reshape(300, -1)
    model = RandomFeatureAttention(40, random_state=0).fit(flat[:200], y[:200], shape=(9, 4))
    assert np.square(model.predict(flat[200:]) - y[200:]).mean() < 0.05 * y.var()
    held = RandomFeatureAttention(40, random_state=0).fit(flat[:200], noise[:200], shape=(9, 4))
    assert held.predict(flat[200:]).std() < 0.3


def test_a_row_without_shape_is_its_own_query_and_key():
    X = drawn(20, 3)
    model = RandomFeatureAttention(5, alpha=1e-3, random_state=0).fit(X, X[:, 0])
    columns = attention_features(X, X[:, None], torch.from_numpy(model.weights_)).flatten(1).numpy()
    np.testing.assert_allclose(model.predict(X), columns @ model.values_ + model.intercept_)


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"heads": 0}, "heads"), ({"bias": math.nan}, "bias"), ({"activation": "step"}, "activation"),
     ({"alpha": 0.0}, "alpha")],
)  # fmt: skip
def test_wrong_settings_are_named(settings, name):
    with pytest.raises(ValueError, match=name):
        RandomFeatureAttention(**settings).fit(np.ones((3, 2)), np.zeros(3))


def test_wrong_shapes_are_named():
    for shape in ((2, 2), (1, 2, 3)):
        with pytest.raises(ValueError, match="shape"):
            RandomFeatureAttention().fit(np.ones((3, 6)), np.zeros(3), shape=shape)
    ones = torch.ones(2, 3, 4)
    with pytest.raises(ValueError, match="keys"):
        attention_features(ones[:, 0], ones[:, 0], torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match="queries"):
        attention_features(ones[0], ones, torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match="weights"):
        attention_features(ones[:, 0], ones, torch.ones(1, 4, 3))
