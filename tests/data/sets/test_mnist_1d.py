"""MNIST-1D is made after its recipe."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from replica.data import mnist_1d


def test_mnist_1d_is_made_after_its_recipe() -> None:
    found = mnist_1d()
    assert found.features.shape == (5000, 40)
    assert found.features.dtype == np.float32
    np.testing.assert_array_equal(np.bincount(found.labels), 500)
    np.testing.assert_allclose([found.features.mean(), found.features.std()], [0, 1], atol=1e-5)
    assert len(np.unique(found.features, axis=0)) == 5000
    # A linear model reaches 32 % on the authors' set (Table 1 of the paper), far above chance and far below a net.
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(max_iter=300).fit(found.features[:4000], found.labels[:4000])
    assert linear.score(found.features[4000:], found.labels[4000:]) == pytest.approx(0.32, abs=0.04)


def test_mnist_1d_draws_its_templates_where_it_should() -> None:
    module = importlib.import_module("replica.data.sets.mnist_1d")
    labels, padding = np.array([0, 3, 7]), np.array([36, 50, 60])
    signals, drawn = module._dilated(labels, padding)
    for i, (label, zeros) in enumerate(zip(labels, padding, strict=True)):
        whole = np.concatenate([module._normalised()[label], np.zeros(zeros)])
        places = np.linspace(0, len(whole) - 1, 72)
        np.testing.assert_allclose(signals[i], np.interp(places, np.arange(len(whole)), whole), atol=1e-12)
        np.testing.assert_array_equal(drawn[i], places < 12)
