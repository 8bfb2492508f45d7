"""Equal tuning: what it may see, that it repeats and resumes, what it does with failures, and what it tells."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import replica
from replica.data import EventSet, Labelled, RegressionRows, SolutionMap
from replica.errors import Interrupted, ReplicaError
from replica.lab.catalogue import records
from replica.lab.claims import Choice, Integer, LogUniform, Trial, Uniform
from replica.lab.cli.main import main
from replica.lab.problems import get, labelled_rows, names
from replica.lab.problems.problem import Dataset, Metric
from replica.lab.problems.recall.data import PatternSets
from replica.lab.problems.regression.data import draw_rows
from replica.lab.problems.sample.data import Items
from replica.lab.problems.similarity.data import Nets
from replica.lab.problems.steer.data import Task
from replica.lab.problems.stream.data import StreamContent
from replica.lab.problems.stream.plan import plan
from replica.lab.problems.teacher.targets import drawn
from replica.lab.problems.transport.data import Clouds
from replica.lab.report.tuned_settings import tuned_methods, tuning_rule
from replica.lab.runner.compare import Results, run_comparison
from replica.lab.runner.job import EntryJob, Method, load_paper
from replica.lab.runner.settings import Settings
from replica.lab.runner.store import Row
from replica.lab.runner.tuning import _Study, read_space
from replica.training import mlp


class Blend:
    """Softmax attention, by default so mild that it gives back averages."""

    space: ClassVar = {"beta": LogUniform(0.01, 100.0)}

    def __init__(self, beta: float = 0.02) -> None:
        self.beta = beta

    def store(self, patterns: Any) -> None:
        self.patterns = patterns

    def recall(self, cues: Any) -> Any:
        return (cues @ self.patterns.T * self.beta).softmax(dim=-1) @ self.patterns


class Smoother:
    """The share of each class among rows nearby, with a width that by default reaches none of them."""

    space: ClassVar = {"width": LogUniform(1e-3, 1e2)}

    def __init__(self, width: float = 1e-3) -> None:
        self.width = width

    def fit(self, X: Any, y: Any) -> Smoother:
        self.X, self.labels = X, np.eye(y.max() + 1)[y]
        return self

    def predict_proba(self, X: Any) -> Any:
        squared = np.square(X[:, None] - self.X).sum(axis=2)
        weights = np.exp(-squared / (2 * self.width**2)) @ self.labels + 1e-100
        return weights / weights.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Any:
        return self.predict_proba(X).argmax(axis=1)


class Penalised:
    """Ridge regression, by default with a penalty that leaves next to nothing."""

    space: ClassVar = {"penalty": LogUniform(1e-3, 1e9)}

    def __init__(self, penalty: float = 1e9) -> None:
        self.penalty = penalty

    def fit(self, X: Any, y: Any) -> None:
        self.slopes = np.linalg.solve(X.T @ X + self.penalty * np.eye(X.shape[1]), X.T @ y)

    def predict(self, X: Any) -> Any:
        return X @ self.slopes


class Scaled:
    """A share of the mean training output."""

    space: ClassVar = {"share": Uniform(0.0, 3.0)}

    def __init__(self, share: float = 3.0) -> None:
        self.share = share

    def fit(self, inputs: Any, outputs: Any) -> None:
        self.mean = outputs.mean(dim=0, keepdim=True)

    def predict(self, inputs: Any) -> Any:
        stride = (inputs.shape[2] - 1) // (self.mean.shape[2] - 1)
        mean = self.mean if stride == 1 else self.mean.repeat_interleave(stride, dim=2)[:, :, : inputs.shape[2]]
        return (self.share * mean).expand(len(inputs), *mean.shape[1:])


class Shrunk:
    """A share of the mean target."""

    space: ClassVar = {"share": Uniform(0.0, 3.0)}

    def __init__(self, share: float = 3.0) -> None:
        self.share = share

    def fit(self, X: Any, y: Any) -> None:
        self.mean = y.mean()

    def predict(self, X: Any) -> Any:
        return self.share * self.mean + 0 * X[:, 0]


class Neighbours:
    """The share of each class among kept items nearby, with a width that by default reaches none of them."""

    space: ClassVar = {"width": LogUniform(1e-3, 1e2)}

    def __init__(self, width: float = 1e-3) -> None:
        self.width = width

    def start(self, info: Any) -> None:
        self.items, self.labels = torch.zeros(0, *info.shape), torch.zeros(0, info.classes)

    def learn(self, inputs: Any, labels: Any, task: int | None) -> None:
        self.items = torch.cat([self.items, inputs])
        self.labels = torch.cat([self.labels, torch.eye(self.labels.shape[1])[labels]])

    def predict(self, inputs: Any, task: int | None) -> Any:
        squared = (inputs[:, None] - self.items).square().sum(dim=2)
        return (-squared / (2 * self.width**2)).exp() @ self.labels


class Descent:
    """Gradient descent, by default in such small steps that nothing happens."""

    space: ClassVar = {"rate": LogUniform(1e-6, 1.0)}

    def __init__(self, rate: float = 1e-6) -> None:
        self.rate = rate

    def build(self, network: Any, loss: Any, example: Any) -> None:
        self.network, self.loss = network, loss

    def step(self, inputs: Any, labels: Any) -> None:
        loss = self.loss(self.network(inputs), labels)
        if not torch.isfinite(loss):
            raise FloatingPointError("the loss is not finite")
        torch.optim.SGD(self.network.parameters(), self.rate).zero_grad()
        loss.backward()
        torch.optim.SGD(self.network.parameters(), self.rate).step()


class Rates:
    """A network of rates so low, by default, that nothing happens."""

    space: ClassVar = {"scale": LogUniform(1e-6, 1.0)}

    def __init__(self, scale: float = 1e-9) -> None:
        self.scale = scale

    def build(self, inputs: Any, outputs: Any, width: Any, depth: Any, generator: Any) -> Any:
        net = mlp((inputs, width, outputs), generator=generator)
        return net, [{"params": net.parameters(), "lr_scale": self.scale}]


class Nearby:
    """The share of each class among recordings nearby, with a width that by default reaches none of them."""

    space: ClassVar = {"width": LogUniform(1e-3, 1e2)}

    def __init__(self, width: float = 1e-3) -> None:
        self.width = width

    def fit(self, events: Any, labels: Any) -> None:
        self.events, self.labels = events.flatten(1), torch.eye(int(labels.max()) + 1)[labels]

    def predict(self, events: Any) -> Any:
        squared = (events.flatten(1)[:, None] - self.events).square().sum(dim=2)
        return (-squared / (2 * self.width**2)).exp() @ self.labels


class Nearest:
    """The share of each class among rows nearby, with a width that by default reaches none of them."""

    space: ClassVar = {"width": LogUniform(1e-3, 1e2)}

    def __init__(self, width: float = 1e-3) -> None:
        self.smoother = Smoother(width)

    def fit(self, X: Any, y: Any, environment: Any) -> None:
        self.smoother.fit(X, y)

    def predict_proba(self, X: Any) -> Any:
        return self.smoother.predict_proba(X)


class Signed:
    """Linear kernel alignment, by default with the wrong sign."""

    space: ClassVar = {"sign": Uniform(-1.0, 1.0)}

    def __init__(self, sign: float = -1.0) -> None:
        self.sign = sign

    def similarity(self, X: Any, Y: Any) -> float:
        X, Y = X - X.mean(0), Y - Y.mean(0)
        return self.sign * float((X.T @ Y).norm() ** 2 / (X.T @ X).norm() / (Y.T @ Y).norm())


class Pixels:
    """Some pixels as they are, by default one."""

    space: ClassVar = {"kept": Integer(1, 16)}

    def __init__(self, kept: int = 1) -> None:
        self.kept = kept

    def pretrain(self, images: Any, encoder: Any, generator: Any, epochs: int) -> None:
        assert images.isfinite().all()

    def embed(self, images: Any) -> Any:
        return images.flatten(1)[:, -self.kept :].contiguous()


class Scaling:
    """The start and a share of what training changed, by default far too much of it."""

    space: ClassVar = {"share": Uniform(0.0, 1.0)}

    def __init__(self, share: float = -50.0) -> None:
        self.share = share

    def merge(self, base: Any, networks: Any, held_out: Any) -> Any:
        start, states = base.state_dict(), [net.state_dict() for net in networks]
        base.load_state_dict({n: v + self.share * sum(s[n] - v for s in states) for n, v in start.items()})
        return base


class Picky:
    """Of two samples the one of the higher reward, as often as it is told; by default never."""

    space: ClassVar = {"share": Uniform(0.0, 1.0)}

    def __init__(self, share: float = 0.0) -> None:
        self.share = share

    def steer(self, model: Any, reward: Any, count: int) -> Any:
        generator = torch.Generator().manual_seed(0)
        first, second = (model.sample(count, generator) for _ in range(2))
        better = (reward(second) > reward(first)) & (torch.rand(count, generator=generator) < self.share)
        return torch.where(better[:, None], second, first)


@dataclass(frozen=True)
class SpoiltTask(Task):
    """Means of a mixture that are NaN where this seed tests, or where it tunes."""

    seed: int = 0
    spoilt: str = "test"

    def made(self, trial: Trial, options: Any, split: Any) -> Any:
        law, reward = super().made(trial, options, split)
        hit = trial.seed == self.seed and (split == "test") == (self.spoilt == "test")
        return (replace(law, means=law.means * np.nan) if hit else law), reward


def steered() -> Dataset:
    return Dataset("steered", "", Task("mixture"), "steered")


class Shifted:
    """Moves all points by a share of the means' difference."""

    space: ClassVar = {"share": Uniform(0.0, 3.0)}

    def __init__(self, share: float = 3.0) -> None:
        self.share = share

    def fit(self, source: Any, target: Any) -> None:
        self.shift = self.share * (target.mean(0) - source.mean(0))

    def map(self, points: Any) -> Any:
        return points + self.shift


