"""The problem credit: its networks, measures and rules."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from replica.data import Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems import Dataset, Outcome
from replica.lab.problems.credit.problem import Credit
from replica.lab.problems.credit.step_memory import peak_step_bytes
from replica.papers.baselines.credit import (
    Backpropagation,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    ForwardForward,
    GreedyLocal,
    HeadOnly,
)

problem = Credit()
SHORT = {"epochs": 4, "shift_batches": 12, "shift_every": 4, "width": 16, "depth": 2, "batch": 8}
RULES = (Backpropagation, FeedbackAlignment, DirectFeedbackAlignment, GreedyLocal, ForwardForward, HeadOnly)


def clouds(shape: tuple[int, ...] = (12,), rows: int = 90) -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 3
    values = rng.normal(size=(rows, *shape)).astype(np.float32)
    values[np.arange(rows), ..., labels] += 6
    return Dataset("clouds", "", Labelled(values, labels, ("a", "b", "c")), "clouds", shape)


def run(make: Callable[[Trial], Any], dataset: Dataset | None = None, seed: int = 0, **options: Any) -> Outcome:
    resolved = problem.resolve(SHORT | options)
    return problem.run(Trial(seed), make, dataset or clouds(), resolved, examples=True)


# --- rules ---------------------------------------------------------------------------------------------------------------


def test_rules_learn_and_head_only_leaves_the_rest() -> None:
    accuracies = {kind.__name__: run(kind, epochs=30) for kind in RULES}
    for name, outcome in accuracies.items():
        assert float(outcome.metrics["accuracy"]) > (0.4 if name == "HeadOnly" else 0.6), name
    frozen = accuracies["HeadOnly"].examples["alignment"]
    assert frozen == [0, 0, 1]
    assert accuracies["Backpropagation"].examples["alignment"] == [1, 1, 1]
    assert abs(float(accuracies["HeadOnly"].metrics["alignment"]) - 1 / 3) < 1e-6


# --- measures ------------------------------------------------------------------------------------------------------------


def test_memory_of_a_step_is_counted() -> None:
    trial = Trial(0)
    a = torch.zeros(1000)
    assert peak_step_bytes(trial, lambda: a.add(1).add(1).add(1)) == 8000  # two at a time
    assert peak_step_bytes(trial, lambda: a.view(10, 100).add_(1)) == 0  # views and work in place take none
    with torch.profiler.profile(profile_memory=True) as recorded:
        net(torch.ones(32, 64)).sum().backward()
    peak_step_bytes(trial, lambda: net(torch.ones(32, 64)).sum().backward())  # gradients are there now
    ours = peak_step_bytes(trial, lambda: net(torch.ones(32, 64)).sum().backward())
    with torch.profiler.profile(profile_memory=True) as recorded:
        net(torch.ones(32, 64)).sum().backward()
    alive, most = 0, 0
    for event in sorted(recorded.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    assert ours == pytest.approx(most, rel=0.05)  # the allocator's own count


net = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.ReLU())))


def test_local_rules_need_less_memory_in_a_deep_network() -> None:
    options = {"depth": 16, "width": 32, "batch": 32, "epochs": 1, "shift_batches": 0}
    whole, local = (float(run(kind, **options).metrics["step_bytes"]) for kind in (Backpropagation, GreedyLocal))
    assert local < 0.5 * whole


class Stepper:
    """A user's rule without `gradients`: plain descent, and against the gradient where asked."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign

    def build(self, network: nn.Sequential, loss: Any, example: Tensor) -> None:
        self.network, self.loss = network, loss

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        gradients = torch.autograd.grad(self.loss(self.network(inputs), labels), list(self.network.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
                parameter -= self.sign * 0.01 * gradient


def test_the_direction_of_a_step_is_measured() -> None:
    assert float(run(lambda trial: Stepper()).metrics["alignment"]) == pytest.approx(1, abs=1e-3)
    assert float(run(lambda trial: Stepper(-1.0), epochs=1).metrics["alignment"]) == pytest.approx(-1, abs=1e-3)


class Knows:
    """Predicts the brightest of the first three values; its class is the label that `clouds` gives."""

    def build(self, network: nn.Sequential, loss: Any, example: Tensor) -> Any:
        self.names: dict[int, int] = {}
        return self

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        self.names = {int(spot): int(label) for spot, label in zip(inputs[:, :3].argmax(1), labels, strict=True)}

    def predict(self, inputs: Tensor) -> Tensor:
        places = [self.names.get(int(spot), 0) for spot in inputs[:, :3].argmax(1)]
        return nn.functional.one_hot(torch.tensor(places), 3).float()


def test_shifting_labels_are_predicted_before_they_are_learned() -> None:
    """A rule that knows a renaming after one batch errs on the first batch of each renaming alone."""
    outcome = run(lambda trial: Knows(), shift_batches=40, shift_every=10)
    assert float(outcome.metrics["accuracy"]) == 1
    shifted = outcome.metrics["shift_accuracy"]
    assert isinstance(shifted, Proportion)
    assert shifted.total == 320
    assert 0.8 < float(shifted) <= 0.95  # 4 first batches of 40, each right by chance on a third or so
    steady = run(lambda trial: Knows(), shift_batches=40, shift_every=100).metrics["shift_accuracy"]
    assert float(steady) > float(shifted) + 0.02


def test_all_methods_get_the_same_network_and_batches() -> None:
    seen: list[list[float]] = []

    class Spy(Stepper):
        def build(self, network: nn.Sequential, loss: Any, example: Tensor) -> None:
            super().build(network, loss, example)
            seen.append([float(parameter.detach().sum()) for parameter in network.parameters()])

        def step(self, inputs: Tensor, labels: Tensor) -> None:
            seen[-1].append(float(inputs.sum()))
            torch.rand(3)  # and what a method draws does not matter

    run(lambda trial: Spy())
    torch.manual_seed(5)
    run(lambda trial: Spy())
    assert seen[0] == seen[2]
    assert seen[1] == seen[3]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (SimpleNamespace(), "has no method build"),
        (SimpleNamespace(build=lambda *_: SimpleNamespace()), "has no method step"),
        (SimpleNamespace(build=lambda *_: None, step=lambda *_: None, gradients=lambda *_: {"w": torch.zeros(1)}), "names 'w'"),
        (SimpleNamespace(build=lambda *_: None, step=lambda *_: None, predict=lambda x: torch.zeros(2)), "returned shape"),
    ],
)  # fmt: skip
def test_wrong_methods_are_told(method: Any, message: str) -> None:
    with pytest.raises(ReplicaError, match=message):
        run(lambda trial: method)


