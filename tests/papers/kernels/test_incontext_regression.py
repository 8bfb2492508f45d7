"""The studies of incontext_regression: prompts and their posterior, measures of known circuits, and judges on a made table."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import BayesianRidge, Ridge

from replica.papers.kernels.incontext_regression import DIM, NOISE, bayes, correlation, paper, prompts, share


def drawn(count=4000, examples=20, seed=0):
    return prompts(count, examples, torch.Generator().manual_seed(seed))


def test_prompts_have_the_law_that_they_are_said_to_have():
    inputs, targets, queries, truth = drawn()
    assert inputs.shape == (4000, 20, DIM)
    assert float(inputs.var()) == pytest.approx(1, abs=0.01)
    assert float(truth.var()) == pytest.approx(1 + NOISE, abs=0.08)
    for row in range(3):  # one β serves the examples: what least squares leaves is the noise
        left = np.linalg.lstsq(inputs[row].numpy(), targets[row].numpy(), rcond=None)[1]
        assert 0.2 * NOISE < float(left[0]) / (20 - DIM) < 3 * NOISE
    together = (inputs[:, 0] * queries).sum(1) / DIM  # E[y y' | x, x'] = x·x' / d: the query shares it
    assert float((targets[:, 0] * truth * together).mean() / together.square().mean()) == pytest.approx(1, abs=0.15)


def test_bayes_is_ridge_of_scikit_learn_and_no_other_strength_is_better():
    inputs, targets, queries, truth = drawn()
    predicted = bayes(inputs, targets, queries)
    for row in range(3):
        peer = Ridge(DIM * NOISE, fit_intercept=False).fit(inputs[row], targets[row])
        assert float(predicted[row]) == pytest.approx(float(peer.predict(queries[row : row + 1])[0]), abs=1e-4)
    found = BayesianRidge(alpha_init=1 / NOISE, lambda_init=DIM, max_iter=1, fit_intercept=False)
    assert found.fit(inputs[0], targets[0]).coef_ @ queries[0].numpy() == pytest.approx(float(predicted[0]), abs=0.1)
    risk = (predicted - truth).square().mean()
    for times in (0.1, 10.0):
        moment = inputs.mT @ inputs + times * DIM * NOISE * torch.eye(DIM)
        other = (torch.linalg.solve(moment, inputs.mT @ targets[..., None])[..., 0] * queries).sum(1)
        assert risk < (other - truth).square().mean()


def test_correlations_and_shares_of_known_numbers():
    line = torch.arange(5.0)
    assert correlation(line, 3 - 2 * line) == pytest.approx(-1)
    assert correlation(line, torch.tensor([1.0, -1, 0, -1, 1])) == pytest.approx(0, abs=1e-6)
    ratios, weights = torch.tensor([0.75, 1e6, 0.0]), torch.tensor([0.5, 0.25, 0.25])
    assert share(ratios, weights) == pytest.approx(0.5 * 0.6 + 0.25)  # r / √(1 + r²) of 3/4 is 3/5, of much 1


def test_judges_read_their_heads():
    names = ("loss", "longer", "bayes", "theory", "debiased", "plain", "off_diagonal", "unequal", "other_outputs",
             "imbalance", "off_diagonal_at_start")  # fmt: skip
    numbers = {
        1: (0.39, 0.40, 0.12, 0.38, 0.90, 0.97, 0.5, 0.4, 0.3, 1.0, 0.8),
        2: (0.24, 0.18, 0.12, 0.23, 0.996, 0.98, 0.05, 0.04, 0.03, 0.02, 0.7),
        4: (0.22, 0.17, 0.12, 0.21, 0.998, 0.97, 0.06, 0.03, 0.02, 0.01, 0.6),
    }
    rows = [{"heads": heads} | dict(zip(names, row, strict=True)) for heads, row in numbers.items()]
    table = pd.DataFrame(rows[::-1])  # in whatever order
    found = {name: claim.measures(table) for name, claim in paper.claims.items()}
    patterns, step, losses = (found[name] for name in ("patterns", "debiased_gradient_descent", "beats_one_head"))
    assert (patterns["off_diagonal"], patterns["imbalance"], patterns["off_diagonal_at_start"]) == (0.05, 0.02, 0.7)
    assert (patterns["off_diagonal_four_heads"], patterns["imbalance_four_heads"]) == (0.06, 0.01)
    assert (patterns["unequal_diagonal"], patterns["other_outputs"]) == (0.04, 0.03)
    assert step["beyond_plain_step"] == pytest.approx(0.016)
    assert (step["correlation"], step["correlation_one_head"], step["correlation_four_heads"]) == (0.996, 0.90, 0.998)
    assert step["excess_over_theory"] == pytest.approx(0.01)
    assert losses["gain_of_two_heads"] == pytest.approx(0.15)
    assert losses["gain_of_four_heads"] == pytest.approx(0.17)
    assert losses["excess_risk_over_bayes"] == pytest.approx(7.0)  # 0.14 over 0.02
    assert losses["gain_of_longer_prompts"] == pytest.approx(0.06)
    assert not any(math.isnan(value) for measures in found.values() for value in measures.values())