class Spread:
    """Training rows with normal noise, by default far too much."""

    space: ClassVar = {"noise": Uniform(0.0, 3.0)}

    def __init__(self, noise: float = 5.0) -> None:
        self.noise = noise

    def fit(self, data: Any) -> None:
        self.data = data

    def sample(self, count: int) -> Any:
        rng = np.random.default_rng(0)
        rows = self.data[rng.integers(len(self.data), size=count)]
        return rows.numpy() + self.noise * rng.normal(size=rows.shape)


def patterns() -> Dataset:
    real = np.random.default_rng(0).random((60, 20)).astype(np.float32)
    return Dataset("patterns", "", PatternSets(real, np.where(real > 0.5, 1, -1).astype(np.int8)), "patterns", (20,))


def rows() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    return Dataset(
        "rows", "", Labelled(rng.normal(size=(90, 6)) + 0.7 * labels[:, None], labels, ("a", "b", "c")), "rows"
    )


def pictures() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    bright = (np.arange(16).reshape(4, 4) % 3 == labels[:, None, None]) * (np.arange(4)[:, None] < 3)
    images = (0.5 * bright + rng.normal(size=(90, 4, 4))).astype(np.float32)
    return Dataset("pictures", "", Labelled(images, labels, ("a", "b", "c")), "pictures", (4, 4))


