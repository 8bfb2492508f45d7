"""The baselines of similarity: what each finds on planted layers, and held-out prediction beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from replica.lab.claims import Trial
from replica.lab.problems import Dataset, get
from replica.lab.problems.similarity.data import Nets
from replica.papers.baselines.similarity import predicted_share

problem = get("similarity")


@pytest.mark.parametrize("name", ["linear-cka", "rsa", "svcca", "procrustes", "linear-r2"])
def test_each_names_planted_layers(name: str) -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(5, 60, 8))
    nets = {net: tuple((common @ np.linalg.qr(rng.normal(size=(8, 8)))[0]).astype(np.float32)) for net in "abc"}
    dataset = Dataset("planted", "", Nets(tuple("vwxyz"), nets), "planted")
    make = next(baseline.make for baseline in problem.baselines() if baseline.name == name)
    metrics = problem.run(Trial(0), make, dataset, problem.resolve({"noise": 0.3})).metrics
    assert metrics["named"] == 1
    assert float(metrics["auc"]) > 0.99


@pytest.mark.parametrize("units", [3, 50])
def test_prediction_is_of_held_out_stimuli_with_the_penalty_by_leave_one_out(units: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, units)) + 2
    Y = X[:, :3] @ rng.normal(size=(3, 4)) + 0.5 * rng.normal(size=(40, 4))
    inputs, targets = X[::2] - X[::2].mean(0), Y[::2] - Y[::2].mean(0)
    gram = inputs @ inputs.T
    grid = np.linalg.eigvalsh(gram).mean() * np.logspace(-4, 4, 13)
    peer = RidgeCV(grid, fit_intercept=False).fit(inputs, targets)
    predicted = peer.predict(X[1::2] - X[::2].mean(0)) + Y[::2].mean(0)
    expected = r2_score(Y[1::2], predicted, multioutput="variance_weighted")
    assert float(predicted_share(torch.tensor(X), torch.tensor(Y))) == pytest.approx(expected, rel=1e-6)
