"""Probes of features, against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.neighbors import KNeighborsClassifier

from replica.training import (
    LinearProbe,
    effective_rank,
    label_budgets,
    logistic_probe,
    neighbour_accuracy,
    ridge_probe,
)

IMAGES, DIGITS = load_digits(return_X_y=True)
X, Y = torch.from_numpy(IMAGES).double()[:, :40] / 16, torch.from_numpy(DIGITS)


def budgets(*per_class: int) -> list[torch.Tensor]:
    return label_budgets(Y, per_class, torch.Generator().manual_seed(0))


def scaled(rows: torch.Tensor) -> tuple[np.ndarray, float]:
    centred = X[rows] - X[rows].mean(0)
    scale = float(centred.square().mean().sqrt())
    return (centred / scale).numpy(), scale


def test_budgets_are_balanced_and_nested() -> None:
    small, large = budgets(3, 20)
    assert (Y[small].bincount() == 3).all()
    assert (Y[large].bincount() == 20).all()
    assert set(small.tolist()) < set(large.tolist())
    assert len(set(large.tolist())) == 200
    with pytest.raises(ValueError, match="per_class: got"):
        budgets(200)


def test_ridge_and_its_choice_against_scikit_learn() -> None:
    rows = budgets(5, 30)
    probe = ridge_probe(X, Y, rows, penalties=(0.1, 1.0, 10.0, 100.0))
    for index, drawn in enumerate(rows):
        inputs, scale = scaled(drawn)
        targets = np.eye(10)[Y[drawn]]
        chosen = RidgeCV((0.1, 1.0, 10.0, 100.0)).fit(inputs, targets)
        # scikit-learn's leave-one-out takes the centring as fixed; the whole error by hand settles the choice.
        errors = []
        for penalty in (0.1, 1.0, 10.0, 100.0):
            left = []
            for row in range(len(drawn)):
                kept = np.arange(len(drawn)) != row
                model = Ridge(penalty).fit(inputs[kept], targets[kept])
                left.append(((model.predict(inputs[[row]]) - targets[row]) ** 2).mean())
            errors.append(np.mean(left))
        best = (0.1, 1.0, 10.0, 100.0)[int(np.argmin(errors))]
        assert float(probe.penalties[index]) == best
        assert chosen.alpha_ in (best, best / 10, best * 10)
        model = Ridge(best).fit(inputs, targets)
        np.testing.assert_allclose(probe.weights[index] * scale, model.coef_.T, atol=1e-8)
        wanted = model.predict((X - X[drawn].mean(0)).numpy() / scale)
        np.testing.assert_allclose(probe.scores(X)[index], wanted, atol=1e-8)


def test_the_leave_one_out_error_counts_the_intercept() -> None:
    penalties = np.logspace(-2, 3, 40)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(8) % 2
        features = torch.randn(8, 2, generator=generator).double() + 0.8 * labels[:, None]
        inputs = (features - features.mean(0)).numpy()
        inputs, targets = inputs / np.sqrt(np.square(inputs).mean()), np.eye(2)[labels]
        kept = [np.arange(8) != row for row in range(8)]
        errors = [
            sum(np.square(Ridge(a).fit(inputs[k], targets[k]).predict(inputs[~k]) - targets[~k]).sum() for k in kept)
            for a in penalties
        ]
        probe = ridge_probe(features, labels, penalties=penalties.tolist())
        assert float(probe.penalties[0]) == pytest.approx(penalties[int(np.argmin(errors))])


@pytest.mark.parametrize("penalty", [0.03, 1.0, 30.0])
def test_logistic_against_scikit_learn(penalty: float) -> None:
    rows = budgets(2, 30)
    probe = logistic_probe(X, Y, rows, penalties=(penalty,))
    for index, drawn in enumerate(rows):
        inputs, scale = scaled(drawn)
        model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000).fit(inputs, Y[drawn].numpy())
        np.testing.assert_allclose(probe.weights[index] * scale, model.coef_.T, atol=2e-4)
        wanted = model.predict_log_proba((X - X[drawn].mean(0)).numpy() / scale)
        np.testing.assert_allclose(torch.log_softmax(probe.scores(X)[index], 1), wanted, atol=2e-3)


def test_logistic_chooses_by_folds_as_one_by_one() -> None:
    (drawn,), penalties = budgets(7), (0.01, 1.0, 100.0)
    probe = logistic_probe(X, Y, [drawn], penalties=penalties, folds=3)
    place = np.array([(Y[drawn][:row] == Y[drawn][row]).sum() for row in range(len(drawn))]) % 3
    inputs, _ = scaled(drawn)
    labels, losses = Y[drawn].numpy(), []
    for penalty in penalties:
        loss = 0.0
        for fold in range(3):
            model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000)
            model.fit(inputs[place != fold], labels[place != fold])
            logs = model.predict_log_proba(inputs[place == fold])
            loss -= logs[np.arange(len(logs)), labels[place == fold]].sum()
        losses.append(loss)
    assert float(probe.penalties[0]) == penalties[int(np.argmin(losses))]


def test_probes_do_not_mind_rotation_and_scale() -> None:
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(1)).double())[0]
    for probe in (ridge_probe, logistic_probe):
        plain, turned = probe(X, Y, budgets(10)), probe(7 * X @ rotation + 3, Y, budgets(10))
        torch.testing.assert_close(plain.scores(X), turned.scores(7 * X @ rotation + 3), atol=1e-3, rtol=1e-3)


def test_neighbours_against_scikit_learn() -> None:
    bank, queries = X[:300] - X[:300].mean(0), X[300:800] - X[:300].mean(0)
    model = KNeighborsClassifier(1, metric="cosine").fit(bank.numpy(), DIGITS[:300])
    found = neighbour_accuracy(X[:300], Y[:300], X[300:800], Y[300:800], neighbours=1)
    assert math.isclose(found, model.score(queries.numpy(), DIGITS[300:800]))
    # One vote each for two classes: the nearer has it.
    line = torch.tensor([[1.0, 0.0], [0.8, 0.2], [-1.0, 0.0], [-0.8, -0.2]])
    assert neighbour_accuracy(line, torch.tensor([0, 1, 0, 1]), line, torch.tensor([0, 1, 0, 1]), neighbours=2) == 1.0


def test_effective_rank() -> None:
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double()
    values = np.linalg.svd((features - features.mean(0)).numpy(), compute_uv=False)
    share = values / values.sum()
    assert math.isclose(float(effective_rank(features)), np.exp(-(share * np.log(share)).sum()), rel_tol=1e-9)
    assert math.isclose(float(effective_rank(features @ torch.ones(6, 6).double())), 1.0, rel_tol=1e-6)
    # A constant up to rounding has no direction, not many.
    constant = (torch.randn(1, 64) / 3).expand(200, 64) * (1 + 1e-7 * torch.randn(200, 1))
    assert float(effective_rank(constant)) == 0.0
    assert math.isclose(float(effective_rank(constant, centred=False)), 1.0, rel_tol=1e-4)


@pytest.mark.parametrize("probe", [ridge_probe, logistic_probe])
def test_bad_arguments(probe: Callable[..., LinearProbe]) -> None:
    with pytest.raises(ValueError, match="features, labels: got shapes"):
        probe(X, Y[:5])
    with pytest.raises(ValueError, match="want whole numbers from 0"):
        probe(X, Y - 1)
    with pytest.raises(ValueError, match="penalties: got"):
        probe(X, Y, penalties=(0.0,))
    with pytest.raises(ValueError, match="budgets: got none"):
        probe(X, Y, [])
    with pytest.raises(ValueError, match="2 or more of both, or one penalty"):
        logistic_probe(X, Y, budgets(1))