def sites() -> Dataset:
    found = rows()
    parted = replace(found.content, groups=np.arange(90) // 3 % 3, group_names=("x", "y", "z"))
    return replace(found, content=parted, name="sites", digest="sites")


def numbers() -> Dataset:
    X = np.random.default_rng(0).normal(size=(90, 6))
    return Dataset("numbers", "", RegressionRows(X, X @ np.arange(6) + 100), "numbers")


def maps() -> Dataset:
    inputs = np.random.default_rng(0).normal(size=(40, 1, 17)).astype(np.float32)
    return Dataset("maps", "", SolutionMap(inputs, inputs + 2, "dirichlet", (1 / 16,)), "maps", (17,))


def items() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 6
    values = (rng.normal(size=(120, 5)) + rng.normal(size=(6, 5))[labels]).astype(np.float32)
    return Dataset("items", "", StreamContent(Labelled(values, labels, tuple("abcdef"))), "items", (5,))


def recordings() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    rates = 0.1 + 0.4 * (np.arange(6) // 2 == labels[:, None])
    events = (rng.random((90, 4, 6)) < rates[:, None]).astype(np.float32)
    return Dataset("recordings", "", EventSet(events, labels, ("a", "b", "c"), (6,)), "recordings", (6,))


def layers() -> Dataset:
    rng = np.random.default_rng(0)
    planted = rng.normal(size=(2, 60, 4))
    turned = {net: tuple((planted @ rng.normal(size=(4, 4))).astype(np.float32)) for net in "ab"}
    return Dataset("layers", "", Nets(("one", "two"), turned), "layers")


def clouds() -> Dataset:
    source, target = np.random.default_rng(0).normal(size=(2, 60, 2))
    return Dataset("clouds", "", Clouds(source, target + 2), "clouds")


def cloud() -> Dataset:
    return Dataset("cloud", "", Items(np.random.default_rng(0).normal(size=(120, 3)), (3,), np.zeros(3)), "cloud", (3,))


def taught() -> Dataset:
    return get("teacher").load("made", {"target": "linear"})


SMALL: dict[str, tuple[Callable[[], Dataset], type, dict[str, Any]]] = {
    "recall": (patterns, Blend, {"values": "real", "kind": "gaussian", "stored": 12, "cues": 40}),
    "classification": (rows, Smoother, {}),
    "regression": (numbers, Penalised, {}),
    "credit": (rows, Descent, {"depth": 1, "width": 8, "epochs": 3, "batch": 8, "shift_batches": 0}),
    "operator": (maps, Scaled, {"train": 25, "test": 15, "epochs": 9, "stride": 2}),
    "stream": (items, Neighbours, {"tasks": 3, "epochs": 1, "checks": 1}),
    "events": (recordings, Nearby, {}),
    "teacher": (taught, Shrunk, {"target": "linear", "dim": 3, "examples": 40, "test": 20}),
    "shift": (sites, Nearest, {}),
    "similarity": (layers, Signed, {"stimuli": 30, "noise": 0.1}),
    "steer": (steered, Picky, {"samples": 100, "steps": 5, "calls": 5}),
    "pretext": (pictures, Pixels, {"few": 5, "many": 10, "epochs": 1}),
    "merge": (
        rows,
        Scaling,
        {"setting": "forks", "networks": 2, "depth": 1, "width": 8, "common_epochs": 10, "epochs": 2, "held_out": 10},
    ),
    "transport": (clouds, Shifted, {"count": 40, "test": 20}),
    "sample": (cloud, Spread, {"train": 80, "test": 40}),
    "scaling": (rows, Rates, {"width": "4,8", "depth": 1, "optimiser": "sgd", "steps": 20, "batch": 8, "rates": 6}),
}
every_problem = pytest.mark.parametrize("name", names())


@pytest.fixture
def tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Results]:
    """A small comparison of one method with tuning."""

    def run(
        name: str, dataset: Dataset | None = None, *, tune: int = 8, seeds: int = 1, workers: int = 1, scale: Any = "laptop",
        store: str = "s.sqlite", entries: dict[str, Any] | None = None, only: tuple[str, ...] = ("none",), **options: Any,
    ) -> Results:  # fmt: skip
        make, entry, usual = SMALL[name]
        found = dataset or make()
        monkeypatch.setattr(type(get(name)), "load", lambda self, source, options: found)
        monkeypatch.setattr(type(get(name)), "baselines", _only(type(get(name)).baselines, only))
        return run_comparison(
            name,
            data=found.digest,
            entries={"mine": entry} if entries is None else entries,
            options={**usual, **options},
            only=[each for each in only if each != "none"],
            tune=tune,
            settings=Settings(scale, seeds, workers=workers, store=tmp_path / store, quiet=True),
        )

    monkeypatch.setattr("replica.lab.runner.methods.records", dict)  # no papers
    monkeypatch.setattr(EntryJob, "isolated", False)  # other processes have not the data that is set here
    return run


def _only(baselines: Any, only: tuple[str, ...]) -> Any:
    return lambda self: [baseline for baseline in baselines(self) if baseline.name in only]


def settings(results: Results, method: str = "mine") -> list[dict[str, Any]]:
    assert results.tuning is not None
    return [dict(found.settings) for found in results.tuning.methods[method].found.values()]


# --- what it may see -----------------------------------------------------------------------------------------------------


def poison(name: str, dataset: Dataset, seed: int, part: str) -> Dataset:
    """The data with NaN in the rows that this seed tests, or in all others."""
    if name == "teacher":
        return replace(dataset, content=partial(spoiled_draw, seed, part), digest=f"{dataset.digest} {part} {seed}")
    if name == "steer":
        return replace(
            dataset, content=SpoiltTask("mixture", seed=seed, spoilt=part), digest=f"{dataset.digest} {part} {seed}"
        )
    options = get(name).resolve(SMALL[name][2])
    content, rng = dataset.content, Trial(seed)
    if name == "transport":
        spoilt_clouds = {}
        for cloud in ("source", "target"):
            tested = rng.rng(f"split {cloud}").permutation(60)[: options["test"]]
            hit = np.isin(np.arange(60), tested) == (part == "test")
            spoilt_clouds[cloud] = np.where(hit[:, None], np.nan, getattr(content, cloud))
        return replace(dataset, content=replace(content, **spoilt_clouds), digest=f"{dataset.digest} {part} {seed}")
    if name == "similarity":
        tested = rng.rng("stimuli").permutation(len(content))[: options["stimuli"]]
    elif name == "recall":
        tested = rng.rng("stored").permutation(len(content.real))[: options["stored"]]
    elif name in ("classification", "credit", "events", "pretext", "scaling", "merge"):
        tested = labelled_rows.stratified_split(content.labels, options["test"], options["train"], rng.rng("split"))[1]
    elif name == "shift":
        tested = np.flatnonzero(content.groups == 2)
        held_out = get(name).rows(rng, content, options, "test")[1]
        tested = np.union1d(tested, held_out)
    elif name == "regression":
        tested = draw_rows(content, 0.0, seed, rng.rng("split"))[1]
    elif name == "stream":
        tested = np.concatenate(plan(content, options, rng, "test").tested)
    else:
        tested = rng.rng("split").permutation(len(content))[: options["test"]]
    count = {"recall": 60, "stream": 120}.get(name) or len(content)
    hit = np.isin(np.arange(count), tested) == (part == "test")

    def spoiled(values: Any) -> Any:
        return np.where(hit.reshape(-1, *[1] * (values.ndim - 1)), np.float32(np.nan), values)

    if name == "similarity":
        spoilt = {net: tuple(map(spoiled, found)) for net, found in content.activations.items()}
        content = replace(content, activations=spoilt)
    elif name == "recall":
        content = replace(content, real=spoiled(content.real))
    elif name == "sample":
        content = replace(content, values=spoiled(content.values))
    elif name in ("classification", "credit", "pretext", "scaling", "merge", "shift"):
        content = replace(content, features=spoiled(content.features))
    elif name == "regression":
        content = replace(content, features=spoiled(content.features), targets=spoiled(content.targets))
    elif name == "events":
        content = replace(content, events=spoiled(content.events))
    elif name == "stream":
        content = replace(content, labelled=replace(content.labelled, features=spoiled(content.labelled.features)))
    else:
        content = replace(content, inputs=spoiled(content.inputs), outputs=spoiled(content.outputs))
    return replace(dataset, content=content, digest=f"{dataset.digest} {part} {seed}")


def spoiled_draw(seed: int, spoiled: str, known: Any, part: str, count: int, trial: Trial) -> Any:
    """Examples of a teacher, NaN where this seed tests, or where it learns."""
    made = drawn(known, part, count, trial)
    hit = trial.seed == seed and (part == "test") == (spoiled == "test")
    return replace(made, inputs=made.inputs * np.nan, targets=made.targets * np.nan) if hit else made


@every_problem
@pytest.mark.parametrize("seed", [0, 1])
def test_the_test_part_is_never_seen(name: str, seed: int, tuned: Callable[..., Results]) -> None:
    """With garbage in the rows that a seed tests, its settings and validation scores are the same to the last bit."""
    dataset = SMALL[name][0]()
    clean = tuned(name, seeds=2).tuning.methods["mine"]
    spoiled = tuned(name, poison(name, dataset, seed, "test"), seeds=2)
    (place,) = [place for place in clean.found if place[0] == seed]
    one, other = clean.found[place], spoiled.tuning.methods["mine"].found[place]
    assert one.settings == other.settings != {}
    assert (one.default_score, one.best_score) == (other.default_score, other.best_score)
    assert [row.measures[spoiled.metrics[0].name] for row in one.rows] == [
        row.measures[spoiled.metrics[0].name] for row in other.rows
    ]
    test = next(row for (at, _), row in spoiled.methods[0].rows.items() if at == seed)
    assert test.status == "error", "the garbage is where the test looks"
    ruined = tuned(name, poison(name, dataset, seed, "training"), seeds=2).tuning.methods["mine"].found[place]
    assert ruined.best_score is None, "and the rest is where tuning looks"


def test_labels_of_the_test_part_are_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, problem, seen = rows(), get("classification"), []
    outer, original = np.random.default_rng(3).permutation(90), labelled_rows.stratified_split
    monkeypatch.setattr(
        labelled_rows,
        "stratified_split",
        lambda labels, *rest: (outer[30:], outer[:30]) if len(labels) == 90 else original(labels, *rest),
    )
    for garbage in (0, 1, 2):
        labels = dataset.content.labels.copy()
        labels[outer[:30]] = garbage
        other = replace(dataset, content=replace(dataset.content, labels=labels))
        outcome = problem.run(Trial(0), lambda trial: Smoother(1.0), other, problem.resolve({}), split="validation")
        seen.append({name: value for name, value in outcome.metrics.items() if not name.endswith("seconds")})
    assert seen[0] == seen[1] == seen[2]


def test_recall_validates_on_patterns_that_the_test_does_not_store() -> None:
    dataset, problem, stored = patterns(), get("recall"), {}

    class Spy(Blend):
        def store(self, patterns: Any) -> None:
            super().store(patterns)
            stored[split] = {tuple(row.tolist()) for row in patterns}

    for split in ("test", "validation"):
        options = problem.resolve({"values": "real", "kind": "gaussian", "stored": 30})
        problem.run(Trial(0), lambda trial: Spy(), dataset, options, split=split)
    assert len(stored["test"] | stored["validation"]) == 60


@every_problem
def test_settings_are_tuned_inside_each_seed(name: str, tuned: Callable[..., Results]) -> None:
    """Nested: another seed in the run changes nothing of this one's settings."""
    one, two = tuned(name, seeds=1, store="one.sqlite"), tuned(name, seeds=2, store="two.sqlite")
    assert settings(one)[0] == settings(two)[0]
    assert len(settings(two)) == 2


# --- it repeats, resumes, and is equal for all -----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_settings_on_any_number_of_processes(tmp_path: Path) -> None:
    found = [
        replica.compare(
            "classification", data="wine", only=["logistic-regression"], tune=4, scale="smoke", seeds=2, workers=workers,
            store=tmp_path / f"{i}.sqlite", quiet=True,
        ).results.tuning.plain()["methods"]["logistic-regression"]["found"]
        for i, workers in enumerate((1, 1, 2))
    ]  # fmt: skip
    assert found[0] == found[1] == found[2]
    assert len({json.dumps(place["settings"]) for place in found[0]}) == 2, "each seed draws its own suggestions"


def test_the_settings_found_are_those_that_run(tuned: Callable[..., Results]) -> None:
    results = tuned("classification", seeds=2)
    for (seed, _), row in results.methods[0].rows.items():
        assert row.what["settings"] == dict(results.tuning.methods["mine"].found[seed, None].settings)
        assert "split" not in row.what
    untuned = tuned("classification", seeds=2, tune=0)
    assert untuned.tuning is None
    assert results.methods[0].metrics["accuracy"].mean > untuned.methods[0].metrics["accuracy"].mean + 0.1


def test_everyone_gets_the_same_number_and_the_rest_runs_with_defaults(tuned: Callable[..., Results]) -> None:
    baselines = ("majority", "logistic-regression", "gradient-boosting")
    results = tuned("classification", tune=3, seeds=2, only=baselines, scale="smoke")
    assert {name: method.trials for name, method in results.tuning.methods.items()} == {
        "mine": 6, "logistic-regression": 6, "gradient-boosting": 6,
    }  # fmt: skip
    for name, method in results.tuning.methods.items():
        for found in method.found.values():
            assert len(found.rows) == 3
            assert found.rows[0].what["settings"] == {}, f"{name} begins with its defaults"
    majority = next(result for result in results.methods if result.method.name == "majority")
    assert all(row.what["settings"] == {} for row in majority.rows.values())


def test_a_sweep_is_tuned_at_each_of_its_points(tmp_path: Path) -> None:
    comparison = replica.compare(
        "recall", sweep={"stored": [5, 10]}, entries={"blend": Blend}, only=["nearest-neighbour"], tune=3, scale="smoke",
        seeds=2, workers=1, store=tmp_path / "s.sqlite", quiet=True,
    )  # fmt: skip
    assert comparison.tuning is not None
    assert comparison.tuning[["seed", "value"]].to_numpy().tolist() == [[0, 5], [0, 10], [1, 5], [1, 10]]
    assert set(comparison.tuning.method) == {"blend"}
    assert comparison.table.tuned.to_dict() == {"blend": 3, "nearest-neighbour": 0}
    plain = json.loads(json.dumps(comparison.plain(), allow_nan=False))["tuning"]
    assert (plain["trials"], plain["split"], plain["metric"]) == (3, "validation", "exact")
    method = plain["methods"]["blend"]
    assert method["trials"] == 12
    assert method["defaults"] == {"beta": 0.02}
    assert method["space"] == {"beta": {"kind": "LogUniform", "low": 0.01, "high": 100.0}}
    assert method["best_score"] >= method["default_score"]
    text = comparison.report(tmp_path / "report.html").read_text()
    for wanted in ("<h2>Tuning</h2>", "nothing to tune", "0.01 – 100", "--tune 3", "tune=3", "run with the defaults"):
        assert wanted in text
    assert "no method was tuned" not in text


def test_without_tuning_nothing_is_said_of_it(tmp_path: Path) -> None:
    comparison = replica.compare(
        "recall", stored=5, only=["nearest-neighbour"], scale="smoke", workers=1, store=tmp_path / "s.db", quiet=True
    )
    assert comparison.tuning is None
    assert comparison.plain()["tuning"] is None
    assert "tuned" not in comparison.table
    assert "no method was tuned" in comparison.report(tmp_path / "r.html").read_text()


SLOW = """
import os, time
from replica.lab.claims import LogUniform

class Mine:
    space: ClassVar = {"beta": LogUniform(0.01, 100.0)}

    def __init__(self, beta=0.02):
        self.beta = beta
        with open(os.environ["TRIAL_LOG"], "ab", buffering=0) as file:
            file.write(f"{beta!r}\\n".encode())
        while 0 < int(os.environ.get("TRIAL_HOLD", 0)) <= len(open(os.environ["TRIAL_LOG"]).readlines()):
            time.sleep(0.05)  # until it is killed

    def store(self, patterns):
        self.patterns = patterns

    def recall(self, cues):
        return (cues @ self.patterns.T * self.beta).softmax(dim=-1) @ self.patterns
"""


def test_killed_and_started_again_nothing_is_done_twice_and_nothing_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(SLOW)
    log, calm = tmp_path / "killed.log", tmp_path / "calm.log"
    killed = subprocess.Popen(
        [
            sys.executable, "-m", "replica", "compare", "recall", "--entry", "mine.py:Mine", "--only", "nearest-neighbour",
            "--stored", "40", "--damage", "0.3", "--tune", "12", "--seeds", "2", "--scale", "smoke", "--jobs", "1",
            "--store", "killed.db",
        ],
        cwd=tmp_path, env={**os.environ, "TRIAL_LOG": str(log), "TRIAL_HOLD": "15"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (log.exists() and len(log.read_text().splitlines()) == 15):
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    begun = len(log.read_text().splitlines())
    with sqlite3.connect(tmp_path / "killed.db") as connection:
        (stored,) = connection.execute("SELECT count(*) FROM trials").fetchone()
    assert 14 <= stored <= begun == 15, "the kill must fall into the tuning"

    def finish(store: str, log: Path) -> list[dict[str, Any]]:
        monkeypatch.setenv("TRIAL_LOG", str(log))
        comparison = replica.compare(
            "recall", entries=[f"{tmp_path}/mine.py:Mine"], only=["nearest-neighbour"], stored=40, damage=0.3, tune=12,
            seeds=2, scale="smoke", workers=1, store=tmp_path / store, quiet=True,
        )  # fmt: skip
        found: list[dict[str, Any]] = comparison.results.tuning.plain()["methods"]["Mine"]["found"]
        return found

    found = finish("calm.db", calm)
    assert any(place["settings"]["beta"] != 0.02 for place in found)
    assert finish("killed.db", log) == found
    resumed, whole = (len(path.read_text().splitlines()) for path in (log, calm))
    assert whole <= resumed <= whole + 1, "only the trial that was running is run again"
    assert finish("calm.db", calm) == found
    assert len(calm.read_text().splitlines()) == whole, "a finished run starts no trial"


def test_settings_that_come_up_again_are_not_run_again(tuned: Callable[..., Results]) -> None:
    made = []

    class Two(Blend):
        space: ClassVar = {"beta": Choice((0.02, 50.0))}

        def __init__(self, beta: float = 0.02) -> None:
            made.append(beta)
            super().__init__(beta)

    results = tuned("recall", tune=10, entries={"two": Two})
    assert results.tuning.methods["two"].trials == 10
    assert sorted(made[:-1]) == [0.02, 50.0]


# --- spaces --------------------------------------------------------------------------------------------------------------


class Anything(Smoother):
    space: ClassVar = {
        "width": LogUniform(1e-3, 1e6),
        "shift": Uniform(-1.0, 1.0),
        "power": Integer(1, 3),
        "mode": Choice(("plain", None, True)),
    }

    def __init__(self, width: float = 0.0, shift: float = 0.0, power: int = 1, mode: Any = "plain") -> None:
        assert isinstance(power, int)
        assert mode in ("plain", None, True)
        super().__init__(width * power + abs(shift) + 1e-9)


def test_spaces_of_every_kind_and_defaults_outside_them(tuned: Callable[..., Results]) -> None:
    results = tuned("classification", tune=24, entries={"any": Anything})
    method = results.tuning.methods["any"]
    assert not method.failed
    (found,) = method.found.values()
    tried = [row.what["settings"] for row in found.rows]
    assert tried[0] == {}
    for one in tried[1:]:
        assert 1e-3 <= one["width"] <= 1e6
        assert -1 <= one["shift"] <= 1
        assert one.get("power", 1) in (1, 2, 3)
        assert one.get("mode", "plain") in ("plain", None, True)
    assert len({one["width"] for one in tried[1:]}) == 23
    assert sum(one["width"] < 30 for one in tried[1:]) >= 3, "uniform in the logarithm"
    assert {one.get("mode", "plain") for one in tried} == {"plain", None, True}
    (line,) = tuned_methods(results)
    assert [each.name for each in line.hyperparameters] == ["width", "shift", "power", "mode"]


def test_of_equal_settings_the_defaults_stay(tuned: Callable[..., Results]) -> None:
    class Deaf(Smoother):
        def __init__(self, width: float = 1.0) -> None:
            super().__init__(1.0)

    assert settings(tuned("classification", entries={"mine": Deaf})) == [{}]


METHODS = [
    pytest.param(problem, method, id=f"{problem}/{method.name}")
    for problem in names()
    for method in [
        *(Method(baseline.name) for baseline in get(problem).baselines()),
        *(
            Method(entry.name, record.module, record.slug)
            for record in records().values()
            if record.status == "built" and problem in record.problems
            for entry in load_paper(record.module).entries.values()
            if entry.problem == problem
        ),
    ]
]


@pytest.mark.parametrize(("problem", "method"), METHODS)
def test_every_declared_space_is_one_that_the_method_takes(problem: str, method: Method) -> None:
    space, defaults = read_space(method, problem)
    assert space.keys() == defaults.keys()


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"beta": (0.1, 1.0)}, "gives 'beta' as (0.1, 1.0); wanted Uniform, LogUniform, Integer or Choice"),
        ({"gamma": Uniform(0, 1)}, "names 'gamma', but it takes no keyword 'gamma' with a default"),
        ({"beta": Uniform(1, 0)}, "wanted finite numbers, the lower one first"),
        ({"beta": Uniform(0, float("inf"))}, "wanted finite numbers"),
        ({"beta": LogUniform(0, 1)}, "wanted positive numbers"),
        ({"beta": Integer(1, 2.5)}, "wanted whole numbers"),
        ({"beta": Choice(())}, "wanted one value or more"),
        ({"beta": Choice(((1, 2),))}, "wanted one value or more: numbers, texts, True, False or None"),
    ],
)
def test_a_wrong_space_is_told_in_one_line_before_anything_runs(
    space: Any, said: str, tuned: Callable[..., Results]
) -> None:
    with pytest.raises(ReplicaError) as error:
        tuned("recall", entries={"mine": type("Mine", (Blend,), {"space": space})})
    assert "Entry mine: its space" in str(error.value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_function_declares_its_space_too(tuned: Callable[..., Results]) -> None:
    def make(beta: float = 0.02) -> Blend:
        return Blend(beta)

    make.space = {"beta": Choice((0.02, 50.0))}  # type: ignore[attr-defined]
    assert settings(tuned("recall", entries={"mine": make})) == [{"beta": 50.0}]


# --- failures ------------------------------------------------------------------------------------------------------------


class Picky(Smoother):
    def __init__(self, width: float = 1e-3) -> None:
        if width > 1:
            raise ArithmeticError("too much")
        super().__init__(width)


class Broken(Smoother):
    def fit(self, X: Any, y: Any) -> Any:
        raise ArithmeticError("always")


def test_a_trial_that_fails_counts_as_worst_and_the_others_go_on(tuned: Callable[..., Results]) -> None:
    results = tuned("classification", tune=16, seeds=2, entries={"picky": Picky, "mine": Smoother, "broken": Broken})
    picky, broken = results.tuning.methods["picky"], results.tuning.methods["broken"]
    assert 0 < len(picky.failed) < 32
    assert {row.error for row in picky.failed} == {"ArithmeticError: too much"}
    assert all(found.settings["width"] <= 1 for found in picky.found.values())
    assert not next(result for result in results.methods if result.method.name == "picky").errors
    assert len(broken.failed) == 32
    assert [found.settings for found in broken.found.values()] == [{}, {}]
    assert (broken.default_score, broken.best_score) == (None, None)
    assert not results.tuning.methods["mine"].failed
    lines = {line.name: line for line in tuned_methods(results)}
    assert "failed (ArithmeticError: too much)" in lines["picky"].troubles
    assert (lines["broken"].default_score, lines["broken"].trials) == ("failed", 32)
    assert json.dumps(results.tuning.plain(), allow_nan=False)


def test_the_sampler_hears_of_failures_as_worst() -> None:
    job = EntryJob("x", Trial(0), "", 1, 1, "operator", Method("mine", given=Scaled), "", "", {})
    for better, cost in (("lower", 0.5), ("higher", -0.5)):
        study = _Study(job, Scaled.space, {"share": 3.0}, 20, Metric("error", "1", better, "Error"))  # type: ignore[arg-type]
        for status in ("ok", "ok", "error"):
            study.ask()
            came = {"measures": {"error": 0.5}} if status == "ok" else {"error": "it broke"}
            study.tell(Row(key="", subject="", seed=0, what={}, seconds=0.0, peak_bytes=None, machine={}, **came))  # type: ignore[arg-type]
        heard = [(trial.state.name, trial.value) for trial in study.study.trials]
        assert heard == [("COMPLETE", cost), ("COMPLETE", cost), ("COMPLETE", float("inf"))]
        assert (study.result().settings, study.result().best_score) == ({}, 0.5)


def test_ctrl_c_says_how_much_is_tuned(tuned: Callable[..., Results]) -> None:
    made = []

    class Stops(Smoother):
        def __init__(self, width: float = 1e-3) -> None:
            made.append(width)
            if len(made) == 5:
                raise KeyboardInterrupt
            super().__init__(width)

    with pytest.raises(Interrupted, match="Stopped while tuning: 4 of 8 tuning trials are done and stored"):
        tuned("classification", entries={"mine": Stops})
    tuned("classification", entries={"mine": Stops})
    assert len(made) == 5 + 4 + 1


# --- the command line ----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A small comparison by the real command, with its exit code and its two streams."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        usual = ("--scale", "smoke", "--jobs", 1, "--store", "s.db", "--only", "modern-hopfield")
        monkeypatch.setattr(sys, "argv", ["replica", "compare", "recall", *map(str, (*usual, *arguments))])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), *capfd.readouterr()

    return run