def test_networks_that_do_not_fit_are_told() -> None:
    with pytest.raises(ReplicaError, match=r"takes signals or grey images.*give --network mlp"):
        problem.check(clouds((4, 4, 3)), problem.resolve({"network": "conv"}))
    with pytest.raises(ReplicaError, match="give --train 3 or more"):
        problem.check(clouds(), problem.resolve({"train": 2}))


@pytest.mark.parametrize(
    ("form", "shape"), [("conv", (9, 8)), ("conv", (12,)), ("recurrent", (6, 8)), ("recurrent", (12,))]
)
def test_every_rule_runs_on_every_form(form: str, shape: tuple[int, ...]) -> None:
    for kind in RULES:
        if kind is ForwardForward and form == "recurrent":
            continue
        outcome = run(kind, clouds(shape, 40), network=form, epochs=1, depth=3, width=8, shift_batches=2)
        assert all(np.isfinite(float(value)) for value in outcome.metrics.values())


def test_the_picture_shows_layers() -> None:
    metrics = pd.DataFrame(
        [("backprop", 2, "accuracy", 0.9, 0.8, 1.0), ("backprop", 4, "accuracy", 0.9, 0.8, 1.0),
         ("mine", 2, "accuracy", 0.7, 0.6, 0.8), ("mine", 4, "accuracy", 0.7, 0.6, 0.8)],
        columns=["method", "value", "metric", "mean", "low", "high"],
    )  # fmt: skip
    comparison = SimpleNamespace(
        sweep=("depth", (2, 4)),
        curves=metrics,
        rows=[{"method": "backprop"}, {"method": "mine"}],
        examples={"backprop": {"alignment": [1.0, 1.0, 1.0]}, "mine": {"alignment": [0.1, -0.2, 1.0]}},
        options={},
    )
    figure = Figure(figsize=(12, 4.6))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    left, right = figure.axes
    assert "Hidden layers" in left.get_xlabel()
    assert {tuple(line.get_ydata()) for line in right.lines} == {(1.0, 1.0, 1.0), (0.1, -0.2, 1.0)}
    assert right.get_ylim()[0] <= -0.2
