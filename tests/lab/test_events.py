"""The problem events: its data with known answers, the user's files, measures and networks."""

from __future__ import annotations

import doctest
import importlib
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
from replica import data
from replica.lab.claims import Proportion, Trial
from replica.data import EventSet, coincidence_scores, delayed_coincidences, read_events, saccade_events
from replica.errors import ReplicaError
from replica.lab.problems import Dataset, Events, Outcome
from replica.papers.baselines.events import Gru, SpikingNetwork, TemporalConvolutions, leaky_integrate_and_fire
from replica.lab.problems.events.operations import cost_of_inference
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


@pytest.mark.parametrize("name", ["data.sets.delayed_coincidences", "papers.baselines.events"])
def test_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"replica.{name}"), extraglobs={"torch": torch})
    assert result.attempted
    assert not result.failed


# --- data ----------------------------------------------------------------------------------------------------------------


def test_planted_delays_are_where_they_were_planted() -> None:
    made = delayed_coincidences(120, jitter=0, lost=0.0, noise=0.0, seed=3)
    assert made.delays is not None
    step = made.events.argmax(axis=1)
    assert (made.events.sum(axis=1) == 1).all()
    wanted = made.delays[made.labels]
    np.testing.assert_array_equal(step - step[:, :1], wanted - wanted[:, :1])
    assert (coincidence_scores(made.events, made.delays, jitter=0)[np.arange(120), made.labels] == 20).all()


def test_counts_tell_nothing_of_delays_and_the_known_answer_is_right() -> None:
    made = delayed_coincidences(3000, seed=5)
    counts = made.events.sum(axis=1)
    means = np.array([counts[made.labels == label].mean() for label in range(10)])
    assert np.ptp(means) < 0.1
    assert counts.mean() == pytest.approx(0.8 + 60 * 0.02, abs=0.04)
    scores = coincidence_scores(made.events[:500], made.delays)
    assert (scores.argmax(axis=1) == made.labels[:500]).mean() > 0.99


def test_coincidences_are_counted_as_a_loop_would() -> None:
    rng = np.random.default_rng(0)
    events = (rng.random((3, 12, 4)) < 0.3).astype(np.uint8)
    delays = rng.integers(5, size=(2, 4))
    found = coincidence_scores(events, delays)
    for row, delay, score in zip(np.repeat(events, 2, axis=0), np.tile(delays, (3, 1)), found.ravel(), strict=True):
        assert score == max(
            sum(any(row[t, i] for t in range(max(0, s + d - 1), min(12, s + d + 2))) for i, d in enumerate(delay))
            for s in range(12)
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"classes": 1}, "classes: got 1"),
        ({"steps": 10}, "steps: got 10, want 22"),
        ({"lost": 1.0}, "lost: got 1.0"),
        ({"count": 3}, "count: got 3"),
    ],
)
def test_numbers_out_of_range_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        delayed_coincidences(**{"count": 50} | given)


def test_latencies_are_the_images() -> None:
    made, images = data.latency_digits(), data.digits()
    ink = 16 - made.events.argmax(axis=1)
    np.testing.assert_array_equal(ink.reshape(-1, 8, 8), images.values * 16)
    assert (made.events.sum(axis=1) == 1).all()


def test_crossings_lead_from_level_to_level() -> None:
    signals = np.random.default_rng(0).normal(size=(5, 30)).cumsum(axis=1)
    levels = np.linspace(-3, 3, 7)
    events = data.level_crossings(signals, levels).astype(int)
    rises = (events[:, :, 0] - events[:, :, 1]).sum(axis=2).cumsum(axis=1)
    above = (signals[:, :, None] >= levels).sum(axis=2)
    np.testing.assert_array_equal(rises, above - above[:, :1])


def test_a_still_eye_sees_nothing_and_a_moving_one_sees_edges() -> None:
    flat = np.full((1, 8, 8), 0.5, np.float32)
    events = saccade_events(flat, reach=2.0)
    inside = events[:, :, :, :5, :5]  # the path comes no closer than that to the dark outside
    assert not inside.any()
    assert events.any()
    bar = np.zeros((1, 8, 8), np.float32)
    bar[0, :, 4] = 1
    on_off = saccade_events(bar, reach=2.0)[0]
    assert on_off[:, 0].any()
    assert on_off[:, 1].any()
    # All that rises has fallen again once the eye is back where it was: as many OFF events as ON, to one.
    balance = on_off[:, 0].astype(int).sum(axis=0) - on_off[:, 1].astype(int).sum(axis=0)
    assert np.abs(balance).max() <= 2
    np.testing.assert_array_equal(saccade_events(np.kron(bar, np.ones((2, 2), np.float32)), reach=4.0, pool=2)[0, 0], 0)


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


