"""The problem scaling: runs at many rates at once, best rates, what is measured, and what a method must give."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from replica.data import Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import Dataset, Outcome
from replica.lab.problems.scaling.built import Built
from replica.lab.problems.scaling.problem import Scaling
from replica.lab.problems.scaling.search import best_rate, drift, train
from replica.training import mlp

problem = Scaling()
SHORT = {"width": "4,8,16", "depth": 1, "steps": 30, "batch": 16, "rates": 9}


def clouds(rows: int = 90) -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 3
    values = rng.normal(size=(rows, 6)).astype(np.float32) + 3 * np.eye(6, dtype=np.float32)[labels]
    return Dataset("clouds", "", Labelled(values, labels, ("a", "b", "c")), "clouds", (6,))


class Net:
    """A network whose rates all are a multiple of the swept one that depends on the width."""

    def __init__(self, scale: Callable[[int], float] = lambda width: 1.0) -> None:
        self.scale = scale

    def build(self, inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator) -> Any:
        net = mlp((inputs, *[width] * depth, outputs), generator=generator)
        return net, [{"params": net.parameters(), "lr_scale": self.scale(width)}]


def run(method: Any, seed: int = 0, **options: Any) -> Outcome:
    return problem.run(Trial(seed), lambda trial: method, clouds(), problem.resolve(SHORT | options), examples=True)


# --- runs at many rates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("optimiser", "peer"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_runs_are_those_of_pytorchs_optimisers_one_after_the_other(optimiser: str, peer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(40, 5, generator=generator), torch.arange(40) % 3
    net = mlp((5, 7, 3), generator=generator)
    net[0].bias.requires_grad_(False)
    scales = {"0.weight": 0.5, "2.weight": 2.0, "2.bias": 1.0}
    batches = [torch.arange(8) + 8 * (step % 5) for step in range(10)]
    rates = [0.01, 0.1, 0.3]
    runs = train(Built(net, scales, "Net.build"), rates, inputs, labels, batches, optimiser)
    for number, rate in enumerate(rates):
        own = copy.deepcopy(net)
        parameters = dict(own.named_parameters())
        stepping = peer([{"params": [parameters[name]], "lr": rate * scale} for name, scale in scales.items()])
        seen = []
        for rows in batches:
            loss = nn.functional.cross_entropy(own(inputs[rows]), labels[rows])
            stepping.zero_grad()
            loss.backward()
            stepping.step()
            seen.append(float(loss.detach()))
        assert runs.losses[number] == pytest.approx(np.mean(seen[-2:]), rel=1e-5)
        torch.testing.assert_close(runs.scores(number, inputs), own(inputs).detach(), rtol=1e-4, atol=1e-4)
    assert torch.equal(runs.networks.model(2)[0].bias, net[0].bias)


def test_the_best_rate_is_the_vertex_and_the_drift_is_the_slope_times_the_range() -> None:
    rates = np.linspace(-8, 6, 15)
    for vertex in (-3.3, 0.0, 2.45):
        found = best_rate(list(rates), list(np.exp(0.2 * (rates - vertex) ** 2 - 3)))
        assert found.log2_rate == pytest.approx(vertex)
        assert not found.censored
    assert best_rate([0, 1, 2], [1.0, 2.0, 3.0]) == best_rate([0, 1], [1.0, 2.0])
    assert best_rate([0, 1, 2], [3.0, 2.0, 1.0]).censored
    assert best_rate([0, 1, 2], [1.0, 1.0, 1.0]).log2_rate == 0
    assert drift([16, 32, 64, 128], [5.0, 4.5, 4.0, 3.5]) == pytest.approx(-1.5)


# --- what is measured ------------------------------------------------------------------------------------------------------


def test_rates_that_fall_with_the_width_move_the_best_rate_as_much() -> None:
    """A multiple of 1/width is a shift of the grid: the same runs, one octave further with each doubling."""
    grid = {"low": 2.0**-10, "high": 2.0**6, "rates": 17}
    plain, falling = run(Net(), **grid), run(Net(lambda width: 4 / width), **grid)
    moved = np.array(falling.examples["log2_best"]) - np.array(plain.examples["log2_best"])
    np.testing.assert_allclose(moved, [0, 1, 2], atol=1e-3)
    signed = drift([4, 8, 16], plain.examples["log2_best"]) + 2
    assert float(falling.metrics["drift"]) == pytest.approx(abs(signed), abs=1e-3)


def test_regret_is_the_loss_between_the_two_rates() -> None:
    outcome = run(Net())
    largest = outcome.examples["losses"][-1]
    least = float(outcome.metrics["loss"]) - float(outcome.metrics["regret"])
    assert float(outcome.metrics["best_loss"]) == pytest.approx(least)
    assert float(outcome.metrics["regret"]) >= 0
    assert least <= min(largest) + 1e-5
    assert float(outcome.metrics["accuracy"]) > 0.8
    assert float(outcome.metrics["censored"]) == 0


def test_who_blows_up_at_the_large_size_is_told() -> None:
    outcome = run(Net(lambda width: 1.0 if width < 16 else 1000.0), width="8,16")
    assert float(outcome.metrics["diverged"]) == 1
    assert float(outcome.metrics["loss"]) == pytest.approx(math.log(3))
    assert float(outcome.metrics["drift"]) > 6
    assert float(outcome.metrics["censored"]) == 0.5


def test_a_network_that_never_learns_is_no_winner() -> None:
    outcome = run(Net(lambda width: 0.0))
    assert float(outcome.metrics["regret"]) == pytest.approx(math.log(3))
    assert float(outcome.metrics["censored"]) == 1


def test_depths_grow_where_several_are_named() -> None:
    seen = []

    class Spy(Net):
        def build(self, inputs: int, outputs: int, width: int, depth: int, generator: Any, optimiser: str = "") -> Any:
            seen.append((inputs, outputs, width, depth, optimiser, float(torch.rand((), generator=generator))))
            torch.rand(3)
            return super().build(inputs, outputs, width, depth, generator)

    for _ in range(2):
        run(Spy(), width="", depth="1,2,4", steps=2, optimiser="adam")
    assert [each[:5] for each in seen[:3]] == [(6, 3, 64, depth, "adam") for depth in (1, 2, 4)]
    assert seen[:3] == seen[3:]
    assert len({each[5] for each in seen}) == 3
    smoke = problem.used(clouds(), problem.resolve({"depth": "2,4,8"}), "smoke")
    assert (smoke["width"], smoke["depth"], smoke["steps"]) == ("16", "1, 2", "4")


# --- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": "8,4"}, "several that rise, such as 32,64, not '8,4'"),
        ({"width": "a"}, "Option width must be a whole number"),
        ({"width": "4,8", "depth": "1,2"}, "both names several"),
        ({"width": 8}, "neither names several"),
        ({"low": 1.0, "high": 0.5}, "Option low is 1, which is not below"),
    ],
)
def test_options_that_do_not_fit_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplicaError, match=message):
        problem.check(clouds(), problem.resolve(options))


def _given(change: Callable[[nn.Module], Any]) -> Any:
    def build(inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator) -> Any:
        return change(mlp((inputs, width, outputs), generator=generator))

    return SimpleNamespace(build=build)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: net, "returned Sequential; wanted a module and a list of groups"),
        (lambda net: (net, list(net.parameters())), "gave no list of groups"),
        (lambda net: (net, [{"params": net.parameters(), "lr": 1.0}]), "a group with 'params', 'lr'"),
        (lambda net: (net, [{"params": net.parameters(), "lr_scale": -1}]), "lr_scale -1; wanted a number of 0 or more"),
        (lambda net: (net, [{"params": net[0].parameters()}]), "left 2.weight, 2.bias out of the groups"),
        (lambda net: (net, 2 * [{"params": [*net.parameters()]}]), "gave 0.weight in two groups"),
        (lambda net: (net, [{"params": torch.zeros(3)}]), "no parameter of the module"),
        (lambda net: (net[:1], [{"params": net[0].parameters()}]), r"the module gave \(16, 4\) .* wanted \(16, 3\)"),
        (lambda net: (nn.Sequential(net, nn.Threshold(9, math.nan)), [{"params": net.parameters()}]), "no finite numbers"),
    ],
)  # fmt: skip
def test_wrong_builds_are_told(change: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ReplicaError, match=message):
        run(_given(change))


def test_a_method_without_build_is_told() -> None:
    with pytest.raises(
        ReplicaError, match=r"has build\(inputs, outputs, width, depth, generator\), which gives a module"
    ):
        run(SimpleNamespace())


# --- its picture -----------------------------------------------------------------------------------------------------------


def test_the_picture_shows_a_line_a_size_and_a_panel_a_method() -> None:
    metrics = pd.DataFrame(
        [("mine", "sgd", "regret", 0.1, 0.0, 0.2), ("he", "sgd", "regret", 0.3, 0.2, 0.4)],
        columns=["method", "value", "metric", "mean", "low", "high"],
    )
    comparison = SimpleNamespace(
        sweep=None,
        curves=metrics,
        rows=[{"method": "mine"}, {"method": "he"}],
        examples={name: run(Net(), steps=4).examples for name in ("mine", "he")},
        options={},
    )
    figure = Figure(figsize=(12, 4.6))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    _, *panels = figure.axes
    assert [place.get_title() for place in panels] == ["mine", "he"]
    example = comparison.examples["mine"]
    lines = [line for line in panels[0].lines if len(line.get_xdata()) == len(example["log2_rates"])]
    assert [list(line.get_ydata()) for line in lines] == example["losses"]
