"""Estimators around networks: one training for all, repeatable, with errors for wrong use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from replica.data import SolutionMap
from replica.lab.claims import Trial
from replica.lab.problems import Dataset, Outcome
from replica.lab.problems.operator.errors import relative_errors
from replica.lab.problems.operator.problem import Operator
from replica.training import EPOCHS, GridRegressor, rate_share, relative_l2

problem = Operator()


RNG = np.random.default_rng(0)


def to_dataset(content: SolutionMap, name: str = "mine.npz") -> Dataset:
    return Dataset(name, "", content, "digest", content.grid)


def small(dimensions: int, count: int = 12, boundary: Any = "dirichlet") -> Dataset:
    """Blurred noise."""
    nodes = 16 if boundary == "periodic" else 17
    x = RNG.normal(size=(count, 1, *dimensions * (nodes,))).astype(np.float32)
    y = x.copy()
    for axis in range(2, x.ndim):
        y = (y + np.roll(y, 1, axis) + np.roll(y, -1, axis)) / 3
    return to_dataset(SolutionMap(x, y, boundary, dimensions * (1 / 16,)))


def run(
    make: Callable[[Trial], Any], dataset: Dataset, seed: int = 0, examples: bool = False, **options: Any
) -> Outcome:
    count = len(dataset.content)
    options = {"test": count // 4, "train": count - count // 4, "epochs": 2} | options
    return problem.run(Trial(seed), make, dataset, problem.resolve(options), examples=examples)


def convolution(inside: int, outside: int, grid: tuple[int, ...]) -> nn.Module:
    kind = nn.Conv1d if len(grid) == 1 else nn.Conv2d
    return kind(inside, outside, 3, padding=1, padding_mode="circular")


def test_scaling_of_inputs_and_outputs_does_not_matter() -> None:
    dataset = small(1, count=24)
    content = dataset.content
    shifted = to_dataset(SolutionMap(1000 * content.inputs + 70, 1e-4 * content.outputs, "dirichlet", content.spacing))
    plain, other = (
        run(lambda trial: GridRegressor(convolution, trial.generator("weights", "cpu")), given).metrics["error"]
        for given in (dataset, shifted)
    )
    assert plain == pytest.approx(other, rel=1e-2)


def test_training_is_the_trials_own() -> None:
    torch.manual_seed(1)
    x, y = torch.randn(12, 1, 9), torch.randn(12, 1, 9)
    weights = []
    for trial in (Trial(0), Trial(0), Trial(1)):
        state = torch.random.get_rng_state()
        method = GridRegressor(convolution, trial.generator("weights", "cpu"), epochs=2)
        method.fit(x, y)
        assert torch.equal(state, torch.random.get_rng_state())  # the global generator is left alone
        weights.append(torch.cat([p.flatten() for p in method.module.parameters()]))
        assert len(method.losses) == 2
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    without = []
    for _ in range(2):
        torch.manual_seed(5)
        method = GridRegressor(convolution, epochs=1)
        method.fit(x, y)
        without.append(method.predict(x))
    assert torch.equal(*without)


def test_whose_epochs_count() -> None:
    assert problem.resolve({})["epochs"] == EPOCHS
    x = torch.randn(4, 1, 9)
    for given, asked, expected in ((3, None, 3), (3, 5, 5), (None, None, EPOCHS)):
        method = GridRegressor(convolution, torch.Generator().manual_seed(0), epochs=given)
        method.fit(x, x, epochs=asked)
        assert len(method.losses) == expected


def test_a_constant_channel_is_left_alone() -> None:
    x = torch.cat([torch.randn(6, 1, 9), torch.full((6, 1, 9), 3.0)], dim=1)
    method = GridRegressor(convolution, torch.Generator().manual_seed(0), epochs=1)
    method.fit(x, x)
    assert torch.isfinite(method.predict(x)).all()


def test_what_is_learned_is_the_difference_from_the_mean() -> None:
    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(()))

        def forward(self, inputs: Tensor) -> Tensor:
            assert inputs.mean().abs() < 0.5
            return 0 * self.unused * inputs

    x, y = 50 + torch.randn(20, 1, 9), 7 + torch.randn(20, 1, 9)
    method = GridRegressor(lambda inside, outside, grid: Silent(), epochs=1)
    method.fit(x, y)
    torch.testing.assert_close(method.predict(x), y.mean().expand(20, 1, 9))


def test_wrong_training() -> None:
    for name, value in (("epochs", 0), ("learning_rate", 0.0), ("batch_size", 0), ("weight_decay", -1.0)):
        with pytest.raises(ValueError, match=f"{name} is {value}"):
            GridRegressor(convolution, **{name: value})
    with pytest.raises(ValueError, match=r"outputs: got shape \(3, 1, 9\) for inputs of \(4, 1, 9\)"):
        GridRegressor(convolution).fit(torch.zeros(4, 1, 9), torch.zeros(3, 1, 9))


def test_the_learning_rate_rises_and_falls() -> None:
    for steps in (1, 2, 3, 4, 7, 100):
        shares = [rate_share(step, steps) for step in range(steps)]
        assert all(0 < share <= 1 for share in shares)
        top = int(np.argmax(shares))
        assert shares[: top + 1] == sorted(shares[: top + 1])
        assert shares[top:] == sorted(shares[top:], reverse=True)
        assert shares[top] == 1


def test_the_loss_is_the_measure() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(5, 2, 7, 7), torch.randn(5, 2, 7, 7)
    np.testing.assert_allclose(relative_l2(a, b).numpy(), relative_errors(a.numpy(), b.numpy()), rtol=1e-5)
    assert relative_l2(torch.ones(1, 1, 4), torch.zeros(1, 1, 4)).item() == 2  # no truth to divide by
