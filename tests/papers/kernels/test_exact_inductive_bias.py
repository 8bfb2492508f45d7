"""The studies of exact_inductive_bias: the space of hypotheses against scikit-learn's posterior, and judges on made tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from replica.lab.claims import Trial
from replica.papers.kernels.exact_inductive_bias import NEAR, TENTH, paper, perceptron, rbf_hypotheses, spheres


def test_hypotheses_are_the_posterior_of_scikit_learn():
    """Mean errors of draws: squared bias and variance of a Gaussian process without noise."""
    rng = np.random.default_rng(0)
    inputs, tests, y, truth = (rng.standard_normal(shape) for shape in ((15, 3), (8, 3), (15, 2), (8, 2)))
    space = rbf_hypotheses(inputs, tests, y, truth, 1.7)
    peer = GaussianProcessRegressor(RBF(1.7), alpha=1e-8, optimizer=None).fit(inputs, y)
    mean, covariance = peer.predict(tests, return_cov=True)
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(covariance[..., 0])), space.variances, rtol=1e-4, atol=1e-6)
    assert np.square(space.biases).sum() == pytest.approx(np.square(mean - truth).sum(), rel=1e-5)
    errors = space.errors(20_000, np.random.default_rng(1))
    wanted = (np.square(mean - truth) + np.diagonal(covariance[..., 0])[:, None]).mean()
    assert errors.mean() == pytest.approx(wanted, rel=0.02)


def test_near_the_samples_a_hundredth_takes_its_bits():
    rows = pd.DataFrame(spheres(Trial(100, "smoke")))
    near = rows[rows["error"] == NEAR]
    assert len(near) == len(rows) / 2 == 8  # two dimensions, four teachers
    assert near["exact"].mean() == pytest.approx(np.log2(100), abs=0.8)
    assert near["estimated"].mean() == pytest.approx(np.log2(100), abs=0.8)


def test_judges_of_bits_on_a_planted_table():
    rows = []
    for dim, extra in ((2, 0.0), (4, 1.0), (6, 0.0), (8, 0.0)):
        for teacher in (-1, 1):  # who cancel in the mean
            bits = {"estimated": 3 * dim + extra + teacher, "exact": 2.0 * dim + teacher}
            rows.append({"dimension": dim, "teacher": teacher, "error": TENTH} | bits)
            rows.append({"dimension": dim, "teacher": teacher, "error": NEAR, "estimated": 8.0, "exact": 10.0})
    rows.append({"dimension": 4, "teacher": 0, "error": TENTH, "estimated": 13.0, "exact": 8.0})
    rows.append({"dimension": 8, "teacher": 0, "error": NEAR, "estimated": 5.0, "exact": 0.5})  # under a bit: not asked
    table = pd.DataFrame(rows)
    found = paper.claims["dimension"].measures(table)
    assert found["exact_bits_a_dimension"] == pytest.approx(2)
    assert found["bits_a_dimension"] == pytest.approx(np.polyfit([2, 4, 6, 8], [6, 13, 18, 24], 1)[0])
    assert found["smallest_rise"] == pytest.approx(11)  # from 4 to 8, by way of 6
    direct = paper.claims["direct_estimate"].measures(table)
    assert direct["relative_error_near_the_samples"] == pytest.approx(0.2)
    assert direct["largest_relative_error"] == pytest.approx(5 / 3 - 1, abs=0.1)
    worst = (table["estimated"] / table["exact"] - 1)[table["exact"] >= 1].abs().max()
    assert direct["largest_relative_error"] == pytest.approx(worst)


def test_networks_are_judged_by_the_bits_that_they_save():
    table = pd.DataFrame(
        [
            {"space": "perceptron", "bits": 7.0, "train_error": 0.004},
            {"space": "kernel", "bits": 47.0, "train_error": 0.0},
        ]
    )
    found = paper.claims["networks_encode"].measures(table)
    assert found == {"bits_of_network": 40.0, "bits_of_kernel": 47.0, "train_error_of_networks": 0.004}


def test_starts_of_networks_differ_and_follow_the_generator():
    first, again = (perceptron(torch.Generator().manual_seed(3)) for _ in range(2))
    generator = torch.Generator().manual_seed(3)
    _, second = perceptron(generator), perceptron(generator)
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, second[0].weight)
    assert [layer.out_features for layer in first if hasattr(layer, "out_features")] == [32, 32, 10]