def test_a_set_of_events_fits_together() -> None:
    with pytest.raises(ValueError, match="must have shape"):
        EventSet(np.zeros((2, 3)), np.zeros(2, int), ("a",), (3,))
    with pytest.raises(ValueError, match="labels must have shape"):
        EventSet(np.zeros((2, 3, 4)), np.zeros(3, int), ("a",), (4,))
    with pytest.raises(ValueError, match="must arrange 4 units"):
        EventSet(np.zeros((2, 3, 4)), np.zeros(2, int), ("a",), (3,))


# --- the user's files ----------------------------------------------------------------------------------------------------

FILE = {
    "time": np.array([0.0, 10.0, 2.5, 9.9, 9.9, 0.0, 5.0, 5.0]),
    "unit": np.array([0, 2, 1, 2, 2, 0, 1, 0]),
    "sample": np.array([0, 0, 1, 1, 1, 3, 3, 2]),
    "label": np.array(["up", "down", "up", "down"]),
}


def saved(folder: Path, **changed: Any) -> Path:
    arrays = {name: array for name, array in (FILE | changed).items() if array is not None}
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def test_files_of_events(tmp_path: Path) -> None:
    found = read_events(saved(tmp_path), steps=4)
    assert (found.events.shape, found.shape, found.classes) == ((4, 4, 3), (3,), ("down", "up"))
    assert found.labels.tolist() == [1, 0, 1, 0]
    wanted = np.zeros((4, 4, 3))
    for sample, step, unit in ((0, 0, 0), (0, 3, 2), (1, 1, 1), (1, 3, 2), (1, 3, 2), (3, 0, 0), (3, 2, 1), (2, 2, 0)):
        wanted[sample, step, unit] += 1
    np.testing.assert_array_equal(found.events, wanted)
    each = read_events(saved(tmp_path, label=FILE["label"][FILE["sample"]]), steps=4)
    np.testing.assert_array_equal(each.labels, found.labels)
    sides = read_events(saved(tmp_path, polarity=np.array([1, -1, 1, 1, -1, -1, 1, 1])), steps=4)
    assert sides.shape == (2, 3)
    np.testing.assert_array_equal(sides.events.reshape(4, 4, 2, 3).sum(axis=2), wanted)
    assert sides.events[0].nonzero()[1].tolist() == [3 + 0, 2]
    more = read_events(saved(tmp_path, label=np.array([3, 4, 3, 4, 4])))
    assert more.notes == ("1 recordings without an event",)
    assert more.events.shape == (5, 50, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unit": None}, "but no 'unit'"),
        ({"time": np.zeros((2, 2))}, "array 'time' has shape (2, 2)"),
        ({"time": np.array(["a"] * 8)}, "array 'time' holds <U1; wanted real numbers"),
        ({"label": np.array(["a", 1, "b", "b"], object)}, "array 'label' holds object"),
        ({"unit": np.arange(5)}, "there are 8 times and 5 values of 'unit'"),
        ({"unit": FILE["unit"] - 1}, "'unit' of event 0 (from 0) is -1; wanted whole numbers from 0"),
        ({"sample": FILE["sample"] + 0.5}, "'sample' of event 0 (from 0) is 0.5"),
        ({"time": np.array([0, np.nan, *range(6)])}, "the time of event 1 (from 0) is nan"),
        ({"time": np.ones(8)}, "all times are 1"),
        ({"label": np.array([0, 1])}, "there are 2 labels, but 'sample' numbers 4 recordings (0 to 3)"),
        ({"label": np.arange(8) % 2}, "recording 0 has labels 0 and 1"),
        ({"label": np.array([0, 0, 0, 0])}, "wanted two classes or more"),
        ({"label": np.array([0, 1, 1, 1])}, "has one row only"),
        ({"label": np.array([0.5, 1, 1, 1])}, "holds numbers such as 0.5"),
        ({"polarity": np.arange(8)}, "'polarity' has 8 different values"),
        ({"polarity": np.ones(3)}, "8 times and 3 values of 'polarity'"),
        ({"unit": FILE["unit"] * 10**8}, "GiB; wanted at most 2 GiB"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = saved(tmp_path, **changed)
    with pytest.raises(ReplicaError) as caught:
        read_events(path)
    assert said in str(caught.value)
    assert "mine.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_of_events_need_events(tmp_path: Path) -> None:
    sample = np.array([0, 0, 1, 1, 1, 3, 3, 3])
    with pytest.raises(ReplicaError, match="recording 2 has no event to carry its label"):
        read_events(saved(tmp_path, sample=sample, label=sample % 2))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("time,unit\n")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    for name, said in (
        ("mine.csv", "the ending '.csv' is not known"),
        ("broken.npz", "cannot be read"),
        ("mime.npz", "does not exist"),
    ):
        with pytest.raises(ReplicaError, match=said):
            read_events(tmp_path / name)


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
    with pytest.raises(ReplicaError, match="give --train 6 or more"):
        problem.check_validation(small(), problem.resolve({"train": 5}))
    problem.check_validation(small(), problem.resolve({"train": 6}))


# --- networks ------------------------------------------------------------------------------------------------------------


def test_neurons_are_the_plain_loop() -> None:
    currents = torch.randn(15, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.3
    spikes = leaky_integrate_and_fire(currents, 0.8)
    potential = torch.zeros(3, 4, dtype=torch.float64)
    for current, spike in zip(currents, spikes, strict=True):
        potential = 0.8 * potential + current
        torch.testing.assert_close(spike, (potential >= 1).double())
        potential = potential - spike
    assert 0.1 < float(spikes.mean()) < 0.9


def test_gradients_are_those_of_the_plain_loop() -> None:
    class Step(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, over: Tensor) -> Tensor:
            context.save_for_backward(over)
            return (over >= 0).to(over.dtype)

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> Tensor:
            (over,) = context.saved_tensors
            return gradient / (1 + 5 * over.abs()) ** 2

    generator = torch.Generator().manual_seed(1)
    currents = (torch.randn(12, 2, 3, dtype=torch.float64, generator=generator) + 0.3).requires_grad_()
    weights = torch.randn(12, 2, 3, dtype=torch.float64, generator=generator)
    (found,) = torch.autograd.grad((leaky_integrate_and_fire(currents, 0.9) * weights).sum(), currents)
    potential, total = torch.zeros(2, 3, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for current, weight in zip(currents, weights, strict=True):
        potential = 0.9 * potential + current
        spike = Step.apply(potential - 1)
        total = total + (spike * weight).sum()
        potential = potential - spike.detach()
    torch.testing.assert_close(found, torch.autograd.grad(total, currents)[0])


def test_the_read_out_is_a_leaky_integrators_mean() -> None:
    torch.manual_seed(0)
    net = SpikingNetwork(4, 3, width=6, decay=0.7)
    events = (torch.rand(2, 9, 4) < 0.5).float()
    with torch.no_grad():
        second = net.spikes(events)[1]
        level, mean = torch.zeros(2, 3), torch.zeros(2, 3)
        for spikes in second:
            level = 0.7 * level + spikes @ net.head.weight.T
            mean += level / 9
        torch.testing.assert_close(net(events), mean + net.head.bias)


@pytest.mark.parametrize("name", ["counts-linear", "gru", "conv-1d", "spiking-net"])
def test_networks_repeat_and_leave_the_global_generator_alone(name: str) -> None:
    (baseline,) = (each for each in problem.baselines() if each.name == name)
    outcomes = []
    for seed in (3, 3, 4):
        torch.manual_seed(0)
        state = torch.random.get_rng_state()
        outcome = problem.run(Trial(seed, "smoke"), baseline.make, small(), problem.resolve({}))
        assert torch.equal(torch.random.get_rng_state(), state)
        outcomes.append({key: float(value) for key, value in outcome.metrics.items() if key != "train_seconds"})
    assert outcomes[0] == outcomes[1]


def test_only_networks_that_see_time_read_latencies() -> None:
    made = delayed_coincidences(400, classes=3, lost=0.0, noise=0.0, seed=1)
    dataset = Dataset("few", "", made, "few", made.shape)
    accuracy = {
        baseline.name: float(run(baseline.make, dataset, seed=7, epochs=20).metrics["accuracy"])
        for baseline in problem.baselines()
    }
    assert max(accuracy["majority"], accuracy["counts-linear"]) < 0.5
    assert min(accuracy["gru"], accuracy["conv-1d"]) > 0.75
    assert accuracy["spiking-net"] > 0.5


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="learning_rate is 0"):
        EventClassifier(lambda *_: nn.Identity(), learning_rate=0)
    with pytest.raises(ValueError, match="labels: got 2 for 3"):
        EventClassifier(lambda *_: nn.Identity()).fit(torch.zeros(3, 2, 2), torch.zeros(2))


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
    assert len(figure.axes) == (3 if looked_at else 2)
    costs = figure.axes[1]
    assert costs.get_xscale() == "log"
    assert {text.get_text() for text in costs.texts} >= set(listed)
    spots = [float(line.get_xdata()[0]) for line in costs.lines if line.get_transform() == costs.transData]
    assert min(spots) > 0
    assert "none" in costs.get_xlabel()