def test_for_people_the_table_says_what_was_tuned(command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, error = command("--only", "nearest-neighbour", "--stored", 5, "--tune", 4)
    assert code == 0, error
    for wanted in (
        "nothing to tune", "4 trials for each method with a search space, in each seed", "never on test data", "beta 8",
        "with defaults, ", "nothing to tune, run with defaults: nearest-neighbour",
    ):  # fmt: skip
        assert wanted in " ".join(out.split())
    assert "optuna" not in (out + error).lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tune", 1), "--tune must be a whole number from 2 to 10000 (the first trial has the defaults), not 1."),
        (("--tune", -3), "not -3."),
        (("--tune", 10**6), "not 1000000."),
        (("--tune", "many"), "many"),
        (("--tune", 3, "--stored", 1000), "holds 1752 in all; give --stored 876 or less, or leave --tune out."),
    ],
)
def test_wrong_use_is_told_in_one_line(
    arguments: tuple[object, ...], said: str, command: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, error = command(*arguments)
    assert (code, out) == (2, "")
    assert len(error.strip().splitlines()) == 1, error
    assert said in error


def test_classification_without_a_row_to_hold_out_is_told(tuned: Callable[..., Results]) -> None:
    with pytest.raises(ReplicaError, match=r"leaves 3, one a class; give --train 6 or more"):
        tuned("classification", train=3)


@pytest.mark.parametrize("trials", [True, 2.0, "5", None])
def test_from_python_tune_must_be_a_whole_number(trials: Any) -> None:
    with pytest.raises(ReplicaError, match="--tune must be a whole number"):
        replica.compare("recall", tune=trials)


def test_the_rule_is_told_in_one_sentence(tuned: Callable[..., Results]) -> None:
    told = tuning_rule(tuned("classification", tune=3, seeds=2))
    assert told.startswith("Tuned by accuracy on validation data")
    assert "3 trials for each method with a search space, in each seed; 6 trials took " in told
