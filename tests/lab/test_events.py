"""The problem events: its data with known answers, the user's files, measures and networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

import replica
from replica.data import EventSet
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems import Dataset, Events, Outcome
from replica.lab.problems.events.operations import cost_of_inference
from replica.papers.baselines.events import Gru, SpikingNetwork, TemporalConvolutions
from replica.training import EventClassifier, multiply_accumulates

problem = Events()


def small(count: int = 90, steps: int = 5, units: int = 6) -> Dataset:
    """Three classes, each with two units of its own."""
    labels = np.arange(count) % 3
    events = np.zeros((count, steps, units), np.uint8)
    events[np.arange(count), np.arange(count) % steps, 2 * labels] = 1
    events[:, 0, 2 * labels + 1] = 0
    return Dataset("small", "", EventSet(events, labels, ("a", "b", "c"), (units,)), "small", (units,))


def run(make: Callable[[Trial], Any], dataset: Dataset | None = None, seed: int = 0, **options: Any) -> Outcome:
    return problem.run(Trial(seed), make, dataset or small(), problem.resolve(options), examples=True)


class Knows:
    """Tells the class by which unit fired."""

    def fit(self, events: Tensor, labels: Tensor) -> None:
        self.seen = events.shape

    def predict(self, events: Tensor) -> Tensor:
        return events.sum(1)[:, ::2]


# --- data ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist-1d", "latency-digits", "coincidences", "saccade-digits", "saccade-mnist"])
def test_named_data(name: str) -> None:
    try:
        found = problem.load(name, {})
    except ReplicaError as error:
        pytest.skip(str(error))
    assert set(found.content.events.max(axis=(1, 2))) == {1}
    assert len(found.content.classes) == 10
    assert found.digest == problem.load(name, {}).digest
    with pytest.raises(ReplicaError, match="leave --steps out"):
        problem.load(name, {"steps": 20})


def test_names_that_are_misspelt() -> None:
    with pytest.raises(ReplicaError, match="did you mean coincidences"):
        problem.load("coincidence", {})


# --- the user's files ----------------------------------------------------------------------------------------------------


def test_events_from_python(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    sample = np.repeat(np.arange(60), 5)
    given = {
        "time": rng.random(300),
        "unit": 2 * label[sample] + rng.integers(2, size=300),
        "sample": sample,
        "label": label,
    }
    comparison = replica.compare(
        "events", data=given, steps=8, only=["majority", "counts-linear"], scale="smoke", store=tmp_path / "s.db", quiet=True
    )  # fmt: skip
    assert not comparison.results.errors
    assert "in 8 steps, 4 units, 2 classes" in comparison.results.dataset.description


# --- what is measured ----------------------------------------------------------------------------------------------------


def test_who_knows_is_right() -> None:
    outcome = run(lambda trial: Knows())
    accuracy = outcome.metrics["accuracy"]
    assert isinstance(accuracy, Proportion)
    assert (float(accuracy), accuracy.total) == (1, 24)
    assert list(outcome.metrics) == [metric.name for metric in problem.metrics]
    json.dumps(outcome.examples)


def test_operations_are_counted() -> None:
    assert multiply_accumulates(lambda: nn.Conv1d(3, 5, 3)(torch.zeros(2, 3, 10))) == 2 * 8 * 5 * 9
    net = Gru(6, 3, width=7)
    events = torch.rand(4, 9, 6).round()
    own = net.operations(events)["operations"]
    assert own == 9 * 3 * 7 * (6 + 7) + 2 * 7 * 3
    assert multiply_accumulates(lambda: net(events)) / 4 == own  # on this device PyTorch's counter sees it, too
    convolutions = EventClassifier(lambda steps, classes, shape: TemporalConvolutions(6, classes, width=7, kernel=3))
    convolutions.fit(events, torch.tensor([0, 1, 2, 0]), epochs=1)
    assert cost_of_inference(convolutions, events) == (9 * 7 * 18 + 5 * 7 * 21 + 28 * 3, 0)


def test_spikes_are_additions() -> None:
    torch.manual_seed(0)
    net = SpikingNetwork(6, 3, width=8)
    events = (torch.rand(5, 12, 6) < 0.3).float()
    with torch.no_grad():
        first, second = net.spikes(events)
        counted = net.operations(events)
    assert counted["spikes"] == pytest.approx(float(first.sum() + second.sum()) / 5)
    by_hand = 0.0
    for sample in range(5):
        for step in range(12):
            by_hand += 8 * float(events[sample, step].sum())
            by_hand += 8 * float(first[step, sample].sum()) + 3 * float(second[step, sample].sum())
    assert counted["operations"] == pytest.approx(by_hand / 5)
    for layer in (net.first, net.second):
        nn.init.zeros_(layer.bias)
    assert net.operations(torch.zeros(2, 12, 6)) == {"operations": 0.0, "spikes": 0.0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3.0, "returned float; wanted a mapping"),
        ({"spikes": 1}, "names 'spikes'; wanted"),
        ({"operations": "many"}, "returned 'many' for 'operations'"),
        ({"operations": float("nan")}, "returned nan for 'operations'"),
        ({"operations": 1, "spikes": -1}, "returned -1 for 'spikes'"),
    ],
)
def test_wrong_counts_are_told(given: Any, said: str) -> None:
    class Counts(Knows):
        def operations(self, events: Tensor) -> Any:
            return given

    with pytest.raises(ReplicaError, match=r"^Counts\.operations") as caught:
        run(lambda trial: Counts())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (SimpleNamespace(), "has no method fit and no method predict"),
        (SimpleNamespace(fit=lambda *_: None, predict=lambda x: torch.zeros(2, 3)), "returned shape"),
        (SimpleNamespace(fit=lambda *_: None, predict=lambda x: torch.full((24, 3), torch.nan)), "nan at recording 0, class 0"),
    ],
)  # fmt: skip
def test_wrong_methods_are_told(method: Any, message: str) -> None:
    with pytest.raises(ReplicaError, match=message):
        run(lambda trial: method)


def test_methods_get_the_keywords_that_they_take() -> None:
    told: list[dict[str, Any]] = []

    class Asks(Knows):
        def fit(self, events: Tensor, labels: Tensor, *, epochs: int = 0, shape: Any = None) -> None:
            super().fit(events, labels)
            told.append({"epochs": epochs, "shape": shape})

    run(lambda trial: Asks(), epochs=7)
    assert told == [{"epochs": 7, "shape": (6,)}]


def test_a_method_cannot_change_what_it_is_judged_by() -> None:
    class Vandal(Knows):
        def fit(self, events: Tensor, labels: Tensor) -> None:
            events.zero_(), labels.zero_()

        def predict(self, events: Tensor) -> Tensor:
            scores = super().predict(events)
            events.zero_()
            return scores

    dataset = small()
    before = dataset.content.events.copy()
    assert float(run(lambda trial: Vandal(), dataset).metrics["accuracy"]) == 1
    np.testing.assert_array_equal(dataset.content.events, before)


def test_options_that_do_not_fit_are_told() -> None:
    with pytest.raises(ReplicaError, match="give --train 3 or more"):
        problem.check(small(), problem.resolve({"train": 2}))
    with pytest.raises(ReplicaError, match=r"Tuning holds recordings out .* give --train 6 or more"):
        problem.check_validation(small(), problem.resolve({"train": 3}))
    problem.check_validation(small(), problem.resolve({"train": 6}))


# --- the picture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sweep", [None, ("train", (50, 100, 200))], ids=["ranking", "sweep"])
@pytest.mark.parametrize("looked_at", [True, False])
def test_the_picture(sweep: Any, looked_at: bool) -> None:
    listed = ["mine", "gru", "conv-1d", "spiking-net", "majority"]
    rng = np.random.default_rng(0)
    curves = pd.DataFrame(
        [
            {"method": name, "value": value, "metric": metric, "mean": mean, "low": 0.9 * mean, "high": 1.05 * mean}
            for name in listed
            for value in (sweep[1] if sweep else [None])
            for metric, mean in (
                ("accuracy", rng.uniform(0.1, 0.9)),
                ("operations", 0.0 if name == "majority" else 10 ** rng.uniform(3, 6)),
            )
        ]
    )
    example = dict(run(lambda trial: Knows()).examples)
    comparison = SimpleNamespace(
        sweep=sweep, curves=curves, rows=[{"method": name} for name in listed],
        examples=dict.fromkeys(listed, example) if looked_at else {}, dataset=small(), options={},
    )  # fmt: skip
    figure = Figure(figsize=(10, 4.2))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    assert len(figure.axes) == (3 if looked_at else 1)
    if not looked_at:
        return
    costs = figure.axes[1]
    assert costs.get_xscale() == "log"
    assert {text.get_text() for text in costs.texts} >= set(listed)
    spots = [float(line.get_xdata()[0]) for line in costs.lines if line.get_transform() == costs.transData]
    assert min(spots) > 0
    assert "none" in costs.get_xlabel()
