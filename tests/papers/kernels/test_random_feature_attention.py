"""The studies of random_feature_attention: judges on tables whose answers are known, examples that are shared, fair sizes."""

import math

import numpy as np
import pandas as pd
import pytest

from replica.lab.claims import Trial
from replica.papers.kernels import random_feature_attention as paper


def test_samples_and_errors_are_compared_at_the_registered_places():
    """Errors of 100/n and 400/n: a ratio of 4 in both, whatever the linear target's and other counts' errors are."""
    rows = [
        {"method": method, "degree": degree, "examples": n, "error": needed / n if degree else 0.3}
        for method, needed in (("attention", 100), ("two-layer network", 400))
        for degree in (0, 1)
        for n in (100, 500, 1000, 2000)
    ]
    found = paper.fewer_samples.judge(pd.DataFrame(rows))
    assert found["log_error_ratio"] == pytest.approx(-math.log(4))
    assert found["log_samples_ratio"] == pytest.approx(-math.log(4))
    assert found["error_of_attention"] == pytest.approx(0.1)
    assert found["error_of_network_on_linear"] == pytest.approx(0.3)


def test_a_network_that_never_gets_there_needs_the_most_that_was_tried():
    rows = [
        {"method": method, "degree": degree, "examples": n, "error": error if n == 2000 else 0.9}
        for method, error in (("attention", 0.5), ("two-layer network", 0.8))
        for degree in (0, 1)
        for n in (1000, 2000)
    ]
    assert paper.fewer_samples.judge(pd.DataFrame(rows))["log_samples_ratio"] == pytest.approx(0.0)


def test_means_are_compared_degree_by_degree():
    errors = {(0, 0): 0.02, (0, 1): 0.4, (0, 2): 0.8, (0, 3): 1.0, (1, 0): 0.5, (1, 1): 0.2, (1, 2): 0.1, (1, 3): 1.1}
    rows = [{"method": f"{bias} √d I", "degree": k, "error": error} for (bias, k), error in errors.items()]
    rows += [{"method": "3 √d I", "degree": k, "error": 0.05} for k in range(4)]
    found = paper.biased_weights.judge(pd.DataFrame(rows))
    assert found["log_error_ratio"] == pytest.approx(math.log(0.1 / 0.8))
    assert found["log_error_ratio_of_degree_1"] == pytest.approx(math.log(0.5))
    assert found["log_error_ratio_of_degree_3"] == pytest.approx(math.log(1.1))
    assert found["log_error_ratio_of_triple_mean"] == pytest.approx(math.log(0.05 / 0.8))
    assert found["error_of_zero_mean_on_linear"] == pytest.approx(0.02)


class Spy:
    """Notes what it learns from, and answers 0, whose error is the target's variance."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.seen.append((X, y))

    def predict(self, X):
        return np.zeros(len(X))


def test_fewer_examples_are_the_first_of_more_and_errors_are_of_the_target_without_noise(monkeypatch):
    monkeypatch.setattr(paper, "NOISE", 2.0)
    Spy.seen = []
    rows = paper.excess(Trial(100, "smoke"), {"spy": lambda dim, state: Spy()}, 4, (1,), (10, 30), 4000)
    (X, y), (more, targets) = Spy.seen
    assert (more[:10] == X).all()
    assert (y == targets[:10]).all()
    assert more.shape == (30, 17 * 4)
    assert rows[0]["error"] == pytest.approx(1.0, abs=0.15)
    assert targets.std() > 1.5


def test_both_learners_have_as_many_trained_numbers():
    X, y = np.random.default_rng(0).standard_normal((20, 17 * 4)), np.arange(20.0)
    layer = paper.attention(6, 0.0)(4, 0).fit(X, y, shape=(17, 4))
    units = paper.network(6)(4, 0).fit(X, y)
    assert layer.values_.shape == units.coef_.shape == (24,)
    assert np.square(units.biases_).mean() == pytest.approx(np.square(X @ units.weights_).mean(), rel=0.5)
