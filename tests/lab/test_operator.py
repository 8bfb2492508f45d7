"""The problem operator: measures, protocol, baselines, training, and the picture."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from replica.data import SolutionMap, burgers, darcy
from replica.data.sets import solution_maps
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import Baseline, Dataset, Outcome
from replica.lab.problems.operator.data import stride_fits
from replica.lab.problems.operator.errors import relative_errors
from replica.lab.problems.operator.problem import Operator
from replica.papers.baselines.operator import MeanField
from replica.training import GridRegressor

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


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solution_maps, "_folder", lambda: tmp_path_factory.mktemp("maps"))
        return to_dataset(darcy("smooth", count=60, resolution=16), "darcy-smooth")


@pytest.fixture(scope="module")
def velocity(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solution_maps, "_folder", lambda: tmp_path_factory.mktemp("maps"))
        return to_dataset(burgers(count=60, resolution=32), "burgers")


def available() -> list[Baseline]:
    """The baselines whose library is there."""
    return [b for b in problem.baselines() if b.extra is None or importlib.util.find_spec(b.extra[0]) is not None]


def run(
    make: Callable[[Trial], Any], dataset: Dataset, seed: int = 0, examples: bool = False, **options: Any
) -> Outcome:
    count = len(dataset.content)
    options = {"test": count // 4, "train": count - count // 4, "epochs": 2} | options
    return problem.run(Trial(seed), make, dataset, problem.resolve(options), examples=examples)


class Truth:
    """Knows the answers of a data set: looks an input up and gives its output, changed as told."""

    def __init__(self, dataset: Dataset, change: Callable[[Tensor], Any] = lambda outputs: outputs) -> None:
        self.content: SolutionMap = dataset.content
        self.change = change

    def fit(self, inputs: Tensor, outputs: Tensor) -> None:
        pass

    def predict(self, inputs: Tensor) -> Any:
        stride = (self.content.grid[0] - 1) // (inputs.shape[2] - 1)
        every = (slice(None), slice(None), *(slice(None, None, stride) for _ in self.content.grid))
        known = torch.from_numpy(self.content.inputs[every].copy()).flatten(1)
        rows = torch.cdist(inputs.flatten(1), known).argmin(dim=1)
        return self.change(torch.from_numpy(self.content.outputs[every].copy())[rows])


# --- the registry and data -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", Operator.data_names)
def test_named_data(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solution_maps, "_folder", lambda: tmp_path)
    options = {"samples": 4, "resolution": 32}
    dataset = problem.load(name, options)
    nodes = "32" if name == "burgers" else "33 × 33"
    assert dataset.description.endswith(f"; 4 samples on {nodes} nodes")
    assert dataset.digest == problem.load(name, options).digest
    assert dataset.digest != problem.load(name, options | {"samples": 5}).digest
    problem.check(dataset, problem.resolve({"train": 3, "test": 1}))


def test_sources_that_do_not_exist() -> None:
    with pytest.raises(ReplicaError, match=r"'darci' is neither a data set nor a file; did you mean darcy\?"):
        problem.load("darci", {})
    with pytest.raises(ReplicaError, match=r"nothing\.npz: does not exist"):
        problem.load("nothing.npz", {})
    with pytest.raises(ReplicaError, match="helmholtz: resolution is 16; want a whole number, 32 or more"):
        problem.load("helmholtz", {"resolution": 16})
    with pytest.raises(ReplicaError, match=r"darcy: 250 samples at resolution 4096 need 31\.3 GiB, more than 2 GiB"):
        problem.load("darcy", {"resolution": 4096})


def test_options_must_fit_the_data() -> None:
    dataset = small(2)
    problem.check(dataset, problem.resolve({}))  # sizes nobody asked for follow the file
    trained, tested = problem.rows(Trial(0), dataset.content, problem.resolve({}), "test")
    assert (len(trained), len(tested), len({*trained, *tested})) == (10, 2, 12)
    with pytest.raises(ReplicaError, match=r"add up to 251, but mine\.npz holds 12 samples; give --train 10 --test 2"):
        problem.check(dataset, problem.resolve({"train": 201}))
    few = {"train": 8, "test": 4}
    named = Dataset("darcy", "", dataset.content, "", ())
    with pytest.raises(ReplicaError, match=r"add up to 250, but darcy holds 12 samples; give --samples 250"):
        problem.check(named, problem.resolve({}))
    with pytest.raises(
        ReplicaError, match=r"stride is 3, but that does not divide .* 17 grid points .*; give --stride 1 or 2 or 4"
    ):
        problem.check(dataset, problem.resolve(few | {"stride": 3}))
    with pytest.raises(ReplicaError, match=r"stride is 8, but that leaves 3 of 17 grid points, fewer than 5"):
        problem.check(dataset, problem.resolve(few | {"stride": 8}))
    problem.check(dataset, problem.resolve(few | {"stride": 4}))
    assert problem.metrics_for(problem.resolve({"stride": 1})) == tuple(
        metric for metric in problem.metrics if metric.name != "fine_error"
    )


def test_strides_keep_the_domain() -> None:
    assert stride_fits(65, 2, "neumann")
    assert not stride_fits(64, 2, "dirichlet")
    assert stride_fits(64, 2, "periodic")
    assert not stride_fits(65, 2, "periodic")
    assert stride_fits(64, 2, "unknown")
    assert stride_fits(65, 2, "unknown")
    assert not stride_fits(66, 4, "unknown")


# --- measures ------------------------------------------------------------------------------------------------------------


def test_relative_h1_of_known_functions() -> None:
    x = np.arange(512) / 512
    u, wave = np.sin(2 * np.pi * x)[None, None], 0.1 * np.sin(6 * np.pi * x)[None, None]
    # ‖sin 2πkx‖² = 1/2, ‖∇‖² = (2πk)²/2
    expected = 0.1 * np.sqrt((1 + (6 * np.pi) ** 2) / (1 + (2 * np.pi) ** 2))
    assert relative_errors(u + wave, u, (1 / 512,), periodic=True)[0] == pytest.approx(expected, rel=1e-3)
    assert relative_errors(u + wave, u)[0] == pytest.approx(0.1)
    n = 200
    x, y = np.meshgrid(*2 * [np.linspace(0, 1, n + 1)], indexing="ij")
    plane = (3 * x + y)[None, None]
    # ‖∇‖² = 10, and ∫(3x + y)² = 3 + 1/3 + 3/2
    both = relative_errors(plane + x[None, None], plane, (1 / n, 1 / n))[0]
    assert both == pytest.approx(np.sqrt((1 + 1 / 3) / (10 + 3 + 1 / 3 + 1.5)), rel=0.01)
    # An error in one channel of two, seen by the norm over both.
    two = np.stack([u[0, 0], u[0, 0]])[None]
    assert relative_errors(two * np.array([1, 2])[None, :, None], two)[0] == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_truth_has_no_error(dimensions: int) -> None:
    dataset = small(dimensions)
    metrics = run(lambda _: Truth(dataset), dataset).metrics
    assert list(metrics) == [metric.name for metric in problem.metrics]
    assert metrics["error"] == metrics["h1_error"] == metrics["fine_error"] == 0
    twice = run(lambda _: Truth(dataset, lambda outputs: 2 * outputs), dataset).metrics
    assert twice["error"] == twice["fine_error"] == pytest.approx(1)
    assert twice["h1_error"] == pytest.approx(1)
    assert "fine_error" not in run(lambda _: Truth(dataset), dataset, stride=1).metrics


def test_the_mean_field_in_closed_form() -> None:
    dataset = small(2, count=20)
    content = dataset.content
    metrics = run(lambda _: MeanField(), dataset, seed=3, train=12, test=5).metrics
    order = Trial(3).rng("split").permutation(20)
    tested, trained = order[:5], order[5:17]
    for stride, name in ((2, "error"), (1, "fine_error")):
        outputs = content.outputs[:, :, ::2, ::2]
        mean = torch.from_numpy(outputs[trained].mean(axis=0, keepdims=True))
        if stride == 1:
            outputs = content.outputs
            mean = nn.functional.interpolate(
                mean, scale_factor=None, size=(17, 17), mode="bilinear", align_corners=True
            )
        expected = [np.linalg.norm(mean.numpy()[0] - u) / np.linalg.norm(u) for u in outputs[tested]]
        assert metrics[name] == pytest.approx(np.mean(expected), rel=1e-5)
    assert metrics["parameters"] == 9 * 9


def test_fewer_training_samples_are_a_subset() -> None:
    seen: list[set[bytes]] = []

    class Watch(MeanField):
        def fit(self, inputs: Tensor, outputs: Tensor) -> None:
            seen.append({row.numpy().tobytes() for row in inputs})
            super().fit(inputs, outputs)

        def predict(self, inputs: Tensor) -> Tensor:
            seen.append({row.numpy().tobytes() for row in inputs})
            return super().predict(inputs)

    dataset = small(1, count=20)
    run(lambda _: Watch(), dataset, train=12, test=5, stride=1)
    run(lambda _: Watch(), dataset, train=6, test=5, stride=1)
    assert seen[2] < seen[0]
    assert seen[1] == seen[3]
    assert not seen[0] & seen[1]


# --- the protocol --------------------------------------------------------------------------------------------------------


def test_a_method_bound_to_its_grid_is_told_what_to_do() -> None:
    class Bound(MeanField):
        def predict(self, inputs: Tensor) -> Tensor:
            return self.mean[None] * inputs.new_ones(len(inputs), 1, 9, 9) + 0 * inputs[:, :, :9, :9].reshape(
                inputs.shape
            )

    with pytest.raises(
        ReplicaError, match=r"Bound\.predict failed on 17 × 17 nodes after training on 9 × 9 .* --stride 1"
    ):
        run(lambda _: Bound(), small(2))

    class Fails(MeanField):
        def predict(self, inputs: Tensor) -> Tensor:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(lambda _: Fails(), small(2))


def test_a_method_cannot_change_what_it_is_judged_by() -> None:
    class Vandal(MeanField):
        def fit(self, inputs: Tensor, outputs: Tensor) -> None:
            super().fit(inputs, outputs.clone())
            inputs.zero_()
            outputs.zero_()

        def predict(self, inputs: Tensor) -> Tensor:
            found = super().predict(inputs).clone()
            inputs.zero_()
            return found

    dataset = small(2)
    before = dataset.content.inputs.copy(), dataset.content.outputs.copy()
    tidy, wild = (run(lambda _, make=make: make(), dataset).metrics["error"] for make in (MeanField, Vandal))
    assert tidy == wild
    np.testing.assert_array_equal(before[0], dataset.content.inputs)
    np.testing.assert_array_equal(before[1], dataset.content.outputs)


def test_only_methods_that_take_epochs_are_given_them() -> None:
    asked = []

    class Counts(MeanField):
        def fit(self, inputs: Tensor, outputs: Tensor, *, epochs: int = 1) -> None:  # type: ignore[override]
            asked.append((epochs, len(inputs)))
            super().fit(inputs, outputs)

    dataset = small(1, count=40)
    run(lambda _: Counts(), dataset, epochs=7)
    problem.run(Trial(0, "smoke"), lambda _: Counts(), dataset, problem.resolve({"train": 30, "test": 10}))
    assert asked == [(7, 30), (2, 16)]


def test_the_smallest_data() -> None:
    dataset = small(2, count=4)
    dataset = to_dataset(
        SolutionMap(dataset.content.inputs[..., :5, :5], dataset.content.outputs[..., :5, :5], "unknown", (0.25, 0.25))
    )
    for baseline in available():
        metrics = run(baseline.make, dataset, train=2, test=1, stride=1).metrics
        assert all(np.isfinite(float(value)) for value in metrics.values()), baseline.name


def test_two_channels_and_unlike_axes() -> None:
    inputs, outputs = (
        RNG.normal(size=(8, 2, 9, 16)).astype(np.float32),
        RNG.normal(size=(8, 3, 9, 16)).astype(np.float32),
    )
    dataset = to_dataset(SolutionMap(inputs, outputs, "unknown", (1 / 8, 1 / 15)))
    for baseline in available():
        outcome = run(baseline.make, dataset, train=6, test=2, examples=True, epochs=1)
        assert np.array(outcome.examples["truth"]).shape == (5, 8), baseline.name


# --- baselines and training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["flow", "velocity"])
def test_baselines_run_repeatably(data: str, request: pytest.FixtureRequest) -> None:
    dataset = request.getfixturevalue(data)
    for baseline in available():
        first, second = (run(baseline.make, dataset, seed=5, examples=True) for _ in range(2))
        other = run(baseline.make, dataset, seed=6)
        for metric in problem.metrics:
            if metric.name != "train_seconds":
                assert first.metrics[metric.name] == second.metrics[metric.name], baseline.name
        assert first.examples == second.examples
        assert first.metrics["error"] != other.metrics["error"]
        assert 0 < float(first.metrics["train_seconds"]) < 60


def test_strong_baselines_are_strong(flow: Dataset) -> None:
    errors = {
        baseline.name: float(
            run(baseline.make, flow, epochs=25 if baseline.name != "mean-field" else 1).metrics["error"]
        )
        for baseline in available()
        if baseline.name in ("mean-field", "pca-linear", "unet")
    }
    assert errors["pca-linear"] < 0.5 * errors["mean-field"]
    assert errors["unet"] < 0.7 * errors["mean-field"]


def convolution(inside: int, outside: int, grid: tuple[int, ...]) -> nn.Module:
    kind = nn.Conv1d if len(grid) == 1 else nn.Conv2d
    return kind(inside, outside, 3, padding=1, padding_mode="circular")


def test_a_network_learns_what_it_can_express() -> None:
    dataset = small(1, count=40, boundary="periodic")
    outcome = run(
        lambda trial: GridRegressor(convolution, trial.generator("weights", "cpu"), learning_rate=0.05),
        dataset,
        epochs=60,
        stride=1,
    )
    assert outcome.metrics["error"] < 0.01
    assert outcome.metrics["parameters"] == 4


# --- examples and the picture --------------------------------------------------------------------------------------------


def test_examples_are_plain(flow: Dataset) -> None:
    outcome = run(lambda _: MeanField(), flow, examples=True)
    examples = json.loads(json.dumps(outcome.examples))
    assert set(examples) == {"input", "truth", "predicted", "spacing", "error"}
    assert np.array(examples["truth"]).shape == (9, 9)
    assert examples["spacing"] == [1 / 8, 1 / 8]
    assert not run(lambda _: MeanField(), flow).examples
    large = to_dataset(
        SolutionMap(*2 * [RNG.normal(size=(4, 1, 129, 129)).astype(np.float32)], "dirichlet", (1 / 128, 1 / 128))
    )
    shown = run(lambda _: MeanField(), large, train=3, test=1, stride=1, examples=True).examples
    assert np.array(shown["truth"]).shape == (65, 65)
    assert shown["spacing"] == [1 / 64, 1 / 64]


def comparison(dataset: Dataset, methods: int, sweep: Any = None) -> SimpleNamespace:
    outcome = run(lambda _: MeanField(), dataset, examples=True)
    listed = ["unet", "fno", "mean-field", *(f"a-method-called-{i}" for i in range(methods - 3))]
    rng = np.random.default_rng(0)
    curves = pd.DataFrame(
        [
            {"method": method, "value": value, "metric": "error", "mean": m, "low": 0.9 * m, "high": 1.1 * m}
            for method, value in itertools.product(listed, sweep[1] if sweep else [None])
            for m in [10 ** rng.uniform(-2, 0)]
        ]
    )
    return SimpleNamespace(
        sweep=sweep, curves=curves, rows=[{"method": m} for m in listed], dataset=dataset, problem=problem,
        examples={method: dict(outcome.examples) for method in listed},
        options=problem.resolve({}), example_options=problem.resolve({}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "methods", "size"),
    [("flow", 3, (7.0, 3.5)), ("velocity", 9, (11.0, 4.6)), ("flow", 12, (9.0, 4.0)), ("velocity", 12, (9.0, 4.0))],
)
@pytest.mark.parametrize("sweep", [None, ("train", (50, 100, 200))], ids=["ranking", "sweep"])
def test_the_picture(
    data: str, methods: int, size: tuple[float, float], sweep: Any, request: pytest.FixtureRequest
) -> None:
    figure = Figure(figsize=size)
    with mpl.rc_context({"text.color": "#ffeedd"}):
        problem.draw(figure, comparison(request.getfixturevalue(data), methods, sweep))
    FigureCanvasAgg(figure).draw()
    axes = figure.get_axes()
    titles = [place.get_title() for place in axes] + [place.get_ylabel() for place in axes]
    for wanted in ("solution", "input"):
        assert wanted in titles
    page = figure.bbox
    boxes = [
        (text.get_text(), text.get_window_extent())
        for place in axes
        for text in (place.title, place.xaxis.label, place.yaxis.label)
        if text.get_text()
    ]
    for name, box in boxes:
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1, name  # noqa: PT018
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        overlap = min(min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0))
        assert overlap <= 1, (one, two)


def test_the_picture_of_the_truth_and_without_examples(flow: Dataset) -> None:
    given = comparison(flow, 4)
    for example in given.examples.values():
        example["predicted"] = example["truth"]
    figure = Figure()
    problem.draw(figure, given)
    FigureCanvasAgg(figure).draw()
    given.examples = {}
    figure = Figure()
    problem.draw(figure, given)
    FigureCanvasAgg(figure).draw()
    assert len(figure.get_axes()) == 1
