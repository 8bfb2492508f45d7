"""The baselines of teacher: that each finds what suits it, and what the networks are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from replica.lab.claims import Trial
from replica.lab.problems import Outcome, get
from replica.papers.baselines.teacher import RbfKernelRidge, cnn_network

problem = get("teacher")


def run(name: str, **options: Any) -> Outcome:
    resolved = problem.resolve({"test": 300, **options})
    make = next(baseline.make for baseline in problem.baselines() if baseline.name == name)
    return problem.run(Trial(1), make, problem.load("made", resolved), resolved)


@pytest.mark.parametrize(
    ("name", "options", "below"),
    [
        ("ridge", {"target": "linear", "examples": 300}, 0.1),
        ("rbf-kernel-ridge", {"target": "local", "patches": 2, "examples": 300}, 0.2),
        ("gradient-boosting", {"target": "local", "patches": 2, "reach": 1, "examples": 500}, 0.2),
        ("cnn", {"target": "dsd", "patches": 4, "dim": 4, "examples": 500}, 0.03),
    ],
)
def test_each_finds_what_suits_it(name: str, options: dict[str, Any], below: float) -> None:
    trivial = run("mean", **options).metrics["excess"]
    assert float(run(name, **options).metrics["excess"]) < below < 0.3 * float(trivial)


def test_kernel_ridge_has_the_width_that_it_says() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)) * [1, 2, 3, 4] + 5, rng.normal(size=30) + 7
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    model = RbfKernelRidge(2.0).fit(X, y)
    ridge = model.model[-1].ridge_
    expected = KernelRidge(kernel="rbf", alpha=ridge, gamma=2 / 4).fit(standard, y - model.model[-1].intercept_)
    np.testing.assert_allclose(model.predict(X), expected.predict(standard) + model.model[-1].intercept_)


def test_the_convolution_runs_over_patches() -> None:
    network = cnn_network((10, 3), 1, "mean")
    x = torch.zeros(2, 10, 3)
    x[0, 4], x[1, 5] = 1.0, 1.0  # the same patch one place further, far from both ends
    outputs = network(x.flatten(1))
    torch.testing.assert_close(outputs[0], outputs[1])
    flat = cnn_network((10, 3), 1, "flat")(x.flatten(1))
    assert not torch.allclose(flat[0], flat[1])
    assert cnn_network((5,), 1, "mean")(torch.zeros(2, 5)).shape == (2, 1)
